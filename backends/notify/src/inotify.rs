//! One inotify watch per directory of the plan.
//!
//! A watch belongs to an inode, so two paths may share one: a directory that was renamed is wanted under
//! both names for a moment. The table therefore goes from each watch to all paths it was asked for by,
//! and a watch is given up with the last of them.
//!
//! Asking for a directory that is watched already is how it is checked: the kernel answers with the
//! watch of whatever is there *now*. No identity has to be kept, and none can be mistaken for another.

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use hotloader_backend::{BackendFailure, SkipCause, Skipped, WatchPlan};
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::inotify::{CreateFlags, WatchFlags, add_watch, init, remove_watch},
    io::{Errno, write},
};
use tokio::sync::oneshot;

use crate::{
    limits,
    notes::{Notes, at_and_below, lock},
    queue::Reader,
};

/// Nothing about opening and reading: our own reading would feed back. Nor about a file that has no name
/// any more.
const MASK: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::EXCL_UNLINK)
    // A link that took the place of a directory must not lead the watch to another one.
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::ONLYDIR);

/// Which watch is for which paths, and back.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_watch: HashMap<i32, Vec<Arc<Path>>>,
    armed: BTreeMap<Arc<Path>, i32>,
}

impl Table {
    /// What an event of this watch is about; nothing if the watch was given up before its event came.
    pub(crate) fn paths(&self, watch: i32) -> &[Arc<Path>] {
        self.by_watch.get(&watch).map_or(&[], Vec::as_slice)
    }

    /// Notes that a path is watched by this; returns the watch that nobody needs any longer by that, and
    /// whether anything changed.
    fn insert(&mut self, path: &Path, watch: i32) -> (Option<i32>, bool) {
        if self.armed.get(path) == Some(&watch) {
            return (None, false);
        }
        let given_up = self.remove(path);
        let path: Arc<Path> = path.into();
        self.armed.insert(path.clone(), watch);
        self.by_watch.entry(watch).or_default().push(path);
        (given_up, true)
    }

    /// Forgets a path; returns its watch if that was the last one.
    fn remove(&mut self, path: &Path) -> Option<i32> {
        let watch = self.armed.remove(path)?;
        let paths = self.by_watch.get_mut(&watch)?;
        paths.retain(|other| **other != *path);
        paths.is_empty().then(|| {
            self.by_watch.remove(&watch);
            watch
        })
    }
}

/// The watched directories, and the thread that empties the queue.
pub(crate) struct Watches {
    inotify: Arc<OwnedFd>,
    table: Arc<Mutex<Table>>,
    skipped: BTreeMap<PathBuf, (SkipCause, String)>,
    stop: Arc<OwnedFd>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Watches {
    /// Watches the directory of the barrier cookies, and begins to read. `alive` is dropped when the
    /// thread ends.
    pub(crate) fn start(notes: Arc<Notes>, alive: oneshot::Sender<()>) -> Result<Self, BackendFailure> {
        let failed = |errno| limits::failure(errno, &notes.cookies);
        let inotify = Arc::new(init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(failed)?);
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(failed)?);
        let cookies = add_watch(&inotify, &notes.cookies, MASK).map_err(failed)?;
        let table = Arc::new(Mutex::<Table>::default());
        let reader = Reader::new(inotify.clone(), stop.clone(), cookies, table.clone(), notes.clone());
        let reader = thread::Builder::new()
            .name("notify-reader".into())
            .spawn(move || {
                reader.run();
                drop(alive);
            })
            .map_err(|error| BackendFailure::retry("cannot start a thread to read events").because(error))?;
        Ok(Self { inotify, table, skipped: BTreeMap::new(), stop, reader: Some(reader) })
    }

