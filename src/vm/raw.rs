//! What the prelude asks of tables and functions, as functions of C: lists of what is in a table and whether it
//! still is, and the name of a chunk, for which the debug library makes a table of facts.
//!
//! Safety of this file: as in `reload/mod.rs`.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::{
    ffi::{c_char, c_int},
    mem::MaybeUninit,
};

use mlua::{
    Lua, Table,
    ffi::{
        LUA_MULTRET, LUA_OK, LUA_TNIL, lua_Debug, lua_State, lua_call, lua_createtable, lua_error,
        lua_gethook, lua_gethookcount, lua_gethookmask, lua_getinfo, lua_gettop, lua_pcall, lua_pop,
        lua_pushboolean, lua_pushnil, lua_pushstring, lua_pushvalue, lua_rawequal, lua_rawget, lua_rawgeti,
        lua_rawset, lua_sethook, lua_settop, lua_tointeger, lua_type,
    },
};

use super::{
    entries::{Entries, List},
    values::{Raw, RawTable, make_room, part},
};

/// Adds them to the functions that the prelude gets.
pub(super) fn add(lua: &Lua, host: &Table) -> mlua::Result<()> {
    // SAFETY: they are called by the prelude only, with the arguments that they name.
    unsafe {
        host.raw_set("source", lua.create_c_function(source)?)?;
        host.raw_set("list", lua.create_c_function(list)?)?;
        host.raw_set("unlisted", lua.create_c_function(unlisted)?)?;
        host.raw_set("is_listed", lua.create_c_function(is_listed)?)?;
        host.raw_set("note_changes", lua.create_c_function(note_changes)?)?;
        host.raw_set("quietly", lua.create_c_function(quietly)?)
    }
}

/// `source(f)`: the name of the chunk that the function is from.
unsafe extern "C-unwind" fn source(l: *mut lua_State) -> c_int {
    unsafe {
        lua_settop(l, 1);
        lua_pushstring(l, origin(l, Raw::top(l)).0);
        1
    }
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

/// `list(t)`: key, value, key, value ... A list takes less time to make, and to compare, than a copy.
unsafe extern "C-unwind" fn list(l: *mut lua_State) -> c_int {
    const LIST: c_int = 2;
    unsafe {
        lua_settop(l, 1);
        // There is room for all, so nothing is collected on the way.
        lua_createtable(l, Entries::at(l, 1).count().saturating_mul(2), 0);
        let (mut list, mut entries) = (List::at(l, LIST), Entries::at(l, 1));
        while let Some((key, value)) = entries.take() {
            list.append(l, key);
            list.append(l, value);
        }
        1
    }
}

/// `unlisted(list, from, to)`: the table of such a list, or of a part of one.
unsafe extern "C-unwind" fn unlisted(l: *mut lua_State) -> c_int {
    const LIST: c_int = 1;
    const TABLE: c_int = 4;
    unsafe {
        lua_settop(l, TABLE - 1);
        let (mut at, to) = (lua_tointeger(l, 2), lua_tointeger(l, 3));
        lua_createtable(l, 0, c_int::try_from((to - at + 1) / 2).unwrap_or(0).max(0));
        while at < to {
            lua_rawgeti(l, LIST, at);
            lua_rawgeti(l, LIST, at + 1);
            lua_rawset(l, TABLE);
            at += 2;
        }
        lua_settop(l, TABLE);
        1
    }
}

/// `is_listed(t, list, from, to)`: whether the table is as it was when it was listed there. False, too, if it
/// only has its keys in another order, or holds a long string that is equal and not the same.
unsafe extern "C-unwind" fn is_listed(l: *mut lua_State) -> c_int {
    unsafe {
        let list = RawTable::list(RawTable::at(l, 2));
        let (from, to) = (lua_tointeger(l, 3), lua_tointeger(l, 4));
        let left = begins_as_listed(RawTable::at(l, 1), part(list, from, to));
        lua_pushboolean(l, c_int::from(left == Some(0)));
        1
    }
}

/// `note_changes(now, was, changes, nothing)`: to `changes` goes what was there before under each key whose
/// value is another now, `nothing` for nil; keys that it has already are left alone.
unsafe extern "C-unwind" fn note_changes(l: *mut lua_State) -> c_int {
    const NOW: c_int = 1;
    const WAS: c_int = 2;
    const CHANGES: c_int = 3;
    const NOTHING: c_int = 4;
    unsafe {
        make_room(l);
        lua_settop(l, NOTHING);
        for (one, other) in [(NOW, WAS), (WAS, NOW)] {
            let mut entries = Entries::at(l, one);
            lua_pushnil(l);
            while entries.next(l) {
                lua_pushvalue(l, -2);
                lua_rawget(l, other);
                if lua_rawequal(l, -1, -2) == 0 {
                    lua_pushvalue(l, -3);
                    if lua_rawget(l, CHANGES) == LUA_TNIL {
                        // Key, and its value in WAS.
                        lua_pushvalue(l, -4);
                        let was = if one == WAS { -4 } else { -3 };
                        lua_pushvalue(l, if lua_type(l, was) == LUA_TNIL { NOTHING } else { was });
                        lua_rawset(l, CHANGES);
                    }
                    lua_pop(l, 1);
                }
                lua_pop(l, 2);
            }
        }
        0
    }
}

/// `quietly(f, ...)`: a call without the deadline hook, which looks at each instruction to count them. For
/// code of ours that ends by itself, within a run of the user's.
unsafe extern "C-unwind" fn quietly(l: *mut lua_State) -> c_int {
    unsafe {
        let (hook, mask, count) = (lua_gethook(l), lua_gethookmask(l), lua_gethookcount(l));
        if hook.is_none() {
            lua_call(l, lua_gettop(l) - 1, LUA_MULTRET);
            return lua_gettop(l);
        }
        lua_sethook(l, None, 0, 0);
        let status = lua_pcall(l, lua_gettop(l) - 1, LUA_MULTRET, 0);
        lua_sethook(l, hook, mask, count);
        if status != LUA_OK {
            lua_error(l);
        }
        lua_gettop(l)
    }
}
