//! Lua's own tables, read where they lie. `lua_next` searches for the key that it gave last before it goes
//! on, and to compare two values by Lua's functions both have to be put on the stack: that was a third of
//! what the walks of a reload cost. What is written here is the slot on top of the stack, and places of lists
//! of ours.
//!
//! Safety of this file: as in `walk.rs`; beyond that it relies on how Lua 5.4 lays out four of its structures
//! (`lobject.h` and `lstate.h`), which has been so in all of its releases. [`is_as_expected`] looks at tables
//! of each kind before the first session is made, and there is none if that is not so.
#![allow(unsafe_code, reason = "Lua's own structures: see above")]

use std::{
    ffi::{c_int, c_void},
    ptr, slice,
};

use mlua::{
    Lua, Table,
    ffi::{
        lua_Integer, lua_State, lua_getmetatable, lua_next, lua_pop, lua_pushboolean, lua_pushnil,
        lua_rawequal, lua_rawseti, lua_settop, lua_topointer,
    },
};

/// The kinds of values, variants among them, without the bit that says that they are collected.
const KIND: u8 = 0x3F;
/// Of these, what values of all variants have in common.
const BASIC: u8 = 0x0F;
const BOOLEAN: u8 = 1;
const STRING: u8 = 4;
const TABLE: u8 = 5;
const INTEGER: u8 = 3;
/// In a table's mark: the collector has been through it, and has to be told of what is put into it.
const IS_DONE: u8 = 1 << 5;
/// In a table's flags: the limit of its array is a hint, and not its size.
const IS_HINT: u8 = 1 << 7;

/// A value as it lies in a table or on the stack: `TValue`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw {
    bits: u64,
    kind: u8,
}

/// `Node`.
#[repr(C)]
struct Node {
    bits: u64,
    kind: u8,
    key_kind: u8,
    next: i32,
    key_bits: u64,
}

/// `Table`.
#[repr(C)]
pub(super) struct RawTable {
    gc: *const c_void,
    kind: u8,
    marked: u8,
    flags: u8,
    log_of_nodes: u8,
    limit: u32,
    array: *mut Raw,
    nodes: *const Node,
    last_free: *const Node,
    metatable: *const RawTable,
}

/// The beginning of `lua_State`.
#[repr(C)]
struct State {
    gc: *const c_void,
    kind: u8,
    marked: u8,
    status: u8,
    allow_hook: u8,
    calls: u16,
    top: *mut Raw,
}

impl Raw {
    pub(super) const FALSE: Self = Self { bits: 0, kind: BOOLEAN };
    const NIL: Self = Self { bits: 0, kind: 0 };

    pub(super) fn of(integer: lua_Integer) -> Self {
        Self { bits: integer.cast_unsigned(), kind: INTEGER }
    }

    /// What is on top of the stack.
    pub(super) unsafe fn top(l: *mut lua_State) -> Self {
        unsafe { *top(l) }
    }

    pub(super) fn is_nil(self) -> bool {
        self.kind & BASIC == 0
    }

    /// A table, a function or a coroutine, or what a program has made of its own: not a number or string, say.
    pub(super) fn is_object(self) -> bool {
        self.kind & BASIC > STRING
    }

    /// 0 for anything else.
    pub(super) fn integer(self) -> lua_Integer {
        if self.kind & KIND == INTEGER { self.bits.cast_signed() } else { 0 }
    }

    pub(super) fn table(self) -> Option<*const RawTable> {
        (self.kind & KIND == TABLE).then(|| ptr::with_exposed_provenance(self.bits as usize))
    }

    /// Whether it is the very same. Of two long strings that are equal it may say that they are not, and of
    /// a number that is none that it is the same as itself.
    pub(super) fn is(self, other: Self) -> bool {
        self.kind == other.kind && (self.bits == other.bits || matches!(self.kind & BASIC, 0 | BOOLEAN))
    }

