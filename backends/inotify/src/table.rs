//! Which watch is for which paths, and back.
//!
//! A watch belongs to an inode, so two paths may share one: a directory that was renamed is wanted under both names
//! for a moment. So each watch has all paths it was asked for by, and is given up with the last of them.

use std::{path::Path, sync::Arc};

use rustc_hash::FxHashMap;

/// The watches, by their numbers and by their paths.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The cookies on their way: watches that were ended for it, with their numbers.
    pub(crate) cookies: FxHashMap<i32, u64>,
    by_watch: FxHashMap<i32, Vec<Arc<Path>>>,
    watches: FxHashMap<Arc<Path>, i32>,
}

impl Table {
    pub(crate) fn is_watched(&self, dir: &Path) -> bool {
        self.watches.contains_key(dir)
    }

    pub(crate) fn watched(&self) -> impl ExactSizeIterator<Item = &Arc<Path>> {
        self.watches.keys()
    }

    /// What an event of this watch is about; nothing if the watch was given up before its event came.
    pub(crate) fn paths(&self, watch: i32) -> &[Arc<Path>] {
        self.by_watch.get(&watch).map_or(&[], Vec::as_slice)
    }

    /// Notes that a path is watched by this; returns the watch that nobody needs any longer by that, and
    /// whether anything changed.
    pub(crate) fn insert(&mut self, path: &Arc<Path>, watch: i32) -> (Option<i32>, bool) {
        let before = self.watches.insert(path.clone(), watch);
        if before == Some(watch) {
            return (None, false);
        }
        let given_up = before.and_then(|before| self.release(before, path));
        // Nearly always the only one.
        self.by_watch.entry(watch).or_insert_with(|| Vec::with_capacity(1)).push(path.clone());
        (given_up, true)
    }

    /// Forgets a path; returns its watch if that was the last one.
    pub(crate) fn remove(&mut self, path: &Path) -> Option<i32> {
        let watch = self.watches.remove(path)?;
        self.release(watch, path)
    }

    /// Takes a path from a watch; returns the watch if that was the last one.
    fn release(&mut self, watch: i32, path: &Path) -> Option<i32> {
        let paths = self.by_watch.get_mut(&watch)?;
        paths.retain(|other| **other != *path);
        paths.is_empty().then(|| {
            self.by_watch.remove(&watch);
            watch
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_given_up_with_the_last_of_its_paths() {
        let path = |path: &str| Arc::<Path>::from(Path::new(path));
        let mut table = Table::default();
        assert_eq!(table.insert(&path("/old"), 1), (None, true));
        assert_eq!(table.insert(&path("/new"), 1), (None, true), "the same directory by another name");
        assert_eq!(table.insert(&path("/new"), 1), (None, false));
        assert_eq!(table.paths(1).len(), 2);
        assert_eq!(table.insert(&path("/old"), 2), (None, true), "another directory in its place");
        assert_eq!(table.remove(&path("/new")), Some(1));
        assert!(table.paths(1).is_empty(), "its late events are about nothing");
        assert_eq!(table.insert(&path("/old"), 3), (Some(2), true));
        assert_eq!(table.remove(&path("/never")), None);
    }
}
