//! Functions of ours for Lua, and those of its own in whose place they stand.
#![allow(unsafe_code, reason = "see the first page of `frame`")]

use std::{
    ffi::{CStr, c_int},
    mem::size_of,
    ptr::NonNull,
    sync::OnceLock,
};

use mlua::{
    Function, Lua,
    ffi::{self, lua_CFunction, lua_State},
};

use super::{
    Frame, Next, Raise, Stack,
    guarded::guarded,
    next::After,
    steps::{Steps, enter},
};

/// A function that takes several steps.
pub(in crate::lua) trait Work {
    /// What it keeps meanwhile, as it is when the function begins.
    type Steps<'f>: Steps<'f> + Default;
}

/// A function that Lua can call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CFunction(pub(super) lua_CFunction);

impl CFunction {
    /// One that takes several steps.
    pub(in crate::lua) const fn of<W: Work>() -> Self {
        Self(steps::<W>)
    }

    /// One that takes a single step. The function is known by its type: no closure, nor a pointer to a function.
    pub(in crate::lua) const fn once<F>(_: F) -> Self
    where
        F: Copy + for<'f> Fn(Frame<'f>) -> Result<Next<'f>, Raise>,
    {
        const { assert!(size_of::<F>() == 0, "it has to be known by its type") };
        Self(step::<F>)
    }

    /// As a value of a state.
    ///
    /// # Errors
    /// The state has no memory for it.
    pub(in crate::lua) fn into_function(self, lua: &Lua) -> mlua::Result<Function> {
        // SAFETY: only this module makes them, of what expects to be called by Lua.
        unsafe { lua.create_c_function(self.0) }
    }
}

unsafe extern "C-unwind" fn steps<W: Work>(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it.
    unsafe { enter(&Stack::of_function(state), &mut W::Steps::default()) }
}

unsafe extern "C-unwind" fn step<F>(state: *mut lua_State) -> c_int
where
    F: Copy + for<'f> Fn(Frame<'f>) -> Result<Next<'f>, Raise>,
{
    // SAFETY: Lua calls it. A value of a type without size is made of nothing, and `once` was given one.
    unsafe { enter(&Stack::of_function(state), NonNull::<F>::dangling().as_mut()) }
}

/// A function of Lua's own. The same in every state.
#[derive(Debug)]
pub(crate) struct Original(OnceLock<lua_CFunction>);

impl Original {
    pub(in crate::lua) const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn note(&self, function: CFunction) {
        let _ = self.0.set(function.0);
    }

    /// In the same frame: its errors name the function and the caller as ever.
    pub(super) unsafe fn call(&self, state: *mut lua_State, after: Option<After>) -> c_int {
        // SAFETY: the caller's: nothing of Rust's is under way. Only functions without variables are noted, so it is
        // called as Lua would call it.
        unsafe {
            let Some(function) = self.0.get() else { return 0 };
            let results = function(state);
            let Some(after) = after else { return results };
            let stack = Stack::of_function(state);
            stack.given.set(0);
            let done = match after {
                After::Look(look) => guarded(|| look(Frame(&stack), results)).map(|()| results),
                After::Do(work) => guarded(|| Ok(work(Frame(&stack), results))).map(|(ops, results)| {
                    stack.do_all(&ops);
                    results
                }),
            };
            match &done {
                Ok(results) => (*results).clamp(0, stack.height.get()),
                Err(raise) => {
                    raise.out(&stack);
                    0
                }
            }
        }
    }
}

impl Frame<'_> {
    /// A function of Lua's own is noted, if it is one.
    pub(in crate::lua) fn note(self, at: c_int, original: &Original) {
        if let Some(at) = self.0.find(at)
            // SAFETY: there is that value.
            && let Some(function) = unsafe { plain_function(self.0.state, at) }
        {
            original.note(function);
        }
    }
}

/// A C function that has no variables, at a place of the stack above which there is room.
unsafe fn plain_function(l: *mut lua_State, at: c_int) -> Option<CFunction> {
    // SAFETY: the caller's; `at` counts from below, and a variable is on the stack for a moment.
    unsafe {
        let function = ffi::lua_tocfunction(l, at)?;
        if ffi::lua_checkstack(l, 1) == 0 {
            return None;
        }
        if ffi::lua_getupvalue(l, at, 1).is_null() {
            return Some(CFunction(function));
        }
        ffi::lua_settop(l, -2);
        None
    }
}

/// A function of ours in place of one of the library.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(in crate::lua) library: &'static CStr,
    pub(in crate::lua) name: &'static CStr,
    pub(in crate::lua) ours: CFunction,
    /// Where the one of the library is kept, if it is still called.
    pub(in crate::lua) original: Option<&'static Original>,
}

/// Puts them into a state. What the state has not, or has as a function that is none of Lua's own, is passed over.
///
/// # Errors
/// The state has no memory for them.
pub(in crate::lua) fn exchange(lua: &Lua, exchanges: &[Exchange]) -> mlua::Result<()> {
    let put = |l: *mut lua_State| {
        for exchange in exchanges {
            // SAFETY: called by mlua with room on the stack, which is left as it was. Nothing has to be dropped.
            unsafe {
                if ffi::lua_getglobal(l, exchange.library.as_ptr()) == ffi::LUA_TTABLE {
                    ffi::lua_getfield(l, 1, exchange.name.as_ptr());
                    if let Some(function) = plain_function(l, 2) {
                        if let Some(original) = exchange.original {
                            original.note(function);
                        }
                        ffi::lua_pushcclosure(l, exchange.ours.0, 0);
                        ffi::lua_setfield(l, 1, exchange.name.as_ptr());
                    }
                }
                ffi::lua_settop(l, 0);
            }
        }
    };
    // SAFETY: as above.
    unsafe { lua.exec_raw((), put) }
}