    /// On top of the stack, where there has to be room.
    pub(super) unsafe fn push(self, l: *mut lua_State) {
        unsafe {
            lua_pushnil(l);
            top(l).write(self);
        }
    }
}

/// The slot on top of the stack.
unsafe fn top(l: *mut lua_State) -> *mut Raw {
    unsafe { (*l.cast::<State>()).top.sub(1) }
}

impl RawTable {
    /// The table at that index.
    pub(super) unsafe fn at(l: *mut lua_State, index: c_int) -> *const Self {
        unsafe { lua_topointer(l, index).cast() }
    }

    pub(super) unsafe fn metatable(this: *const Self) -> *const Self {
        unsafe { (*this).metatable }
    }

    /// Its values from key 1 on that lie one after the other: of a list that was made by appending, all.
    pub(super) unsafe fn list<'a>(this: *const Self) -> &'a [Raw] {
        unsafe {
            let table = &*this;
            let is_size = table.flags & IS_HINT == 0 || table.limit == 0;
            let size = if is_size { table.limit } else { table.limit.next_power_of_two() };
            if size == 0 { &[] } else { slice::from_raw_parts(table.array, size as usize) }
        }
    }
}

/// A list of ours that becomes longer, at an index of the stack where it stays.
pub(super) struct List {
    table: *const RawTable,
    index: c_int,
    /// How long it is.
    pub(super) end: lua_Integer,
    /// How long it can become where it is.
    room: lua_Integer,
}

impl List {
    /// One that is empty.
    pub(super) unsafe fn at(l: *mut lua_State, index: c_int) -> Self {
        let mut list = Self { table: unsafe { RawTable::at(l, index) }, index, end: 0, room: 0 };
        unsafe { list.measure() };
        list
    }

    unsafe fn measure(&mut self) {
        let room = unsafe { RawTable::list(self.table) }.len();
        self.room = lua_Integer::try_from(room).unwrap_or(0);
    }

    /// A value that is held elsewhere until it is in here. There has to be room on the stack.
    #[inline]
    pub(super) unsafe fn append(&mut self, l: *mut lua_State, value: Raw) {
        unsafe {
            self.end += 1;
            self.put(l, self.end, value);
        }
    }

    /// In place of value `i`, or after all of them.
    #[inline]
    pub(super) unsafe fn put(&mut self, l: *mut lua_State, i: lua_Integer, value: Raw) {
        unsafe {
            if i <= self.room && (*self.table).marked & IS_DONE == 0 {
                (*self.table).array.offset(i as isize - 1).write(value);
            } else {
                self.put_by_lua(l, i, value);
            }
        }
    }

    #[cold]
    unsafe fn put_by_lua(&mut self, l: *mut lua_State, i: lua_Integer, value: Raw) {
        unsafe {
            value.push(l);
            lua_rawseti(l, self.index, i);
            self.measure();
        }
    }
}

/// The entries of a table, in the order in which `lua_next` finds them. As with that, entries may be changed
/// or taken out meanwhile, and none may be added: so the table stays where it lies.
pub(super) struct Entries {
    list: *const [Raw],
    nodes: *const [Node],
    at: usize,
}

impl Entries {
    /// Of the table at that index, which has to stay there.
    pub(super) unsafe fn at(l: *mut lua_State, index: c_int) -> Self {
        unsafe { Self::of(RawTable::at(l, index)) }
    }

    pub(super) unsafe fn of(table: *const RawTable) -> Self {
        unsafe {
            let nodes = 1_usize << (*table).log_of_nodes;
            Self {
                list: RawTable::list(table),
                nodes: ptr::slice_from_raw_parts((*table).nodes, nodes),
                at: 0,
            }
        }
    }

