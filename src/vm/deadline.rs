//! The hook that ends scripts which run too long or take too much memory.
//!
//! A count hook looks at the clock every [`PERIOD`] instructions. Once the deadline has passed it
//! fires at every instruction: otherwise `while true do pcall(f) end` would swallow the one error
//! and run on.

use std::{
    fmt,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use mlua::{HookTriggers, Lua, VmState};

/// Instructions between two looks at the clock: some microseconds.
const PERIOD: u32 = 1000;
/// Frames that are looked at for one of the user.
const DEPTH: usize = 10;

/// A unit of work that may not run longer than configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// How long.
    pub(crate) time: Duration,
    /// The configuration key that says so.
    pub(crate) key: &'static str,
}

/// The deadline of one Lua state.
#[derive(Clone)]
pub(crate) struct Deadline(Arc<Inner>);

struct Inner {
    /// Nanoseconds since [`EPOCH`]; 0: none.
    at: AtomicU64,
    expired: AtomicBool,
    /// Where the script was when its time was up, or was seen last when memory ran short: what is
    /// raised then comes from elsewhere, or without a place. One thread at a time gets here, so the
    /// lock never waits.
    place: Mutex<String>,
    /// In bytes, garbage not counted. The error has file and line, unlike that of the allocator's own
    /// limit, which is higher.
    memory: usize,
}

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now() -> u64 {
    // 584 years fit.
    u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl Deadline {
    /// Installs the hook; coroutines inherit it.
    pub(crate) fn install(lua: &Lua, memory: usize) -> mlua::Result<Self> {
        let inner =
            Inner { at: AtomicU64::new(0), expired: AtomicBool::new(false), place: Mutex::default(), memory };
        let deadline = Self(Arc::new(inner));
        deadline.hook(lua, PERIOD)?;
        Ok(deadline)
    }

    fn hook(&self, lua: &Lua, period: u32) -> mlua::Result<()> {
        let this = self.clone();
        let triggers = HookTriggers::new().every_nth_instruction(period);
        lua.set_global_hook(triggers, move |lua, _| this.check(lua))
    }

    fn check(&self, lua: &Lua) -> mlua::Result<VmState> {
        let at = self.0.at.load(Relaxed);
        if at == 0 {
            return Ok(VmState::Continue);
        }
        if self.0.expired.load(Relaxed) || now() >= at {
            if !self.0.expired.swap(true, Relaxed) {
                *self.place() = position(lua);
                self.hook(lua, 1)?;
            }
            return Err(mlua::Error::runtime(format!("{}: ran too long", position(lua))));
        }
        if lua.used_memory() > self.0.memory / 4 * 3 {
            // Should the allocator fail before the next look.
            *self.place() = position(lua);
        }
        if lua.used_memory() > self.0.memory {
            // Lua collects when as much again as is alive has been allocated: most of it may be garbage.
            lua.gc_collect()?;
        }
        if lua.used_memory() > self.0.memory {
            let message = format!("{}: not enough memory", position(lua));
            return Err(mlua::Error::MemoryError(message));
        }
        Ok(VmState::Continue)
    }

    /// From now on, for as long as `budget` allows.
    pub(crate) fn start(&self, budget: Budget) {
        let span = u64::try_from(budget.time.as_nanos()).unwrap_or(u64::MAX);
        self.0.at.store(now().saturating_add(span).max(1), Relaxed);
    }

    /// The work is done. Says whether it had run too long.
    pub(crate) fn end(&self, lua: &Lua) -> bool {
        self.0.at.store(0, Relaxed);
        let expired = self.0.expired.swap(false, Relaxed);
        if expired && let Err(error) = self.hook(lua, PERIOD) {
            tracing::error!(%error, "the deadline hook could not be set back");
        }
        expired
    }

    /// Where the script was when its time was up or its memory short, `file:line`; empty if unknown.
    pub(crate) fn take_place(&self) -> String {
        std::mem::take(&mut *self.place())
    }

    fn place(&self) -> std::sync::MutexGuard<'_, String> {
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deadline")
    }
}

/// The innermost frame of the user: the prelude, which mends parts of the library, has no lines.
fn position(lua: &Lua) -> String {
    let frame = |level| {
        lua.inspect_stack(level, |debug| {
            let line = debug.current_line()?;
            Some(format!("{}:{line}", debug.source().short_src.unwrap_or_default()))
        })
    };
    (0..DEPTH).map_while(frame).flatten().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(code: &str) -> (mlua::Result<()>, bool, Duration) {
        let lua = Lua::new();
        let deadline = Deadline::install(&lua, 64 << 20).unwrap();
        let began = Instant::now();
        deadline.start(Budget { time: Duration::from_millis(50), key: "k" });
        let result = lua.load(code).set_name("@a.lua").exec();
        (result, deadline.end(&lua), began.elapsed())
    }

    fn assert_ended(code: &str) {
        let (result, expired, took) = run(code);
        let error = result.unwrap_err().to_string();
        assert!(expired, "{code}: {error}");
        assert!(error.contains("a.lua:"), "{error}");
        assert!(took < Duration::from_secs(2), "{code} took {took:?}");
    }

    #[test]
    fn an_endless_loop_ends_with_its_file_and_line() {
        assert_ended("\n\nwhile true do end");
        assert!(run("\n\nwhile true do end").0.unwrap_err().to_string().contains("a.lua:3: ran too long"));
    }

    #[test]
    fn a_loop_that_catches_every_error_ends_too() {
        assert_ended("while true do pcall(function() while true do end end) end");
        assert_ended("while true do pcall(error, 'x') end");
        assert_ended("local function f() while true do pcall(f) end end f()");
    }

    #[test]
    fn a_coroutine_does_not_escape() {
        assert_ended(
            "local co = coroutine.wrap(function() while true do pcall(function() while true do end end) end end) while true do pcall(co) end",
        );
        assert_ended(
            "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end",
        );
    }

    #[test]
    fn the_next_unit_of_work_has_its_whole_budget() {
        let lua = Lua::new();
        let deadline = Deadline::install(&lua, 64 << 20).unwrap();
        deadline.start(Budget { time: Duration::from_millis(1), key: "k" });
        lua.load("while true do end").exec().unwrap_err();
        assert!(deadline.end(&lua));
        deadline.start(Budget { time: Duration::from_secs(60), key: "k" });
        lua.load("for i = 1, 100000 do pcall(error) end").exec().unwrap();
        assert!(!deadline.end(&lua));
    }

    #[test]
    fn garbage_does_not_count() {
        let lua = Lua::new();
        let deadline = Deadline::install(&lua, 16 << 20).unwrap();
        deadline.start(Budget { time: Duration::from_secs(60), key: "k" });
        // Left to itself, Lua collects when as much again as is alive has been allocated.
        let keep = "local t = {} for i = 1, 100 do t[i] = ('x'):rep(100000) .. i end";
        let churn = "for i = 1, 100000 do local s = ('y'):rep(1000) .. i end return #t";
        lua.load(format!("{keep}\n{churn}")).exec().unwrap();
    }

    #[test]
    fn memory_running_out_is_told_with_file_and_line() {
        let lua = Lua::new();
        let deadline = Deadline::install(&lua, 4 << 20).unwrap();
        deadline.start(Budget { time: Duration::from_secs(60), key: "k" });
        let error = lua.load("local t = {}\nwhile true do t[#t + 1] = {} end").set_name("@a.lua").exec();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("a.lua:2: not enough memory"), "{error}");
    }
}
