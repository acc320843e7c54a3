//! Wakes sessions when a timer of theirs is due.
//!
//! A thread and not a tokio task: tokio's timers tick once a millisecond, and sessions don't need a
//! runtime otherwise.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    io, thread,
    time::Instant,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

/// Who wants to be woken.
pub(super) trait Sleeper: Send + 'static {
    /// What tells one from another.
    type Id: Copy + Eq + Hash + Ord + Send;

    fn id(&self) -> Self::Id;
    /// It is time. Must not wait.
    fn wake(&self);
}

/// Where sessions say when they want to be woken. The thread ends with the last of these.
#[derive(Debug, Clone)]
pub(super) struct Clock<S>(Sender<Alarm<S>>);

/// `None`: no longer.
type Alarm<S> = (S, Option<Instant>);

impl<S: Sleeper> Clock<S> {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, alarms) = unbounded();
        thread::Builder::new().name("lua-clock".into()).spawn(move || Alarms::new().run(&alarms))?;
        Ok(Self(sender))
    }

    /// Wakes the session at that time, instead of at whatever it said before.
    pub(super) fn set(&self, session: S, at: Option<Instant>) {
        // Without the thread the process is ending.
        let _ = self.0.send((session, at));
    }
}

struct Alarms<S: Sleeper> {
    by_session: HashMap<S::Id, Instant>,
    by_time: BTreeMap<(Instant, S::Id), S>,
}

impl<S: Sleeper> Alarms<S> {
    fn new() -> Self {
        Self { by_session: HashMap::new(), by_time: BTreeMap::new() }
    }

    fn run(&mut self, alarms: &Receiver<Alarm<S>>) {
        loop {
            let next = self.by_time.first_key_value().map(|(&(at, _), _)| at);
            let alarm = match next {
                Some(at) => alarms.recv_deadline(at),
                None => alarms.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match alarm {
                Ok((session, at)) => self.set(session, at),
                Err(RecvTimeoutError::Timeout) => self.ring(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn set(&mut self, session: S, at: Option<Instant>) {
        let id = session.id();
        if let Some(before) = self.by_session.remove(&id) {
            self.by_time.remove(&(before, id));
        }
        if let Some(at) = at {
            self.by_session.insert(id, at);
            self.by_time.insert((at, id), session);
        }
    }

    fn ring(&mut self, now: Instant) {
        while let Some(entry) = self.by_time.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, id), session) = entry.remove_entry();
            self.by_session.remove(&id);
            session.wake();
        }
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
