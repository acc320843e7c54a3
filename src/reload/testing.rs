//! Generations for tests, without a watcher.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{Compiler, Generation, LUA_ROOT, SiteLayout, VIEWDEF_ROOT};
use crate::watch::{Change, ChangeKind, ChangeSet, Content, Timing};

/// The generation after `last`, in which these files were saved. `None`: deleted. Names that end in
/// `.html` are view templates.
pub(crate) fn save(last: &Generation, files: &[(&str, Option<&str>)]) -> Generation {
    let changes = files.iter().map(|(name, text)| {
        let root = if name.ends_with(".html") { VIEWDEF_ROOT } else { LUA_ROOT };
        let kind = match text {
            Some(text) => ChangeKind::Modified(Content::new(text.as_bytes())),
            None => ChangeKind::Removed,
        };
        Change { root, name: name.into(), path: Path::new("/site").join(name), kind }
    });
    let timing = Timing { first_hint: Instant::now(), settle: Duration::ZERO, reconcile: Duration::ZERO };
    let changes = ChangeSet { changes: changes.collect(), initial: false, timing };
    let layout = SiteLayout { lua: "lua".into(), viewdefs: "viewdefs".into() };
    Compiler::new(layout).unwrap().compile(last, &changes)
}
