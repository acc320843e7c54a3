//! What a reload does for each function and each table, as functions of C: the debug library makes a table
//! of facts, or a string of a name, where one word is asked for.
//!
//! Safety of this file: as in `walk.rs`.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
    ptr,
};

use mlua::{
    Lua, Table,
    ffi::{
        LUA_MULTRET, LUA_OK, LUA_TFUNCTION, LUA_TNIL, lua_Debug, lua_Integer, lua_State, lua_checkstack,
        lua_createtable, lua_error, lua_gethook, lua_gethookcount, lua_gethookmask, lua_getinfo,
        lua_getmetatable, lua_gettop, lua_getupvalue, lua_iscfunction, lua_pcall, lua_pop, lua_pushboolean,
        lua_pushinteger, lua_pushlightuserdata, lua_pushnil, lua_pushstring, lua_pushvalue, lua_rawequal,
        lua_rawget, lua_rawgeti, lua_rawgetp, lua_rawset, lua_rotate, lua_sethook, lua_settop, lua_tointeger,
        lua_type, lua_upvalueid,
    },
};

use super::{
    entries::{Entries, List, Raw, RawTable, nth},
    passes::is_no_name,
};

/// Adds them to the functions that the prelude gets.
pub(super) fn add(lua: &Lua, host: &Table) -> mlua::Result<()> {
    // SAFETY: they are called by the prelude only, with the arguments that they name.
    unsafe {
        host.raw_set("source", lua.create_c_function(source)?)?;
        host.raw_set("next_upvalue", lua.create_c_function(next_upvalue)?)?;
        host.raw_set("next_changed", lua.create_c_function(next_changed)?)?;
        host.raw_set("next_held", lua.create_c_function(next_held)?)?;
        host.raw_set("next_stale", lua.create_c_function(next_stale)?)?;
        host.raw_set("know", lua.create_c_function(know)?)?;
        host.raw_set("copy", lua.create_c_function(copy)?)?;
        host.raw_set("list", lua.create_c_function(list)?)?;
        host.raw_set("unlisted", lua.create_c_function(unlisted)?)?;
        host.raw_set("is_listed", lua.create_c_function(is_listed)?)?;
        host.raw_set("note_changes", lua.create_c_function(note_changes)?)?;
        host.raw_set("sized", lua.create_c_function(sized)?)?;
        host.raw_set("quietly", lua.create_c_function(quietly)?)
    }
}

/// `source(f)`: the name of the chunk that the function is from.
unsafe extern "C-unwind" fn source(l: *mut lua_State) -> c_int {
    unsafe {
        lua_settop(l, 1);
        push_source(l);
        1
    }
}

/// Of the function on top of the stack, in its place.
pub(super) unsafe fn push_source(l: *mut lua_State) {
    unsafe {
        let mut about = MaybeUninit::<lua_Debug>::zeroed();
        lua_getinfo(l, c">S".as_ptr(), about.as_mut_ptr());
        lua_pushstring(l, (*about.as_ptr()).source);
    }
}

/// `next_upvalue(f, from, done)`: index, name, value and identity of the first upvalue from there on whose
/// identity is not in the set `done`; nothing if there is none, or for a function of C or of ours. Functions
/// of one file share most of theirs.
unsafe extern "C-unwind" fn next_upvalue(l: *mut lua_State) -> c_int {
    const DONE: c_int = 3;
    unsafe {
        let from = c_int::try_from(lua_tointeger(l, 2)).unwrap_or(c_int::MAX);
        for i in from.. {
            lua_settop(l, DONE);
            let name = lua_getupvalue(l, 1, i);
            if name.is_null() || matches!(CStr::from_ptr(name).to_bytes(), b"" | b"(no name)") {
                return 0;
            }
            let identity = lua_upvalueid(l, 1, i);
            if lua_rawgetp(l, DONE, identity) == LUA_TNIL {
                lua_pop(l, 1);
                lua_pushinteger(l, i.into());
                lua_pushstring(l, name);
                // Index and name before the value.
                lua_rotate(l, DONE + 1, 2);
                lua_pushlightuserdata(l, identity);
                return 4;
            }
        }
        0
    }
}

/// `next_changed(tables, at, replaced)`: of the snapshot's list, from `at` on, the place of the first table
/// that has other content than it had, or a metatable that is in `replaced`; and whether the content is the
/// same. Nothing at the end.
unsafe extern "C-unwind" fn next_changed(l: *mut lua_State) -> c_int {
    const TABLES: c_int = 1;
    const REPLACED: c_int = 3;
    unsafe {
        if lua_checkstack(l, 10) == 0 {
            return 0;
        }
        let (tables, mut at) = (RawTable::list(RawTable::at(l, TABLES)), lua_tointeger(l, 2));
        // Objects of one class share theirs, and most often it stays.
        let mut kept = ptr::null();
        while let Some(table) = nth(tables, at).table() {
            let stop = nth(tables, at + 2).integer();
            let metatable = RawTable::metatable(table);
            let mut other_metatable = false;
            if !metatable.is_null() && metatable != kept {
                nth(tables, at).push(l);
                lua_getmetatable(l, -1);
                other_metatable = lua_rawget(l, REPLACED) != LUA_TNIL;
                lua_settop(l, REPLACED);
                kept = if other_metatable { kept } else { metatable };
            }
            let same = begins_as_listed(table, tables, at + 3, stop).is_some();
            if !same || other_metatable {
                lua_pushinteger(l, at);
                lua_pushboolean(l, c_int::from(same));
                return 2;
            }
            at = stop + 1;
        }
        0
    }
}

