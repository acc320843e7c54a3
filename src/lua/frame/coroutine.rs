//! Going on with a coroutine, and `load`: what Lua's own do, with a question of ours in the middle.
#![allow(unsafe_code, reason = "see the first page of `frame`")]

use std::{
    ffi::{c_char, c_int, c_void},
    marker::PhantomData,
    ptr, slice,
};

use mlua::ffi::{self, lua_State};

use super::{Frame, Raise, Stack, guarded::guarded};

/// A coroutine that does not run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coroutine<'f> {
    state: *mut lua_State,
    marker: PhantomData<&'f ()>,
}

impl Coroutine<'_> {
    /// It has ended by an error.
    pub(in crate::lua) fn has_failed(self) -> bool {
        // SAFETY: it is held by the frame, and looking raises no errors.
        !matches!(unsafe { ffi::lua_status(self.state) }, ffi::LUA_OK | ffi::LUA_YIELD)
    }

    /// See [`Frame::hook_period`].
    pub(in crate::lua) fn hook_period(self) -> c_int {
        // SAFETY: as above.
        unsafe { ffi::lua_gethookcount(self.state) }
    }
}

impl<'f> Frame<'f> {
    /// An argument that is a coroutine.
    pub(in crate::lua) fn coroutine(self, at: c_int) -> Option<Coroutine<'f>> {
        let at = self.0.find(at).filter(|at| *at <= self.arguments())?;
        // SAFETY: there is that value, which stays.
        let state = unsafe { ffi::lua_tothread(self.0.state, at) };
        (!state.is_null()).then_some(Coroutine { state, marker: PhantomData })
    }
}

/// See [`Next::Resume`](super::Next::Resume).
///
/// # Safety
/// A C function has been called by Lua, and returns what this does; nothing of Rust's is under way.
pub(super) unsafe fn resume(state: *mut lua_State, may_close: fn(Coroutine<'_>) -> bool) -> c_int {
    // SAFETY: the caller's; the coroutine is held by the function.
    unsafe {
        let coroutine = ffi::lua_tothread(state, ffi::lua_upvalueindex(1));
        if coroutine.is_null() {
            return ffi::luaL_error(state, c"cannot resume what is no coroutine".as_ptr());
        }
        let arguments = ffi::lua_gettop(state);
        if ffi::lua_checkstack(coroutine, arguments) == 0 {
            return ffi::luaL_error(state, c"too many arguments to resume".as_ptr());
        }
        ffi::lua_xmove(state, coroutine, arguments);
        let mut results = 0;
        let status = ffi::lua_resume(coroutine, state, arguments, &raw mut results);
        if matches!(status, ffi::LUA_OK | ffi::LUA_YIELD) {
            if ffi::lua_checkstack(state, results + 1) == 0 {
                ffi::lua_settop(coroutine, -results - 1);
                return ffi::luaL_error(state, c"too many results to resume".as_ptr());
            }
            ffi::lua_xmove(coroutine, state, results);
            return results;
        }
        // An error in the coroutine, and not one of resuming it.
        let about = Coroutine { state: coroutine, marker: PhantomData };
        if about.has_failed() && guarded(|| Ok(may_close(about))).unwrap_or(false) {
            ffi::lua_closethread(coroutine, state);
        }
        ffi::lua_xmove(coroutine, state, 1);
        if status != ffi::LUA_ERRMEM && ffi::lua_type(state, -1) == ffi::LUA_TSTRING {
            // Where it was called, as Lua has it.
            ffi::luaL_where(state, 1);
            ffi::lua_rotate(state, -2, 1);
            ffi::lua_concat(state, 2);
        }
        ffi::lua_error(state)
    }
}

#[derive(Clone, Copy)]
struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
    before: fn(Frame<'_>) -> Result<(), Raise>,
}

/// See [`Next::Load`](super::Next::Load).
///
/// # Safety
/// As for [`resume`].
pub(super) unsafe fn load(
    state: *mut lua_State,
    size: usize,
    before: fn(Frame<'_>) -> Result<(), Raise>,
) -> c_int {
    // SAFETY: the caller's. The text is an argument, and so stays where it is.
    unsafe {
        let mut length = 0;
        let text = ffi::luaL_checklstring(state, 1, &raw mut length);
        let mode = ffi::luaL_optstring(state, 3, c"bt".as_ptr());
        let has_environment = ffi::lua_type(state, 4) != ffi::LUA_TNONE;
        let name = ffi::luaL_optstring(state, 2, text);
        let mut pieces =
            Pieces { rest: slice::from_raw_parts(text.cast(), length), size: size.max(1), before };
        if ffi::lua_load(state, read, (&raw mut pieces).cast(), name, mode) != ffi::LUA_OK {
            ffi::lua_pushnil(state);
            ffi::lua_rotate(state, -2, 1);
            return 2;
        }
        if has_environment {
            ffi::lua_pushvalue(state, 4);
            if ffi::lua_setupvalue(state, -2, 1).is_null() {
                ffi::lua_settop(state, -2);
            }
        }
        1
    }
}

unsafe extern "C-unwind" fn read(
    state: *mut lua_State,
    pieces: *mut c_void,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: Lua calls it with what `load` has given it; what is raised ends in `lua_load`, and passes nothing that
    // would have to be dropped.
    unsafe {
        let pieces = &mut *pieces.cast::<Pieces<'_>>();
        let stack = Stack::empty(state);
        let before = pieces.before;
        if let Err(raise) = guarded(|| before(Frame(&stack))) {
            raise.out(&stack);
        }
        let (piece, rest) = pieces.rest.split_at(pieces.rest.len().min(pieces.size));
        pieces.rest = rest;
        *size = piece.len();
        if piece.is_empty() { ptr::null() } else { piece.as_ptr().cast() }
    }
}
