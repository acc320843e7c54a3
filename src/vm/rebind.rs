//! The end of a merge: what is fresh has to see the tables that stay, or the first reload works and the
//! second changes tables that nobody holds.
//!
//! Safety of this file: as in `walk.rs`.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::ffi::c_int;

use mlua::{
    Lua, Table,
    ffi::{
        LUA_TFUNCTION, LUA_TNIL, LUA_TTABLE, lua_Integer, lua_State, lua_call, lua_checkstack,
        lua_createtable, lua_getmetatable, lua_gettop, lua_getupvalue, lua_pop, lua_pushboolean,
        lua_pushinteger, lua_pushnil, lua_pushvalue, lua_rawequal, lua_rawget, lua_rawgeti, lua_rawgetp,
        lua_rawset, lua_rawseti, lua_rawsetp, lua_replace, lua_settop, lua_setupvalue, lua_tointeger,
        lua_type, lua_upvalueid,
    },
};

use super::{
    entries::Entries,
    passes::{Cells, ROOM, is_function_or_table, is_in, is_no_name},
};

/// Adds both to the functions that the prelude gets.
pub(super) fn add(lua: &Lua, host: &Table) -> mlua::Result<()> {
    // SAFETY: they are called by the prelude only, with the arguments that they name.
    unsafe {
        host.raw_set("rebind", lua.create_c_function(rebind)?)?;
        host.raw_set("rebind_level", lua.create_c_function(rebind_level)?)
    }
}

// Their arguments: where it begins, the number of the merge, and tables of `prelude/merge.lua`.
const ROOT: c_int = 1;
const MERGE: c_int = 2;
const REPLACED: c_int = 3;
const SEEN: c_int = 4;
const KNOWN: c_int = 5;
const VISITED: c_int = 6;
const REBOUND: c_int = 7;
const WAITING: c_int = 8;
const SET_METATABLE: c_int = 9;
/// What is being looked into.
const SUBJECT: c_int = 10;
/// Entries whose keys have been replaced, if there are any.
const MOVED: c_int = 11;

/// `rebind(root, merge, replaced, seen, known, visited, rebound, waiting, setmetatable)`: whatever is fresh,
/// and is reached from `root`, gets the tables that stay in place of those that they replace.
unsafe extern "C-unwind" fn rebind(l: *mut lua_State) -> c_int {
    unsafe {
        if lua_checkstack(l, ROOM) == 0 {
            return 0;
        }
        lua_settop(l, SET_METATABLE);
        let mut rebinding = Rebinding::new(l);
        lua_pushvalue(l, ROOT);
        rebinding.begin_at();
        rebinding.go();
        0
    }
}

/// The same for each value of a table that was there before; its own entries follow, too.
unsafe extern "C-unwind" fn rebind_level(l: *mut lua_State) -> c_int {
    unsafe {
        if lua_checkstack(l, ROOM) == 0 {
            return 0;
        }
        lua_settop(l, SET_METATABLE);
        let mut rebinding = Rebinding::new(l);
        lua_pushvalue(l, ROOT);
        lua_pushnil(l);
        let mut entries = Entries::at(l, SUBJECT);
        lua_pushnil(l);
        while entries.next(l) {
            match lua_type(l, -1) {
                LUA_TTABLE if !rebinding.follow() && !is_in(l, SEEN) && !is_in(l, KNOWN) => {
                    rebinding.begin_at();
                }
                LUA_TFUNCTION => rebinding.function(),
                _ => {}
            }
            if lua_type(l, -2) == LUA_TTABLE {
                rebinding.note_key();
            }
            lua_pop(l, 1);
        }
        rebinding.move_keys();
        rebinding.go();
        0
    }
}

struct Rebinding {
    l: *mut lua_State,
    merge: lua_Integer,
    /// How many values are to be looked into.
    waiting: lua_Integer,
    /// Done.
    cells: Cells,
}

impl Rebinding {
    unsafe fn new(l: *mut lua_State) -> Self {
        Self { l, merge: unsafe { lua_tointeger(l, MERGE) }, waiting: 0, cells: Cells::default() }
    }

    /// With the value on top of the stack, unless this merge has been through it.
    unsafe fn begin_at(&mut self) {
        let l = self.l;
        unsafe {
            lua_pushvalue(l, -1);
            lua_rawget(l, VISITED);
            let is_done = lua_rawequal(l, -1, MERGE) != 0;
            lua_pop(l, 1);
            if !is_done {
                self.wait();
            }
        }
    }

    /// The table on top of the stack, if it is fresh and nobody has been there.
    unsafe fn meet(&mut self) {
        unsafe {
            if !is_in(self.l, VISITED) && !is_in(self.l, SEEN) && !is_in(self.l, KNOWN) {
                self.wait();
            }
        }
    }

    unsafe fn wait(&mut self) {
        let l = self.l;
        unsafe {
            lua_pushvalue(l, -1);
            lua_pushinteger(l, self.merge);
            lua_rawset(l, VISITED);
            self.queue();
        }
    }

