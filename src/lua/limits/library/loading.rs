//! `load`, given its text in small pieces: a text of 200 KB can take the compiler seconds, and between two
//! pieces the deadline is heeded.

#![allow(unsafe_code, reason = "C functions, see `library`")]
// What `library` says of its functions holds for these, too.
#![allow(unsafe_op_in_unsafe_fn, reason = "they are made of such operations")]

use std::{
    ffi::{c_char, c_int, c_void},
    ptr, slice,
};

use mlua::ffi::{self, lua_State};

use super::Original;
use crate::lua::limits::deadline::spend;

/// Bytes. Each may cost as much as all that came before it, as in a chain of a hundred thousand `and`.
const PIECE: usize = 512;
/// What a piece costs.
const STEPS: usize = 2_500;

pub(super) static LOAD: Original = Original::new();

pub(super) unsafe extern "C-unwind" fn load(state: *mut lua_State) -> c_int {
    if ffi::lua_type(state, 1) != ffi::LUA_TSTRING {
        // A function gives the pieces.
        return LOAD.call(state);
    }
    let mut length = 0;
    let text = ffi::lua_tolstring(state, 1, &raw mut length);
    let mode = ffi::luaL_optstring(state, 3, c"bt".as_ptr());
    let has_environment = ffi::lua_type(state, 4) != ffi::LUA_TNONE;
    let name = ffi::luaL_optstring(state, 2, text);
    let mut rest: &[u8] = slice::from_raw_parts(text.cast(), length);
    if ffi::lua_load(state, read, (&raw mut rest).cast(), name, mode) != ffi::LUA_OK {
        ffi::lua_pushnil(state);
        ffi::lua_insert(state, -2);
        return 2;
    }
    if has_environment {
        ffi::lua_pushvalue(state, 4);
        if ffi::lua_setupvalue(state, -2, 1).is_null() {
            ffi::lua_pop(state, 1);
        }
    }
    1
}

unsafe extern "C-unwind" fn read(
    state: *mut lua_State,
    rest: *mut c_void,
    size: *mut usize,
) -> *const c_char {
    spend(state, STEPS);
    let rest = rest.cast::<&[u8]>();
    let text = *rest;
    let (piece, after) = text.split_at(text.len().min(PIECE));
    *rest = after;
    *size = piece.len();
    if piece.is_empty() { ptr::null() } else { piece.as_ptr().cast() }
}
