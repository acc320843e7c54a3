//! The directories on one mount, and passes over them by several threads.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    iter::zip,
    mem,
    ops::Range,
    path::Path,
    slice::{Chunks, ChunksMut},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hotloader_backend::{DirSet, ReportSink, Skipped};

use crate::{
    clock::{Clock, PassTime},
    contents::Contents,
    in_flight::InFlight,
    key::Absence,
    known::{Known, Seen, Silent, follow},
    listing::Listing,
    load::processor_time,
    mounts::MountPoints,
    requests::{Place, Questions},
};

/// So many directories are given to a thread at a time.
const SHARE: usize = 32;

/// Threads that look at the disk at the same time: at least as many as a server that is far away can
/// answer between two of our steps, and never so many that they get into the way of others.
const THREADS: (usize, usize) = (2, 4);

/// Of so many entries one tells that the file system answers.
const HEARD_EVERY: u32 = 16;

/// What the one who waits for a pass and those who make it know of each other meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Set when the pass is to be given up.
    pub(crate) stop: AtomicBool,
    /// Grows whenever the file system has answered.
    pub(crate) answers: AtomicU64,
}

/// What the thread is to do.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) kind: OrderKind,
    /// What is mounted by now.
    pub(crate) mount_points: Arc<MountPoints>,
}

/// What kind of work it is.
#[derive(Debug)]
pub(crate) enum OrderKind {
    /// Look after these directories from now on, which are in order.
    Take(DirSet),
    /// Look at all of them, and ask the server so often.
    Pass { allowed: u32 },
}

/// What a pass brought, beside what it reported.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Whether anything is not what it was.
    pub(crate) changed: bool,
    /// Processor time, of all threads.
    pub(crate) used: Duration,
    /// How many there are.
    pub(crate) entries: usize,
    /// What can't be looked at, if that is not what it was after the pass before.
    pub(crate) skipped: Option<Vec<Skipped>>,
    /// How many questions the server had to answer.
    pub(crate) requests: u32,
    /// How long an answer was waited for, at the mean.
    pub(crate) answer: Duration,
    pub(crate) silent: Silent,
}

/// How to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Whether files are read.
    pub(crate) verify_content: bool,
    /// For how long to look again at what changed.
    pub(crate) echo: Duration,
}

/// What is known of the directories on one mount.
#[derive(Debug)]
pub(crate) struct Tree {
    dirs: DirSet,
    /// Of each of them.
    known: Vec<Known>,
    skipped: Vec<Skipped>,
    clock: Clock,
    /// When the last pass began.
    previous: u64,
    /// Where the next pass begins to ask the server.
    ask_from: Place,
    manner: Manner,
    reports: ReportSink,
    pulse: Arc<Pulse>,
    /// Of each thread there was.
    scouts: Vec<Scout>,
    in_flight: InFlight,
}

