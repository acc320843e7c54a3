//! One inotify watch per directory of the plan.
//!
//! A watch belongs to an inode, so two paths may share one: a directory that was renamed is wanted under
//! both names for a moment. The table therefore goes from each watch to all paths it was asked for by,
//! and a watch is given up with the last of them.
//!
//! Asking for a directory that is watched already is how it is checked: the kernel answers with the
//! watch of whatever is there *now*. No identity has to be kept, and none can be mistaken for another.

use std::{
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use hotloader_backend::{BackendFailure, Skipped, WatchPlan};
use hotloader_kernel::{self as kernel, Notes, SkippedDirs, Watches, lock};
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::inotify::{CreateFlags, WatchFlags, add_watch, init, remove_watch},
    io::{Errno, write},
};
use tokio::sync::oneshot;

use crate::{queue::Reader, table::Table};

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

/// So many directories are asked for before the events of those before are taken in again.
const PORTION: usize = 2048;

/// More threads than this wait for each other in the kernel.
const THREADS: usize = 4;

/// The watched directories, and the thread that empties the queue.
pub(crate) struct InotifyWatches {
    inotify: Arc<OwnedFd>,
    table: Arc<Mutex<Table>>,
    /// The watch that is to be the next cookie. It is kept, so that there is one when no more can be had.
    spare: Option<i32>,
    skipped: SkippedDirs,
    stop: Arc<OwnedFd>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Watches for InotifyWatches {
    fn start(notes: Arc<Notes>, alive: oneshot::Sender<()>) -> Result<Self, BackendFailure> {
        let failed = kernel::failure;
        let inotify = Arc::new(init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(failed)?);
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(failed)?);
        let spare = match spare(&inotify) {
            Err(errno) if kernel::is_limit(errno) => return Err(failed(errno)),
            spare => spare.ok(),
        };
        let table = Arc::new(Mutex::<Table>::default());
        let reader = Reader::new(inotify.clone(), stop.clone(), table.clone(), notes);
        let reader = thread::Builder::new()
            .name("inotify-reader".into())
            .spawn(move || {
                reader.run();
                drop(alive);
            })
            .map_err(|error| BackendFailure::retry("cannot start a thread to read events").because(error))?;
        Ok(Self { inotify, table, spare, skipped: SkippedDirs::default(), stop, reader: Some(reader) })
    }

    fn skipped(&self) -> Vec<Skipped> {
        self.skipped.to_vec()
    }

    fn change_to(&mut self, plan: &WatchPlan) {
        self.skipped.clear();
        let unwatched = |table: &Table| -> Vec<Arc<Path>> {
            plan.dirs.iter().filter(|dir| !table.is_watched(dir)).cloned().collect()
        };
        let (add, is_all_wanted) = {
            let table = lock(&self.table);
            let add = unwatched(&table);
            let is_all_wanted = table.watched().len() + add.len() == plan.dirs.len();
            (add, is_all_wanted)
        };
        self.add(&add);
        if is_all_wanted {
            return;
        }
        let remove: Vec<Arc<Path>> =
            lock(&self.table).watched().filter(|dir| !plan.dirs.contains(dir)).cloned().collect();
        remove.iter().for_each(|dir| self.forget(dir));
        if !remove.is_empty() && self.skipped.any_beyond_limit() {
            // There is room now for as many.
            let add = unwatched(&lock(&self.table));
            self.add(&add);
        }
    }

    /// Returns those that had no watch or that of another directory.
    fn renew(&mut self, suspect: &Path, plan: &WatchPlan) -> Vec<Arc<Path>> {
        self.add(plan.dirs.at_and_below(suspect))
    }

    /// The end of a watch is the cookie: it needs no place on a disk.
    fn place_cookie(&mut self, number: u64) -> Result<(), String> {
        let watch = self.spare.take().map_or_else(|| spare(&self.inotify), Ok).map_err(no_barrier)?;
        lock(&self.table).cookies.insert(watch, number);
        remove_watch(&self.inotify, watch).map_err(no_barrier)?;
        self.spare = spare(&self.inotify).ok();
        Ok(())
    }
}

