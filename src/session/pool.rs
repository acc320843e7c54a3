//! The threads that run Lua.
//!
//! A script that loops keeps its thread until its budget ends. So that nobody else waits for it, a
//! watchdog adds a thread while all are busy and work is waiting; the additional ones end when they
//! have nothing to do.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

/// A unit of work that takes longer than that hogs its thread.
const LONG: Duration = Duration::from_millis(10);
/// The watchdog looks that often while there is work, and more rarely when there is none.
const TICK: Duration = Duration::from_millis(10);
const IDLE_TICK: Duration = Duration::from_millis(50);
/// An additional thread ends after that long without work.
const LINGER: Duration = Duration::from_secs(5);
/// So many threads at most: beyond it, sessions wait for each other.
const MAX_THREADS: usize = 64;

/// What the threads run: a session that has work.
pub(super) trait Task: Clone + Send + 'static {
    /// For the log.
    fn name(&self) -> String;
    /// Does one unit of work.
    fn run(&self);
}

/// Where sessions wait for a thread; each is in it at most once.
#[derive(Debug, Clone)]
pub(super) struct RunQueue<T>(Sender<T>);

impl<T: Task> RunQueue<T> {
    pub(super) fn push(&self, session: T) {
        // Without the pool the process is ending.
        let _ = self.0.send(session);
    }
}

/// How the pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// Threads that run Lua now, or wait to.
    pub threads: usize,
    /// Units of work that ran longer than any budget allows: their threads are inside C code that
    /// nothing can interrupt.
    pub stuck: usize,
}

/// The threads that run Lua. They end with the last [`RunQueue`].
#[derive(Debug, Clone)]
pub(super) struct Pool<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    queue: Receiver<T>,
    base: usize,
    /// A unit of work that takes longer than this is stuck.
    limit: Duration,
    threads: AtomicUsize,
    workers: Mutex<Vec<Arc<Worker<T>>>>,
    stuck: AtomicUsize,
}

/// What the watchdog sees of a thread.
#[derive(Debug)]
struct Worker<T> {
    began: Instant,
    /// Nanoseconds after `began` at which the unit of work began, plus one; 0: none.
    busy: AtomicU64,
    session: Mutex<Option<T>>,
    reported: AtomicU64,
}

impl<T: Task> Pool<T> {
    /// Starts the threads; `limit` is the longest that any unit of work may take.
    pub(super) fn start(threads: usize, limit: Duration) -> io::Result<(Self, RunQueue<T>)> {
        let base = match threads {
            0 => thread::available_parallelism().map_or(2, usize::from),
            n => n,
        };
        let (sender, queue) = unbounded();
        let shared = Shared {
            queue,
            base,
            limit,
            threads: AtomicUsize::new(0),
            workers: Mutex::default(),
            stuck: AtomicUsize::new(0),
        };
        let pool = Self(Arc::new(shared));
        for _ in 0..base {
            pool.add_thread()?;
        }
        // The watchdog holds no sender, so that it ends with the pool.
        let watched = Arc::downgrade(&pool.0);
        let watchdog = move || {
            let mut wait = IDLE_TICK;
            loop {
                thread::sleep(wait);
                let Some(shared) = watched.upgrade() else { return };
                wait = if Pool(shared).watch() { TICK } else { IDLE_TICK };
            }
        };
        thread::Builder::new().name("lua-watchdog".into()).spawn(watchdog)?;
        Ok((pool, RunQueue(sender)))
    }

    pub(super) fn stats(&self) -> PoolStats {
        PoolStats { threads: self.0.threads.load(Relaxed), stuck: self.0.stuck.load(Relaxed) }
    }

    fn add_thread(&self) -> io::Result<()> {
        let worker = Arc::new(Worker {
            began: Instant::now(),
            busy: AtomicU64::new(0),
            session: Mutex::new(None),
            reported: AtomicU64::new(0),
        });
        let number = self.0.threads.fetch_add(1, Relaxed);
        self.workers().push(worker.clone());
        let shared = self.0.clone();
        let run = move || {
            worker.run(&shared);
            let mut workers = shared.workers.lock().unwrap_or_else(PoisonError::into_inner);
            workers.retain(|other| !Arc::ptr_eq(other, &worker));
        };
        let spawned = thread::Builder::new().name(format!("lua-{number}")).spawn(run);
        if spawned.is_err() {
            self.0.threads.fetch_sub(1, Relaxed);
        }
        spawned.map(drop)
    }

