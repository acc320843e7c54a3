//! One watch per directory of the plan by way of the `notify` crate, for systems without inotify
//! (FSEvents on macOS, kqueue on BSD). Compiled for Linux as well, but only in tests.
//!
//! notify's recursive mode and its following of links are off. The first loses the files of a
//! `mkdir -p` (<https://github.com/notify-rs/notify/issues/412> and others; measured: 198 of 200), the
//! second goes blind when one of two aliases is removed
//! (<https://github.com/notify-rs/notify/issues/572>).
//!
//! Barriers are files in a private directory. It may be removed, or its disk be full: then there is another one,
//! elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsStr,
    fs::{self, File},
    io, iter,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use hotloader_backend::{BackendFailure, Phase, SkipCause, Skipped, WatchPlan};
use notify::{
    Config, ErrorKind, Event, EventHandler, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use rustix::io::Errno;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::{
    limits,
    notes::{Notes, lock},
};

/// Device and inode: two paths with the same may share one watch of the kernel.
type Identity = (u64, u64);

/// The watched directories.
pub(crate) struct Watches {
    watcher: RecommendedWatcher,
    /// Where the cookies are made. Nobody else's.
    cookies: Option<TempDir>,
    /// Where that is, for the callback of the crate, which runs on a thread of its own.
    seen: Arc<Mutex<Option<PathBuf>>>,
    armed: BTreeMap<PathBuf, Identity>,
    skipped: BTreeMap<PathBuf, (SkipCause, String)>,
}

impl Watches {
    /// Starts notify.
    pub(crate) fn start(notes: Arc<Notes>, alive: oneshot::Sender<()>) -> Result<Self, BackendFailure> {
        let seen = Arc::<Mutex<Option<PathBuf>>>::default();
        let tap = Tap { notes, cookies: seen.clone(), _alive: alive };
        let config = Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(tap, config).map_err(|error| limits::failure(errno(&error)))?;
        Ok(Self { watcher, cookies: None, seen, armed: BTreeMap::new(), skipped: BTreeMap::new() })
    }

    /// Makes a file of that name where it is seen through the same queue as every change before it.
    pub(crate) fn place_cookie(&mut self, number: u64) -> Result<(), String> {
        let make = |dir: &TempDir| {
            let path = dir.path().join(number.to_string());
            File::create(&path).and_then(|_| fs::remove_file(&path))
        };
        if self.cookies.as_ref().is_some_and(|dir| make(dir).is_ok()) {
            return Ok(());
        }
        if let Some(dir) = self.cookies.take() {
            let _ = self.watcher.unwatch(dir.path());
        }
        let mut reason = String::new();
        for place in places() {
            let made = tempfile::Builder::new()
                .prefix("hotloader-")
                .tempdir_in(fs::canonicalize(&place).unwrap_or(place.clone()))
                .map_err(notify::Error::io)
                .and_then(|dir| self.watcher.watch(dir.path(), RecursiveMode::NonRecursive).map(|()| dir))
                .and_then(|dir| {
                    // Before it is made: it may be seen at once.
                    *lock(&self.seen) = Some(dir.path().to_owned());
                    make(&dir)?;
                    Ok(dir)
                });
            match made {
                Ok(dir) => {
                    self.cookies = Some(dir);
                    return Ok(());
                }
                Err(error) => reason = format!("{}: {error}", place.display()),
            }
        }
        Err(format!(
            "no file can be made to prove it with, at last in {reason}; set TMPDIR to a writable directory"
        ))
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
        let unwatched = plan.dirs.iter().filter(|dir| !self.armed.contains_key(&***dir));
        let add: Vec<PathBuf> = unwatched.map(|dir| dir.to_path_buf()).collect();
        self.add(&add);
        let remove: Vec<PathBuf> =
            self.armed.keys().filter(|dir| !plan.dirs.contains(dir)).cloned().collect();
        let shared = self.remove(&remove);
        self.add(&shared);
    }

    /// Watches anew all wanted directories at and below a path that came, went or changed. notify has
    /// dropped the watches of what went, and its table may still name what is dead. Returns those that
    /// are watched again and have to be looked at, as what happened just before is not hinted.
    pub(crate) fn renew(&mut self, suspect: &Path, plan: &WatchPlan) -> Vec<PathBuf> {
        let dirs: Vec<PathBuf> =
            plan.dirs.at_and_below(suspect).iter().map(|dir| dir.to_path_buf()).collect();
        let mut again = self.remove(&dirs);
        again.extend(dirs);
        self.add(&again);
        again.retain(|dir| self.armed.contains_key(dir));
        again
    }

    fn add(&mut self, dirs: &[PathBuf]) {
        if dirs.is_empty() {
            return;
        }
        let mut none = Vec::new();
        // Some systems begin anew with each change of the set.
        let mut batch = self.watcher.paths_mut();
        for dir in dirs {
            // Asked before, as notify would follow a link to a directory that is watched already.
            let added = identity(dir)
                .map_err(notify::Error::io)
                .and_then(|_| batch.add(dir, RecursiveMode::NonRecursive))
                .and_then(|()| Ok(identity(dir)?));
            match added {
                Ok(identity) => {
                    self.skipped.remove(dir);
                    self.armed.insert(dir.clone(), identity);
                }
                Err(error) => {
                    none.push(dir);
                    self.armed.remove(dir);
                    self.skipped.insert(dir.clone(), limits::skip(errno(&error), dir));
                }
            }
        }
        if let Err(error) = batch.commit() {
            for dir in dirs {
                self.armed.remove(dir);
                self.skipped.insert(dir.clone(), limits::skip(errno(&error), dir));
            }
        }
        for dir in none {
            // The kernel watches files as well: where one took the place of a directory.
            let _ = self.watcher.unwatch(dir);
        }
    }

    /// Forgets watches. Returns the paths that are still wanted but shared a kernel watch with a
    /// forgotten one (a directory that was renamed, seen under both names): theirs died with it.
    fn remove(&mut self, dirs: &[PathBuf]) -> Vec<PathBuf> {
        let mut gone = BTreeSet::new();
        for dir in dirs {
            if let Some(identity) = self.armed.remove(dir) {
                gone.insert(identity);
                // The kernel or notify may have dropped it by itself: nothing to do, then.
                let _ = self.watcher.unwatch(dir);
            }
        }
        let shared = |(dir, identity): (&PathBuf, &Identity)| gone.contains(identity).then(|| dir.clone());
        self.armed.iter().filter_map(shared).collect()
    }
}

/// Where a private directory may be made, in this order.
fn places() -> impl Iterator<Item = PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    iter::once(env::temp_dir()).chain(runtime).chain(["/dev/shm", "/tmp", "/var/tmp"].map(PathBuf::from))
}

