//! The hook that ends scripts which run too long or take too much memory.
//!
//! A count hook looks at the clock every [`PERIOD`] instructions. Once the deadline has passed it
//! fires at every instruction: otherwise `while true do pcall(f) end` would swallow the one error
//! and run on. Coroutines inherit the hook; each is hurried by its own first look after the deadline.
//!
//! The hook is a C function of ours and not one of mlua's: an error that mlua raises in a hook has no traceback.
//! A coroutine that it has ended is never closed: see `library/coroutines.rs`.
//!
//! A state with a count hook calls it before each instruction, to count, which takes a third of the speed.
//! So the hook is there while a script runs; our own code before and after it goes without.
//!
//! What limits a script is kept per thread and not per state: a thread runs one script at a time, and
//! functions of the library, which have no other way to find it, look it up there.

use std::{cell::Cell, ffi::c_int, sync::Arc, time::Duration};

use mlua::Lua;

use super::{clock::now, place::Place, sighting::Sighting};
use crate::{
    config::BudgetConfig,
    lua::frame::{self, Coroutine, Frame, Hook, Main, Next, Raise},
};

/// Instructions between two looks at the clock: some microseconds.
const PERIOD: c_int = 1000;
/// What functions of the library do between two looks at the clock, in steps of some nanoseconds.
const STEPS: usize = 10_000;
/// The same once the script is to end, which also marks a coroutine that has ended so.
const HURRIED: c_int = 1;
/// The same after a collection: it looks at once.
const SOON: c_int = 2;

/// A unit of work that may not run longer than configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// How long.
    pub(crate) time: Duration,
    /// The configuration key that says so.
    pub(crate) key: &'static str,
}

/// What the scripts of one Lua state may take.
#[derive(Debug)]
pub(crate) struct Deadline {
    main: Main,
    limits: Limits,
    /// Bytes, what a reload needs to undo itself: that is allowed beyond the limit.
    lent: Cell<usize>,
}

/// What limits the script that runs on this thread.
#[derive(Debug, Clone, Copy)]
pub(in crate::lua) struct Limits {
    /// When it ends, in the time of [`now`]; 0: nothing runs, and nothing is limited.
    until: u64,
    /// Bytes, garbage not counted. The error has file and line, unlike that of the allocator's own limit,
    /// which is higher.
    pub(in crate::lua) memory: usize,
    /// Bytes of one string made by `rep` or `concat`.
    pub(in crate::lua) string: usize,
}

/// What was limited before, if runs are nested.
#[derive(Debug)]
#[must_use = "it has to be handed back at the end"]
pub(crate) struct Outer(Limits);

struct ThisThread {
    limits: Cell<Limits>,
    expired: Cell<bool>,
    /// Where the script was when its time was up, or was seen last when memory ran short: what is
    /// raised then comes from elsewhere, or without a place.
    place: Cell<Place>,
    sighting: Arc<Sighting>,
}

thread_local! {
    static HERE: ThisThread = ThisThread {
        limits: Cell::new(Limits { until: 0, memory: 0, string: 0 }),
        expired: Cell::new(false),
        place: Cell::new(Place::NONE),
        sighting: Arc::new(Sighting::new()),
    };

    /// How many until the next look of a function of the library. By itself: it is asked at each of their calls, and
    /// what has nothing to be dropped is found faster.
    static STEPS_LEFT: Cell<usize> = const { Cell::new(STEPS) };
}

/// What the watchdog can see of this thread.
pub(crate) fn sighting() -> Arc<Sighting> {
    HERE.with(|here| here.sighting.clone())
}

/// What limits the script that runs on this thread, if one does.
pub(in crate::lua) fn limits() -> Option<Limits> {
    HERE.with(|here| Some(here.limits.get()).filter(|limits| limits.until > 0))
}

/// Says whether it is too early to look.
fn count(steps: usize) -> bool {
    STEPS_LEFT.with(|steps_left| {
        let left = steps_left.get().checked_sub(steps);
        steps_left.set(left.unwrap_or(STEPS));
        left.is_some()
    })
}

