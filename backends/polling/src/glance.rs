//! Looks at what is in use, and at the directories that is in: a few questions each, whatever else there is.
//!
//! What differs is hinted, and nothing is concluded from what cannot be seen: passes over everything go on beside
//! this, have a memory of their own, and tell of whatever this leaves out.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, OsStr},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hotloader_backend::{Phase, ReportSink};
use hotloader_disk::{Ask, Fingerprint, each_inode};
use rustix::{
    fd::AsFd,
    fs::{FileType, Mode, OFlags, open, openat},
    io::Errno,
};

use crate::{
    contents::Contents,
    in_flight::InFlight,
    in_use::InUse,
    key::{Absence, Key, Print},
    load::processor_time,
    mounts::MountPoints,
    pass::{Manner, Outcome, Pulse, STACK},
};

/// What comes and goes in a directory with more names shows at the next pass.
const MAX_NAMES: usize = 10_000;

/// So many files are given to a thread at a time where each answer is waited for.
const SHARE: usize = 4;

/// What is to be looked at.
#[derive(Debug)]
pub(crate) struct Glance {
    pub(crate) in_use: Arc<InUse>,
    pub(crate) mount_points: Arc<MountPoints>,
    /// How often the server may be asked.
    pub(crate) allowed: u32,
}

/// What is known of what is in use on one mount.
#[derive(Debug)]
pub(crate) struct Glances {
    in_use: Arc<InUse>,
    known: Vec<Dir>,
    /// Of what was not the server's turn last time it is now.
    ask_from: usize,
    in_flight: InFlight,
    manner: Manner,
    reports: ReportSink,
    pulse: Arc<Pulse>,
}

/// What is known of one directory.
#[derive(Debug)]
struct Dir {
    path: Arc<Path>,
    own: Own,
    files: Vec<File>,
}

/// Of the directory itself.
#[derive(Debug, Default)]
struct Own {
    sight: Option<Sight>,
    /// It was another one at the last look, so it may have changed within the same tick of the clock.
    is_young: bool,
    /// What is in it, with inodes.
    names: BTreeMap<CString, u64>,
}

#[derive(Debug)]
struct File {
    name: CString,
    /// `None` until it was seen.
    sight: Option<Sight>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    There(Print),
    Gone,
}

/// What one thread looks at in one go.
struct Part<'a> {
    dir: &'a Path,
    own: Option<&'a mut Own>,
    files: &'a mut [File],
    /// The place of its first question among all.
    first: usize,
}

/// What all threads share.
struct Looking<'a> {
    mount_points: &'a MountPoints,
    questions: usize,
    ask_from: usize,
    allowed: usize,
    reports: &'a ReportSink,
    pulse: &'a Pulse,
    verify_content: bool,
    changed: AtomicBool,
    answers: AtomicUsize,
}

impl Glances {
    pub(crate) fn new(manner: Manner, reports: ReportSink, pulse: Arc<Pulse>) -> Self {
        let in_flight = InFlight::new(1);
        Self { in_use: Arc::default(), known: Vec::new(), ask_from: 0, in_flight, manner, reports, pulse }
    }

    /// Looks at all of it and hints what differs. `None` if it was told to stop.
    pub(crate) fn look(&mut self, order: &Glance) -> Option<Outcome> {
        let (begun, before) = (Instant::now(), processor_time());
        if !Arc::ptr_eq(&self.in_use, &order.in_use) {
            self.follow(&order.in_use);
        }
        let questions = order.in_use.questions() as usize;
        let looking = Looking {
            mount_points: &order.mount_points,
            questions,
            ask_from: self.ask_from,
            allowed: order.allowed as usize,
            reports: &self.reports,
            pulse: &self.pulse,
            verify_content: self.manner.verify_content,
            changed: AtomicBool::new(false),
            answers: AtomicUsize::new(0),
        };
        let share = if self.in_flight.is_slow() { SHARE } else { usize::MAX };
        let parts = parts(&mut self.known, share);
        let threads = self.in_flight.threads().min(parts.len()).max(1);
        let mut used = all(parts, threads, &looking);
        if self.pulse.stop.load(Ordering::Relaxed) {
            return None;
        }
        let (changed, answers) = (looking.changed.into_inner(), looking.answers.into_inner());
        used += processor_time().saturating_sub(before);
        self.in_flight.note(threads, answers, begun.elapsed(), used);
        let requests = looking.allowed.min(questions);
        self.ask_from = (self.ask_from + requests).checked_rem(questions).unwrap_or(0);
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        let answer = self.in_flight.answer();
        Some(Outcome { changed, used, requests, answer, ..Outcome::default() })
    }