    /// What of the plan is not watched.
    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        let skipped = |(dir, (cause, reason)): (&PathBuf, &(SkipCause, String))| Skipped {
            dir: dir.clone(),
            cause: *cause,
            reason: reason.clone(),
        };
        self.skipped.iter().map(skipped).collect()
    }

    /// Makes the watches what the plan says; adds before it removes.
    pub(crate) fn change_to(&mut self, plan: &WatchPlan) {
        self.skipped.clear();
        let unwatched = |table: &Table| -> Vec<PathBuf> {
            plan.dirs.iter().filter(|dir| !table.armed.contains_key(dir.as_path())).cloned().collect()
        };
        let add = unwatched(&lock(&self.table));
        self.add(&add);
        let remove: Vec<Arc<Path>> =
            lock(&self.table).armed.keys().filter(|dir| !plan.dirs.contains(&***dir)).cloned().collect();
        remove.iter().for_each(|dir| self.forget(dir));
        if !remove.is_empty() && self.skipped.values().any(|(cause, _)| *cause == SkipCause::Limit) {
            // There is room now for as many.
            let add = unwatched(&lock(&self.table));
            self.add(&add);
        }
    }

    /// Watches anew all wanted directories at and below a path that came, went or changed. Returns those
    /// that had no watch or that of another directory: they have to be looked at, as what happened just
    /// before is not hinted.
    pub(crate) fn renew(&mut self, suspect: &Path, plan: &WatchPlan) -> Vec<PathBuf> {
        let dirs: Vec<PathBuf> = at_and_below(&plan.dirs, suspect).cloned().collect();
        self.add(&dirs)
    }

    /// Returns what was not watched before. Once there is no room for one, those behind it that need a
    /// watch are not tried.
    fn add(&mut self, dirs: &[PathBuf]) -> Vec<PathBuf> {
        let mut new = Vec::new();
        let mut full = None;
        for dir in dirs {
            let is_armed = || lock(&self.table).armed.contains_key(dir.as_path());
            let result = match full {
                Some(errno) if !is_armed() => Err(errno),
                _ => self.ask(dir),
            };
            match result {
                Ok(is_new) => {
                    self.skipped.remove(dir);
                    if is_new {
                        new.push(dir.clone());
                    }
                }
                Err(errno) => {
                    self.forget(dir);
                    if limits::is_limit(errno) {
                        full = Some(errno);
                    }
                    self.skipped.insert(dir.clone(), limits::skip(errno, dir));
                }
            }
        }
        new
    }

    /// Whether the directory had no watch, or that of another one.
    fn ask(&self, dir: &Path) -> Result<bool, Errno> {
        // Under the lock: the first event of the watch must find it in the table.
        let mut table = lock(&self.table);
        let watch = add_watch(&self.inotify, dir, MASK)?;
        let (given_up, is_new) = table.insert(dir, watch);
        self.give_up(given_up);
        Ok(is_new)
    }

    fn forget(&self, dir: &Path) {
        let given_up = lock(&self.table).remove(dir);
        self.give_up(given_up);
    }

    fn give_up(&self, watch: Option<i32>) {
        if let Some(watch) = watch {
            // The kernel has dropped it by itself where the directory is gone.
            let _ = remove_watch(&self.inotify, watch);
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        let _ = write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(reader) = self.reader.take() {
            // A panic was told already, by the end of `alive`.
            let _ = reader.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_given_up_with_the_last_of_its_paths() {
        let mut table = Table::default();
        assert_eq!(table.insert(Path::new("/old"), 1), (None, true));
        assert_eq!(table.insert(Path::new("/new"), 1), (None, true), "the same directory by another name");
        assert_eq!(table.insert(Path::new("/new"), 1), (None, false));
        assert_eq!(table.paths(1).len(), 2);
        assert_eq!(table.insert(Path::new("/old"), 2), (None, true), "another directory in its place");
        assert_eq!(table.remove(Path::new("/new")), Some(1));
        assert!(table.paths(1).is_empty(), "its late events are about nothing");
        assert_eq!(table.insert(Path::new("/old"), 3), (Some(2), true));
        assert_eq!(table.remove(Path::new("/never")), None);
    }
}
