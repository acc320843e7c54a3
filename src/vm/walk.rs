//! The walk over everything that user code can reach, for the snapshot before a reload. It is most of
//! what a reload costs, and in Lua it takes six times as long.
//!
//! Safety of this file: it is one C function on Lua's stack, by the rules of the reference manual. Every
//! index that is used has been pushed or is an argument; the stack is checked for room; no Rust value that
//! needs dropping is alive when a Lua function is called that can raise (out of memory, which unwinds
//! through here).
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::ffi::{CStr, c_int};

use mlua::{
    Function, Lua,
    ffi::{
        LUA_TFUNCTION, LUA_TNIL, LUA_TTABLE, LUA_TTHREAD, lua_Integer, lua_State, lua_checkstack,
        lua_getmetatable, lua_getupvalue, lua_pop, lua_pushboolean, lua_pushinteger, lua_pushvalue,
        lua_rawget, lua_rawgeti, lua_rawgetp, lua_rawset, lua_rawseti, lua_rawsetp, lua_settop,
        lua_tointeger, lua_type, lua_upvalueid,
    },
};

use super::{
    entries::{Entries, List, Raw},
    passes::Cells,
};

// Its arguments; what is in them, `prelude/snapshot.lua` says. The first and the fourth hold the roots.
const QUEUE: c_int = 1;
const SEEN: c_int = 2;
const KNOWN: c_int = 3;
const FUNCTIONS: c_int = 4;
const TABLES: c_int = 5;
const SLOTS: c_int = 6;
const UPVALUES: c_int = 7;
const COROUTINES: c_int = 8;
/// Stands for nil in lists.
const NOTHING: c_int = 9;
/// Tables in the queue, functions, and how many of each are walked at most.
const QUEUED: c_int = 10;
const FOUND: c_int = 11;
const MAX: c_int = 12;
/// So many of the first tables in the queue have their places noted in `seen`.
const PLACED: c_int = 13;
/// What is being looked into.
const SUBJECT: c_int = 14;

/// `walk(queue, seen, known, functions, tables, slots, upvalues, coroutines, nothing, queued, found, max,
/// placed)`
/// says whether it came to the end of everything, and how long the lists are: `queue`, `functions`, `tables`,
/// `slots`, `upvalues`.
pub(super) fn function(lua: &Lua) -> mlua::Result<Function> {
    // SAFETY: `walk` is called by the prelude only, with these arguments.
    unsafe { lua.create_c_function(walk) }
}

struct Walk {
    l: *mut lua_State,
    queued: lua_Integer,
    found: lua_Integer,
    coroutines: lua_Integer,
    tables: List,
    slots: List,
    upvalues: List,
    cells: Cells,
    /// Whether it is noted in `seen` where the table begins in `tables`.
    places: bool,
}

unsafe extern "C-unwind" fn walk(l: *mut lua_State) -> c_int {
    unsafe {
        if lua_checkstack(l, 20) == 0 {
            lua_pushboolean(l, 0);
            return 1;
        }
        let (queued, found, max) = (lua_tointeger(l, QUEUED), lua_tointeger(l, FOUND), lua_tointeger(l, MAX));
        let placed = lua_tointeger(l, PLACED);
        lua_settop(l, PLACED);
        let mut walk = Walk {
            l,
            queued,
            found,
            coroutines: 0,
            tables: List::at(l, TABLES),
            slots: List::at(l, SLOTS),
            upvalues: List::at(l, UPVALUES),
            cells: Cells::default(),
            places: false,
        };
        let (mut at, mut looked) = (1, 1);
        loop {
            while at <= walk.queued && at <= max {
                lua_rawgeti(l, QUEUE, at);
                walk.places = at <= placed;
                at += 1;
                walk.table();
                lua_settop(l, SUBJECT - 1);
            }
            while looked <= walk.found && looked <= max {
                lua_rawgeti(l, FUNCTIONS, looked);
                looked += 1;
                walk.function();
                lua_settop(l, SUBJECT - 1);
            }
            let tables_done = at > walk.queued || at > max;
            if tables_done && (looked > walk.found || looked > max) {
                lua_pushboolean(l, c_int::from(at > walk.queued && looked > walk.found));
                for end in [walk.queued, walk.found, walk.tables.end, walk.slots.end, walk.upvalues.end] {
                    lua_pushinteger(l, end);
                }
                return 6;
            }
        }
    }
}