    /// Forgets what is no longer in use. What is new is seen at the next look.
    fn follow(&mut self, in_use: &Arc<InUse>) {
        let mut old: BTreeMap<Arc<Path>, Dir> =
            self.known.drain(..).map(|dir| (dir.path.clone(), dir)).collect();
        self.known = in_use
            .dirs()
            .map(|(path, names)| {
                let (own, files) = old.remove(path).map(|dir| (dir.own, dir.files)).unwrap_or_default();
                let mut seen: BTreeMap<CString, Option<Sight>> =
                    files.into_iter().map(|file| (file.name, file.sight)).collect();
                let file = |name: &CString| File { name: name.clone(), sight: seen.remove(name).flatten() };
                Dir { path: path.clone(), own, files: names.iter().map(file).collect() }
            })
            .collect();
        self.in_use = in_use.clone();
    }
}

fn parts(known: &mut [Dir], share: usize) -> Vec<Part<'_>> {
    let mut first = 0;
    let mut parts = Vec::new();
    for dir in known {
        let mut own = Some(&mut dir.own);
        for files in dir.files.chunks_mut(share) {
            let count = files.len() + usize::from(own.is_some());
            parts.push(Part { dir: &dir.path, own: own.take(), files, first });
            first += count;
        }
    }
    parts
}

/// Has all parts looked at. Returns the processor time of all threads but this one.
fn all(parts: Vec<Part<'_>>, threads: usize, looking: &Looking<'_>) -> Duration {
    let left = Mutex::new(parts.into_iter());
    let work = || {
        let mut contents = looking.verify_content.then(Contents::new);
        loop {
            let part = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(part) = part else { break };
            if looking.pulse.stop.load(Ordering::Relaxed) {
                break;
            }
            // What cannot be seen is for the passes.
            let _ = part.look(looking, contents.as_mut());
        }
    };
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = (1..threads)
            .filter_map(|_| {
                let thread = thread::Builder::new().name("hotloader-poll".into()).stack_size(STACK);
                let timed = move || {
                    work();
                    processor_time()
                };
                thread.spawn_scoped(scope, timed).ok()
            })
            .collect();
        work();
        let used = others.into_iter().map(|other| match other.join() {
            Ok(used) => used,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        used.sum()
    })
}

impl Part<'_> {
    fn look(self, looking: &Looking<'_>, mut contents: Option<&mut Contents>) -> Result<(), Errno> {
        let Part { dir, own, files, mut first } = self;
        let points = looking.mount_points.get(dir);
        let fd = match open(dir, TO_ASK, Mode::empty()) {
            Ok(fd) => fd,
            Err(errno) => {
                looking.heard();
                if Absence::from(errno) == Absence::Gone
                    && let Some(own) = own
                    && matches!(own.sight.replace(Sight::Gone), Some(Sight::There(_)))
                {
                    looking.found(dir);
                }
                return Err(errno);
            }
        };
        if let Some(own) = own {
            own.look(dir, &fd, looking.ask(first), looking)?;
            first += 1;
        }
        for (file, place) in files.iter_mut().zip(first..) {
            let name = OsStr::from_bytes(file.name.to_bytes());
            let is_mount_point = points.is_some_and(|points| points.contains(name));
            let (ask, contents) = (looking.ask(place), contents.as_deref_mut());
            let key = Key::of(fd.as_fd(), dir, &file.name, FileType::Unknown, is_mount_point, ask, contents);
            looking.heard();
            let sight = match key {
                Ok(key) => Sight::There(key.print()),
                Err(errno) if Absence::from(errno) == Absence::Gone => Sight::Gone,
                Err(_) => continue,
            };
            if file.sight.replace(sight).is_some_and(|before| before != sight) {
                looking.found(&dir.join(name));
            }
        }
        Ok(())
    }
}