    /// Looks at all threads. Says whether any is at work.
    fn watch(&self) -> bool {
        let (mut busy, mut long) = (0, 0);
        for worker in self.workers().iter() {
            let Some(time) = worker.busy_for() else { continue };
            busy += 1;
            long += usize::from(time > LONG);
            if time > self.0.limit {
                self.report(worker, time);
            }
        }
        let threads = self.0.threads.load(Relaxed);
        if long >= threads {
            // One for each that waits: adding them one by one would make the last wait longest.
            for _ in 0..self.0.queue.len().min(MAX_THREADS.saturating_sub(threads)) {
                if let Err(error) = self.add_thread() {
                    tracing::error!(target: "lua", %error, "no further Lua thread; sessions wait");
                    break;
                }
            }
            let now = self.0.threads.load(Relaxed);
            tracing::debug!(target: "lua", threads = now, "all Lua threads are busy");
        }
        busy > 0
    }

    fn report(&self, worker: &Worker<T>, time: Duration) {
        let since = worker.busy.load(Relaxed);
        if worker.reported.swap(since, Relaxed) == since {
            return;
        }
        self.0.stuck.fetch_add(1, Relaxed);
        let session = worker.session.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(T::name);
        let session = session.unwrap_or_default();
        tracing::error!(
            target: "lua", session, seconds = time.as_secs(),
            "a session is inside a library function that can't be interrupted (a pattern?); other sessions go on"
        );
    }

    fn workers(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Worker<T>>>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Task> Worker<T> {
    fn run(&self, shared: &Shared<T>) {
        loop {
            match shared.queue.recv_timeout(LINGER) {
                Ok(session) => self.work(&session),
                Err(RecvTimeoutError::Timeout) => {
                    if shared.leave_if_additional() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    shared.threads.fetch_sub(1, Relaxed);
                    return;
                }
            }
        }
    }

    fn work(&self, session: &T) {
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

    fn busy_for(&self) -> Option<Duration> {
        let since = self.busy.load(Relaxed).checked_sub(1)?;
        Some(self.began.elapsed().saturating_sub(Duration::from_nanos(since)))
    }
}

impl<T> Shared<T> {
    fn leave_if_additional(&self) -> bool {
        let fewer = |threads| (threads > self.base).then(|| threads - 1);
        self.threads.fetch_update(Relaxed, Relaxed, fewer).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Tells that it runs, and ends when it is told to.
    #[derive(Clone)]
    struct Wait(mpsc::Sender<()>, Arc<Mutex<mpsc::Receiver<()>>>);

    impl Task for Wait {
        fn name(&self) -> String {
            "wait".into()
        }

        fn run(&self) {
            self.0.send(()).unwrap();
            let _ = self.1.lock().unwrap().recv();
        }
    }

    #[test]
    fn a_thread_is_added_while_all_are_hogged_and_stuck_work_is_counted_once() {
        let (pool, queue) = Pool::start(1, Duration::from_millis(30)).unwrap();
        let (running, ran) = mpsc::channel();
        let mut ends = Vec::new();
        for _ in 0..3 {
            let (end, ended) = mpsc::channel();
            ends.push(end);
            queue.push(Wait(running.clone(), Arc::new(Mutex::new(ended))));
        }
        for _ in 0..3 {
            ran.recv_timeout(Duration::from_secs(10)).expect("all of them run at the same time");
        }
        assert_eq!(pool.stats().threads, 3);
        let deadline = Instant::now() + Duration::from_secs(10);
        while pool.stats().stuck < 3 {
            assert!(Instant::now() < deadline, "{:?}", pool.stats());
            thread::yield_now();
        }
        drop((ends, queue));
        while pool.stats().threads > 0 {
            assert!(Instant::now() < deadline, "the threads end with the queue");
            thread::yield_now();
        }
        assert_eq!(pool.stats().stuck, 3);
    }
}