/// Whether the script has time left. Code of ours, which no hook looks at, always has.
pub(in crate::lua) fn may_go_on(frame: Frame<'_>) -> bool {
    HERE.with(|here| {
        let limits = here.limits.get();
        if limits.until == 0 || !frame.has_hook() {
            return true;
        }
        if here.sighting.is_looked_at() {
            here.sighting.note(Place::of(frame));
        }
        here.note_before_memory_fails(frame);
        !here.expired.get() && now() < limits.until
    })
}

/// Notes where the script is: what a function of the library makes in a buffer does not count as used by Lua, so
/// nothing else notes it before the allocator fails.
pub(in crate::lua) fn note_place(frame: Frame<'_>) {
    HERE.with(|here| {
        if here.limits.get().until > 0 {
            here.place.set(Place::of(frame));
        }
    });
}

/// What the hook does, where no instruction comes at which it could: its error if the time is up.
#[cold]
pub(in crate::lua) fn look(frame: Frame<'_>) -> Result<(), Raise> {
    if may_go_on(frame) { Ok(()) } else { HERE.with(|here| here.check(frame)) }
}

/// A function of the library does so many steps, of some nanoseconds each, in which no hook looks.
#[inline]
pub(in crate::lua) fn spend(frame: Frame<'_>, steps: usize) -> Result<(), Raise> {
    if count(steps) { Ok(()) } else { look(frame) }
}

/// [`spend`] for a function of ours that may have something to drop.
pub(in crate::lua) fn spend_in(lua: &Lua, steps: usize) -> mlua::Result<()> {
    if count(steps) {
        return Ok(());
    }
    fn once(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
        look(frame).map(|()| Next::NOTHING)
    }
    frame::run(lua, (), once)
}

impl Deadline {
    /// For a state that is owned by the same as this.
    pub(crate) fn install(lua: &Lua, budget: &BudgetConfig) -> mlua::Result<Self> {
        frame::on_collection::<Collected>(lua)?;
        let main = Main::of(lua)?;
        let limits = Limits { until: 0, memory: budget.memory.as_usize(), string: budget.string.as_usize() };
        Ok(Self { main, limits, lent: Cell::new(0) })
    }

    /// So many bytes more may be in use, from the next run on.
    pub(crate) fn lend(&self, bytes: usize) {
        self.lent.set(bytes);
    }

    /// See [`lend`](Self::lend).
    pub(crate) fn lent(&self) -> usize {
        self.lent.get()
    }

    /// Coroutines that are made meanwhile inherit the hook, and keep it.
    fn hook(&self, is_on: bool) {
        self.main.look(|frame| {
            if is_on {
                frame.set_hook::<Watch>(PERIOD);
            } else {
                frame.remove_hook();
            }
        });
    }

    /// From now on, for as long as `budget` allows, and no longer than a run around it may take.
    pub(crate) fn start(&self, budget: Budget) -> Outer {
        let outer = self.start_unwatched(budget);
        if outer.0.until == 0 {
            self.hook(true);
        }
        outer
    }

    /// The same for code of ours, which calls [`watch`] before it calls code of the user.
    pub(crate) fn start_unwatched(&self, budget: Budget) -> Outer {
        let span = u64::try_from(budget.time.as_nanos()).unwrap_or(u64::MAX);
        HERE.with(|here| {
            let outer = here.limits.get();
            let longest = if outer.until == 0 { u64::MAX } else { outer.until };
            let until = now().saturating_add(span).clamp(1, longest);
            let memory = self.limits.memory.saturating_add(self.lent());
            here.limits.set(Limits { until, memory, ..self.limits });
            here.place.set(Place::NONE);
            here.sighting.entered(until);
            Outer(outer)
        })
    }

