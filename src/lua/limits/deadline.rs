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

#![allow(unsafe_code, reason = "hooks and finalizers in C, see above")]

use std::{
    cell::Cell,
    ffi::{CStr, c_int},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use mlua::{Lua, ffi};

use super::{place::Place, sighting::Sighting};
use crate::config::BudgetConfig;

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
    main: MainThread,
    limits: Limits,
    /// Bytes, what a reload needs to undo itself: that is allowed beyond the limit.
    lent: Cell<usize>,
}

/// The main thread of the state, which lives as long as the state.
#[derive(Debug)]
struct MainThread(*mut ffi::lua_State);

// SAFETY: it goes where its state goes, which is `Send`, and is used by its owner only.
unsafe impl Send for MainThread {}

impl MainThread {
    /// Coroutines that are made meanwhile inherit the hook, and keep it.
    fn hook(&self, is_on: bool) {
        // SAFETY: whoever starts or ends a run owns the state. Setting a hook raises no errors.
        unsafe {
            if is_on {
                ffi::lua_sethook(self.0, Some(hook), ffi::LUA_MASKCOUNT, PERIOD);
            } else {
                ffi::lua_sethook(self.0, None, 0, 0);
            }
        }
    }
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
    /// Until the next look of a function of the library.
    steps: Cell<usize>,
    sighting: Arc<Sighting>,
}

thread_local! {
    static HERE: ThisThread = ThisThread {
        limits: Cell::new(Limits { until: 0, memory: 0, string: 0 }),
        expired: Cell::new(false),
        place: Cell::new(Place::NONE),
        steps: Cell::new(STEPS),
        sighting: Arc::new(Sighting::new()),
    };
}

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the first call.
pub(in crate::lua) fn now() -> u64 {
    // 584 years fit.
    u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX)
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
    HERE.with(|here| {
        let left = here.steps.get().checked_sub(steps);
        here.steps.set(left.unwrap_or(STEPS));
        left.is_some()
    })
}

/// Whether the script has time left. Code of ours, which no hook looks at, always has.
///
/// # Safety
/// `state` has to be running on this thread.
pub(in crate::lua) unsafe fn may_go_on(state: *mut ffi::lua_State) -> bool {
    // SAFETY: the caller's. None of these raises errors.
    unsafe {
        HERE.with(|here| {
            let limits = here.limits.get();
            if limits.until == 0 || ffi::lua_gethook(state).is_none() {
                return true;
            }
            if here.sighting.is_looked_at() {
                here.sighting.note(Place::of(state));
            }
            here.note_before_memory_fails(state);
            !here.expired.get() && now() < limits.until
        })
    }
}

/// Notes where the script is: what a function of the library makes in a buffer does not count as used by Lua, so
/// nothing else notes it before the allocator fails.
///
/// # Safety
/// As for [`may_go_on`].
pub(in crate::lua) unsafe fn note_place(state: *mut ffi::lua_State) {
    HERE.with(|here| {
        if here.limits.get().until > 0 {
            // SAFETY: the caller's.
            here.place.set(unsafe { Place::of(state) });
        }
    });
}

/// What the hook does, where no instruction comes at which it could: raises its error if the time is up.
///
/// # Safety
/// As for [`may_go_on`]; nothing may have to be dropped in the frames of the function of the library that calls
/// this.
pub(in crate::lua) unsafe fn look(state: *mut ffi::lua_State) {
    // SAFETY: the caller's.
    unsafe {
        if !may_go_on(state)
            && let Verdict::Stop(place, why) = HERE.with(|here| here.check(state))
        {
            raise(state, place, why);
        }
    }
}

/// A function of the library does so many steps, of some nanoseconds each, in which no hook looks.
///
/// # Safety
/// As for [`look`].
pub(in crate::lua) unsafe fn spend(state: *mut ffi::lua_State, steps: usize) {
    if !count(steps) {
        // SAFETY: the caller's.
        unsafe { look(state) }
    }
}

/// [`spend`] for a function of ours that may have something to drop.
pub(in crate::lua) fn spend_in(lua: &Lua, steps: usize) -> mlua::Result<()> {
    if count(steps) {
        return Ok(());
    }
    // SAFETY: an error is caught by the call; nothing has to be dropped inside it.
    unsafe { lua.exec_raw::<()>((), |state| look(state)) }
}

