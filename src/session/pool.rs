//! The threads that run Lua.
//!
//! A script that loops keeps its thread until its budget ends. So that nobody else waits for it, a
//! watchdog adds a thread while all are busy and work is waiting; the additional ones end when they
//! have nothing to do.
//!
//! A thread that should have been back long ago is inside a library function that nothing can interrupt. It
//! is given up: it no longer counts, another takes its place, it runs at the lowest priority, and it ends
//! when the function returns. When `session.max_stuck` of them are stuck, further ones keep their place:
//! there are never more than that many threads beside the [`MAX_THREADS`].

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::RecvTimeoutError;
use rustix::process::{Pid, setpriority_process};
use tokio::sync::watch;

use super::{
    cap::Cap,
    lines::Turns,
    run_queue::{RunQueue, run_queue},
    worker::{Stuck, Task, Worker, thread_id},
};
use crate::lua::sighting;

/// A unit of work that takes longer than that hogs its thread.
const LONG: Duration = Duration::from_millis(10);
/// The watchdog looks that often while there is work, and more rarely when there is none.
const TICK: Duration = Duration::from_millis(10);
const IDLE_TICK: Duration = Duration::from_millis(50);
/// An additional thread ends after that long without work.
const LINGER: Duration = Duration::from_secs(5);
/// At most this many threads; beyond it, sessions wait for each other.
const MAX_THREADS: usize = 64;
/// The priority of a thread that was given up: the least there is.
const LEAST: i32 = 19;

/// How the pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// Threads that run Lua now, or wait to.
    pub threads: usize,
    /// Units of work that got stuck inside a library function that nothing can interrupt, since the start.
    pub stuck: usize,
    /// Those that are so now.
    pub lost: usize,
}

/// The threads that run Lua. They end with the last [`RunQueue`].
#[derive(Debug, Clone)]
pub(super) struct Pool<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    turns: Turns<T>,
    base: usize,
    /// How long the part of a unit of work may take that is not Lua code of the user.
    beside: Duration,
    threads: AtomicUsize,
    workers: Mutex<Vec<Arc<Worker<T>>>>,
    stuck: AtomicUsize,
    cap: Arc<Cap<T>>,
}

