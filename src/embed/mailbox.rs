//! Where the hot loader, on its thread, leaves what a state shall take up when its owner lets it.

use std::{
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use crate::reload::{Generation, OutcomeSender, Refreshing, ReloadReport, SessionHost};

/// A generation that a state shall move to, and where it says what came of it.
pub(super) type Asked = (Arc<Generation>, OutcomeSender);

/// Of one state. The lock is held to put something in or take it out.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    asked: Mutex<Vec<Asked>>,
    came: Condvar,
}

impl Mailbox {
    /// What has come since the last call.
    pub(super) fn take(&self) -> Vec<Asked> {
        mem::take(&mut *lock(&self.asked))
    }

    /// Takes what has come, and waits for it if there is nothing, `timeout` at most.
    pub(super) fn wait(&self, timeout: Duration) -> Vec<Asked> {
        let asked = self.came.wait_timeout_while(lock(&self.asked), timeout, |asked| asked.is_empty());
        mem::take(&mut *asked.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn put(&self, asked: Asked) {
        lock(&self.asked).push(asked);
        self.came.notify_one();
    }
}

/// The states of a program, as the hot loader knows them.
#[derive(Debug, Default)]
pub(super) struct States(Mutex<Registered>);

#[derive(Debug, Default)]
struct Registered {
    last: u64,
    states: Vec<Entry>,
}

/// A state, for as long as its owner has it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    id: u64,
    mailbox: Weak<Mailbox>,
}

impl States {
    /// One more.
    pub(super) fn add(&self) -> Arc<Mailbox> {
        let mailbox = Arc::default();
        let mut known = lock(&self.0);
        known.states.retain(Entry::is_alive);
        known.last += 1;
        let id = known.last;
        known.states.push(Entry { id, mailbox: Arc::downgrade(&mailbox) });
        mailbox
    }
}

impl Entry {
    fn is_alive(&self) -> bool {
        self.mailbox.strong_count() > 0
    }
}

impl SessionHost for States {
    type Session = Entry;
    type Id = u64;

    fn lua_sessions(&self) -> Vec<Entry> {
        lock(&self.0).states.iter().filter(|state| state.is_alive()).cloned().collect()
    }

    fn id(&self, state: &Entry) -> u64 {
        state.id
    }

    fn is_idle(&self, _: &Entry) -> bool {
        true
    }

    /// A state answers only when its owner calls it, which may be never. So all are asked at once, and none
    /// waits for another.
    fn canaries(&self) -> usize {
        usize::MAX
    }

    fn reload(&self, state: &Entry, target: &Arc<Generation>, outcomes: &OutcomeSender) {
        if let Some(mailbox) = state.mailbox.upgrade() {
            mailbox.put((target.clone(), outcomes.clone()));
        }
    }

    // A program reads from the state what it shows, so there is nothing to refresh.
    fn refresh(&self, _: &Entry, _: Refreshing) {}

    // Each state says what came of it: `State::update`.
    fn announce(&self, _: &ReloadReport) {}

    fn reloaded(&self, _: &ReloadReport) {}
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