    /// The next key and its value.
    #[inline]
    pub(super) unsafe fn take(&mut self) -> Option<(Raw, Raw)> {
        unsafe {
            let length = self.list.len();
            while self.at < length {
                let value = self.list.cast::<Raw>().add(self.at).read();
                self.at += 1;
                if !value.is_nil() {
                    return Some((Raw { bits: self.at as u64, kind: INTEGER }, value));
                }
            }
            while self.at - length < self.nodes.len() {
                let node = self.nodes.cast::<Node>().add(self.at - length);
                self.at += 1;
                let value = Raw { bits: (*node).bits, kind: (*node).kind };
                if !value.is_nil() {
                    return Some((Raw { bits: (*node).key_bits, kind: (*node).key_kind }, value));
                }
            }
            None
        }
    }

    /// How many there are, from here on.
    pub(super) unsafe fn count(mut self) -> c_int {
        let mut count = 0;
        while unsafe { self.take() }.is_some() {
            count += 1;
        }
        count
    }

    /// What `lua_next` does: in place of the key on top of the stack, the next one and its value; or neither,
    /// at the end. It begins with nil as that does.
    pub(super) unsafe fn next(&mut self, l: *mut lua_State) -> bool {
        unsafe {
            let Some((key, value)) = self.take() else {
                lua_pop(l, 1);
                return false;
            };
            top(l).write(key);
            value.push(l);
            true
        }
    }
}

/// Value `i` of such a list, counted from 1; nil beyond its end.
pub(super) fn nth(list: &[Raw], i: lua_Integer) -> Raw {
    let at = usize::try_from(i).ok().and_then(|i| i.checked_sub(1));
    at.and_then(|at| list.get(at)).copied().unwrap_or(Raw::NIL)
}

