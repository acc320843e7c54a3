//! Time as the passes over one mount count it.

use std::time::{Duration, Instant};

/// Milliseconds since the start; never 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> u64 {
        self.0.elapsed().as_millis() as u64 + 1
    }
}

/// When a pass began, and what goes with that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassTime {
    pub(crate) clock: Clock,
    /// On the clock.
    pub(crate) begun: u64,
    /// When the pass before it began; 0 if there was none.
    pub(crate) previous: u64,
    /// For how long what changed is looked at again although its key would show another change: new
    /// attributes may reach us before new content does.
    pub(crate) echo: Duration,
}

impl PassTime {
    /// Until when something that was seen changed just now is to be looked at again; 0 if it need not be.
    pub(crate) fn until(&self, racy_for: Duration) -> u64 {
        match racy_for.max(self.echo) {
            Duration::ZERO => 0,
            // A millisecond more: the clock cuts off.
            window => self.clock.now() + window.as_millis() as u64 + 1,
        }
    }

    /// Whether it is time to look again at what is to be looked at until then.
    pub(crate) fn is_due(&self, until: u64, racy_for: Duration) -> bool {
        let window = racy_for.max(self.echo).as_millis() as u64 + 1;
        let age = |at: u64| at.saturating_sub(until.saturating_sub(window));
        let racy_for = racy_for.as_millis() as u64 + 1;
        // At each pass as long as another change could hide, and once after that; from then on when the
        // age has doubled.
        let doubled = |age: u64| (age / 500).checked_ilog2();
        age(self.previous) <= racy_for && racy_for > 1
            || self.is_over(until)
            || doubled(age(self.previous)) != doubled(age(self.begun))
    }

    pub(crate) fn is_over(&self, until: u64) -> bool {
        self.begun > until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When, in milliseconds after the change, it is looked at again by passes every 500 ms.
    fn looks(racy_for: Duration, echo: Duration) -> Vec<u64> {
        let time = |begun| PassTime { clock: Clock::new(), begun, previous: begun - 500, echo };
        let window = racy_for.max(echo).as_millis() as u64 + 1;
        let changed = 10_000;
        let due = |begun: &u64| time(*begun).is_due(changed + window, racy_for);
        let end =
            (1..200).map(|pass| changed + pass * 500).find(|&begun| time(begun).is_over(changed + window));
        let passes = (1..200).map(|pass| changed + pass * 500).take_while(|&begun| begun <= end.unwrap());
        passes.filter(due).map(|begun| begun - changed).collect()
    }

    #[test]
    fn what_could_hide_is_looked_at_at_each_pass_and_once_more() {
        assert_eq!(looks(Duration::from_secs(2), Duration::ZERO), [500, 1000, 1500, 2000, 2500]);
        assert_eq!(looks(Duration::from_millis(20), Duration::ZERO), [500]);
    }

    #[test]
    fn content_that_comes_late_is_waited_for_with_growing_gaps() {
        let echo = Duration::from_secs(30);
        assert_eq!(looks(Duration::from_millis(20), echo), [500, 1000, 2000, 4000, 8000, 16000, 30500]);
        assert_eq!(
            looks(Duration::from_secs(2), echo),
            [500, 1000, 1500, 2000, 2500, 4000, 8000, 16000, 30500]
        );
    }
}
