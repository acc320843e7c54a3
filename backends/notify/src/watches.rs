//! One watch per directory of the plan by way of the `notify` crate.
//!
//! Barriers are files in a private directory. It may be removed, or its disk be full: then there is another one,
//! elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsStr,
    fmt,
    fs::{self, File},
    io, iter,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use hotloader_backend::{BackendFailure, Phase, Skipped, WatchPlan};
use hotloader_kernel::{self as kernel, Mounts, Notes, SkippedDirs, Watches, lock};
use notify::{
    Config, ErrorKind, Event, EventHandler, EventKind, EventKindMask, PathOp, RecommendedWatcher,
    RecursiveMode, WatchPathConfig, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use rustix::io::Errno;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// The watched directories.
pub(crate) struct NotifyWatches {
    watcher: RecommendedWatcher,
    /// Where the cookies are made. Nobody else's.
    cookies: Option<TempDir>,
    /// Where that is, for the callback of the crate, which runs on a thread of its own.
    seen: Arc<Mutex<Option<PathBuf>>>,
    watched: BTreeSet<Arc<Path>>,
    skipped: SkippedDirs,
    notes: Arc<Notes>,
    mounts: Mounts,
}

/// Nothing about opening and reading: our own reading would feed back.
fn wanted_events() -> EventKindMask {
    EventKindMask::CORE | EventKindMask::ACCESS_CLOSE
}

/// One directory without what is below it, and not where a link in its place leads.
fn alone() -> WatchPathConfig {
    WatchPathConfig::new(RecursiveMode::NonRecursive).with_dereference_symlinks(false)
}

impl Watches for NotifyWatches {
    fn start(notes: Arc<Notes>, alive: oneshot::Sender<()>) -> Result<Self, BackendFailure> {
        let seen = Arc::<Mutex<Option<PathBuf>>>::default();
        let tap = Tap { notes: notes.clone(), cookies: seen.clone(), _alive: alive };
        let config = Config::default().with_follow_symlinks(false).with_event_kinds(wanted_events());
        let watcher = RecommendedWatcher::new(tap, config).map_err(|error| kernel::failure(errno(&error)))?;
        let (watched, skipped) = (BTreeSet::new(), SkippedDirs::default());
        let mounts = Mounts::open();
        let mut watches = Self { watcher, cookies: None, seen, watched, skipped, notes, mounts };
        // It is kept, so that there is one when no more can be had.
        watches.cookies = match watches.watched_dir() {
            Err((errno, _)) if kernel::is_limit(errno) => return Err(kernel::failure(errno)),
            dir => dir.ok(),
        };
        Ok(watches)
    }

    fn change_to(&mut self, plan: &WatchPlan) {
        self.skipped.clear();
        let unwatched = plan.dirs.iter().filter(|dir| !self.watched.contains(*dir));
        self.add(unwatched.cloned().collect());
        let remove: Vec<Arc<Path>> =
            self.watched.iter().filter(|dir| !plan.dirs.contains(dir)).cloned().collect();
        self.remove(&remove);
        if !remove.is_empty() && self.skipped.any_beyond_limit() {
            // There is room now for as many.
            let unwatched = plan.dirs.iter().filter(|dir| !self.watched.contains(*dir));
            self.add(unwatched.cloned().collect());
        }
    }

    /// The crate has dropped the watches of what went, and its table may still name what is dead: so they are
    /// made again.
    fn renew(&mut self, suspect: &Path, plan: &WatchPlan) -> Vec<Arc<Path>> {
        let dirs = plan.dirs.at_and_below(suspect);
        self.remove(dirs);
        self.add(dirs.to_vec());
        dirs.iter().filter(|dir| self.watched.contains(*dir)).cloned().collect()
    }

    fn skipped(&self) -> Vec<Skipped> {
        self.skipped.to_vec()
    }

    /// The cookie is a file of that name, made in a private directory.
    fn place_cookie(&mut self, number: u64) -> Result<(), String> {
        // The crate does not tell of mounts; what was mounted before the barrier is noted before it.
        if self.mounts.have_changed() {
            self.notes.suspect_all();
        }
        if self.cookies.as_ref().is_some_and(|dir| make_cookie(dir, number).is_ok()) {
            return Ok(());
        }
        if let Some(dir) = self.cookies.take() {
            let _ = self.watcher.unwatch(dir.path());
        }
        let dir = self.watched_dir().map_err(|(_, reason)| reason)?;
        make_cookie(&dir, number).map_err(|error| no_cookie(dir.path(), &error))?;
        self.cookies = Some(dir);
        Ok(())
    }
}

fn make_cookie(dir: &TempDir, number: u64) -> io::Result<()> {
    let path = dir.path().join(number.to_string());
    File::create(&path)?;
    fs::remove_file(&path)
}

fn no_cookie(place: &Path, error: &dyn fmt::Display) -> String {
    format!(
        "no file can be made to prove it with, at last in {}: {error}; set TMPDIR to a writable directory",
        place.display()
    )
}

impl NotifyWatches {
    /// Makes a private directory that is watched. Nobody else's files are in it.
    fn watched_dir(&mut self) -> Result<TempDir, (Errno, String)> {
        let mut failure = (Errno::NOENT, String::new());
        for place in places() {
            let place = fs::canonicalize(&place).unwrap_or(place);
            let made = tempfile::Builder::new().prefix("hotloader-").tempdir_in(&place);
            let watched = made.map_err(notify::Error::io).and_then(|dir| {
                // Before anything is made in it: it may be seen at once.
                *lock(&self.seen) = Some(dir.path().to_owned());
                self.watcher.watch_with(dir.path(), alone()).map(|()| dir)
            });
            match watched {
                Ok(dir) => return Ok(dir),
                Err(error) => {
                    let errno = errno(&error);
                    if kernel::is_limit(errno) {
                        return Err((errno, kernel::remedy(errno, "what proves it")));
                    }
                    failure = (errno, no_cookie(&place, &error));
                }
            }
        }
        Err(failure)
    }

    /// Once there is no room for one, those behind it are not tried.
    fn add(&mut self, dirs: Vec<Arc<Path>>) {
        // Some systems begin anew with each change of the set, so it is changed at once.
        let mut rest: Vec<PathOp> =
            dirs.iter().map(|dir| PathOp::Watch(dir.to_path_buf(), alone())).collect();
        let mut failed = BTreeMap::new();
        while let Err(error) = self.watcher.update_paths(std::mem::take(&mut rest)) {
            let (errno, origin) = (errno(&error.source), error.origin);
            rest = error.remaining;
            let is_lost = origin.is_none() || kernel::is_limit(errno);
            failed.extend(origin.map(|origin| (origin.into_path(), errno)));
            if is_lost {
                failed.extend(rest.drain(..).map(|origin| (origin.into_path(), errno)));
            }
            if rest.is_empty() {
                break;
            }
        }
        for dir in dirs {
            match failed.get(&*dir).copied().or_else(|| is_no_directory(&dir)) {
                None => {
                    self.skipped.remove(&dir);
                    self.watched.insert(dir);
                }
                Some(errno) => {
                    self.skipped.insert(&dir, errno);
                    self.remove(std::slice::from_ref(&dir));
                    // The kernel watches files and links as well: where one took the place of a directory.
                    let _ = self.watcher.unwatch(&dir);
                }
            }
        }
    }

    fn remove(&mut self, dirs: &[Arc<Path>]) {
        let known = dirs.iter().filter(|dir| self.watched.remove(*dir));
        let mut rest: Vec<PathOp> = known.map(|dir| PathOp::unwatch(&**dir)).collect();
        // The kernel or the crate may have dropped one by itself: nothing to do, then.
        while let Err(error) = self.watcher.update_paths(std::mem::take(&mut rest)) {
            rest = error.remaining;
            if rest.is_empty() {
                break;
            }
        }
    }
}

/// Why a path that could be watched is none that we want to.
fn is_no_directory(dir: &Path) -> Option<Errno> {
    match fs::symlink_metadata(dir) {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some(Errno::NOTDIR),
        Err(error) => Some(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

/// Where a private directory may be made, in this order.
fn places() -> impl Iterator<Item = PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    iter::once(env::temp_dir()).chain(runtime).chain(["/dev/shm", "/tmp", "/var/tmp"].map(PathBuf::from))
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
    use hotloader_backend::{ReportSink, SkipCause};

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
        let mut watches = NotifyWatches::start(notes.clone(), alive).unwrap();
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
        assert_eq!(
            suspects.iter().flat_map(|path| watches.renew(path, &plan)).collect::<Vec<_>>(),
            [Arc::from(late)]
        );
        assert!(watches.skipped().is_empty());
    }

    #[tokio::test]
    async fn cookies_are_placed_elsewhere_when_their_directory_is_gone() {
        let (sink, _stream) = ReportSink::new();
        let notes = Arc::new(Notes::new(sink));
        let (alive, _ended) = oneshot::channel();
        let mut watches = NotifyWatches::start(notes.clone(), alive).unwrap();
        for number in 1..4 {
            watches.place_cookie(number).unwrap();
            while notes.take().cookie != number {
                notes.wake.notified().await;
            }
            fs::remove_dir_all(watches.cookies.as_ref().unwrap().path()).unwrap();
        }
    }
}
