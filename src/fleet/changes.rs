//! From one release to the next: one [`ChangeSet`], as the watcher would make it of files that were saved together.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use super::Files;
use crate::watch::{Change, ChangeKind, ChangeSet, Content, ContentHash, Root, Timing, Unreadable};

/// What is known of the files that run: enough to see what is another.
pub(super) type Known = BTreeMap<String, ContentHash>;

/// What differs. `site` is the directory that stands for the site whatever release it is: with it, a module is the
/// same module in each of them. The roots are those of a site there.
pub(super) fn between(
    known: &Known,
    files: &Files,
    site: &Path,
    roots: &[Root],
    first_hint: Instant,
) -> (ChangeSet, Known) {
    let mut changes = Vec::new();
    let mut next = Known::new();
    for (path, bytes) in files {
        let content = Content::new(bytes.clone());
        let before = known.get(path).copied();
        next.insert(path.clone(), content.hash);
        if before == Some(content.hash) {
            continue;
        }
        let kind = |max: usize| match (content.bytes.len() > max, before) {
            (true, _) => {
                ChangeKind::Unreadable(Unreadable::TooLarge { size: content.bytes.len() as u64, limit: max })
            }
            (false, None) => ChangeKind::Added(content.clone()),
            (false, Some(_)) => ChangeKind::Modified(content.clone()),
        };
        changes.extend(
            in_roots(path, site, roots).map(|(root, change)| Change { kind: kind(root.max_file), ..change }),
        );
    }
    for path in known.keys().filter(|path| !files.contains_key(*path)) {
        changes.extend(in_roots(path, site, roots).map(|(_, change)| change));
    }
    changes.sort_by(|one, other| (one.root, &one.name).cmp(&(other.root, &other.name)));
    let timing = Timing { first_hint, settle: Duration::ZERO, reconcile: first_hint.elapsed() };
    (ChangeSet { changes, initial: known.is_empty(), timing }, next)
}

/// The names that a file has in the roots it belongs to, as of a file that is gone.
fn in_roots<'a>(
    path: &'a str,
    site: &'a Path,
    roots: &'a [Root],
) -> impl Iterator<Item = (&'a Root, Change)> {
    let real = site.join(path);
    roots.iter().filter_map(move |root| {
        let name = real.strip_prefix(&root.dir).ok()?;
        let is_direct = name.components().count() == 1;
        let is_wanted = name.file_name().is_some_and(|name| root.wants(name));
        let change =
            Change { root: root.id, name: name.to_owned(), path: real.clone(), kind: ChangeKind::Removed };
        (is_wanted && (root.recursive || is_direct)).then_some((root, change))
    })
}