impl InotifyWatches {
    /// Returns what was not watched before. Once there is no room for one, those behind it that need a
    /// watch are not tried.
    fn add(&mut self, dirs: &[Arc<Path>]) -> Vec<Arc<Path>> {
        let mut new = Vec::new();
        let mut full = None;
        for dirs in dirs.chunks(PORTION) {
            // Under the lock: the first event of a watch must find it in the table.
            let table = self.table.clone();
            let mut table = lock(&table);
            let asked = match full {
                None => ask(&self.inotify, dirs),
                Some(errno) => {
                    let renewed = |dir: &Arc<Path>| table.is_watched(dir);
                    let ask =
                        |dir| if renewed(dir) { add_watch(&self.inotify, &**dir, MASK) } else { Err(errno) };
                    dirs.iter().map(ask).collect()
                }
            };
            let mut given_up = Vec::new();
            for (dir, watch) in dirs.iter().zip(asked) {
                match watch {
                    Ok(watch) => {
                        let (without_path, is_new) = table.insert(dir, watch);
                        given_up.extend(without_path);
                        self.skipped.remove(dir);
                        if is_new {
                            new.push(dir.clone());
                        }
                    }
                    Err(errno) => {
                        given_up.extend(table.remove(dir));
                        if kernel::is_limit(errno) {
                            full = Some(errno);
                        }
                        self.skipped.insert(dir, errno);
                    }
                }
            }
            // A directory that was renamed gave up its watch under one name and got it under another.
            given_up.retain(|watch| table.paths(*watch).is_empty());
            given_up.into_iter().for_each(|watch| self.give_up(Some(watch)));
        }
        new
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

/// Why barriers cannot be passed.
fn no_barrier(errno: Errno) -> String {
    if kernel::is_limit(errno) {
        kernel::remedy(errno, "what proves it")
    } else {
        format!("cannot watch /dev/null: {errno}; let the server read it")
    }
}

/// A watch on what is everywhere and is no directory, as those of the plan are. Nothing is ever told of it but
/// its end.
fn spare(inotify: &OwnedFd) -> Result<i32, Errno> {
    let watch = |file| add_watch(inotify, file, WatchFlags::DELETE_SELF);
    watch("/dev/null").or_else(|_| watch("/proc/self/mountinfo"))
}

/// Has directories watched, by several threads if they are many: most of what it takes is to find them.
fn ask(inotify: &OwnedFd, dirs: &[Arc<Path>]) -> Vec<Result<i32, Errno>> {
    let ask =
        |dirs: &[Arc<Path>]| -> Vec<_> { dirs.iter().map(|dir| add_watch(inotify, &**dir, MASK)).collect() };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    if dirs.len() < PORTION / 4 || threads < 2 {
        return ask(dirs);
    }
    thread::scope(|scope| {
        let mut parts = dirs.chunks(dirs.len().div_ceil(threads));
        let first = parts.next().unwrap_or_default();
        let others: Vec<_> = parts.map(|part| scope.spawn(move || ask(part))).collect();
        let mut asked = ask(first);
        for other in others {
            match other.join() {
                Ok(more) => asked.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        asked
    })
}

impl Drop for InotifyWatches {
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
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_directory_that_was_renamed_is_watched_under_its_new_name_however_many_are_asked_for_at_once() {
        let keep = tempfile::tempdir().unwrap();
        let base = std::fs::canonicalize(keep.path()).unwrap();
        let (reports, mut stream) = hotloader_backend::ReportSink::new();
        let notes = Arc::new(Notes::new(reports));
        let mut watches = InotifyWatches::start(notes, oneshot::channel().0).unwrap();
        // As many as take several threads, and those that matter among them.
        let dirs: Vec<PathBuf> = (0..PORTION).map(|number| base.join(format!("{number:04}"))).collect();
        dirs.iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
        watches.change_to(&WatchPlan::new(1, dirs.clone()));
        let (old, new) = (&dirs[0], base.join("new"));
        std::fs::rename(old, &new).unwrap();
        std::fs::create_dir(old).unwrap();
        watches.change_to(&WatchPlan::new(2, dirs[1..].iter().cloned().chain([new.clone()])));
        watches.change_to(&WatchPlan::new(3, dirs.iter().cloned()));
        std::fs::remove_dir(old).unwrap();
        std::fs::rename(&new, old).unwrap();
        std::fs::create_dir(&new).unwrap();
        // Both have the watch of another directory now, and one of the two watches belongs to the other.
        let plan = WatchPlan::new(4, dirs.iter().cloned().chain([new.clone()]));
        watches.change_to(&plan);
        watches.renew(&base, &plan);
        let _ = stream.take();
        for dir in [old, &new] {
            std::fs::write(dir.join("x"), "").unwrap();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            let mut seen = false;
            while !seen && std::time::Instant::now() < deadline {
                seen = stream.take().is_some_and(|collected| collected.hints.covers(&dir.join("x")));
                thread::yield_now();
            }
            assert!(seen, "nothing is reported of {dir:?}");
        }
    }
}
