//! When a session is told that its memory runs short.

use std::time::{Duration, Instant};

use mlua::Lua;

/// Percent of the budget from which on it is worth a warning.
const HIGH: usize = 80;
/// Percent of the budget beyond which a session hardly gets on.
const FULL: usize = 95;
/// Whether garbage is what fills the memory is found out by collecting it, no more often than this.
const COLLECT_EVERY: Duration = Duration::from_secs(1);

/// How much of its memory a session uses, when that is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// Much, in bytes, without garbage.
    High(usize),
    /// Nearly all.
    Full(usize),
}

/// Tells each once, until the memory in use is below it again.
#[derive(Debug, Default)]
pub(crate) struct MemoryWatch {
    told_high: bool,
    told_full: bool,
    collected: Option<Instant>,
}

impl MemoryWatch {
    /// As if enough time had passed.
    #[cfg(test)]
    pub(crate) fn forget_last_look(&mut self) {
        self.collected = None;
    }

    pub(in crate::lua) fn look(&mut self, lua: &Lua, budget: usize) -> Option<Pressure> {
        let (high, full) = (budget / 100 * HIGH, budget / 100 * FULL);
        let used = lua.used_memory();
        self.told_high &= used > high;
        self.told_full &= used > full;
        let tellable = (used > high && !self.told_high) || (used > full && !self.told_full);
        let now = Instant::now();
        if !tellable || self.collected.is_some_and(|at| now < at + COLLECT_EVERY) {
            return None;
        }
        self.collected = Some(now);
        if let Err(error) = lua.gc_collect() {
            tracing::debug!(%error, "collecting garbage");
        }
        let used = lua.used_memory();
        let told = self.told_high;
        self.told_high = used > high;
        if used > full {
            self.told_full = true;
            return Some(Pressure::Full(used));
        }
        (used > high && !told).then_some(Pressure::High(used))
    }
}
