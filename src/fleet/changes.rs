//! From one release to the next: one [`ChangeSet`], as the watcher would make it of files that were saved together.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{Listing, Unpacked};
use crate::watch::{Change, ChangeKind, ChangeSet, Content, Root, Timing, Unreadable};

/// What differs from the files that run. `site` is the directory that stands for the site whatever release it is: with
/// it, a module is the same module in each of them. The roots are those of a site there.
pub(super) fn between(
    known: &Listing,
    release: &Unpacked,
    site: &Path,
    roots: &[Root],
    first_hint: Instant,
) -> ChangeSet {
    let mut changes = Vec::new();
    for (path, bytes) in &release.files {
        let before = known.get(path);
        if before.is_some() && before == release.listing.get(path) {
            continue;
        }
        let content = Content::new(bytes.clone());
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
    for path in known.paths().filter(|path| !release.listing.contains(path)) {
        changes.extend(in_roots(path, site, roots).map(|(_, change)| change));
    }
    changes.sort_by(|one, other| (one.root, &one.name).cmp(&(other.root, &other.name)));
    let timing = Timing { first_hint, settle: Duration::ZERO, reconcile: first_hint.elapsed() };
    ChangeSet { changes, initial: known.is_empty(), timing }
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