impl Deadline {
    /// For a state that is owned by the same as this.
    pub(crate) fn install(lua: &Lua, budget: &BudgetConfig) -> mlua::Result<Self> {
        let mut main = std::ptr::null_mut();
        // SAFETY: none of these leaves anything on the stack but the main thread, for a moment.
        unsafe {
            lua.exec_raw::<()>((), |state| {
                watch_collections(state);
                ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, ffi::LUA_RIDX_MAINTHREAD);
                main = ffi::lua_tothread(state, -1);
                ffi::lua_pop(state, 1);
            })?;
        }
        let limits = Limits { until: 0, memory: budget.memory.as_usize(), string: budget.string.as_usize() };
        Ok(Self { main: MainThread(main), limits, lent: Cell::new(0) })
    }

    /// So many bytes more may be in use, from the next run on.
    pub(crate) fn lend(&self, bytes: usize) {
        self.lent.set(bytes);
    }

    /// See [`lend`](Self::lend).
    pub(crate) fn lent(&self) -> usize {
        self.lent.get()
    }

    /// From now on, for as long as `budget` allows, and no longer than a run around it may take.
    pub(crate) fn start(&self, budget: Budget) -> Outer {
        let outer = self.start_unwatched(budget);
        if outer.0.until == 0 {
            self.main.hook(true);
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
            self.main.hook(outer.until != 0);
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
///
/// # Safety
/// `state` has to be running on this thread.
pub(in crate::lua) unsafe fn watch(state: *mut ffi::lua_State) -> bool {
    // SAFETY: the caller's. Setting a hook raises no errors.
    unsafe {
        let begins = limits().is_some() && ffi::lua_gethook(state).is_none();
        if begins {
            ffi::lua_sethook(state, Some(hook), ffi::LUA_MASKCOUNT, PERIOD);
        }
        begins
    }
}

/// Whether a coroutine has ended by an error of the hook: hooks are off in it.
///
/// # Safety
/// It is a coroutine of the state that is running on this thread.
pub(in crate::lua) unsafe fn was_ended(coroutine: *mut ffi::lua_State) -> bool {
    // SAFETY: the caller's. Looking raises no errors.
    unsafe {
        !matches!(ffi::lua_status(coroutine), ffi::LUA_OK | ffi::LUA_YIELD)
            && ffi::lua_gethookcount(coroutine) == HURRIED
    }
}

/// What follows is code of ours again.
///
/// # Safety
/// As for [`watch`].
pub(in crate::lua) unsafe fn unwatch(state: *mut ffi::lua_State) {
    // SAFETY: the caller's.
    unsafe { ffi::lua_sethook(state, None, 0, 0) }
}

/// `watched(function, ...)` for code of ours that no hook looks at: calls the function, which is the user's, and
/// looks at it meanwhile.
///
/// # Safety
/// Only Lua calls it.
pub(in crate::lua) unsafe extern "C-unwind" fn watched(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the function and its arguments are on the stack. Nothing here has to be dropped when an error comes
    // through; the end of the run takes the hook away then.
    unsafe {
        let begins = watch(state);
        ffi::lua_call(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET);
        if begins {
            unwatch(state);
        }
        ffi::lua_gettop(state)
    }
}

enum Verdict {
    GoOn,
    Stop(Place, &'static CStr),
}

impl ThisThread {
    /// Notes where the script is, should the allocator fail before the next look: a table or a text that grows doubles.
    ///
    /// # Safety
    /// As for [`check`](Self::check).
    unsafe fn note_before_memory_fails(&self, state: *mut ffi::lua_State) {
        // SAFETY: the caller's. Neither raises errors.
        unsafe {
            if used(state) > self.limits.get().memory / 4 {
                self.place.set(Place::of(state));
            }
        }
    }

    /// # Safety
    /// `state` has to be the one that runs on this thread.
    unsafe fn check(&self, state: *mut ffi::lua_State) -> Verdict {
        let limits = self.limits.get();
        if limits.until == 0 {
            return Verdict::GoOn;
        }
        // SAFETY: the caller's. None of these raises errors: those of finalizers are warnings.
        unsafe {
            if self.expired.get() || now() >= limits.until {
                let place = Place::of(state);
                if !self.expired.replace(true) {
                    self.place.set(place);
                }
                ffi::lua_sethook(state, Some(hook), ffi::LUA_MASKCOUNT, HURRIED);
                return Verdict::Stop(place, c"ran too long");
            }
            if ffi::lua_gethookcount(state) != PERIOD {
                // A collection has made it look at once.
                ffi::lua_sethook(state, Some(hook), ffi::LUA_MASKCOUNT, PERIOD);
            }
            if self.sighting.is_looked_at() {
                self.sighting.note(Place::of(state));
            }
            self.note_before_memory_fails(state);
            if exceeds(state, limits.memory) {
                return Verdict::Stop(Place::of(state), c"not enough memory");
            }
        }
        Verdict::GoOn
    }
}

unsafe extern "C-unwind" fn hook(state: *mut ffi::lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: Lua calls hooks on the thread that runs the state. Nothing here needs to be dropped when
    // the error leaves by a long jump.
    unsafe {
        if let Verdict::Stop(place, why) = HERE.with(|here| here.check(state)) {
            ffi::lua_sethook(state, Some(hook), ffi::LUA_MASKCOUNT, HURRIED);
            raise(state, place, why);
        }
    }
}

/// Leaves by a long jump.
unsafe fn raise(state: *mut ffi::lua_State, place: Place, why: &CStr) {
    // SAFETY: the caller's; a place has nothing to be dropped.
    unsafe {
        ffi::lua_pushfstring(state, c"%s: %s".as_ptr(), place.as_c_str().as_ptr(), why.as_ptr());
        ffi::lua_error(state);
    }
}

/// Bytes that the state uses, garbage included.
pub(in crate::lua) unsafe fn used(state: *mut ffi::lua_State) -> usize {
    // SAFETY: the caller's; counting raises no errors.
    let (kib, rest) =
        unsafe { (ffi::lua_gc(state, ffi::LUA_GCCOUNT), ffi::lua_gc(state, ffi::LUA_GCCOUNTB)) };
    usize::try_from(kib).unwrap_or(0) * 1024 + usize::try_from(rest).unwrap_or(0)
}

/// Whether that much is in use when the garbage is gone.
pub(in crate::lua) unsafe fn exceeds(state: *mut ffi::lua_State, limit: usize) -> bool {
    // SAFETY: the caller's.
    unsafe {
        used(state) > limit && {
            // Lua collects when as much again as is alive has been allocated: most of it may be garbage.
            ffi::lua_gc(state, ffi::LUA_GCCOLLECT);
            used(state) > limit
        }
    }
}

/// Makes an object that nobody holds: each collection finds it, and calls [`collected`].
unsafe fn watch_collections(state: *mut ffi::lua_State) {
    // SAFETY: called in a protected call with room for three values.
    unsafe {
        ffi::lua_createtable(state, 0, 0);
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_pushcfunction(state, collected);
        ffi::lua_setfield(state, -2, c"__gc".as_ptr());
        ffi::lua_setmetatable(state, -2);
        ffi::lua_pop(state, 1);
    }
}

/// A string that doubles exhausts the memory within a hundred instructions: no look of the hook comes in
/// between, and the allocator fails without a place. But each doubling makes Lua collect.
unsafe extern "C-unwind" fn collected(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls a finalizer with its object, on the thread that runs the state.
    unsafe {
        // How much is in use can't be asked in a finalizer.
        HERE.with(|here| {
            if here.limits.get().until > 0 {
                here.place.set(Place::of(state));
                // Large texts make a thousand instructions take seconds: the next one is looked at.
                if ffi::lua_gethook(state).is_some() {
                    ffi::lua_sethook(state, Some(hook), ffi::LUA_MASKCOUNT, SOON);
                }
            }
        });
        // For the next collection.
        if ffi::lua_getmetatable(state, 1) != 0 {
            ffi::lua_setmetatable(state, 1);
        }
    }
    0
}

#[cfg(test)]
mod tests;
