//! [`Pace`]: how often browsers are told of what none of them waits for.

use std::time::{Duration, Instant};

/// In the long run there is that much time between two frames. A session gets no more messages by itself:
/// `hub.messages` is 200 a second.
const INTERVAL: Duration = Duration::from_millis(5);
/// So many may follow each other at once when it was quiet before: what happens now and then shows without delay.
const AT_ONCE: u32 = 10;

/// How often browsers are told of what none of them waits for: at once, as long as it is not too often; then
/// changes leave together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// When all that has been told will have been paid for, an [`INTERVAL`] for each.
    paid: Instant,
}

impl Pace {
    /// Of one that has told nothing yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { paid: now }
    }

    /// When to tell what changes now.
    pub(super) fn next(&self, now: Instant) -> Instant {
        self.paid.checked_sub(INTERVAL * (AT_ONCE - 1)).map_or(now, |from| from.max(now))
    }

    /// They are told now. What a browser waits for is never too much, and counts all the same.
    pub(super) fn told(&mut self, now: Instant) {
        self.paid = (self.paid.max(now) + INTERVAL).min(now + INTERVAL * AT_ONCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_now_and_then_is_told_at_once_and_what_never_ends_at_a_steady_pace() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let mut now = begin;
        for _ in 0..AT_ONCE {
            assert_eq!(pace.next(now), now);
            pace.told(now);
        }
        for _ in 0..100 {
            let next = pace.next(now);
            assert_eq!(next, now + INTERVAL);
            now = next;
            pace.told(now);
        }
        now += INTERVAL * AT_ONCE;
        assert_eq!(pace.next(now), now, "it was quiet again");
        for _ in 0..1000 {
            pace.told(now);
        }
        assert_eq!(pace.next(now), now + INTERVAL, "what browsers have waited for delays others by no more");
    }
}