impl<T: Task> Pool<T> {
    /// Starts the threads. `beside` is how long anything may take that is not Lua code of the user, which
    /// has budgets of its own. `max_stuck` threads may be lost.
    pub(super) fn start(
        threads: usize,
        beside: Duration,
        max_stuck: usize,
    ) -> io::Result<(Self, RunQueue<T>)> {
        let base = match threads {
            0 => thread::available_parallelism().map_or(2, usize::from),
            n => n,
        };
        let cap = Arc::new(Cap::new(max_stuck));
        let (run_queue, turns) = run_queue(cap.clone());
        let shared = Shared {
            turns,
            base,
            beside,
            threads: AtomicUsize::new(0),
            workers: Mutex::default(),
            stuck: AtomicUsize::new(0),
            cap,
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
        Ok((pool, run_queue))
    }

    pub(super) fn stats(&self) -> PoolStats {
        let (threads, stuck) = (self.0.threads.load(Relaxed), self.0.stuck.load(Relaxed));
        PoolStats { threads, stuck, lost: self.0.cap.stuck() }
    }

    /// How many units of work are stuck now.
    pub(super) fn follow_lost(&self) -> watch::Receiver<usize> {
        self.0.cap.follow()
    }

    fn add_thread(&self) -> io::Result<()> {
        let worker = Arc::new(Worker::new());
        let number = self.0.threads.fetch_add(1, Relaxed);
        self.workers().push(worker.clone());
        let shared = self.0.clone();
        let run = move || {
            run(&worker, &shared);
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
        let mut overdue = Vec::new();
        for worker in self.workers().iter() {
            let Some(time) = worker.busy_for() else { continue };
            busy += 1;
            long += usize::from(time > LONG && worker.held_its_thread() > LONG);
            let Some(sighting) = worker.sighting.get().filter(|_| time > LONG) else { continue };
            sighting.look();
            if sighting.overdue().is_some() && !worker.given_up.load(Relaxed) {
                overdue.push(worker.clone());
            }
        }
        for worker in overdue {
            long = long.saturating_sub(usize::from(self.give_up(&worker)));
        }
        let threads = self.0.threads.load(Relaxed);
        if long >= threads {
            // One for each session that waits, at once, so that none waits for several looks. One even if
            // none waits, so that the next to come need not.
            for _ in 0..self.0.turns.waiting().max(1).min(MAX_THREADS.saturating_sub(threads)) {
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

    /// Gives up a thread, unless its work has just ended. Returns whether another thread takes its place.
    fn give_up(&self, worker: &Arc<Worker<T>>) -> bool {
        let guard = worker.session.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(session), Some(sighting)) = (guard.clone(), worker.sighting.get()) else { return false };
        if sighting.overdue().is_none() {
            return false;
        }
        let replaced = self.0.cap.lose();
        worker.replaced.store(replaced, Relaxed);
        worker.given_up.store(true, Relaxed);
        drop(guard);
        self.0.stuck.fetch_add(1, Relaxed);
        // At the lowest priority it slows down nobody.
        let thread = Pid::from_raw(worker.thread.load(Relaxed));
        if let Some(Err(error)) = thread.map(|thread| setpriority_process(Some(thread), LEAST)) {
            tracing::debug!(%error, "the priority of a stuck thread could not be lowered");
        }
        let stuck = Stuck { time: worker.busy_for().unwrap_or_default(), place: sighting.place() };
        let (seconds, last_seen) = (stuck.time.as_secs_f64(), stuck.place.as_str());
        tracing::error!(
            target: "lua", session = session.name(), seconds, last_seen,
            "a session is inside a library function that can't be interrupted; it can be restarted, and the others go on"
        );
        session.abandon(&stuck);
        if !replaced {
            tracing::error!(
                target: "lua", stuck = self.0.cap.stuck(),
                "no thread takes the place of the stuck one: there are session.max_stuck of them already, and who restarts a stuck session waits"
            );
            return false;
        }
        self.workers().retain(|other| !Arc::ptr_eq(other, worker));
        if self.0.threads.fetch_sub(1, Relaxed) <= self.0.base
            && let Err(error) = self.add_thread()
        {
            tracing::error!(target: "lua", %error, "no Lua thread in the place of the stuck one");
        }
        true
    }

    fn workers(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Worker<T>>>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a thread does until it ends.
fn run<T: Task>(worker: &Worker<T>, shared: &Arc<Shared<T>>) {
    let sighting = worker.sighting.get_or_init(sighting);
    worker.thread.store(thread_id().unwrap_or(0), Relaxed);
    loop {
        match shared.turns.next(LINGER) {
            Ok(session) => {
                sighting.begin(shared.beside);
                worker.work(&session);
                sighting.done();
                if worker.given_up.load(Relaxed) {
                    return come_back(worker, shared);
                }
            }
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

/// It was given up, and ends: its priority can't be raised again.
fn come_back<T: Task>(worker: &Worker<T>, shared: &Arc<Shared<T>>) {
    shared.cap.regain();
    if !worker.replaced.load(Relaxed)
        && shared.threads.fetch_sub(1, Relaxed) <= shared.base
        && let Err(error) = Pool(shared.clone()).add_thread()
    {
        tracing::error!(target: "lua", %error, "no Lua thread in the place of one that was stuck");
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
    use std::{sync::mpsc, time::Instant};

    use super::*;

    /// Tells that it runs, and ends when it is told to.
    #[derive(Clone)]
    struct Wait(mpsc::Sender<()>, Arc<Mutex<mpsc::Receiver<()>>>, mpsc::Sender<Stuck>);

    impl Task for Wait {
        fn name(&self) -> String {
            "wait".into()
        }

        fn run(&self) {
            self.0.send(()).unwrap();
            let _ = self.1.lock().unwrap().recv();
        }

        fn abandon(&self, stuck: &Stuck) {
            let _ = self.2.send(stuck.clone());
        }
    }

    fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < deadline, "waited for {what}");
            thread::yield_now();
        }
    }

    #[test]
    fn a_thread_is_added_while_all_are_hogged() {
        let (pool, queue) = Pool::start(1, Duration::from_secs(60), 8).unwrap();
        let ((running, ran), (stuck, _)) = (mpsc::channel(), mpsc::channel());
        let mut ends = Vec::new();
        for _ in 0..3 {
            let (end, ended) = mpsc::channel();
            ends.push(end);
            queue.push(Wait(running.clone(), Arc::new(Mutex::new(ended)), stuck.clone()));
        }
        for _ in 0..3 {
            ran.recv_timeout(Duration::from_secs(10)).expect("all of them run at the same time");
        }
        let stats = pool.stats();
        assert!(stats.threads >= 3 && stats.stuck == 0 && stats.lost == 0, "{stats:?}");
        drop((ends, queue));
        until("the threads to end with the queue", || pool.stats().threads == 0);
    }

    #[test]
    fn a_stuck_thread_is_given_up_and_replaced_and_ends_when_it_comes_back() {
        let (pool, queue) = Pool::start(1, Duration::from_millis(30), 8).unwrap();
        let ((running, ran), (stuck, reports)) = (mpsc::channel(), mpsc::channel());
        let deadline = Duration::from_secs(20);
        let (end, ended) = mpsc::channel();
        queue.push(Wait(running.clone(), Arc::new(Mutex::new(ended)), stuck.clone()));
        ran.recv_timeout(deadline).unwrap();
        let report = reports.recv_timeout(deadline).expect("it is told");
        assert!(report.time >= Duration::from_millis(30), "{report:?}");
        until("a thread in its place", || {
            let stats = pool.stats();
            stats.threads >= 1 && stats.stuck == 1 && stats.lost == 1
        });
        // Another unit of work runs while the first one is still inside.
        let (other_end, other_ended) = mpsc::channel();
        queue.push(Wait(running, Arc::new(Mutex::new(other_ended)), stuck));
        ran.recv_timeout(deadline).unwrap();
        other_end.send(()).unwrap();
        end.send(()).unwrap();
        until("the thread to end", || pool.stats().lost == 0);
        assert!(reports.try_recv().is_err() || pool.stats().stuck == 2, "told once each");
        drop(queue);
        until("the threads to end with the queue", || pool.stats().threads == 0);
    }

    #[test]
    fn no_more_threads_are_lost_than_may_be_and_who_begins_anew_waits() {
        let (pool, queue) = Pool::start(1, Duration::from_millis(500), 1).unwrap();
        let ((running, ran), (stuck, reports)) = (mpsc::channel(), mpsc::channel());
        let deadline = Duration::from_secs(20);
        let task = || {
            let (end, ended) = mpsc::channel();
            (Wait(running.clone(), Arc::new(Mutex::new(ended)), stuck.clone()), end)
        };
        let run = |task: Wait| {
            queue.push(task);
            ran.recv_timeout(deadline).unwrap();
        };
        let done = || {
            let (task, end) = task();
            drop(end);
            run(task);
        };

        let (first, end_first) = task();
        run(first.clone());
        reports.recv_timeout(deadline).expect("the first is given up");
        until("a thread in its place", || pool.stats().threads == 1);
        let (again, end_again) = task();
        assert!(!queue.push_again(again), "one is stuck, and no more may be");
        done();

        let (second, end_second) = task();
        run(second);
        reports.recv_timeout(deadline).expect("it is told of the second as well");
        assert_eq!(pool.stats().lost, 2);
        done();
        // It has kept its place, and a thread was added beside it as beside any that is busy.
        assert!((2..=MAX_THREADS).contains(&pool.stats().threads), "{:?}", pool.stats());
        assert!(reports.try_recv().is_err(), "told once each");

        drop(end_second);
        until("the second to come back", || pool.stats().lost == 1);
        done();
        assert!(ran.try_recv().is_err(), "the one that begins anew still waits");
        drop(end_first);
        ran.recv_timeout(deadline).expect("now it runs");
        drop(end_again);
        until("all of them to be back", || pool.stats().lost == 0);
        done();
        drop((first, queue));
        until("the threads to end with the queue", || pool.stats().threads == 0);
    }
}
