//! Wakes sessions when a timer of theirs is due.
//!
//! A thread and not a tokio task: tokio's timers tick once a millisecond, and sessions don't need a
//! runtime otherwise.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::Hash,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

/// Who wants to be woken.
pub(super) trait Sleeper: Send + 'static {
    /// What tells one from another.
    type Id: Copy + Eq + Hash + Ord + Send;

    fn id(&self) -> Self::Id;
    /// It is time. Must not wait.
    fn wake(&self);
}

/// Where sessions say when they want to be woken. The thread ends with the last of these.
///
/// A channel would wake its reader for every alarm that is set, and a reload sets one for each session. Here
/// the thread is woken only by an alarm that comes before all others.
#[derive(Clone)]
pub(super) struct Clock<S: Sleeper>(Arc<Holder<S>>);

/// Tells the thread when the last clock is gone.
struct Holder<S: Sleeper>(Arc<Shared<S>>);

struct Shared<S: Sleeper> {
    alarms: Mutex<Alarms<S>>,
    changed: Condvar,
}

struct Alarms<S: Sleeper> {
    by_session: HashMap<S::Id, Instant>,
    by_time: BTreeMap<(Instant, S::Id), S>,
    over: bool,
}

impl<S: Sleeper> Clock<S> {
    pub(super) fn start() -> io::Result<Self> {
        let alarms = Alarms { by_session: HashMap::new(), by_time: BTreeMap::new(), over: false };
        let shared = Arc::new(Shared { alarms: Mutex::new(alarms), changed: Condvar::new() });
        let run = {
            let shared = shared.clone();
            move || shared.run()
        };
        thread::Builder::new().name("lua-clock".into()).spawn(run)?;
        Ok(Self(Arc::new(Holder(shared))))
    }

    /// Wakes the session at that time, in place of the one set before.
    pub(super) fn set(&self, session: S, at: Option<Instant>) {
        let shared = &self.0.0;
        let mut alarms = shared.alarms();
        let dropped = alarms.set(session, at);
        let first = at.is_some() && alarms.next() == at;
        drop(alarms);
        if first {
            shared.changed.notify_one();
        }
        // Dropped outside the lock: with the last handle of a session its clock is dropped, which takes the
        // lock.
        drop(dropped);
    }
}

impl<S: Sleeper> Drop for Holder<S> {
    fn drop(&mut self) {
        self.0.alarms().over = true;
        self.0.changed.notify_one();
    }
}

impl<S: Sleeper> Shared<S> {
    fn run(&self) {
        let mut alarms = self.alarms();
        while !alarms.over {
            let now = Instant::now();
            alarms = match alarms.next() {
                Some(at) if at <= now => {
                    let due = alarms.take_due(now);
                    drop(alarms);
                    due.iter().for_each(S::wake);
                    drop(due);
                    self.alarms()
                }
                Some(at) => {
                    let waited = self.changed.wait_timeout(alarms, at - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(alarms).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn alarms(&self) -> MutexGuard<'_, Alarms<S>> {
        // Nothing that can panic runs under the lock.
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sleeper> Alarms<S> {
    fn next(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Hands back what is no longer needed.
    fn set(&mut self, session: S, at: Option<Instant>) -> [Option<S>; 2] {
        let id = session.id();
        let before = self.by_session.remove(&id);
        let replaced = before.and_then(|before| self.by_time.remove(&(before, id)));
        let unused = match at {
            Some(at) => {
                self.by_session.insert(id, at);
                self.by_time.insert((at, id), session)
            }
            None => Some(session),
        };
        [replaced, unused]
    }

    fn take_due(&mut self, now: Instant) -> Vec<S> {
        let mut due = Vec::new();
        while let Some(entry) = self.by_time.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, id), session) = entry.remove_entry();
            self.by_session.remove(&id);
            due.push(session);
        }
        due
    }
}

impl<S: Sleeper> fmt::Debug for Clock<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    struct Named(u32, mpsc::Sender<u32>);

    impl Sleeper for Named {
        type Id = u32;

        fn id(&self) -> u32 {
            self.0
        }

        fn wake(&self) {
            self.1.send(self.0).unwrap();
        }
    }

    #[test]
    fn sleepers_are_woken_in_the_order_of_their_time_and_only_at_the_last_one_they_said() {
        let (clock, (sender, woken)) = (Clock::start().unwrap(), mpsc::channel());
        let now = Instant::now();
        let soon = |ms| Some(now + Duration::from_millis(ms));
        clock.set(Named(1, sender.clone()), soon(1));
        clock.set(Named(1, sender.clone()), soon(60));
        clock.set(Named(2, sender.clone()), soon(30));
        clock.set(Named(3, sender.clone()), soon(5));
        clock.set(Named(3, sender), None);
        let deadline = Duration::from_secs(10);
        assert_eq!(woken.recv_timeout(deadline), Ok(2));
        assert!(now.elapsed() >= Duration::from_millis(30));
        assert_eq!(woken.recv_timeout(deadline), Ok(1));
        assert!(woken.recv_timeout(deadline).is_err(), "nobody is left, so the thread let go");
    }
}
