//! Tables, and the texts that are keys in them.
#![allow(unsafe_code, reason = "see the first page of `heap`")]

use std::{ffi::c_int, slice};

use mlua::ffi;

use super::{Heap, Kind, State, Value, index};
use crate::lua::{frame::look_at, limits::deadline};

impl Heap<'_> {
    /// The stack with the table on top of it, and above that what is under the key, without metamethods. `None`: it is
    /// no table, and nothing is on the stack.
    fn look_up(self, table: Value, key: Value) -> Option<State> {
        let l = self.stack();
        if !self.push_table(l, table) {
            return None;
        }
        self.push(l, key);
        // SAFETY: a table and a key are on the stack; the value takes the key's place.
        unsafe { ffi::lua_rawget(l, -2) };
        Some(l)
    }

    /// The value under that key, without metamethods; nil if it is no table.
    pub(in crate::lua) fn get(self, table: Value, key: Value) -> Value {
        // SAFETY: the value is on top of its table.
        self.look_up(table, key).map_or(Value::NIL, |l| unsafe { self.take_over(l) })
    }

    /// Whether that value is under that key. Holds nothing.
    pub(in crate::lua) fn has(self, table: Value, key: Value, value: Value) -> bool {
        let Some(l) = self.look_up(table, key) else { return false };
        // SAFETY: the value is on top of its table; both go.
        unsafe {
            let found = Self::look(l, -1);
            ffi::lua_settop(l, -3);
            found == (value.kind, value.bits)
        }
    }

    /// Whether what is under that key is neither nil nor false. Holds nothing.
    pub(in crate::lua) fn is_true(self, table: Value, key: Value) -> bool {
        let Some(l) = self.look_up(table, key) else { return false };
        // SAFETY: the value is on top of its table; both go.
        unsafe {
            let is_true = ffi::lua_toboolean(l, -1) != 0;
            ffi::lua_settop(l, -3);
            is_true
        }
    }

    /// Puts a value under that key, without metamethods. A key that no table takes is passed over.
    pub(in crate::lua) fn set(self, table: Value, key: Value, value: Value) {
        let is_nan = key.kind == Kind::Float && f64::from_bits(key.bits).is_nan();
        let l = self.stack();
        if key.is_nil() || is_nan || !self.push_table(l, table) {
            return;
        }
        self.push(l, key);
        self.push(l, value);
        // SAFETY: a table, a key that it takes, and a value.
        unsafe {
            if ffi::lua_type(l, -2) == ffi::LUA_TNIL {
                return ffi::lua_settop(l, -4);
            }
            ffi::lua_rawset(l, -3);
            ffi::lua_settop(l, -2);
        }
    }

    /// Key and value of each entry, in the order in which Lua finds them; of what is no table, none.
    pub(in crate::lua) fn entries(self, table: Value) -> Vec<(Value, Value)> {
        let mut entries = Vec::new();
        self.entries_into(table, &mut entries);
        entries
    }

    /// [`entries`](Self::entries), after others.
    pub(in crate::lua) fn entries_into(self, table: Value, entries: &mut Vec<(Value, Value)>) {
        let mut l = self.stack();
        if !self.push_table(l, table) {
            return;
        }
        // SAFETY: the table is held in a slot, above which are the key that comes next and, for a moment, its value.
        // Nothing changes the table meanwhile. A key or value that has to be held stays where it is.
        unsafe {
            let mut at = index(self.anchors.length.get());
            self.anchors.length.set(self.anchors.length.get() + 1);
            ffi::lua_pushnil(l);
            loop {
                let now = self.reserve_with_key(l, table);
                if now != l {
                    l = now;
                    at = index(0);
                }
                if ffi::lua_next(l, at) == 0 {
                    return;
                }
                let (key, value) = (Self::look(l, -2), Self::look(l, -1));
                let slot = self.anchors.length.get();
                let (key_slot, value_slot, held) = match (Self::is_held(key.0), Self::is_held(value.0)) {
                    (false, false) => {
                        ffi::lua_settop(l, -2);
                        (0, 0, 0)
                    }
                    (false, true) => {
                        ffi::lua_rotate(l, -2, 1);
                        (0, slot, 1)
                    }
                    (true, false) => {
                        ffi::lua_copy(l, -2, -1);
                        (slot, 0, 1)
                    }
                    (true, true) => {
                        ffi::lua_pushvalue(l, -2);
                        (slot, slot + 1, 2)
                    }
                };
                entries.push((self.at(key_slot, key.0, key.1), self.at(value_slot, value.0, value.1)));
                self.anchors.length.set(slot + held);
            }
        }
    }

    /// Room for one more entry of a table, whose next key is on top of the stack. It goes along where the stack is
    /// full, and the table is the first value there.
    unsafe fn reserve_with_key(self, l: State, table: Value) -> State {
        let next = self.reserve(3);
        if next != l {
            // SAFETY: the key lies above the coroutine that `reserve` has made, in the one that is full.
            unsafe {
                self.push(next, table);
                self.anchors.length.set(1);
                ffi::lua_pushvalue(l, -2);
                ffi::lua_xmove(l, next, 1);
            }
        }
        next
    }

    /// Whether its entries are these, in this order. Holds nothing.
    pub(in crate::lua) fn has_entries(self, table: Value, entries: &[(Value, Value)]) -> bool {
        let l = self.stack();
        if !self.push_table(l, table) {
            return entries.is_empty();
        }
        let mut left = entries.iter();
        // SAFETY: as in `entries_into`, but nothing stays on the stack.
        unsafe {
            let at = ffi::lua_gettop(l);
            ffi::lua_pushnil(l);
            while ffi::lua_next(l, at) != 0 {
                let is_same = left.next().is_some_and(|(key, value)| {
                    Self::look(l, -1) == (value.kind, value.bits) && Self::look(l, -2) == (key.kind, key.bits)
                });
                if !is_same {
                    ffi::lua_settop(l, at - 1);
                    return false;
                }
                ffi::lua_settop(l, -2);
            }
            ffi::lua_settop(l, at - 1);
        }
        left.next().is_none()
    }

    /// Its metatable, or nil.
    pub(in crate::lua) fn metatable(self, table: Value) -> Value {
        let l = self.stack();
        if !self.push_table(l, table) {
            return Value::NIL;
        }
        // SAFETY: the table is on top, and its metatable above it if it has one.
        unsafe {
            if ffi::lua_getmetatable(l, -1) == 0 {
                ffi::lua_settop(l, -2);
                return Value::NIL;
            }
            self.take_over(l)
        }
    }

    /// Gives it that metatable, or none.
    pub(in crate::lua) fn set_metatable(self, table: Value, metatable: Value) {
        let l = self.stack();
        if metatable.table().is_none() && !metatable.is_nil() || !self.push_table(l, table) {
            return;
        }
        self.push(l, metatable);
        // SAFETY: a table, and a table or nil.
        unsafe {
            if matches!(ffi::lua_type(l, -1), ffi::LUA_TTABLE | ffi::LUA_TNIL) {
                ffi::lua_setmetatable(l, -2);
                ffi::lua_settop(l, -2);
            } else {
                ffi::lua_settop(l, -3);
            }
        }
    }

    /// A new one, with room for so many elements.
    pub(in crate::lua) fn new_table(self, elements: usize) -> Value {
        let l = self.stack();
        // SAFETY: there is room on the stack.
        unsafe {
            ffi::lua_createtable(l, c_int::try_from(elements).unwrap_or(0), 0);
            self.take(l)
        }
    }

    /// An assignment as a program makes it: metamethods of the user run, within his limits. Says whether it went well.
    pub(in crate::lua) fn assign(self, table: Value, key: Value, value: Value) -> bool {
        let (l, state) = (self.reserve(4), self.state);
        let _ = self.lua.set_memory_limit(self.limit);
        // SAFETY: a protected call, on the coroutine that runs; what it raises ends in it.
        let is_good = unsafe {
            let height = ffi::lua_gettop(state);
            let has_room = ffi::lua_checkstack(state, 5) != 0;
            if has_room {
                ffi::lua_pushcfunction(state, set_table);
                for argument in [table, key, value] {
                    self.push(l, argument);
                    ffi::lua_xmove(l, state, 1);
                }
                let watches = look_at(state, deadline::watch);
                let is_good = ffi::lua_pcall(state, 3, 0, 0) == ffi::LUA_OK;
                if watches {
                    look_at(state, deadline::unwatch);
                }
                ffi::lua_settop(state, height);
                is_good
            } else {
                false
            }
        };
        let _ = self.lua.set_memory_limit(0);
        is_good
    }
}