    unsafe fn queue(&mut self) {
        let l = self.l;
        unsafe {
            self.waiting += 1;
            lua_pushvalue(l, -1);
            lua_rawseti(l, WAITING, self.waiting);
        }
    }

    /// Looks into all that waits.
    unsafe fn go(&mut self) {
        let l = self.l;
        unsafe {
            while self.waiting > 0 {
                lua_settop(l, SET_METATABLE);
                lua_rawgeti(l, WAITING, self.waiting);
                lua_pushnil(l);
                lua_rawseti(l, WAITING, self.waiting);
                self.waiting -= 1;
                if lua_type(l, SUBJECT) == LUA_TTABLE {
                    self.table();
                } else {
                    self.function();
                }
            }
        }
    }

    /// If the table on top of the stack has been replaced, its entry gets the one that stays. The key is
    /// below it.
    unsafe fn follow(&self) -> bool {
        let l = self.l;
        unsafe {
            lua_pushvalue(l, -2);
            lua_pushvalue(l, -2);
            if lua_rawget(l, REPLACED) == LUA_TNIL {
                lua_pop(l, 2);
                return false;
            }
            lua_rawset(l, SUBJECT);
            true
        }
    }

    /// While a table is gone through, no key may be added to it. Key and value are on top of the stack.
    unsafe fn note_key(&self) {
        let l = self.l;
        unsafe {
            lua_pushvalue(l, -2);
            if lua_rawget(l, REPLACED) != LUA_TNIL {
                if lua_type(l, MOVED) == LUA_TNIL {
                    lua_createtable(l, 0, 1);
                    lua_replace(l, MOVED);
                }
                lua_pushvalue(l, -3);
                lua_pushvalue(l, -3);
                lua_rawset(l, MOVED);
            }
            lua_pop(l, 1);
        }
    }

    unsafe fn move_keys(&self) {
        let l = self.l;
        unsafe {
            if lua_type(l, MOVED) == LUA_TNIL {
                return;
            }
            let mut entries = Entries::at(l, MOVED);
            lua_pushnil(l);
            while entries.next(l) {
                lua_pushvalue(l, -2);
                lua_pushnil(l);
                lua_rawset(l, SUBJECT);
                lua_pushvalue(l, -2);
                lua_rawget(l, REPLACED);
                lua_pushvalue(l, -2);
                if lua_rawget(l, REPLACED) == LUA_TNIL {
                    lua_pop(l, 1);
                    lua_pushvalue(l, -2);
                }
                lua_rawset(l, SUBJECT);
                lua_pop(l, 1);
            }
        }
    }

    unsafe fn table(&mut self) {
        let l = self.l;
        unsafe {
            if lua_getmetatable(l, SUBJECT) != 0 {
                lua_pushvalue(l, -1);
                if lua_rawget(l, REPLACED) != LUA_TNIL {
                    lua_pushvalue(l, SET_METATABLE);
                    lua_pushvalue(l, SUBJECT);
                    lua_pushvalue(l, -3);
                    lua_call(l, 2, 0);
                }
                lua_pop(l, 1);
                self.meet();
                lua_pop(l, 1);
            }
            // MOVED
            lua_pushnil(l);
            let mut entries = Entries::at(l, SUBJECT);
            lua_pushnil(l);
            while entries.next(l) {
                match lua_type(l, -1) {
                    LUA_TTABLE => {
                        self.follow();
                        self.meet();
                    }
                    LUA_TFUNCTION => self.function(),
                    _ => {}
                }
                if lua_type(l, -2) == LUA_TTABLE {
                    self.note_key();
                    lua_pushvalue(l, -2);
                    self.meet();
                    lua_pop(l, 1);
                }
                lua_pop(l, 1);
            }
            self.move_keys();
        }
    }

    /// The function on top of the stack. It may be an old one, which does no harm: there is less to be done
    /// for its upvalues than to find out.
    unsafe fn function(&mut self) {
        let l = self.l;
        unsafe {
            let function = lua_gettop(l);
            for i in 1.. {
                lua_settop(l, function);
                let identity = lua_upvalueid(l, function, i);
                if identity.is_null() {
                    return;
                }
                if self.cells.has(identity) {
                    continue;
                }
                if is_no_name(lua_getupvalue(l, function, i)) {
                    break;
                }
                self.cells.add(identity);
                let kind = lua_type(l, -1);
                if !is_function_or_table(kind) || lua_rawgetp(l, REBOUND, identity) != LUA_TNIL {
                    continue;
                }
                lua_pop(l, 1);
                lua_pushboolean(l, 1);
                lua_rawsetp(l, REBOUND, identity);
                if kind == LUA_TFUNCTION {
                    // Not at once: it may have an upvalue that has one that has one.
                    if !is_in(l, SEEN) && !is_in(l, KNOWN) {
                        self.queue();
                    }
                    continue;
                }
                lua_pushvalue(l, -1);
                if lua_rawget(l, REPLACED) == LUA_TNIL || lua_setupvalue(l, function, i).is_null() {
                    lua_pop(l, 1);
                }
                self.meet();
            }
            lua_settop(l, function);
        }
    }
}