impl Walk {
    /// Whether the set at `index` has the value on top of the stack.
    unsafe fn is_in(&self, index: c_int) -> bool {
        unsafe {
            lua_pushvalue(self.l, -1);
            let kind = lua_rawget(self.l, index);
            lua_pop(self.l, 1);
            kind != LUA_TNIL
        }
    }

    /// Takes note of the value on top of the stack, and leaves it there.
    unsafe fn meet(&mut self) {
        unsafe {
            // Tables that are known are in `seen` from the beginning.
            let kind = lua_type(self.l, -1);
            if matches!(kind, LUA_TTABLE | LUA_TTHREAD) || kind == LUA_TFUNCTION && !self.is_in(KNOWN) {
                self.meet_unknown(kind);
            }
        }
    }

    /// The same for one that is not in KNOWN.
    unsafe fn meet_unknown(&mut self, kind: c_int) {
        unsafe {
            if self.is_in(SEEN) {
                return;
            }
            lua_pushvalue(self.l, -1);
            lua_pushboolean(self.l, 1);
            lua_rawset(self.l, SEEN);
            let (list, end) = match kind {
                LUA_TTABLE => (QUEUE, &mut self.queued),
                LUA_TFUNCTION => (FUNCTIONS, &mut self.found),
                _ => (COROUTINES, &mut self.coroutines),
            };
            lua_pushvalue(self.l, -1);
            *end += 1;
            lua_rawseti(self.l, list, *end);
        }
    }

    /// The table at SUBJECT.
    unsafe fn table(&mut self) {
        let l = self.l;
        unsafe {
            if self.places {
                lua_pushvalue(l, SUBJECT);
                lua_pushinteger(l, self.tables.end + 1);
                lua_rawset(l, SEEN);
            }
            let subject = Raw::top(l);
            self.tables.append(l, subject);
            if lua_getmetatable(l, SUBJECT) == 0 {
                self.tables.append(l, Raw::FALSE);
            } else {
                self.meet();
                self.tables.append(l, Raw::top(l));
                lua_pop(l, 1);
            }
            let stop = self.tables.end + 1;
            self.tables.append(l, Raw::of(stop));
            let mut entries = Entries::at(l, SUBJECT);
            while let Some((key, value)) = entries.take() {
                // Both at once: a list that grows may have a weak table cleared.
                key.push(l);
                value.push(l);
                self.tables.append(l, key);
                self.tables.append(l, value);
                match lua_type(l, -1) {
                    // Most of the globals are known.
                    LUA_TFUNCTION if !self.is_in(KNOWN) => {
                        self.slots.append(l, subject);
                        self.slots.append(l, key);
                        self.slots.append(l, value);
                        self.meet_unknown(LUA_TFUNCTION);
                    }
                    kind @ (LUA_TTABLE | LUA_TTHREAD) => self.meet_unknown(kind),
                    _ => {}
                }
                lua_pop(l, 1);
                if key.is_object() {
                    self.meet();
                }
                lua_pop(l, 1);
            }
            self.tables.put(l, stop, Raw::of(self.tables.end));
        }
    }

    /// The function at SUBJECT.
    unsafe fn function(&mut self) {
        let l = self.l;
        unsafe {
            let subject = Raw::top(l);
            for i in 1.. {
                let identity = lua_upvalueid(l, SUBJECT, i);
                if identity.is_null() {
                    return;
                }
                // Functions of one file share theirs.
                if self.cells.has(identity) {
                    continue;
                }
                let name = lua_getupvalue(l, SUBJECT, i);
                if name.is_null() {
                    return;
                }
                let name = CStr::from_ptr(name).to_bytes();
                // Functions of C, and ours, have upvalues without a name.
                if name.is_empty() || name == b"(no name)" {
                    return;
                }
                self.cells.add(identity);
                let seen = lua_rawgetp(l, SEEN, identity) != LUA_TNIL;
                lua_pop(l, 1);
                if name != b"_ENV" && !seen {
                    lua_pushboolean(l, 1);
                    lua_rawsetp(l, SEEN, identity);
                    self.upvalues.append(l, subject);
                    self.upvalues.append(l, Raw::of(i.into()));
                    lua_pushvalue(l, if lua_type(l, -1) == LUA_TNIL { NOTHING } else { -1 });
                    self.upvalues.append(l, Raw::top(l));
                    lua_pop(l, 1);
                    self.meet();
                }
                lua_pop(l, 1);
            }
        }
    }
}