unsafe extern "C-unwind" fn set_table(l: State) -> c_int {
    // SAFETY: called by `assign` with a table, a key and a value.
    unsafe { ffi::lua_settable(l, 1) }
    0
}

impl Heap<'_> {
    pub(in crate::lua) fn text(self, text: &str) -> Value {
        let l = self.stack();
        // SAFETY: the text is as long as it says.
        unsafe {
            ffi::lua_pushlstring(l, text.as_ptr().cast(), text.len());
            self.take(l)
        }
    }

    /// The bytes of a string; a number is none.
    pub(in crate::lua) fn bytes_of(self, text: Value) -> Option<Vec<u8>> {
        let l = self.stack();
        if !text.is_string() || !self.push_as(l, text, ffi::LUA_TSTRING) {
            return None;
        }
        // SAFETY: the string stays on the stack until its bytes are copied.
        unsafe {
            let mut length = 0;
            let bytes = ffi::lua_tolstring(l, -1, &raw mut length);
            let bytes = slice::from_raw_parts(bytes.cast::<u8>(), length).to_vec();
            ffi::lua_settop(l, -2);
            Some(bytes)
        }
    }

    /// The text of a string; bytes that are no UTF-8 are replaced.
    pub(in crate::lua) fn text_of(self, text: Value) -> Option<String> {
        let bytes = self.bytes_of(text)?;
        Some(
            String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        )
    }

    /// What `rawequal` says.
    pub(in crate::lua) fn equal(self, a: Value, b: Value) -> bool {
        if a.is(b) && a.kind != Kind::Float {
            return true;
        }
        let l = self.stack();
        self.push(l, a);
        self.push(l, b);
        // SAFETY: two values are on top.
        unsafe {
            let equal = ffi::lua_rawequal(l, -1, -2) != 0;
            ffi::lua_settop(l, -3);
            equal
        }
    }
}
