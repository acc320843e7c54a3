//! Wakes sessions when a timer of theirs is due.
//!
//! A thread and not a tokio task: tokio's timers tick once a millisecond, and sessions don't need a
//! runtime otherwise.

use std::{
    collections::{BTreeMap, HashMap},
    io, thread,
    time::Instant,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::{handle::SessionHandle, id::SessionId};

/// Where sessions say when they want to be woken. The thread ends with the last of these.
#[derive(Debug, Clone)]
pub(super) struct Clock(Sender<Alarm>);

/// `None`: no longer.
type Alarm = (SessionHandle, Option<Instant>);

impl Clock {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, alarms) = unbounded();
        thread::Builder::new().name("lua-clock".into()).spawn(move || Alarms::default().run(&alarms))?;
        Ok(Self(sender))
    }

    /// Wakes the session at that time, instead of at whatever it said before.
    pub(super) fn set(&self, session: SessionHandle, at: Option<Instant>) {
        // Without the thread the process is ending.
        let _ = self.0.send((session, at));
    }
}

#[derive(Default)]
struct Alarms {
    by_session: HashMap<SessionId, Instant>,
    by_time: BTreeMap<(Instant, SessionId), SessionHandle>,
}

impl Alarms {
    fn run(&mut self, alarms: &Receiver<Alarm>) {
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

    fn set(&mut self, session: SessionHandle, at: Option<Instant>) {
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
