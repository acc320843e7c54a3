//! [`Upkeep`]: when a session cleans up behind itself.

use std::time::{Duration, Instant};

use super::id::SessionId;
use crate::reload::EDITING;

/// Garbage of the start and of a reload is collected after this long, when browsers have been served.
const COLLECT_AFTER: Duration = Duration::from_millis(250);
/// While many sessions wait for a thread, garbage is put off by this long, a few times at most: a save
/// reaches the last session before the first ones clean up.
const POSTPONED: Duration = Duration::from_secs(1);
const POSTPONEMENTS: u8 = 3;

/// What a session has to clean up, and when.
#[derive(Debug)]
pub(super) struct Upkeep {
    id: SessionId,
    pub(super) collect_at: Option<Instant>,
    /// How often that was postponed.
    postponed: u8,
    /// When the code that only reloads need is let go.
    slim_at: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// Code that only reloads need is to be let go.
    pub(super) slim: bool,
    /// Garbage is to be collected.
    pub(super) collect: bool,
}

impl Upkeep {
    /// Begins with the garbage that the main file has left.
    pub(super) fn after_start(id: SessionId, now: Instant) -> Self {
        let mut upkeep = Self { id, collect_at: None, postponed: 0, slim_at: None };
        upkeep.collect_at = Some(now + upkeep.spread(COLLECT_AFTER));
        upkeep
    }

    /// A reload has left garbage, and what it needed.
    pub(super) fn after_reload(&mut self, now: Instant) {
        self.collect_at = Some(now + self.spread(COLLECT_AFTER));
        self.slim_at = Some(now + self.spread(EDITING));
    }

    /// Takes what is due. `is_crowded`: many sessions wait for a thread.
    pub(super) fn due(&mut self, now: Instant, is_crowded: bool) -> Due {
        if is_crowded && self.postponed < POSTPONEMENTS && self.collect_at.is_some_and(|at| at <= now) {
            self.postponed += 1;
            self.collect_at = Some(now + self.spread(POSTPONED));
        }
        let slim = self.slim_at.take_if(|at| *at <= now).is_some();
        let collect = self.collect_at.take_if(|at| *at <= now).is_some() || slim;
        if collect {
            self.postponed = 0;
        }
        Due { slim, collect }
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.collect_at.into_iter().chain(self.slim_at).min()
    }

    /// A time between once and twice this long, by the session's id, so that not all sessions clean up at the
    /// same moment.
    fn spread(&self, time: Duration) -> Duration {
        time + time * self.id.digit() / 16
    }
}
