//! `coroutine.wrap` and `close`, for coroutines that the deadline has ended.
//!
//! Lua turns hooks off while one runs, and a coroutine that a hook has ended by an error stays so. What is then to be
//! closed in it (`local x <close>`) would run without a deadline. So it is not closed any more.

#![allow(unsafe_code, reason = "C functions, see `library`")]
// What `library` says of its functions holds for these, too.
#![allow(unsafe_op_in_unsafe_fn, reason = "they are made of such operations")]

use std::ffi::c_int;

use mlua::ffi::{self, lua_State};

use super::Original;
use crate::lua::limits::deadline::was_ended;

pub(super) static CLOSE: Original = Original::new();

pub(super) unsafe extern "C-unwind" fn close(state: *mut lua_State) -> c_int {
    let coroutine = ffi::lua_tothread(state, 1);
    if coroutine.is_null() || !was_ended(coroutine) {
        return CLOSE.call(state);
    }
    ffi::lua_pushboolean(state, 0);
    ffi::lua_pushstring(state, c"a coroutine that ran too long is not closed".as_ptr());
    2
}

/// As Lua's own makes one, with a function of ours that resumes it.
pub(super) unsafe extern "C-unwind" fn wrap(state: *mut lua_State) -> c_int {
    ffi::luaL_checktype(state, 1, ffi::LUA_TFUNCTION);
    let coroutine = ffi::lua_newthread(state);
    ffi::lua_pushvalue(state, 1);
    ffi::lua_xmove(state, coroutine, 1);
    ffi::lua_pushcclosure(state, resume, 1);
    1
}

unsafe extern "C-unwind" fn resume(state: *mut lua_State) -> c_int {
    let coroutine = ffi::lua_tothread(state, ffi::lua_upvalueindex(1));
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
    let has_failed = !matches!(ffi::lua_status(coroutine), ffi::LUA_OK | ffi::LUA_YIELD);
    if has_failed && !was_ended(coroutine) {
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
