//! [`Failing`]: what fails in the sessions of a server, against what failed with the release before.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::report::cut;

/// So many times as much as before is still usual: chance has it that the same fault comes twice in one minute, and
/// not at all in the next.
const USUAL: u128 = 2;
/// The last error is told with so many bytes.
const MAX_LAST: usize = 1 << 10;

/// What fails in the sessions of a server since it runs its release, and what failed with the one before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failing {
    /// Errors of Lua code since it runs its release.
    pub errors: u64,
    /// For how long it runs it, in milliseconds.
    pub ms: u64,
    /// Errors with the release before.
    pub errors_before: u64,
    /// For how long that ran.
    pub ms_before: u64,
    /// The last error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last: String,
}

impl Failing {
    /// Whether more fails than twice what failed before in the same time. Where nothing failed, one error is more.
    pub fn is_unusual(&self) -> bool {
        let (now, before) = (u128::from(self.errors), u128::from(self.errors_before));
        now * u128::from(self.ms_before.max(1)) > USUAL * before * u128::from(self.ms)
    }
}

/// Counts what fails, by release.
#[derive(Debug)]
pub(super) struct FaultCount {
    /// Errors since the server started, when it began to run its release.
    from: u64,
    since: Instant,
    before: (u64, Duration),
}

impl FaultCount {
    pub(super) fn new(now: Instant) -> Self {
        Self { from: 0, since: now, before: (0, Duration::ZERO) }
    }

    /// Another release runs from now on; `total` errors were there before.
    pub(super) fn begin(&mut self, total: u64, now: Instant) {
        let before = (total.saturating_sub(self.from), now.saturating_duration_since(self.since));
        *self = Self { from: total, since: now, before };
    }

    /// How it is, after `total` errors since the server started.
    pub(super) fn now(&self, total: u64, last: &str, now: Instant) -> Failing {
        let ms = |time: Duration| time.as_millis().try_into().unwrap_or(u64::MAX);
        let errors = total.saturating_sub(self.from);
        let mut last = if errors > 0 { last.to_owned() } else { String::new() };
        cut(&mut last, MAX_LAST);
        Failing {
            errors,
            ms: ms(now.saturating_duration_since(self.since)),
            errors_before: self.before.0,
            ms_before: ms(self.before.1),
            last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_twice_what_failed_before_in_the_same_time_is_unusual() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut count = FaultCount::new(start);
        // 60 in ten minutes: one in ten seconds.
        count.begin(60, at(600));
        for (more, secs, is_unusual) in
            [(0, 1, false), (1, 4, true), (1, 10, false), (2, 10, false), (3, 10, true), (20, 100, false)]
        {
            let failing = count.now(60 + more, "boom", at(600 + secs));
            assert_eq!(failing.is_unusual(), is_unusual, "{more} in {secs} s");
        }
    }

    #[test]
    fn where_nothing_failed_one_error_is_unusual_and_the_next_release_begins_anew() {
        let start = Instant::now();
        let mut count = FaultCount::new(start);
        let soon = start + Duration::from_millis(1);
        assert!(!count.now(0, "", soon).is_unusual());
        let failing = count.now(1, "lua/main.lua:3: boom", soon);
        assert!(failing.is_unusual() && failing.last.contains("boom"));
        count.begin(1, soon);
        assert_eq!(
            count.now(1, "boom", soon),
            Failing { errors_before: 1, ms_before: 1, ..Failing::default() }
        );
    }
}
