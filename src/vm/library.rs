//! Functions of Lua's library that could take the whole machine before any hook looks, with a guard in
//! front of each.
//!
//! The guards are C functions: a wrapper in Lua would stand in every session's memory, cost a call, and
//! hide the name of the function and the line of the caller from error messages.

#![allow(unsafe_code, reason = "C functions, see above")]
// One reason stands for all of them: each is called by Lua, on the thread that runs the state, with its
// arguments on the stack, and keeps nothing that would have to be dropped when an error leaves by a long jump.
#![allow(unsafe_op_in_unsafe_fn, reason = "they are made of such operations")]

use std::{
    ffi::{CStr, c_int},
    slice,
    sync::OnceLock,
};

use mlua::{
    Lua,
    ffi::{self, lua_CFunction, lua_State},
};

use super::{
    deadline::{exceeds, limits, used},
    pattern,
};

/// Bytes of a slot in a table: no table that fits into the memory has more elements than this allows.
const SLOT: usize = 16;

/// Library, name, and what stands in front of the function. Its place in the list is the one of the
/// function in [`ORIGINALS`].
const GUARDS: [(&CStr, &CStr, lua_CFunction); 10] = [
    (c"string", c"find", pattern::find),
    (c"string", c"match", pattern::match_),
    (c"string", c"gmatch", pattern::gmatch),
    (c"string", c"gsub", pattern::gsub),
    (c"string", c"rep", rep),
    (c"table", c"concat", concat),
    (c"table", c"move", move_),
    (c"_G", c"setmetatable", setmetatable),
    (c"debug", c"setmetatable", debug_setmetatable),
    (c"string", c"pack", pack),
];

/// What they guard. The same in every state.
static ORIGINALS: [OnceLock<lua_CFunction>; 10] = [const { OnceLock::new() }; 10];

/// Puts the guards into a state in which nothing of the user has run.
pub(super) fn guard(lua: &Lua) -> mlua::Result<()> {
    // SAFETY: as above; the stack is left as it was.
    unsafe {
        lua.exec_raw::<()>((), |state| {
            for ((library, name, ours), original) in GUARDS.into_iter().zip(&ORIGINALS) {
                ffi::lua_getglobal(state, library.as_ptr());
                ffi::lua_getfield(state, -1, name.as_ptr());
                if let Some(function) = ffi::lua_tocfunction(state, -1) {
                    let _ = original.set(function);
                }
                ffi::lua_pop(state, 1);
                ffi::lua_pushcfunction(state, ours);
                ffi::lua_setfield(state, -2, name.as_ptr());
                ffi::lua_pop(state, 1);
            }
        })
    }
}

/// In the same frame: its errors name the function and the caller as ever.
unsafe fn original(which: usize, state: *mut lua_State) -> c_int {
    match ORIGINALS[which].get() {
        Some(function) => function(state),
        None => 0,
    }
}

unsafe extern "C-unwind" fn rep(state: *mut lua_State) -> c_int {
    let mut is_number = 0;
    let times = ffi::lua_tointegerx(state, 2, &raw mut is_number);
    let (Some(limits), Some(one), Ok(times)) = (limits(), length(state, 1), usize::try_from(times)) else {
        return original(4, state);
    };
    if is_number == 0 {
        return original(4, state);
    }
    let separator = length(state, 3).unwrap_or(0);
    if one + separator == 0 {
        // Lua would count to `times` all the same.
        ffi::lua_pushstring(state, c"".as_ptr());
        return 1;
    }
    let size = one.saturating_mul(times).saturating_add(separator.saturating_mul(times.saturating_sub(1)));
    if size > limits.string {
        let message = c"string.rep: the result would be larger than %d KiB (session.budget.string)";
        ffi::luaL_error(state, message.as_ptr(), kib(limits.string));
    }
    // Said here because Lua's own "not enough memory" comes without file and line.
    if used(state).saturating_add(size) > limits.memory && exceeds(state, limits.memory.saturating_sub(size))
    {
        ffi::luaL_error(state, c"not enough memory".as_ptr());
    }
    original(4, state)
}

/// Fields of a fixed size are filled up: a short format makes a string of any length.
unsafe extern "C-unwind" fn pack(state: *mut lua_State) -> c_int {
    if let Some(limits) = limits().filter(|_| ffi::lua_type(state, 1) == ffi::LUA_TSTRING) {
        let mut length = 0;
        let format = ffi::lua_tolstring(state, 1, &raw mut length);
        if fixed_size(slice::from_raw_parts(format.cast(), length)) > limits.string {
            let message = c"string.pack: the result would be larger than %d KiB (session.budget.string)";
            ffi::luaL_error(state, message.as_ptr(), kib(limits.string));
        }
    }
    original(9, state)
}