/// Whether all entries of the table are those that were listed there, in the same order; then, how far the
/// list goes on beyond them.
unsafe fn begins_as_listed(
    table: *const RawTable,
    list: &[Raw],
    mut at: lua_Integer,
    to: lua_Integer,
) -> Option<lua_Integer> {
    unsafe {
        let mut entries = Entries::of(table);
        while let Some((key, value)) = entries.take() {
            if at > to || !key.is(nth(list, at)) || !value.is(nth(list, at + 1)) {
                return None;
            }
            at += 2;
        }
        Some(to + 1 - at)
    }
}

/// `next_held(slots, from, follows)`: of the snapshot's list, from there on, the place of the first table that
/// still holds a function which is in `follows`. Nothing at the end.
unsafe extern "C-unwind" fn next_held(l: *mut lua_State) -> c_int {
    unsafe { next_slot(l, |l| lua_rawget(l, FOLLOWS) != LUA_TNIL) }
}

/// `next_stale(slots, from, follows, sources)`: likewise, one that is not, but is from a chunk in `sources`.
unsafe extern "C-unwind" fn next_stale(l: *mut lua_State) -> c_int {
    const SOURCES: c_int = 4;
    unsafe {
        next_slot(l, |l| {
            lua_pushvalue(l, -1);
            if lua_rawget(l, FOLLOWS) != LUA_TNIL {
                return false;
            }
            lua_pop(l, 1);
            push_source(l);
            lua_rawget(l, SOURCES) != LUA_TNIL
        })
    }
}

const FOLLOWS: c_int = 3;

/// `is_wanted` takes the function from the stack, or leaves more there.
unsafe fn next_slot(l: *mut lua_State, is_wanted: impl Fn(*mut lua_State) -> bool) -> c_int {
    const SLOTS: c_int = 1;
    const TABLE: c_int = 5;
    unsafe {
        if lua_checkstack(l, 10) == 0 {
            return 0;
        }
        let (slots, mut at) = (RawTable::list(RawTable::at(l, SLOTS)), lua_tointeger(l, 2));
        while nth(slots, at).table().is_some() {
            let function = nth(slots, at + 2);
            lua_settop(l, TABLE - 1);
            function.push(l);
            if is_wanted(l) {
                lua_settop(l, TABLE - 1);
                nth(slots, at).push(l);
                nth(slots, at + 1).push(l);
                lua_rawget(l, TABLE);
                if Raw::top(l).is(function) {
                    lua_pushinteger(l, at);
                    return 1;
                }
            }
            at += 3;
        }
        0
    }
}

/// `know(t, known)`: to the set `known` go those functions in the table that are of C, or of ours: these have
/// upvalues without a name.
unsafe extern "C-unwind" fn know(l: *mut lua_State) -> c_int {
    const KNOWN: c_int = 2;
    unsafe {
        lua_settop(l, KNOWN);
        let mut entries = Entries::at(l, 1);
        lua_pushnil(l);
        while entries.next(l) {
            if lua_type(l, -1) == LUA_TFUNCTION {
                let mut is_known = lua_iscfunction(l, -1) != 0;
                if !is_known {
                    let name = lua_getupvalue(l, -1, 1);
                    if !name.is_null() {
                        is_known = is_no_name(name);
                        lua_pop(l, 1);
                    }
                }
                if is_known {
                    lua_pushvalue(l, -1);
                    lua_pushboolean(l, 1);
                    lua_rawset(l, KNOWN);
                }
            }
            lua_pop(l, 1);
        }
        0
    }
}

/// `copy(t)`: a table with the same keys and values. To grow step by step takes longer than to count.
unsafe extern "C-unwind" fn copy(l: *mut lua_State) -> c_int {
    const COPY: c_int = 2;
    unsafe {
        lua_settop(l, 1);
        lua_createtable(l, 0, Entries::at(l, 1).count());
        let mut entries = Entries::at(l, 1);
        lua_pushnil(l);
        while entries.next(l) {
            lua_pushvalue(l, -2);
            lua_rotate(l, -2, 1);
            lua_rawset(l, COPY);
        }
        1
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
        let left = begins_as_listed(RawTable::at(l, 1), list, from, to);
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
        if lua_checkstack(l, 10) == 0 {
            return 0;
        }
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

/// `sized(list, set)`: a table with room for so many of each. To grow step by step takes longer than to fill.
unsafe extern "C-unwind" fn sized(l: *mut lua_State) -> c_int {
    unsafe {
        let room = |at| c_int::try_from(lua_tointeger(l, at)).unwrap_or(0);
        lua_createtable(l, room(1), room(2));
        1
    }
}

/// `quietly(f, ...)`: a call without the deadline hook, which looks at each instruction to count them. For
/// code of ours that ends by itself, within a run of the user's.
unsafe extern "C-unwind" fn quietly(l: *mut lua_State) -> c_int {
    unsafe {
        let (hook, mask, count) = (lua_gethook(l), lua_gethookmask(l), lua_gethookcount(l));
        lua_sethook(l, None, 0, 0);
        let status = lua_pcall(l, lua_gettop(l) - 1, LUA_MULTRET, 0);
        lua_sethook(l, hook, mask, count);
        if status != LUA_OK {
            lua_error(l);
        }
        lua_gettop(l)
    }
}