impl Own {
    fn look(&mut self, dir: &Path, fd: &impl AsFd, ask: Ask, looking: &Looking<'_>) -> Result<(), Errno> {
        let now = Sight::There(Key::from(Fingerprint::of_open(fd, ask)?).print());
        looking.heard();
        let is_new = self.sight.is_none();
        let is_other = self.sight != Some(now);
        if is_other || self.is_young {
            let names = names(fd)?;
            if !is_new {
                let came = names.iter().filter(|(name, inode)| self.names.get(*name) != Some(*inode));
                let went = self.names.keys().filter(|name| !names.contains_key(*name));
                let differ = came.map(|(name, _)| name).chain(went);
                differ.for_each(|name| looking.found(&dir.join(OsStr::from_bytes(name.to_bytes()))));
            }
            self.names = names;
        }
        (self.sight, self.is_young) = (Some(now), is_other);
        Ok(())
    }
}

/// Nothing if there are too many.
fn names(dir: &impl AsFd) -> Result<BTreeMap<CString, u64>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(dir, c".", flags, Mode::empty())?;
    let mut names = BTreeMap::new();
    let mut count = 0_usize;
    each_inode(&dir, |name: &CStr, inode| {
        count += 1;
        if count <= MAX_NAMES {
            names.insert(name.to_owned(), inode);
        }
    })?;
    if count > MAX_NAMES {
        names.clear();
    }
    Ok(names)
}

impl Looking<'_> {
    /// Whom to ask the question at this place.
    fn ask(&self, place: usize) -> Ask {
        let turn = (place + self.questions).saturating_sub(self.ask_from) % self.questions.max(1);
        if turn < self.allowed { Ask::Server } else { Ask::Kernel }
    }

    fn heard(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    fn found(&self, path: &Path) {
        self.changed.store(true, Ordering::Relaxed);
        self.reports.hint(path, Phase::Complete);
    }
}

