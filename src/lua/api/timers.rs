//! When a session's timers are due. What they call is in the Lua state.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A handle of a timer; never reused.
pub(crate) type TimerHandle = u64;

/// The pending timers of one session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    last: TimerHandle,
    by_handle: BTreeMap<TimerHandle, (Instant, Option<Duration>)>,
    by_time: BTreeSet<(Instant, TimerHandle)>,
}

impl Timers {
    /// Starts one that fires at `due`, and then at every `interval` if there is one.
    pub(crate) fn start(&mut self, due: Instant, interval: Option<Duration>) -> TimerHandle {
        self.last += 1;
        self.by_handle.insert(self.last, (due, interval));
        self.by_time.insert((due, self.last));
        self.last
    }

    /// A handle for something else that is known by one.
    pub(crate) fn reserve(&mut self) -> TimerHandle {
        self.last += 1;
        self.last
    }

    pub(crate) fn clear(&mut self, handle: TimerHandle) {
        if let Some((due, _)) = self.by_handle.remove(&handle) {
            self.by_time.remove(&(due, handle));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_handle.len()
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.by_time.first().map(|&(due, _)| due)
    }

    /// Takes the first one that is due, and sets a repeating one for its next time. Missed times of
    /// a repeating one are not made up for.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<TimerHandle> {
        let &(due, handle) = self.by_time.first().filter(|&&(due, _)| due <= now)?;
        self.by_time.remove(&(due, handle));
        match self.by_handle.get_mut(&handle) {
            Some((next, Some(interval))) => {
                // Ticks that were missed, since the session was busy or rested, are not made up for.
                *next = if due + *interval > now { due + *interval } else { now + *interval };
                self.by_time.insert((*next, handle));
            }
            _ => {
                self.by_handle.remove(&handle);
            }
        }
        Some(handle)
    }

    /// Goes back to the timers of `before`. Handles that were given meanwhile are not given again.
    pub(crate) fn restore(&mut self, before: Timers) {
        *self = Timers { last: self.last, ..before };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_the_order_of_their_time_and_once_unless_they_repeat() {
        let (now, ms) = (Instant::now(), Duration::from_millis(1));
        let mut timers = Timers::default();
        let late = timers.start(now + 2 * ms, None);
        let repeating = timers.start(now + ms, Some(10 * ms));
        assert_eq!(timers.take_due(now), None);
        assert_eq!(timers.next_due(), Some(now + ms));
        let mut fired = Vec::new();
        while let Some(handle) = timers.take_due(now + 2 * ms) {
            fired.push(handle);
        }
        assert_eq!(fired, [repeating, late]);
        assert_eq!(timers.next_due(), Some(now + 11 * ms));
        timers.clear(repeating);
        assert_eq!((timers.next_due(), timers.len()), (None, 0));
    }

    #[test]
    fn missed_ticks_are_not_made_up_for() {
        let (now, ms) = (Instant::now(), Duration::from_millis(1));
        let mut timers = Timers::default();
        let repeating = timers.start(now, Some(10 * ms));
        assert_eq!(timers.take_due(now + 1005 * ms), Some(repeating));
        assert_eq!(timers.take_due(now + 1005 * ms), None);
        assert_eq!(timers.next_due(), Some(now + 1015 * ms));
    }

    #[test]
    fn a_rollback_brings_timers_back_but_no_handle_twice() {
        let now = Instant::now();
        let mut timers = Timers::default();
        let kept = timers.start(now, None);
        let before = timers.clone();
        timers.clear(kept);
        let undone = timers.start(now, None);
        timers.restore(before);
        assert_eq!(timers.take_due(now), Some(kept));
        assert_eq!(timers.take_due(now), None);
        assert!(timers.start(now, None) > undone);
    }
}