impl Tree {
    pub(crate) fn new(manner: Manner, reports: ReportSink, pulse: Arc<Pulse>) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).clamp(THREADS.0, THREADS.1);
        Self {
            dirs: DirSet::new(),
            known: Vec::new(),
            skipped: Vec::new(),
            clock: Clock::new(),
            previous: 0,
            ask_from: Place::default(),
            manner,
            reports,
            pulse,
            scouts: Vec::new(),
            in_flight: InFlight::new(threads),
        }
    }

    /// Does what is ordered. `None` if it was told to stop.
    pub(crate) fn obey(&mut self, order: Order) -> Option<Outcome> {
        let Order { kind, mount_points } = order;
        match kind {
            OrderKind::Take(dirs) => self.take(dirs, &mount_points),
            OrderKind::Pass { allowed } => self.pass(&mount_points, allowed),
        }
    }

    /// Forgets what is not among these directories, and lists what is new. Changes
    /// before that are nobody's business: who asks for a directory looks at it after it is armed. What
    /// could not be looked at is tried again. `None` if it was told to stop.
    pub(crate) fn take(&mut self, dirs: DirSet, mount_points: &MountPoints) -> Option<Outcome> {
        let before = mem::take(&mut self.dirs);
        let mut old = zip(before.iter(), self.known.drain(..)).peekable();
        let mut dropped = Vec::new();
        let mut known = Vec::with_capacity(dirs.len());
        for dir in dirs.iter() {
            while let Some((old, _)) = old.next_if(|(old, _)| *old < dir) {
                dropped.push(old);
            }
            known.push(old.next_if(|(old, _)| *old == dir).map_or(Known::New, |(_, known)| known));
        }
        dropped.extend(old.map(|(dir, _)| dir));
        forget(&dirs, &mut known, &dropped);
        (self.dirs, self.known) = (dirs, known);
        let nothing = Questions::new(0);
        self.look(|known| !matches!(known, Known::Listed(_)), self.previous, mount_points, &nothing)
    }

    /// Looks at all directories and reports what differs. The server is asked as often as is allowed. `None` if it
    /// was told to stop.
    pub(crate) fn pass(&mut self, mount_points: &MountPoints, allowed: u32) -> Option<Outcome> {
        let begun = self.clock.now();
        let outcome = self.look(|_| true, begun, mount_points, &Questions::new(allowed))?;
        self.previous = begun;
        Some(outcome)
    }

    fn look(
        &mut self,
        which: fn(&Known) -> bool,
        begun: u64,
        mount_points: &MountPoints,
        questions: &Questions,
    ) -> Option<Outcome> {
        let (started, before) = (Instant::now(), processor_time());
        let lens: Vec<usize> = self.known.iter().map(Known::len).collect();
        let (parts, next) = questions.parts(&lens, self.ask_from);
        self.ask_from = next;
        let time = PassTime { clock: self.clock, begun, previous: self.previous, echo: self.manner.echo };
        // Where each answer is waited for, few directories keep many threads busy.
        let (share, most) = match self.in_flight.is_slow() {
            true => (1, self.dirs.len()),
            false => (SHARE, self.dirs.len().div_ceil(4 * SHARE)),
        };
        let threads = self.in_flight.threads().min(most).max(1);
        while self.scouts.len() < threads {
            self.scouts.push(Scout::new(self.manner));
        }
        let work = Work {
            left: Mutex::new(zip(
                zip(self.dirs.as_slice().chunks(share), parts.chunks(share)),
                self.known.chunks_mut(share),
            )),
            which,
            time,
            mount_points,
            questions,
            reports: &self.reports,
            pulse: &self.pulse,
        };
        let (mut outcome, others_used) = thread::scope(|scope| {
            let (first, others) = self.scouts.split_first_mut()?;
            let work = &work;
            // Where no further thread is to be had, those that there are do it all.
            let others: Vec<_> = others[..threads - 1]
                .iter_mut()
                .filter_map(|scout| {
                    let thread = thread::Builder::new().name("hotloader-poll".into()).stack_size(STACK);
                    // All that a thread of its own has used, which begins with its start.
                    thread.spawn_scoped(scope, move || (scout.work(work), processor_time())).ok()
                })
                .collect();
            let mut outcome = first.work(work);
            let mut used = Duration::ZERO;
            for other in others {
                match other.join() {
                    Ok((other, all)) => {
                        outcome.add(other);
                        used += all;
                    }
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Some((outcome, used))
        })?;
        if self.pulse.stop.load(Ordering::Relaxed) {
            return None;
        }
        outcome.silent.tell();
        outcome.requests = questions.made();
        outcome.entries = self.known.iter().map(Known::len).sum();
        let skipped: Vec<_> =
            zip(&self.dirs, &self.known).filter_map(|(dir, known)| known.skipped(dir)).collect();
        if skipped != self.skipped {
            self.skipped.clone_from(&skipped);
            outcome.skipped = Some(skipped);
        }
        // To begin threads and to sum up what they found counts as well.
        outcome.used = processor_time().saturating_sub(before) + others_used;
        let answers = outcome.entries + self.dirs.len();
        self.in_flight.note(threads, answers, started.elapsed(), outcome.used);
        outcome.answer = self.in_flight.answer();
        Some(outcome)
    }
}

/// A directory that the plan no longer has can have gone and come back unseen, with the same inode: where
/// nobody knows when directories were made, that does not show in the one it is in.
fn forget(dirs: &DirSet, known: &mut [Known], dropped: &[&Arc<Path>]) {
    let mut names: HashMap<&Path, HashSet<&OsStr>> = HashMap::new();
    for dir in dropped {
        if let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) {
            names.entry(parent).or_default().insert(name);
        }
    }
    for (parent, names) in names {
        if let Some(Known::Listed(listing)) = dirs.position(parent).and_then(|at| known.get_mut(at)) {
            listing.forget(&names);
        }
    }
}

/// Of a thread that looks at directories: none of it is deep.
pub(crate) const STACK: usize = 256 * 1024;

/// What several threads do together.
struct Work<'a> {
    left: Mutex<Portions<'a>>,
    which: fn(&Known) -> bool,
    time: PassTime,
    mount_points: &'a MountPoints,
    questions: &'a Questions,
    reports: &'a ReportSink,
    pulse: &'a Pulse,
}

/// Directories, the part of each of which the server is asked, and what is known of it.
type Portions<'a> =
    std::iter::Zip<std::iter::Zip<Chunks<'a, Arc<Path>>, Chunks<'a, Range<usize>>>, ChunksMut<'a, Known>>;

/// What one thread needs to look, kept from pass to pass.
#[derive(Debug)]
struct Scout {
    listing: Listing,
    contents: Option<Contents>,
    heard: u32,
}

impl Scout {
    fn new(manner: Manner) -> Self {
        let contents = manner.verify_content.then(Contents::new);
        Self { listing: Listing::default(), contents, heard: 0 }
    }

