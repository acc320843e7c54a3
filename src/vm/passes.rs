//! What a merge does with each entry of a table and each upvalue of a function, as functions of C: a class
//! of a thousand lines has a hundred methods, and each goes through all of these passes. What is rare stays
//! in `prelude/merge.lua`.
//!
//! Safety of this file: as in `walk.rs`.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::ffi::{CStr, c_char, c_int, c_void};

use mlua::{
    Lua, Table,
    ffi::{
        LUA_TFUNCTION, LUA_TNIL, LUA_TSTRING, LUA_TTABLE, lua_Integer, lua_State, lua_checkstack,
        lua_createtable, lua_getupvalue, lua_pop, lua_pushinteger, lua_pushnil, lua_pushvalue, lua_rawequal,
        lua_rawget, lua_rawgeti, lua_rawgetp, lua_rawlen, lua_rawset, lua_rawseti, lua_replace, lua_rotate,
        lua_settop, lua_tointeger, lua_type, lua_upvalueid,
    },
};

use super::{entries::Entries, raw::push_source};

/// Adds them to the functions that the prelude gets.
pub(super) fn add(lua: &Lua, host: &Table) -> mlua::Result<()> {
    // SAFETY: they are called by the prelude only, with the arguments that they name.
    unsafe {
        host.raw_set("copy_level", lua.create_c_function(copy_level)?)?;
        host.raw_set("pair_level", lua.create_c_function(pair_level)?)?;
        host.raw_set("next_open", lua.create_c_function(next_open)?)?;
        host.raw_set("fill_level", lua.create_c_function(fill_level)?)
    }
}

/// More than any of these passes has on the stack.
pub(super) const ROOM: c_int = 30;

pub(super) fn is_function_or_table(kind: c_int) -> bool {
    matches!(kind, LUA_TFUNCTION | LUA_TTABLE)
}

/// Whether the set at `index` has the value on top of the stack.
pub(super) unsafe fn is_in(l: *mut lua_State, index: c_int) -> bool {
    unsafe {
        lua_pushvalue(l, -1);
        let kind = lua_rawget(l, index);
        lua_pop(l, 1);
        kind != LUA_TNIL
    }
}

/// Whether that name is one of functions of C, and of ours: they are not looked into.
pub(super) unsafe fn is_no_name(name: *const c_char) -> bool {
    unsafe { name.is_null() || matches!(CStr::from_ptr(name).to_bytes(), b"" | b"(no name)") }
}

/// The upvalues that were met last, by what identifies them: functions of one file share most of theirs, and
/// to find them here takes a tenth of what a table of Lua takes.
#[derive(Default)]
pub(super) struct Cells {
    last: [usize; 8],
    next: usize,
}

impl Cells {
    pub(super) fn has(&self, identity: *mut c_void) -> bool {
        self.last.contains(&identity.addr())
    }

    pub(super) fn add(&mut self, identity: *mut c_void) {
        self.last[self.next % self.last.len()] = identity.addr();
        self.next += 1;
    }
}

/// `copy_level(t, mark)`: a table with the same keys and values, `mark` for each function; and the list of the
/// keys under which there are tables, if there are any.
unsafe extern "C-unwind" fn copy_level(l: *mut lua_State) -> c_int {
    const FROM: c_int = 1;
    const MARK: c_int = 2;
    const COPY: c_int = 3;
    const KEYS: c_int = 4;
    unsafe {
        if lua_checkstack(l, ROOM) == 0 {
            return 0;
        }
        lua_settop(l, MARK);
        // To grow step by step takes longer than to count.
        let list = c_int::try_from(list_end(l, FROM)).unwrap_or(0);
        lua_createtable(l, list, (Entries::at(l, FROM).count() - list).max(0));
        // KEYS
        lua_pushnil(l);
        let mut entries = Entries::at(l, FROM);
        lua_pushnil(l);
        while entries.next(l) {
            let kind = lua_type(l, -1);
            if kind == LUA_TTABLE {
                list_key(l, KEYS);
            }
            lua_pushvalue(l, -2);
            lua_pushvalue(l, if kind == LUA_TFUNCTION { MARK } else { -2 });
            lua_rawset(l, COPY);
            lua_pop(l, 1);
        }
        2
    }
}

/// `pair_level(old, new, follows, functions, seen, known)`: the functions that are under one key in both go
/// to `follows`, and the old ones to the list. Returns the list of the keys under which there are two tables,
/// if there are any.
unsafe extern "C-unwind" fn pair_level(l: *mut lua_State) -> c_int {
    const OLD: c_int = 1;
    const NEW: c_int = 2;
    const FOLLOWS: c_int = 3;
    const FUNCTIONS: c_int = 4;
    const SEEN: c_int = 5;
    const KNOWN: c_int = 6;
    const KEYS: c_int = 7;
    unsafe {
        if lua_checkstack(l, ROOM) == 0 {
            return 0;
        }
        lua_settop(l, KEYS);
        let mut end = list_end(l, FUNCTIONS);
        let mut entries = Entries::at(l, NEW);
        lua_pushnil(l);
        while entries.next(l) {
            let kind = lua_type(l, -1);
            if !is_function_or_table(kind) {
                lua_pop(l, 1);
                continue;
            }
            let is_fresh = kind == LUA_TTABLE || !is_in(l, SEEN) && !is_in(l, KNOWN);
            lua_pushvalue(l, -2);
            if lua_rawget(l, OLD) == kind && lua_rawequal(l, -1, -2) == 0 {
                if kind == LUA_TTABLE {
                    lua_pop(l, 1);
                    list_key(l, KEYS);
                    lua_pop(l, 1);
                    continue;
                }
                if is_fresh && !is_in(l, FOLLOWS) {
                    lua_pushvalue(l, -1);
                    end += 1;
                    lua_rawseti(l, FUNCTIONS, end);
                    lua_pushvalue(l, -2);
                    lua_rawset(l, FOLLOWS);
                    lua_pop(l, 1);
                    continue;
                }
            }
            lua_pop(l, 2);
        }
        lua_settop(l, KEYS);
        1
    }
}

