//! Generations for tests, without a watcher.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{Compiler, DATA_ROOT, Generation, LUA_ROOT, SiteLayout, VIEWDEF_ROOT};
use crate::watch::{Change, ChangeKind, ChangeSet, Content, Timing};

/// The generation after `last`, in which these files were saved. `None`: deleted. Names that end in
/// `.html` are view templates; those below `data/` are not in the Lua directory.
pub(crate) fn save(last: &Generation, files: &[(&str, Option<&str>)]) -> Generation {
    let changes = files.iter().map(|(name, text)| {
        let (root, name) = match name.strip_prefix("data/") {
            Some(name) => (DATA_ROOT, name),
            None if name.ends_with(".html") => (VIEWDEF_ROOT, *name),
            None => (LUA_ROOT, *name),
        };
        let kind = match text {
            Some(text) => ChangeKind::Modified(Content::new(text.as_bytes())),
            None => ChangeKind::Removed,
        };
        Change { root, name: name.into(), path: Path::new("/site").join(name), kind }
    });
    let timing = Timing { first_hint: Instant::now(), settle: Duration::ZERO, reconcile: Duration::ZERO };
    let changes = ChangeSet { changes: changes.collect(), initial: false, timing };
    let layout = SiteLayout { lua: "lua".into(), viewdefs: "viewdefs".into(), files: "data".into() };
    Compiler::new(layout).unwrap().compile(last, &changes)
}
