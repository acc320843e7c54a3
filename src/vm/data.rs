//! Copying and comparing what a source file declares.
//!
//! Safety of this file: as in `reload/mod.rs`.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::{
    collections::hash_map::Entry,
    ffi::{CStr, c_int},
};

use mlua::{
    Lua, Table,
    ffi::{
        lua_CFunction, lua_State, lua_createtable, lua_gettop, lua_pop, lua_pushboolean, lua_pushcclosure,
        lua_rawset, lua_settop, lua_upvalueindex,
    },
};
use rustc_hash::FxHashMap;

use super::{
    entries::{Entries, List},
    values::{Class, Raw, RawTable, make_room, nth},
};

/// Adds it to the functions that the prelude gets.
pub(super) fn add(lua: &Lua, host: &Table) -> mlua::Result<()> {
    // SAFETY: it is called by the prelude only, with the argument that it names.
    unsafe { host.raw_set("data", lua.create_c_function(data)?) }
}

/// Tables that somebody else answers for: they are compared by identity, never copied or merged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Foreign {
    /// Each has such tables as keys.
    sets: [*const RawTable; 4],
}

const SETS: [&CStr; 4] = [c"library", c"own", c"prototype_info", c"exported"];

impl Foreign {
    /// As the prelude has them, for as long as it is there.
    pub(super) unsafe fn of(l: *mut lua_State, prelude: *const RawTable) -> Self {
        let set = |name| unsafe { RawTable::field(prelude, l, name).table() };
        Self { sets: SETS.map(|name| set(name).unwrap_or(prelude)) }
    }

    unsafe fn upvalues(l: *mut lua_State) -> Self {
        Self { sets: [1, 2, 3, 4].map(|i| unsafe { RawTable::at(l, lua_upvalueindex(i)) }) }
    }

    pub(super) unsafe fn has(&self, l: *mut lua_State, table: Raw) -> bool {
        self.sets.iter().any(|&set| unsafe { RawTable::get(set, l, table).is_true() })
    }

    /// Is of ours, or the globals.
    pub(super) unsafe fn is_own(&self, l: *mut lua_State, table: Raw) -> bool {
        unsafe { RawTable::get(self.sets[1], l, table).is_true() }
    }

    pub(super) unsafe fn is_prototype(&self, l: *mut lua_State, table: Raw) -> bool {
        unsafe { RawTable::get(self.sets[2], l, table).is_true() }
    }
}

/// `data(P)`: `foreign(t)`, `copy_data(value)` and `same_data(base, value)`.
unsafe extern "C-unwind" fn data(l: *mut lua_State) -> c_int {
    const PRELUDE: c_int = 1;
    const FUNCTIONS: [lua_CFunction; 3] = [foreign, copy_data, same_data];
    unsafe {
        lua_settop(l, PRELUDE);
        make_room(l);
        let prelude = RawTable::at(l, PRELUDE);
        for function in FUNCTIONS {
            for name in SETS.into_iter().chain([c"FUNCTION"]) {
                RawTable::field(prelude, l, name).push(l);
            }
            lua_pushcclosure(l, function, 5);
        }
        3
    }
}

/// Stands in copies for a function, whichever it was: an old one would be kept alive.
const MARK: c_int = 5;

unsafe extern "C-unwind" fn foreign(l: *mut lua_State) -> c_int {
    unsafe {
        lua_settop(l, 1);
        lua_pushboolean(l, c_int::from(Foreign::upvalues(l).has(l, Raw::top(l))));
        1
    }
}

/// A copy of what the source set, to tell later whether the source has changed.
unsafe extern "C-unwind" fn copy_data(l: *mut lua_State) -> c_int {
    unsafe {
        lua_settop(l, 1);
        make_room(l);
        let mark = Raw::at(l, lua_upvalueindex(MARK));
        push_copy(l, Foreign::upvalues(l), mark, Raw::top(l));
        1
    }
}

/// The same, on top of the stack. The value is held by somebody.
pub(super) unsafe fn push_copy(l: *mut lua_State, foreign: Foreign, mark: Raw, value: Raw) {
    unsafe {
        match value.table() {
            Some(table) if !foreign.has(l, value) => {
                new_copy(l, table);
                let copy = lua_gettop(l);
                Copying { l, foreign, mark, inner: None }.go(table, RawTable::at(l, copy));
                lua_settop(l, copy);
            }
            _ => (if value.is_function() { mark } else { value }).push(l),
        }
    }
}

/// On top of the stack a table with room for the same entries: to grow step by step takes longer than to count.
unsafe fn new_copy(l: *mut lua_State, table: *const RawTable) {
    unsafe {
        let list = RawTable::list(table).iter().take_while(|value| !value.is_nil()).count();
        let list = c_int::try_from(list).unwrap_or(0);
        lua_createtable(l, list, (Entries::of(table).count() - list).max(0));
    }
}