    /// The work is done. Says whether it had run too long.
    pub(crate) fn end(&self, Outer(outer): Outer) -> bool {
        HERE.with(|here| {
            here.limits.set(outer);
            if outer.until == 0 {
                here.sighting.left();
            } else {
                here.sighting.entered(outer.until);
            }
            // Or it is hurried on. What the hook has hurried beside the main thread was ended by it.
            self.hook(outer.until != 0);
            here.expired.replace(false)
        })
    }

    /// Where the script was when its time was up or its memory short, `file:line`; empty if unknown.
    pub(crate) fn take_place(&self) -> String {
        HERE.with(|here| here.place.replace(Place::NONE).to_string())
    }
}

/// From here on the hook looks at what the running thread does. Says whether it did not before; then [`unwatch`]
/// has to follow, or the end of the run.
pub(in crate::lua) fn watch(frame: Frame<'_>) -> bool {
    let begins = limits().is_some() && !frame.has_hook();
    if begins {
        frame.set_hook::<Watch>(PERIOD);
    }
    begins
}

/// What follows is code of ours again.
pub(in crate::lua) fn unwatch(frame: Frame<'_>) {
    frame.remove_hook();
}

/// Whether a coroutine has ended by an error of the hook: hooks are off in it.
pub(in crate::lua) fn was_ended(coroutine: Coroutine<'_>) -> bool {
    coroutine.has_failed() && coroutine.hook_period() == HURRIED
}

/// `watched(function, ...)` for code of ours that no hook looks at: calls the function, which is the user's, and
/// looks at it meanwhile. If it fails, the end of the run takes the hook away.
pub(in crate::lua) fn watched(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    let begins = watch(frame);
    Ok(Next::CallAll(begins.then_some(unwatch)))
}

impl ThisThread {
    /// Notes where the script is, should the allocator fail before the next look: a table or a text that grows doubles.
    fn note_before_memory_fails(&self, frame: Frame<'_>) {
        if frame.used() > self.limits.get().memory / 4 {
            self.place.set(Place::of(frame));
        }
    }

    fn check(&self, frame: Frame<'_>) -> Result<(), Raise> {
        let limits = self.limits.get();
        if limits.until == 0 {
            return Ok(());
        }
        if self.expired.get() || now() >= limits.until {
            let place = Place::of(frame);
            if !self.expired.replace(true) {
                self.place.set(place);
            }
            frame.set_hook::<Watch>(HURRIED);
            return Err(Raise::bare(format_args!("{place}: ran too long")));
        }
        if frame.hook_period() != PERIOD {
            // A collection has made it look at once.
            frame.set_hook::<Watch>(PERIOD);
        }
        if self.sighting.is_looked_at() {
            self.sighting.note(Place::of(frame));
        }
        self.note_before_memory_fails(frame);
        if exceeds(frame, limits.memory) {
            return Err(Raise::bare(format_args!("{}: not enough memory", Place::of(frame))));
        }
        Ok(())
    }
}

/// The hook.
struct Watch;

impl Hook for Watch {
    fn look(frame: Frame<'_>) -> Result<(), Raise> {
        let verdict = HERE.with(|here| here.check(frame));
        if verdict.is_err() {
            frame.set_hook::<Self>(HURRIED);
        }
        verdict
    }
}

/// Whether that much is in use when the garbage is gone.
pub(in crate::lua) fn exceeds(frame: Frame<'_>, limit: usize) -> bool {
    frame.used() > limit && {
        // Lua collects when as much again as is alive has been allocated: most of it may be garbage.
        frame.collect();
        frame.used() > limit
    }
}

/// A string that doubles exhausts the memory within a hundred instructions: no look of the hook comes in
/// between, and the allocator fails without a place. But each doubling makes Lua collect.
struct Collected;

impl Hook for Collected {
    fn look(frame: Frame<'_>) -> Result<(), Raise> {
        // How much is in use can't be asked in a finalizer.
        HERE.with(|here| {
            if here.limits.get().until > 0 {
                here.place.set(Place::of(frame));
                // Large texts make a thousand instructions take seconds: the next one is looked at.
                if frame.has_hook() {
                    frame.set_hook::<Watch>(SOON);
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
