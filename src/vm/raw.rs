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
    entries::{Entries, List},
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

/// On top of the stack: key, value, key, value ... A list takes less time to make, and to compare, than a copy.
pub(super) unsafe fn push_list(l: *mut lua_State, table: *const RawTable) {
    unsafe {
        // There is room for all, so nothing is collected on the way.
        lua_createtable(l, Entries::of(table).count().saturating_mul(2), 0);
        let (mut list, mut entries) = (List::at(l, -1), Entries::of(table));
        while let Some((key, value)) = entries.take() {
            list.append(l, key);
            list.append(l, value);
        }
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

/// To `changes` goes what was there before under each key whose value is another now, `nothing` for nil; keys
/// that it has already are left alone.
pub(super) unsafe fn note_changes(
    l: *mut lua_State,
    now: *const RawTable,
    was: *const RawTable,
    changes: *const RawTable,
    nothing: Raw,
) {
    unsafe {
        for (one, other) in [(now, was), (was, now)] {
            let mut entries = Entries::of(one);
            while let Some((key, value)) = entries.take() {
                let opposite = RawTable::get(other, l, key);
                if !value.equals(l, opposite) && RawTable::get(changes, l, key).is_nil() {
                    let before = if one == was { value } else { opposite };
                    RawTable::set(changes, l, key, if before.is_nil() { nothing } else { before });
                }
            }
        }
    }
}