/// Key and value are on top of the stack.
unsafe fn list_key(l: *mut lua_State, keys: c_int) {
    unsafe {
        if lua_type(l, keys) == LUA_TNIL {
            lua_createtable(l, 2, 0);
            lua_replace(l, keys);
        }
        lua_pushvalue(l, -2);
        lua_rawseti(l, keys, list_end(l, keys) + 1);
    }
}

unsafe fn list_end(l: *mut lua_State, index: c_int) -> lua_Integer {
    unsafe { lua_Integer::try_from(lua_rawlen(l, index)).unwrap_or(0) }
}

/// `next_open(functions, from, follows, matched)`: of the list, from there on, the place of the first function
/// whose new version has an upvalue that is not in the set `matched`. Nothing at the end.
unsafe extern "C-unwind" fn next_open(l: *mut lua_State) -> c_int {
    const FUNCTIONS: c_int = 1;
    const FOLLOWS: c_int = 3;
    const MATCHED: c_int = 4;
    const NEW: c_int = 5;
    unsafe {
        if lua_checkstack(l, ROOM) == 0 {
            return 0;
        }
        lua_settop(l, MATCHED);
        let mut cells = Cells::default();
        for at in lua_tointeger(l, 2)..=list_end(l, FUNCTIONS) {
            lua_rawgeti(l, FUNCTIONS, at);
            lua_rawget(l, FOLLOWS);
            for i in 1.. {
                let identity = lua_upvalueid(l, NEW, i);
                if identity.is_null() {
                    break;
                }
                if cells.has(identity) {
                    continue;
                }
                if is_no_name(lua_getupvalue(l, NEW, i)) {
                    break;
                }
                if lua_rawgetp(l, MATCHED, identity) == LUA_TNIL {
                    lua_pushinteger(l, at);
                    return 1;
                }
                cells.add(identity);
                lua_pop(l, 2);
            }
            lua_settop(l, MATCHED);
        }
        0
    }
}

/// `fill_level(old, new, base, mark, taken, changed, source)`: `old` gets what the source has changed. `base`
/// is what it set last time, if that is known, and `changed` the list of names whose values are other ones
/// now. Returns the list of keys of tables that have to be compared by what is in them, if there are any.
unsafe extern "C-unwind" fn fill_level(l: *mut lua_State) -> c_int {
    const OLD: c_int = 1;
    const NEW: c_int = 2;
    const BASE: c_int = 3;
    const MARK: c_int = 4;
    const TAKEN: c_int = 5;
    const CHANGED: c_int = 6;
    const SOURCE: c_int = 7;
    const KEYS: c_int = 8;
    unsafe {
        if lua_checkstack(l, ROOM) == 0 {
            return 0;
        }
        lua_settop(l, KEYS);
        let has_base = lua_type(l, BASE) == LUA_TTABLE;
        let mut entries = Entries::at(l, OLD);
        lua_pushnil(l);
        while entries.next(l) {
            lua_pushvalue(l, -2);
            let stays = lua_rawget(l, NEW) != LUA_TNIL;
            lua_pop(l, 1);
            if !stays {
                let is_gone = if has_base {
                    lua_pushvalue(l, -2);
                    lua_rawget(l, BASE) != LUA_TNIL
                } else if lua_type(l, -1) == LUA_TFUNCTION {
                    lua_pushvalue(l, -1);
                    push_source(l);
                    lua_rawequal(l, -1, SOURCE) != 0
                } else {
                    lua_pushnil(l);
                    false
                };
                lua_pop(l, 1);
                if is_gone {
                    lua_pushvalue(l, -2);
                    lua_pushnil(l);
                    lua_rawset(l, OLD);
                }
            }
            lua_pop(l, 1);
        }
        let mut changes = if lua_type(l, CHANGED) == LUA_TTABLE { list_end(l, CHANGED) } else { 0 };
        let mut entries = Entries::at(l, NEW);
        lua_pushnil(l);
        while entries.next(l) {
            let kind = lua_type(l, -1);
            if kind == LUA_TFUNCTION {
                lua_pushvalue(l, -2);
                lua_rotate(l, -2, 1);
                lua_rawset(l, OLD);
                continue;
            }
            // Key, value, and what the source set last time.
            if has_base {
                lua_pushvalue(l, -2);
                lua_rawget(l, BASE);
            } else {
                lua_pushnil(l);
            }
            let is_new = lua_type(l, -1) == LUA_TNIL || lua_rawequal(l, -1, MARK) != 0;
            let is_same = lua_rawequal(l, -1, -2) != 0;
            lua_pop(l, 1);
            let counts = is_new || kind == LUA_TTABLE && is_in(l, TAKEN);
            if !counts && kind == LUA_TTABLE {
                list_key(l, KEYS);
            } else if counts || !is_same {
                lua_pushvalue(l, -2);
                lua_pushvalue(l, -2);
                lua_rawset(l, OLD);
                if !counts && lua_type(l, CHANGED) == LUA_TTABLE && lua_type(l, -2) == LUA_TSTRING {
                    changes += 1;
                    lua_pushvalue(l, -2);
                    lua_rawseti(l, CHANGED, changes);
                }
            }
            lua_pop(l, 1);
        }
        lua_settop(l, KEYS);
        1
    }
}
