//! The two lines in which sessions wait for a thread, by their ends.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

/// Of this many turns, those that wait behind get one.
const FAIR: usize = 8;

/// Where sessions are put.
#[derive(Debug)]
pub(super) struct Entrance<T> {
    lines: Arc<Mutex<Lines<T>>>,
    /// One for each session that waits. A thread waits for a ticket and not in a `select!` over two queues,
    /// which sleeps at once: being woken takes longer than most turns.
    tickets: Sender<()>,
}

/// Where threads wait for sessions.
#[derive(Debug)]
pub(super) struct Turns<T> {
    lines: Arc<Mutex<Lines<T>>>,
    tickets: Receiver<()>,
}

#[derive(Debug)]
struct Lines<T> {
    first: VecDeque<T>,
    behind: VecDeque<T>,
    turn: usize,
}

/// Empty lines, by both their ends.
pub(super) fn lines<T>() -> (Entrance<T>, Turns<T>) {
    let lines = Lines { first: VecDeque::new(), behind: VecDeque::new(), turn: 0 };
    let (lines, (sender, tickets)) = (Arc::new(Mutex::new(lines)), unbounded());
    (Entrance { lines: lines.clone(), tickets: sender }, Turns { lines, tickets })
}

impl<T> Entrance<T> {
    pub(super) fn push(&self, session: T) {
        lock(&self.lines).first.push_back(session);
        self.announce();
    }

    /// One that has just had a turn.
    pub(super) fn push_behind(&self, session: T) {
        lock(&self.lines).behind.push_back(session);
        self.announce();
    }

    /// How many sessions wait for a thread.
    pub(super) fn waiting(&self) -> usize {
        self.tickets.len()
    }

    fn announce(&self) {
        // Without the pool the process is ending.
        let _ = self.tickets.send(());
    }
}

impl<T> Clone for Entrance<T> {
    fn clone(&self) -> Self {
        Self { lines: self.lines.clone(), tickets: self.tickets.clone() }
    }
}

impl<T> Turns<T> {
    /// The next session that has work.
    pub(super) fn next(&self, within: Duration) -> Result<T, RecvTimeoutError> {
        self.tickets.recv_timeout(within)?;
        lock(&self.lines).take().ok_or(RecvTimeoutError::Disconnected)
    }

    /// How many sessions wait.
    pub(super) fn waiting(&self) -> usize {
        self.tickets.len()
    }
}

impl<T> Lines<T> {
    fn take(&mut self) -> Option<T> {
        self.turn += 1;
        if self.turn.is_multiple_of(FAIR) {
            self.behind.pop_front().or_else(|| self.first.pop_front())
        } else {
            self.first.pop_front().or_else(|| self.behind.pop_front())
        }
    }
}

fn lock<T>(lines: &Mutex<Lines<T>>) -> MutexGuard<'_, Lines<T>> {
    // Nothing that can panic runs under the lock.
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
