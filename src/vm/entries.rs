//! The entries of a table in turn, and lists of ours that become longer.
//!
//! Safety of this file: as in `values.rs`.
#![allow(unsafe_code, reason = "Lua's own structures: see `values.rs`")]

use std::{ffi::c_int, ptr, slice};

use mlua::ffi::{lua_Integer, lua_State, lua_pop, lua_rawseti};

use super::values::{INTEGER, Node, Raw, RawTable};

/// A list of ours that becomes longer. Somebody holds its table.
#[derive(Debug)]
pub(super) struct List {
    table: *const RawTable,
    /// How long it is.
    pub(super) end: lua_Integer,
    /// How long it can become where it is.
    pub(super) room: lua_Integer,
}

impl List {
    /// One that is nowhere, and is not to be appended to.
    pub(super) const NONE: Self = Self { table: ptr::null(), end: 0, room: 0 };

    /// One that is empty, at that index.
    pub(super) unsafe fn at(l: *mut lua_State, index: c_int) -> Self {
        let mut list = Self { table: unsafe { RawTable::at(l, index) }, end: 0, room: 0 };
        unsafe { list.measure() };
        list
    }

    /// All that there is room for, from value 1 on: see [`nth`](super::values::nth).
    pub(super) unsafe fn values<'a>(&self) -> &'a [Raw] {
        unsafe { RawTable::list(self.table) }
    }

    /// It holds nothing any more, and has the room that it had.
    pub(super) unsafe fn empty(&mut self) {
        if self.table.is_null() {
            return;
        }
        let list = unsafe { RawTable::list(self.table) };
        let end = usize::try_from(self.end).unwrap_or(0).min(list.len());
        unsafe { slice::from_raw_parts_mut((*self.table).array, end).fill(Raw::NIL) }
        self.end = 0;
    }

    /// Where it is.
    pub(super) fn table(&self) -> Raw {
        Raw::of_table(self.table)
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
            if i <= self.room && RawTable::is_open(self.table) {
                (*self.table).array.offset(i as isize - 1).write(value);
            } else {
                self.put_by_lua(l, i, value);
            }
        }
    }

    #[cold]
    unsafe fn put_by_lua(&mut self, l: *mut lua_State, i: lua_Integer, value: Raw) {
        unsafe {
            self.table().push(l);
            value.push(l);
            lua_rawseti(l, -2, i);
            lua_pop(l, 1);
            self.measure();
        }
    }
}

/// The entries of a table, in the order in which `lua_next` finds them. As with that, entries may be changed
/// or taken out meanwhile, and none may be added: so the table stays where it lies.
pub(super) struct Entries {
    value: *const Raw,
    values_end: *const Raw,
    /// Of the value before it.
    index: u64,
    node: *const Node,
    nodes_end: *const Node,
}

impl Entries {
    /// Of nothing.
    pub(super) const NONE: Self = Self {
        value: ptr::null(),
        values_end: ptr::null(),
        index: 0,
        node: ptr::null(),
        nodes_end: ptr::null(),
    };

    /// Of the table at that index, which has to stay there.
    pub(super) unsafe fn at(l: *mut lua_State, index: c_int) -> Self {
        unsafe { Self::of(RawTable::at(l, index)) }
    }

    pub(super) unsafe fn of(table: *const RawTable) -> Self {
        unsafe {
            let values = RawTable::list(table).as_ptr_range();
            let nodes = RawTable::nodes(table);
            let node = nodes.cast::<Node>().cast_const();
            let (value, values_end) = (values.start, values.end);
            Self { value, values_end, index: 0, node, nodes_end: node.add(nodes.len()) }
        }
    }

    /// The next key and its value.
    #[inline]
    pub(super) unsafe fn take(&mut self) -> Option<(Raw, Raw)> {
        unsafe {
            while self.value != self.values_end {
                let value = self.value.read();
                self.value = self.value.add(1);
                self.index += 1;
                if !value.is_nil() {
                    return Some((Raw { bits: self.index, kind: INTEGER }, value));
                }
            }
            while self.node != self.nodes_end {
                let node = self.node;
                self.node = node.add(1);
                let value = Raw { bits: (*node).bits, kind: (*node).kind };
                if !value.is_nil() {
                    return Some((Raw { bits: (*node).key_bits, kind: (*node).key_kind }, value));
                }
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use mlua::{Lua, Table, ffi::lua_settop};

    use super::*;
    use crate::vm::values::nth;

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
                let table = RawTable::at(l, 1);
                let mut entries = Entries::of(table);
                while let Some((key, _)) = entries.take() {
                    RawTable::set(table, l, key, Raw::NIL);
                }
                lua_settop(l, 0);
            }
        };
        // SAFETY: it leaves nothing on the stack.
        unsafe { lua.exec_raw::<()>(&table, go).unwrap() };
        assert!(table.is_empty());
    }
}
