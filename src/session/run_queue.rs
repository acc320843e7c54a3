//! Where sessions wait for a thread.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::cap::Cap;

/// Of so many turns, those that wait behind get one.
const FAIR: usize = 8;

/// Where a session asks for a turn; it waits for one at a time.
///
/// Those that have just had a turn and want more wait behind all that have not, so that who wants little
/// waits for no more than the turns that are under way. Of every [`FAIR`] turns they get one all the same.
#[derive(Debug, Clone)]
pub(super) struct RunQueue<T> {
    entrance: Entrance<T>,
    cap: Arc<Cap<T>>,
}

/// A queue without the bound on those that begin anew.
#[derive(Debug)]
pub(super) struct Entrance<T> {
    lines: Arc<Mutex<Lines<T>>>,
    /// One for each that waits. A thread waits for a ticket, and not in a `select!` over two queues: that
    /// sleeps at once, and to be woken takes longer than most turns.
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

/// An empty queue, by both its ends.
pub(super) fn run_queue<T>(cap: Arc<Cap<T>>) -> (RunQueue<T>, Turns<T>) {
    let lines = Lines { first: VecDeque::new(), behind: VecDeque::new(), turn: 0 };
    let (lines, (sender, tickets)) = (Arc::new(Mutex::new(lines)), unbounded());
    let entrance = Entrance { lines: lines.clone(), tickets: sender };
    (RunQueue { entrance, cap }, Turns { lines, tickets })
}

impl<T> RunQueue<T> {
    pub(super) fn push(&self, session: T) {
        self.entrance.push(session);
    }

    /// One that has just had a turn.
    pub(super) fn push_behind(&self, session: T) {
        lock(&self.entrance.lines).behind.push_back(session);
        self.entrance.announce();
    }

    /// For one that was stuck, and begins anew. Says whether it need not wait until others are back.
    pub(super) fn push_again(&self, session: T) -> bool {
        self.cap.admit(&self.entrance, session)
    }

    /// How many sessions wait for a thread.
    pub(super) fn waiting(&self) -> usize {
        self.entrance.tickets.len()
    }
}

impl<T> Entrance<T> {
    pub(super) fn push(&self, session: T) {
        lock(&self.lines).first.push_back(session);
        self.announce();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_had_a_turn_waits_behind_those_who_did_not_and_gets_one_of_eight_all_the_same() {
        let (queue, turns) = run_queue(Arc::new(Cap::new(1)));
        for n in 0..16 {
            queue.push_behind(100 + n);
            queue.push(n);
        }
        assert_eq!(turns.waiting(), 32);
        let order: Vec<_> = (0..32).map(|_| turns.next(Duration::ZERO).unwrap()).collect();
        assert_eq!(order[..8], [0, 1, 2, 3, 4, 5, 6, 100]);
        assert_eq!(order[8..18], [7, 8, 9, 10, 11, 12, 13, 101, 14, 15]);
        assert!((queue.waiting(), turns.next(Duration::ZERO)) == (0, Err(RecvTimeoutError::Timeout)));
        drop(queue);
        assert_eq!(turns.next(Duration::from_secs(60)), Err(RecvTimeoutError::Disconnected));
    }
}
