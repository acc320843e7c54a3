//! A thread that runs Lua, as the watchdog sees it.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::lua::Sighting;

/// What the threads run: a session that has work.
pub(super) trait Task: Clone + Send + 'static {
    /// For the log.
    fn name(&self) -> String;
    /// Does one unit of work.
    fn run(&self);
    /// The thread that runs it was given up.
    fn abandon(&self, stuck: &Stuck);
}

/// What is known of a unit of work that nothing can interrupt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stuck {
    /// Since it began.
    pub(super) time: Duration,
    /// Where its script was seen last, `file:line`; empty if it never was.
    pub(super) place: String,
}

/// What the watchdog sees of a thread.
#[derive(Debug)]
pub(super) struct Worker<T> {
    began: Instant,
    /// Nanoseconds after `began` at which the unit of work began, plus one; 0: none.
    busy: AtomicU64,
    /// Guards `given_up`, too: work that is just done is not given up.
    pub(super) session: Mutex<Option<T>>,
    pub(super) given_up: AtomicBool,
    /// It was given up, and another thread is in its place.
    pub(super) replaced: AtomicBool,
    pub(super) sighting: OnceLock<Arc<Sighting>>,
    /// As the system knows the thread; 0 where that can't be found out.
    pub(super) thread: AtomicI32,
    /// For the watchdog alone: the unit of work that it saw last.
    seen: Mutex<Option<Seen>>,
}

/// A unit of work when the watchdog saw it first.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// `Worker::busy`
    work: u64,
    at: Instant,
    /// What its thread had had of the processors in its life.
    ran: Duration,
}

impl<T: Task> Worker<T> {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            busy: AtomicU64::new(0),
            session: Mutex::new(None),
            given_up: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
            sighting: OnceLock::new(),
            thread: AtomicI32::new(0),
            seen: Mutex::new(None),
        }
    }

    /// Does one unit of work, where the watchdog sees it.
    pub(super) fn work(&self, session: &T) {
        self.show(Some(session.clone()));
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
        self.busy.store(now + 1, Relaxed);
        session.run();
        self.busy.store(0, Relaxed);
        self.show(None);
    }

    fn show(&self, session: Option<T>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    /// How long the present unit of work has held its thread since this was first asked: its time on the
    /// processors, or all the time if it sleeps. Waiting for a processor does not count: more threads would
    /// not help.
    pub(super) fn held_its_thread(&self) -> Duration {
        let (work, now) = (self.busy.load(Relaxed), Instant::now());
        let doing = Doing::of(self.thread.load(Relaxed));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match *seen {
            Some(first) if first.work == work => first,
            _ => *seen.insert(Seen { work, at: now, ran: doing.map_or(Duration::ZERO, |doing| doing.ran) }),
        };
        match doing {
            Some(Doing { sleeps: false, ran }) => ran.saturating_sub(first.ran),
            _ => now.saturating_duration_since(first.at),
        }
    }

    /// For how long it has been at a unit of work.
    pub(super) fn busy_for(&self) -> Option<Duration> {
        let since = self.busy.load(Relaxed).checked_sub(1)?;
        Some(self.began.elapsed().saturating_sub(Duration::from_nanos(since)))
    }
}

/// What a thread does, as the system sees it.
#[derive(Debug, Clone, Copy)]
struct Doing {
    /// It waits for something else than a processor.
    sleeps: bool,
    /// What it has had of the processors in its life.
    ran: Duration,
}

impl Doing {
    /// `None` where that can't be found out.
    fn of(thread: i32) -> Option<Self> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/self/task/{thread}/{file}")).ok();
        let (stat, times) = (read("stat")?, read("schedstat")?);
        // The name stands in brackets and may have spaces in it.
        let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
        let ran = times.split(' ').next()?.parse().ok()?;
        Some(Self { sleeps: state != 'R', ran: Duration::from_nanos(ran) })
    }
}

/// The number that Linux knows this thread by.
pub(super) fn thread_id() -> Option<i32> {
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok()
}