/// Bytes of all `c123` in a format of `string.pack`. The other options that have a number after them are of
/// 16 bytes at most.
fn fixed_size(format: &[u8]) -> usize {
    let mut fields = format.split(|&byte| byte == b'c');
    fields.next();
    fields.fold(0, |sum: usize, field| {
        let digits = field.iter().take_while(|byte| byte.is_ascii_digit());
        let size =
            digits.fold(0, |n: usize, &digit| n.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
        sum.saturating_add(size)
    })
}

unsafe extern "C-unwind" fn concat(state: *mut lua_State) -> c_int {
    if let Some(limits) = limits().filter(|_| ffi::lua_type(state, 1) == ffi::LUA_TTABLE) {
        let first = integer(state, 3).unwrap_or(1);
        let last = integer(state, 4)
            .unwrap_or_else(|| ffi::lua_Integer::try_from(ffi::lua_rawlen(state, 1)).unwrap_or(0));
        let separator = length(state, 2).unwrap_or(0);
        let (mut size, mut at) = (0usize, first);
        while at <= last {
            let kind = ffi::lua_rawgeti(state, 1, at);
            let bytes = if kind == ffi::LUA_TSTRING { ffi::lua_rawlen(state, -1) } else { 1 };
            ffi::lua_pop(state, 1);
            size = size.saturating_add(bytes).saturating_add(separator);
            if size > limits.string.saturating_add(separator) {
                let message = c"table.concat: the result would be larger than %d KiB (session.budget.string)";
                ffi::luaL_error(state, message.as_ptr(), kib(limits.string));
            }
            // Where there is none, the original says so, or a metamethod knows one.
            if kind == ffi::LUA_TNIL || at == last {
                break;
            }
            at += 1;
        }
    }
    original(5, state)
}

unsafe extern "C-unwind" fn move_(state: *mut lua_State) -> c_int {
    if let (Some(limits), Some(first), Some(last)) = (limits(), integer(state, 2), integer(state, 3)) {
        let most = ffi::lua_Integer::try_from(limits.memory / SLOT).unwrap_or(ffi::lua_Integer::MAX);
        if last.saturating_sub(first) >= most {
            let message = c"table.move: more elements than fit into the memory (session.budget.memory)";
            ffi::luaL_error(state, message.as_ptr());
        }
    }
    original(6, state)
}

/// A finalizer runs where no deadline can stop it.
unsafe extern "C-unwind" fn setmetatable(state: *mut lua_State) -> c_int {
    if ffi::lua_type(state, 2) == ffi::LUA_TTABLE {
        ffi::lua_pushstring(state, c"__gc".as_ptr());
        if ffi::lua_rawget(state, 2) != ffi::LUA_TNIL {
            ffi::luaL_error(state, c"__gc is not available in a session; use __close".as_ptr());
        }
        ffi::lua_pop(state, 1);
    }
    original(7, state)
}

/// The prelude's. Lua looks for a finalizer when a metatable is set and never again; so here it finds none,
/// even if the user put one into a metatable that was set before.
unsafe extern "C-unwind" fn debug_setmetatable(state: *mut lua_State) -> c_int {
    ffi::lua_settop(state, 2);
    let mut finalizer = ffi::LUA_TNIL;
    if ffi::lua_type(state, 2) == ffi::LUA_TTABLE {
        ffi::lua_pushstring(state, c"__gc".as_ptr());
        finalizer = ffi::lua_rawget(state, 2);
    }
    let set_finalizer = |value| {
        ffi::lua_pushstring(state, c"__gc".as_ptr());
        ffi::lua_pushvalue(state, value);
        ffi::lua_rawset(state, 2);
    };
    if finalizer != ffi::LUA_TNIL {
        ffi::lua_pushnil(state);
        set_finalizer(4);
    }
    ffi::lua_pushvalue(state, 2);
    ffi::lua_setmetatable(state, 1);
    if finalizer != ffi::LUA_TNIL {
        set_finalizer(3);
    }
    ffi::lua_settop(state, 1);
    1
}

/// Bytes of an argument that is text; a number has few.
unsafe fn length(state: *mut lua_State, at: c_int) -> Option<usize> {
    match ffi::lua_type(state, at) {
        ffi::LUA_TSTRING => Some(ffi::lua_rawlen(state, at)),
        ffi::LUA_TNUMBER => Some(1),
        _ => None,
    }
}

unsafe fn integer(state: *mut lua_State, at: c_int) -> Option<ffi::lua_Integer> {
    let mut is_number = 0;
    let value = ffi::lua_tointegerx(state, at, &raw mut is_number);
    (is_number != 0).then_some(value)
}

fn kib(bytes: usize) -> c_int {
    c_int::try_from(bytes / 1024).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_fixed_size_in_a_format_are_added_up() {
        for (format, size) in
            [("", 0), ("c10", 10), ("<i4c100zc1", 101), ("c", 0), ("s1c99999999999999999999c1", usize::MAX)]
        {
            assert_eq!(fixed_size(format.as_bytes()), size, "{format}");
        }
    }
}
