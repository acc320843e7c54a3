//! How many threads may be lost to sessions that are stuck, and which sessions wait because of that.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::lines::Entrance;

/// Counts stuck sessions. Up to `most` of them, another thread takes the place of the stuck one. While there
/// are as many, a stuck session that is restarted waits, since it may get stuck again.
#[derive(Debug)]
pub(super) struct Cap<T> {
    most: usize,
    stuck: watch::Sender<usize>,
    /// With the queue that each of them goes to.
    waiting: Mutex<Vec<(Entrance<T>, T)>>,
}

impl<T> Cap<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, stuck: watch::Sender::new(0), waiting: Mutex::default() }
    }

    /// How many are stuck now.
    pub(super) fn stuck(&self) -> usize {
        *self.stuck.borrow()
    }

    pub(super) fn follow(&self) -> watch::Receiver<usize> {
        self.stuck.subscribe()
    }

    /// One more is stuck. Says whether another thread may take the place of its own.
    pub(super) fn lose(&self) -> bool {
        let mut may_be_replaced = false;
        self.stuck.send_modify(|stuck| {
            may_be_replaced = *stuck < self.most;
            *stuck += 1;
        });
        may_be_replaced
    }

    /// One has come back: a session that waited for that goes on.
    pub(super) fn regain(&self) {
        let mut waiting = self.waiting();
        self.stuck.send_modify(|stuck| *stuck -= 1);
        let places = self.most.saturating_sub(self.stuck()).min(waiting.len());
        for (queue, session) in waiting.drain(..places) {
            queue.push(session);
        }
    }

    /// A session that was stuck goes to the queue, at once or when there is a thread to lose to it. Says
    /// whether at once.
    pub(super) fn admit(&self, queue: &Entrance<T>, session: T) -> bool {
        let mut waiting = self.waiting();
        if self.stuck() >= self.most {
            waiting.push((queue.clone(), session));
            return false;
        }
        queue.push(session);
        true
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(Entrance<T>, T)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