/// A copy that is being made. What it makes is on Lua's stack.
struct Copying {
    l: *mut lua_State,
    foreign: Foreign,
    mark: Raw,
    /// Of tables in the table, if there are any.
    inner: Option<Inner>,
}

struct Inner {
    /// By table.
    copies: *const RawTable,
    /// Tables, each with its copy.
    queue: List,
    done: i64,
}

impl Copying {
    unsafe fn go(&mut self, mut from: *const RawTable, mut to: *const RawTable) {
        let l = self.l;
        unsafe {
            let mark = self.mark;
            loop {
                let metatable = RawTable::metatable(from);
                let is_weak = !metatable.is_null() && !RawTable::field(metatable, l, c"__mode").is_nil();
                let mut entries = Entries::of(from);
                while let Some((key, value)) = entries.take() {
                    if is_weak && key.class() == Class::Table {
                        // The copy would hold it.
                        continue;
                    }
                    let copy = match value.class() {
                        Class::Function => mark,
                        Class::Table => self.inner(from, to, value),
                        _ => value,
                    };
                    add_entry(l, to, key, copy);
                }
                let next = self.inner.as_mut().and_then(|inner| {
                    let pair = |i| nth(inner.queue.values(), i).table();
                    inner.done += 2;
                    (inner.done <= inner.queue.end).then(|| (pair(inner.done - 1), pair(inner.done)))
                });
                let Some((Some(next_from), Some(next_to))) = next else { return };
                (from, to) = (next_from, next_to);
            }
        }
    }

    /// The copy of a table that was met; what goes into it comes later. `from` and `to` are the first two.
    unsafe fn inner(&mut self, from: *const RawTable, to: *const RawTable, value: Raw) -> Raw {
        let l = self.l;
        unsafe {
            let Some(table) = value.table().filter(|_| !self.foreign.has(l, value)) else { return value };
            let inner = match &mut self.inner {
                Some(inner) => inner,
                none => {
                    lua_createtable(l, 8, 0);
                    let queue = List::at(l, -1);
                    lua_createtable(l, 0, 4);
                    let copies = RawTable::at(l, lua_gettop(l));
                    RawTable::set(copies, l, Raw::of_table(from), Raw::of_table(to));
                    none.insert(Inner { copies, queue, done: 0 })
                }
            };
            let known = RawTable::get(inner.copies, l, value);
            if !known.is_nil() {
                return known;
            }
            new_copy(l, table);
            let copy = Raw::top(l);
            RawTable::set(inner.copies, l, value, copy);
            lua_pop(l, 1);
            inner.queue.append(l, value);
            inner.queue.append(l, copy);
            copy
        }
    }
}

/// One that is not there yet.
unsafe fn add_entry(l: *mut lua_State, to: *const RawTable, key: Raw, value: Raw) {
    unsafe {
        Raw::of_table(to).push(l);
        key.push(l);
        value.push(l);
        lua_rawset(l, -3);
        lua_pop(l, 1);
    }
}

/// `base` is a copy as above.
unsafe extern "C-unwind" fn same_data(l: *mut lua_State) -> c_int {
    unsafe {
        lua_settop(l, 2);
        make_room(l);
        let (base, value) = (Raw::at(l, 1), Raw::at(l, 2));
        let same = is_same(l, Foreign::upvalues(l), Raw::at(l, lua_upvalueindex(MARK)), base, value);
        lua_pushboolean(l, c_int::from(same));
        1
    }
}

/// Whether `value` is what the source set when `base` was copied from it. Both are held by somebody; no error
/// is raised in here.
pub(super) unsafe fn is_same(l: *mut lua_State, foreign: Foreign, mark: Raw, base: Raw, value: Raw) -> bool {
    unsafe {
        let (Some(_), Some(_)) = (base.table(), value.table()) else {
            return value.equals(l, base) || value.is_function() && base.is(mark);
        };
        let mut compared: FxHashMap<usize, usize> = FxHashMap::default();
        let mut waiting = vec![(base, value)];
        while let Some((base, value)) = waiting.pop() {
            let (Some(was), Some(now)) = (base.table(), value.table()) else { continue };
            if base.is(value) {
                continue;
            }
            if foreign.has(l, value) {
                return false;
            }
            match compared.entry(base.identity()) {
                Entry::Occupied(known) if *known.get() == value.identity() => continue,
                Entry::Occupied(_) => return false,
                Entry::Vacant(entry) => entry.insert(value.identity()),
            };
            let mut entries = Entries::of(was);
            while let Some((key, inner)) = entries.take() {
                if key.class() == Class::Table {
                    continue;
                }
                let other = RawTable::get(now, l, key);
                if inner.table().is_some() && other.table().is_some() {
                    waiting.push((inner, other));
                } else if !(other.equals(l, inner) || other.is_function() && inner.is(mark)) {
                    return false;
                }
            }
            let mut entries = Entries::of(now);
            while let Some((key, _)) = entries.take() {
                if key.class() != Class::Table && RawTable::get(was, l, key).is_nil() {
                    return false;
                }
            }
        }
        true
    }
}
