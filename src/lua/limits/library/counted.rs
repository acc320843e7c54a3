//! Functions of Lua's own that do in one call what the memory allows, some hundredths of a second: their calls
//! are counted, by what they are given and what they give. A thousand instructions, after which the hook looks,
//! may be hundreds of such calls.

#![allow(unsafe_code, reason = "C functions, see `library`")]
// What `library` says of its functions holds for these, too.
#![allow(unsafe_op_in_unsafe_fn, reason = "they are made of such operations")]

use std::{ffi::c_int, slice};

use mlua::ffi::{self, lua_State};

use super::{Guard, Original};
use crate::lua::limits::deadline::spend;

/// So many arguments are looked at; the others are one step each.
const LOOKED_AT: c_int = 8;
/// Bytes of a text that are one step.
const BYTES: usize = 16;
/// A table that was large and is empty is searched from end to end for its first entry.
const FIRST_ENTRY: usize = 1000;

macro_rules! counted {
    ($($library:literal $name:literal $function:ident $original:ident)*) => {
        $(
            static $original: Original = Original::new();

            unsafe extern "C-unwind" fn $function(state: *mut lua_State) -> c_int {
                counted(state, &$original)
            }
        )*

        pub(super) static COUNTED: &[Guard] = &[
            $(Guard { library: $library, name: $name, ours: $function, original: Some(&$original) }),*
        ];
    };
}

counted! {
    c"string" c"byte" byte BYTE
    c"string" c"char" char CHAR
    c"string" c"lower" lower LOWER
    c"string" c"packsize" packsize PACKSIZE
    c"string" c"reverse" reverse REVERSE
    c"string" c"sub" sub SUB
    c"string" c"unpack" unpack UNPACK
    c"string" c"upper" upper UPPER
    c"table" c"pack" table_pack TABLE_PACK
    c"table" c"unpack" table_unpack TABLE_UNPACK
    c"utf8" c"char" utf8_char UTF8_CHAR
    c"utf8" c"codepoint" codepoint CODEPOINT
    c"utf8" c"len" len LEN
    c"utf8" c"offset" offset OFFSET
    c"math" c"max" max MAX
    c"math" c"min" min MIN
    c"_G" c"select" select SELECT
    c"_G" c"tonumber" tonumber TONUMBER
}

unsafe fn counted(state: *mut lua_State, original: &Original) -> c_int {
    let arguments = ffi::lua_gettop(state);
    let mut steps = usize::try_from(arguments).unwrap_or(0);
    for at in 1..=arguments.min(LOOKED_AT) {
        if ffi::lua_type(state, at) == ffi::LUA_TSTRING {
            steps += ffi::lua_rawlen(state, at) / BYTES;
        }
    }
    spend(state, steps);
    let results = original.call(state);
    spend(state, usize::try_from(results).unwrap_or(0));
    results
}

pub(super) static NEXT: Original = Original::new();
pub(super) static PAIRS: Original = Original::new();

pub(super) unsafe extern "C-unwind" fn next(state: *mut lua_State) -> c_int {
    if ffi::lua_isnoneornil(state, 2) != 0 {
        spend(state, FIRST_ENTRY);
    }
    NEXT.call(state)
}

pub(super) unsafe extern "C-unwind" fn pairs(state: *mut lua_State) -> c_int {
    spend(state, FIRST_ENTRY);
    PAIRS.call(state)
}

pub(super) static CODES: Original = Original::new();
/// What `utf8.codes` gives, strictly and not.
static STRICT: Original = Original::new();
static LAX: Original = Original::new();

pub(super) unsafe extern "C-unwind" fn codes(state: *mut lua_State) -> c_int {
    let (iterator, ours) = if ffi::lua_toboolean(state, 2) == 0 {
        (&STRICT, next_strict as ffi::lua_CFunction)
    } else {
        (&LAX, next_lax as ffi::lua_CFunction)
    };
    let results = CODES.call(state);
    iterator.note(ffi::lua_tocfunction(state, -results));
    ffi::lua_pushcfunction(state, ours);
    ffi::lua_replace(state, -results - 1);
    results
}

unsafe extern "C-unwind" fn next_strict(state: *mut lua_State) -> c_int {
    count_skipped(state);
    STRICT.call(state)
}

unsafe extern "C-unwind" fn next_lax(state: *mut lua_State) -> c_int {
    count_skipped(state);
    LAX.call(state)
}

/// The bytes within a character that come before the next one: a text may have nothing else.
unsafe fn count_skipped(state: *mut lua_State) {
    if ffi::lua_type(state, 1) != ffi::LUA_TSTRING {
        return;
    }
    let mut length = 0;
    let text = ffi::lua_tolstring(state, 1, &raw mut length);
    let text: &[u8] = slice::from_raw_parts(text.cast(), length);
    let from = usize::try_from(ffi::lua_tointegerx(state, 2, std::ptr::null_mut())).unwrap_or(length);
    let within = text.get(from..).unwrap_or_default().iter().take_while(|byte| **byte & 0xc0 == 0x80);
    spend(state, 1 + within.count());
}