/// How a directory is opened that is only asked about: where it can be, without a word to its file system.
#[cfg(all(target_os = "linux", not(portable)))]
const TO_ASK: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(any(not(target_os = "linux"), portable))]
const TO_ASK: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use hotloader_backend::{HintSet, ReportStream};

    use super::*;

    struct Bench {
        _keep: tempfile::TempDir,
        dir: PathBuf,
        glances: Glances,
        reports: ReportStream,
        order: Glance,
    }

    impl Bench {
        /// `x` and `absent` are in use, and have been looked at; `other` is not.
        fn new() -> Self {
            let keep = tempfile::tempdir().unwrap();
            let dir = fs::canonicalize(keep.path()).unwrap();
            fs::write(dir.join("x"), "1").unwrap();
            fs::write(dir.join("other"), "1").unwrap();
            let (sink, reports) = ReportSink::new();
            let manner = Manner { verify_content: false, echo: Duration::ZERO };
            let glances = Glances::new(manner, sink, Arc::default());
            let files = [dir.join("x"), dir.join("absent")].into();
            let in_use = InUse::within(&files, &[dir.clone()].into_iter().collect());
            let order = Glance { in_use: in_use.into(), mount_points: Arc::default(), allowed: 0 };
            let mut bench = Self { _keep: keep, dir, glances, reports, order };
            assert!(bench.look().is_empty() && bench.look().is_empty(), "it is seen for the first time");
            bench
        }

        fn look(&mut self) -> HintSet {
            let outcome = self.glances.look(&self.order).unwrap();
            let told = self.reports.take().map(|collected| collected.hints).unwrap_or_default();
            assert_eq!(outcome.changed, !told.is_empty());
            told
        }
    }

    #[test]
    fn a_save_in_place_and_one_by_renaming_are_seen_and_then_it_is_quiet() {
        let mut bench = Bench::new();
        let x = bench.dir.join("x");
        fs::write(&x, "another").unwrap();
        assert!(bench.look().covers(&x));
        fs::write(bench.dir.join("temporary"), "a third").unwrap();
        fs::rename(bench.dir.join("temporary"), &x).unwrap();
        assert!(bench.look().covers(&x));
        assert!(bench.look().is_empty() && bench.look().is_empty());
    }

    #[test]
    fn what_comes_and_goes_beside_it_is_seen_and_what_is_written_there_is_not() {
        let mut bench = Bench::new();
        let [new, other, absent] = ["new", "other", "absent"].map(|name| bench.dir.join(name));
        fs::write(&other, "another").unwrap();
        assert!(bench.look().is_empty());
        fs::write(&new, "1").unwrap();
        assert!(bench.look().covers(&new));
        fs::rename(&new, &other).unwrap();
        let told = bench.look();
        assert!(told.covers(&other) && told.covers(&new), "{told:?}");
        fs::write(&absent, "1").unwrap();
        assert!(bench.look().covers(&absent));
        fs::remove_file(&absent).unwrap();
        assert!(bench.look().covers(&absent));
    }

    #[test]
    fn a_directory_that_goes_is_told_once_and_one_that_is_closed_is_not_taken_for_gone() {
        use std::os::unix::fs::PermissionsExt;

        let mut bench = Bench::new();
        let aside = bench.dir.with_extension("aside");
        fs::rename(&bench.dir, &aside).unwrap();
        assert!(bench.look().covers(&bench.dir));
        assert!(bench.look().is_empty());
        fs::rename(&aside, &bench.dir).unwrap();
        bench.look();
        bench.look();
        fs::set_permissions(&bench.dir, fs::Permissions::from_mode(0o000)).unwrap();
        bench.look();
        let told = bench.look();
        fs::set_permissions(&bench.dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!told.covers(&bench.dir.join("x")), "{told:?}");
    }

    #[test]
    fn the_server_is_asked_of_everything_in_turn() {
        for allowed in 1..=7 {
            let mut asked = [0; 7];
            let mut ask_from = 0;
            for _ in 0..7 {
                let (reports, _stream) = ReportSink::new();
                let looking = Looking {
                    mount_points: &MountPoints::new(),
                    questions: 7,
                    ask_from,
                    allowed,
                    reports: &reports,
                    pulse: &Pulse::default(),
                    verify_content: false,
                    changed: AtomicBool::new(false),
                    answers: AtomicUsize::new(0),
                };
                let places = (0..7).filter(|place| looking.ask(*place) == Ask::Server);
                places.for_each(|place| asked[place] += 1);
                ask_from = (ask_from + allowed) % 7;
            }
            assert_eq!(asked, [allowed; 7]);
        }
    }

    #[test]
    fn many_threads_see_what_one_does() {
        let mut bench = Bench::new();
        let files: Vec<PathBuf> = (0..100).map(|file| bench.dir.join(format!("{file:03}"))).collect();
        files.iter().for_each(|file| fs::write(file, "1").unwrap());
        let dirs = [bench.dir.clone()].into_iter().collect();
        bench.order.in_use = InUse::within(&files.iter().cloned().collect(), &dirs).into();
        bench.look();
        bench.look();
        // As if each answer had taken a second.
        let second = Duration::from_secs(1);
        bench.glances.in_flight.note(1, 1, second, Duration::ZERO);
        for _ in 0..3 {
            let threads = bench.glances.in_flight.threads();
            bench.glances.in_flight.note(threads, 100, 100 * second / threads as u32, Duration::ZERO);
        }
        assert!(bench.glances.in_flight.threads() > 4);
        files.iter().for_each(|file| fs::write(file, "another").unwrap());
        let told = bench.look();
        assert!(files.iter().all(|file| told.covers(file)));
    }
}