/// Tables of each form: with a list, whole or with a gap, which makes the limit a hint; with keys and values of
/// all types; one that is empty, and one that was emptied.
const SAMPLES: &str = "
    local mixed = setmetatable({ 1, 2.5, true, false, 'five', print, {}, short = 'x' }, {})
    mixed[mixed], mixed[1.5], mixed[true], mixed[print] = coroutine.create(print), -1, ('long'):rep(20), function() end
    local hinted = { 1, 2, 3, 4, 5, 6, 7, 8 }
    for i = 8, 4, -1 do hinted[i] = nil end
    local emptied = { a = 1, b = 2 }
    emptied.a, emptied.b = nil, nil
    return { {}, mixed, hinted, { #hinted }, emptied }";

/// Whether Lua's tables and its stack are laid out as this file has it.
pub(super) fn is_as_expected(lua: &Lua) -> mlua::Result<bool> {
    let look = |table: Table| {
        // SAFETY: the table is the only argument, and one value is left on the stack.
        unsafe { lua.exec_raw::<bool>(table, |l| has_expected_entries(l)) }
    };
    let samples: Vec<Table> = lua.load(SAMPLES).eval()?;
    samples.into_iter().try_fold(true, |is_good, table| Ok(look(table)? && is_good))
}

/// Goes through the table at index 1 in both ways, and leaves only whether they agree.
unsafe fn has_expected_entries(l: *mut lua_State) {
    const TABLE: c_int = 1;
    unsafe {
        let metatable: *const c_void =
            if lua_getmetatable(l, TABLE) == 0 { ptr::null() } else { lua_topointer(l, -1) };
        lua_settop(l, TABLE);
        let mut is_good = RawTable::metatable(RawTable::at(l, TABLE)).cast() == metatable;
        let mut entries = Entries::at(l, TABLE);
        lua_pushnil(l);
        while is_good && lua_next(l, TABLE) != 0 {
            let (value, key) = (*top(l), *top(l).sub(1));
            is_good = entries.take().is_some_and(|entry| entry.0.is(key) && entry.1.is(value));
            value.push(l);
            is_good = is_good && lua_rawequal(l, -1, -2) != 0;
            lua_pop(l, 2);
        }
        is_good = is_good && entries.take().is_none();
        lua_settop(l, 0);
        lua_pushboolean(l, c_int::from(is_good));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_laid_out_as_expected() {
        assert!(is_as_expected(&Lua::new()).unwrap());
    }

    #[test]
    fn a_list_that_was_made_by_appending_lies_in_one_piece() {
        for room in [0, 3, 100] {
            let look = |l| {
                // SAFETY: one table, and what is appended to it.
                unsafe {
                    mlua::ffi::lua_createtable(l, room, 0);
                    for i in 1..=1000 {
                        mlua::ffi::lua_pushinteger(l, i);
                        mlua::ffi::lua_rawseti(l, -2, i);
                        let list = RawTable::list(RawTable::at(l, -1));
                        assert_eq!((nth(list, i).integer(), nth(list, 1).integer()), (i, 1), "{room}");
                        assert!(nth(list, i + 1).is_nil() && nth(list, 0).is_nil());
                    }
                    lua_settop(l, 0);
                }
            };
            // SAFETY: it leaves nothing on the stack.
            unsafe { Lua::new().exec_raw::<()>((), look).unwrap() };
        }
    }

    #[test]
    fn what_is_appended_is_held_by_the_list_whatever_the_collector_is_at() {
        for mode in [mlua::ffi::LUA_GCINC, mlua::ffi::LUA_GCGEN] {
            for room in [0, 10, 1000] {
                let go = |l| {
                    // SAFETY: the list stays at index 1; each table is on the stack until it is in there.
                    unsafe {
                        mlua::ffi::lua_gc(l, mode, 0, 0, 0);
                        mlua::ffi::lua_createtable(l, room, 0);
                        let mut list = List::at(l, 1);
                        for i in 1..=1000 {
                            // New, but for the list; in the middle of a collection, and after one.
                            mlua::ffi::lua_createtable(l, 1, 0);
                            mlua::ffi::lua_pushinteger(l, i);
                            lua_rawseti(l, -2, 1);
                            let table = Raw::top(l);
                            if i % 7 == 0 {
                                mlua::ffi::lua_gc(l, mlua::ffi::LUA_GCSTEP, 1);
                            }
                            if i % 100 == 0 {
                                mlua::ffi::lua_gc(l, mlua::ffi::LUA_GCCOLLECT);
                            }
                            list.append(l, table);
                            lua_pop(l, 1);
                        }
                        mlua::ffi::lua_gc(l, mlua::ffi::LUA_GCCOLLECT);
                        mlua::ffi::lua_gc(l, mlua::ffi::LUA_GCCOLLECT);
                        assert_eq!(mlua::ffi::lua_rawlen(l, 1), 1000);
                        for i in 1..=1000 {
                            mlua::ffi::lua_rawgeti(l, 1, i);
                            mlua::ffi::lua_rawgeti(l, -1, 1);
                            assert_eq!(mlua::ffi::lua_tointeger(l, -1), i);
                            lua_pop(l, 2);
                        }
                        lua_settop(l, 0);
                    }
                };
                // SAFETY: it leaves nothing on the stack.
                unsafe { Lua::new().exec_raw::<()>((), go).unwrap() };
            }
        }
    }

    #[test]
    fn entries_may_be_changed_and_taken_out_on_the_way() {
        let lua = Lua::new();
        let table: Table = lua.load("return { 1, 2, 3, a = 1, b = 2, c = 3 }").eval().unwrap();
        let go = |l| {
            // SAFETY: the table is at index 1; entries are taken out, and none is added.
            unsafe {
                let mut entries = Entries::at(l, 1);
                lua_pushnil(l);
                while entries.next(l) {
                    mlua::ffi::lua_pushvalue(l, -2);
                    lua_pushnil(l);
                    mlua::ffi::lua_rawset(l, 1);
                    lua_pop(l, 1);
                }
                lua_settop(l, 0);
            }
        };
        // SAFETY: it leaves nothing on the stack.
        unsafe { lua.exec_raw::<()>(&table, go).unwrap() };
        assert!(table.is_empty());
    }
}
