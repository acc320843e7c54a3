//! Lists of what is in a table and whether it still is, and the name of a chunk, for which the debug library
//! makes a table of facts.
//!
//! Safety of this file: as in `reload/mod.rs`.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::{
    ffi::{c_char, c_int},
    mem::MaybeUninit,
};

use mlua::{
    Lua, Table,
    ffi::{lua_Debug, lua_State, lua_createtable, lua_getinfo, lua_rawset, lua_settop, lua_tointeger},
};

use super::{
    entries::Entries,
    values::{Raw, RawTable, make_room, part},
};

/// Adds it to the functions that the prelude gets.
pub(super) fn add(lua: &Lua, host: &Table) -> mlua::Result<()> {
    // SAFETY: it is called by the prelude only, with the arguments that it names.
    unsafe { host.raw_set("unlisted", lua.create_c_function(unlisted)?) }
}

/// The name of the chunk that a function is from, and the line on which it begins there.
pub(super) unsafe fn origin(l: *mut lua_State, function: Raw) -> (*const c_char, c_int) {
    let mut about = MaybeUninit::<lua_Debug>::zeroed();
    unsafe {
        function.push(l);
        lua_getinfo(l, c">S".as_ptr(), about.as_mut_ptr());
        let about = &*about.as_ptr();
        (about.source, about.linedefined)
    }
}

/// The lines on which a function begins and ends.
pub(super) unsafe fn lines(l: *mut lua_State, function: Raw) -> (u32, u32) {
    let mut about = MaybeUninit::<lua_Debug>::zeroed();
    let line = |line: c_int| u32::try_from(line).unwrap_or(0);
    unsafe {
        function.push(l);
        lua_getinfo(l, c">S".as_ptr(), about.as_mut_ptr());
        let about = &*about.as_ptr();
        (line(about.linedefined), line(about.lastlinedefined))
    }
}

/// Whether all entries of the table are those that are listed there, in the same order; then, how many values
/// the list has beyond them.
pub(super) unsafe fn begins_as_listed(table: *const RawTable, listed: &[Raw]) -> Option<usize> {
    unsafe {
        let mut pairs = listed.chunks_exact(2);
        let mut entries = Entries::of(table);
        while let Some((key, value)) = entries.take() {
            let pair = pairs.next()?;
            if !key.is(pair[0]) || !value.is(pair[1]) {
                return None;
            }
        }
        Some(pairs.len() * 2)
    }
}

/// On top of the stack the table of such a list.
pub(super) unsafe fn push_unlisted(l: *mut lua_State, list: &[Raw]) {
    unsafe {
        lua_createtable(l, 0, c_int::try_from(list.len() / 2).unwrap_or(0));
        for pair in list.chunks_exact(2) {
            pair[0].push(l);
            pair[1].push(l);
            lua_rawset(l, -3);
        }
    }
}

/// `unlisted(list, from, to)`: the table of a part of such a list.
unsafe extern "C-unwind" fn unlisted(l: *mut lua_State) -> c_int {
    unsafe {
        lua_settop(l, 3);
        make_room(l);
        let list = RawTable::list(RawTable::at(l, 1));
        push_unlisted(l, part(list, lua_tointeger(l, 2), lua_tointeger(l, 3)));
        1
    }
}
