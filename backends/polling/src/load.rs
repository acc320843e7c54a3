//! How much of a processor the passes use, over all threads, and how much they may.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// What this thread has used so far.
pub(crate) fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The share is an average over about this long; what is older counts less and less.
const MEMORY: f64 = 10.0;

/// Adds up what was used.
#[derive(Debug)]
pub(crate) struct Load {
    max_cpu: f64,
    started: Instant,
    /// Until then no pass begins by itself.
    rests_until: Instant,
    /// Decaying sum of what was used, in seconds, as of `at`.
    used: f64,
    at: Instant,
}

impl Load {
    pub(crate) fn new(max_cpu: f64, now: Instant) -> Self {
        Self { max_cpu, started: now, rests_until: now, used: 0.0, at: now }
    }

    fn decayed(&self, now: Instant) -> f64 {
        self.used * (-(now - self.at).as_secs_f64() / MEMORY).exp()
    }

    /// Work that began then used so much. What was asked for (`is_asked`) is paid for as well, but does
    /// not pile up: barriers in a row put off the next pass by the rest after the last of them.
    pub(crate) fn add(&mut self, begun: Instant, now: Instant, used: Duration, is_asked: bool) {
        self.used = self.decayed(now) + used.as_secs_f64();
        self.at = now;
        let price = used.div_f64(self.max_cpu);
        let rests_until = if is_asked { begun + price } else { self.rests_until.max(begun) + price };
        self.rests_until = self.rests_until.max(rests_until);
    }

    pub(crate) fn rests_until(&self) -> Instant {
        self.rests_until
    }

    /// Share of one processor, lately.
    pub(crate) fn share(&self, now: Instant) -> f64 {
        let seen = 1.0 - (-(now - self.started).as_secs_f64() / MEMORY).exp();
        if seen > 0.0 { self.decayed(now) / (seen * MEMORY) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn p6_a_pass_of_100_ms_is_not_followed_by_another_within_two_seconds() {
        let start = Instant::now();
        let mut load = Load::new(0.05, start);
        load.add(start, start + 100 * MS, 100 * MS, false);
        assert_eq!(load.rests_until(), start + 2000 * MS);
    }

    #[test]
    fn p6_passes_over_several_mounts_at_once_are_paid_for_together_and_barriers_do_not_pile_up() {
        let start = Instant::now();
        let mut load = Load::new(0.05, start);
        load.add(start, start + 50 * MS, 50 * MS, false);
        load.add(start, start + 50 * MS, 50 * MS, false);
        assert_eq!(load.rests_until(), start + 2000 * MS);
        for barrier in 0..100 {
            let begun = start + barrier * 100 * MS;
            load.add(begun, begun + 100 * MS, 100 * MS, true);
        }
        assert_eq!(load.rests_until(), start + 9900 * MS + 2000 * MS);
    }

    #[test]
    fn the_share_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let mut load = Load::new(1.0, start);
        let mut now = start;
        let mut go_on = |load: &mut Load, seconds: u32, used| {
            for _ in 0..seconds * 2 {
                now += 500 * MS;
                load.add(now, now, used, false);
            }
            load.share(now)
        };
        let busy = go_on(&mut load, 2, 50 * MS);
        assert!((0.08..0.15).contains(&busy), "{busy}");
        let busy = go_on(&mut load, 60, 50 * MS);
        assert!((0.09..0.11).contains(&busy), "{busy}");
        let idle = go_on(&mut load, 60, Duration::ZERO);
        assert!(idle < 0.001, "{idle}");
    }
}