    fn work(&mut self, work: &Work<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        loop {
            let portion = work.left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(((dirs, parts), known)) = portion else { break };
            for ((dir, part), known) in zip(zip(dirs, parts), known) {
                if work.pulse.stop.load(Ordering::Relaxed) {
                    break;
                }
                if (work.which)(known) {
                    let now = self.look(dir, part.clone(), work);
                    outcome.changed |= follow(known, dir, now, work.time, work.reports, &mut outcome.silent);
                }
            }
        }
        outcome
    }

    fn look(&mut self, dir: &Path, part: Range<usize>, work: &Work<'_>) -> Seen<'_> {
        let pulse = work.pulse;
        let heard = &mut self.heard;
        let answered = || {
            *heard = heard.wrapping_add(1);
            if heard.is_multiple_of(HEARD_EVERY) {
                pulse.answers.fetch_add(1, Ordering::Relaxed);
            }
        };
        let (mount_points, asked) = (work.mount_points.get(dir), (part, work.questions));
        let read = self.listing.read(dir, mount_points, asked, self.contents.as_mut(), answered);
        pulse.answers.fetch_add(1, Ordering::Relaxed);
        match read {
            Ok(()) => Seen::Listed(&mut self.listing),
            Err(errno) if Absence::from(errno) == Absence::Gone => Seen::Gone,
            Err(errno) => Seen::Silent(errno),
        }
    }
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.changed |= other.changed;
        self.silent.add(other.silent);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use hotloader_backend::ReportStream;

    use super::*;

    fn set(dirs: impl IntoIterator<Item = PathBuf>) -> DirSet {
        dirs.into_iter().collect()
    }

    fn tree() -> (Tree, ReportStream) {
        let (sink, stream) = ReportSink::new();
        let manner = Manner { verify_content: false, echo: Duration::ZERO };
        (Tree::new(manner, sink, Arc::default()), stream)
    }

    #[test]
    fn what_cannot_be_listed_is_named_and_a_change_of_plan_keeps_what_is_known() {
        let keep = tempfile::tempdir().unwrap();
        let (here, late) = (keep.path().join("here"), keep.path().join("late"));
        fs::create_dir(&here).unwrap();
        let (mut tree, mut stream) = tree();
        let outcome = tree.take(set([here.clone()]), &MountPoints::new()).unwrap();
        assert!(outcome.skipped.is_none() && !outcome.changed, "what is seen for the first time is no find");
        fs::write(here.join("x"), "1").unwrap();
        let outcome = tree.take(set([here.clone(), late.clone()]), &MountPoints::new()).unwrap();
        assert_eq!(outcome.skipped.unwrap()[0].dir, late);
        let outcome = tree.pass(&MountPoints::new(), 0).unwrap();
        assert!(outcome.changed && outcome.skipped.is_none(), "nothing new to tell of `late`");
        assert!(stream.take().unwrap().hints.covers(&here.join("x")), "made between the two plans");
        fs::create_dir(&late).unwrap();
        assert_eq!(tree.pass(&MountPoints::new(), 0).unwrap().skipped.unwrap(), []);
        tree.pulse.stop.store(true, Ordering::Relaxed);
        assert!(tree.pass(&MountPoints::new(), 0).is_none());
    }

    #[test]
    fn a_directory_that_the_plan_has_no_more_is_told_when_it_is_there() {
        let keep = tempfile::tempdir().unwrap();
        let (above, sub) = (keep.path().to_owned(), keep.path().join("sub"));
        fs::create_dir(&sub).unwrap();
        let (mut tree, mut stream) = tree();
        tree.take(set([above.clone(), sub.clone()]), &MountPoints::new()).unwrap();
        // Until it is no longer young, which is hinted as well.
        while {
            tree.pass(&MountPoints::new(), 0).unwrap();
            stream.take().is_some()
        } {}
        tree.take(set([above]), &MountPoints::new()).unwrap();
        // Whether it is the same one, or has gone and come back, some file systems do not tell.
        tree.pass(&MountPoints::new(), 0).unwrap();
        assert!(stream.take().unwrap().hints.covers(&sub));
    }

    #[test]
    fn several_threads_see_what_one_does() {
        let keep = tempfile::tempdir().unwrap();
        let dirs: Vec<_> = (0..1000).map(|dir| keep.path().join(format!("{dir:04}"))).collect();
        dirs.iter().for_each(|dir| fs::create_dir(dir).unwrap());
        let (mut tree, mut stream) = tree();
        tree.take(set(dirs.clone()), &MountPoints::new()).unwrap();
        for dir in &dirs {
            fs::write(dir.join("x"), "1").unwrap();
        }
        assert_eq!(tree.pass(&MountPoints::new(), 0).unwrap().entries, dirs.len());
        let hints = stream.take().unwrap().hints;
        assert!(dirs.iter().all(|dir| hints.covers(&dir.join("x"))));
    }
}