fn identity(dir: &Path) -> io::Result<Identity> {
    let metadata = fs::symlink_metadata(dir)?;
    if metadata.is_dir() { Ok((metadata.dev(), metadata.ino())) } else { Err(Errno::NOTDIR.into()) }
}

fn errno(error: &notify::Error) -> Errno {
    match &error.kind {
        ErrorKind::MaxFilesWatch => Errno::NOSPC,
        ErrorKind::PathNotFound | ErrorKind::WatchNotFound => Errno::NOENT,
        ErrorKind::Io(error) => Errno::from_io_error(error).unwrap_or(Errno::IO),
        _ => Errno::IO,
    }
}

/// notify's callback. notify drops it as the last thing on its thread, which closes `_alive`.
struct Tap {
    notes: Arc<Notes>,
    cookies: Arc<Mutex<Option<PathBuf>>>,
    _alive: oneshot::Sender<()>,
}

impl Tap {
    fn event(&self, event: Event) {
        if event.need_rescan() {
            self.notes.lost();
        }
        let phase = match event.kind {
            // Opening and reading: our own reads would feed back.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Phase::Closed,
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Data(_)) => Phase::Writing,
            _ => Phase::Complete,
        };
        let content = matches!(event.kind, EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_)));
        for path in event.paths {
            if lock(&self.cookies).as_ref().is_some_and(|cookies| path.starts_with(cookies)) {
                let name = path.file_name().and_then(OsStr::to_str);
                name.and_then(|name| name.parse().ok())
                    .into_iter()
                    .for_each(|number| self.notes.cookie(number));
                continue;
            }
            if !content {
                self.notes.suspect(&path);
            }
            self.notes.reports().hint(path, phase);
        }
    }
}

impl EventHandler for Tap {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        match event {
            Ok(event) => self.event(event),
            Err(error) => self.notes.failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use hotloader_backend::ReportSink;

    use super::*;

    #[tokio::test]
    async fn what_happens_in_a_directory_of_the_plan_is_hinted_before_a_later_cookie() {
        let keep = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(keep.path()).unwrap();
        let (dir, late) = (top.join("d"), top.join("d/late"));
        fs::create_dir(&dir).unwrap();
        let (sink, mut stream) = ReportSink::new();
        let notes = Arc::new(Notes::new(sink));
        let (alive, _ended) = oneshot::channel();
        let mut watches = Watches::start(notes.clone(), alive).unwrap();
        let plan = Arc::new(WatchPlan::new(1, [dir.clone(), late.clone()]));
        notes.want(plan.clone());
        watches.change_to(&plan);
        assert_eq!(watches.skipped()[0].cause, SkipCause::Unreachable);
        fs::create_dir(&late).unwrap();
        fs::write(dir.join("x"), "1").unwrap();
        watches.place_cookie(7).unwrap();
        let mut suspects = BTreeSet::new();
        loop {
            notes.wake.notified().await;
            let noticed = notes.take();
            suspects.extend(noticed.suspects);
            if noticed.cookie == 7 {
                break;
            }
        }
        assert!(stream.take().unwrap().hints.covers(&dir.join("x")));
        assert_eq!(suspects.iter().flat_map(|path| watches.renew(path, &plan)).collect::<Vec<_>>(), [late]);
        assert!(watches.skipped().is_empty());
    }

    #[tokio::test]
    async fn cookies_are_placed_elsewhere_when_their_directory_is_gone() {
        let (sink, _stream) = ReportSink::new();
        let notes = Arc::new(Notes::new(sink));
        let (alive, _ended) = oneshot::channel();
        let mut watches = Watches::start(notes.clone(), alive).unwrap();
        for number in 1..4 {
            watches.place_cookie(number).unwrap();
            while notes.take().cookie != number {
                notes.wake.notified().await;
            }
            fs::remove_dir_all(watches.cookies.as_ref().unwrap().path()).unwrap();
        }
    }
}
