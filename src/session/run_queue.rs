//! Where sessions wait for a thread.

use std::sync::Arc;

use super::{
    cap::Cap,
    lines::{Entrance, Turns, lines},
};

/// Where a session asks for a turn; it waits for one at a time.
///
/// Those that have just used up a turn wait behind all others, so that a session that wants little waits only
/// for turns under way. Of every eight turns they get one all the same.
#[derive(Debug, Clone)]
pub(super) struct RunQueue<T> {
    entrance: Entrance<T>,
    cap: Arc<Cap<T>>,
}

/// An empty queue, by both its ends.
pub(super) fn run_queue<T>(cap: Arc<Cap<T>>) -> (RunQueue<T>, Turns<T>) {
    let (entrance, turns) = lines();
    (RunQueue { entrance, cap }, turns)
}

impl<T> RunQueue<T> {
    pub(super) fn push(&self, session: T) {
        self.entrance.push(session);
    }

    /// One that has just had a turn.
    pub(super) fn push_behind(&self, session: T) {
        self.entrance.push_behind(session);
    }

    /// Queues a stuck session that is restarted. Returns whether it may run before others are back.
    pub(super) fn push_again(&self, session: T) -> bool {
        self.cap.admit(&self.entrance, session)
    }

    /// How many sessions wait for a thread.
    pub(super) fn waiting(&self) -> usize {
        self.entrance.waiting()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::RecvTimeoutError;

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
