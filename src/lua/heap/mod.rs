//! Lua's tables, functions and upvalues as a reload works with them, through Lua's documented interface.
//!
//! mlua makes a handle of its own for each value that it meets, counted and given back one by one; a reload meets
//! every table and function of a session. Here all of them are held at once, on the stack of a coroutine that never
//! runs, and let go at once: a [`Value`] is a number of that stack. [`Anchors`] is the stack, [`Heap`] what can be
//! done while it is open.
//!
//! This is the only place of the reload with unsafe code, and these are its reasons:
//!
//! - A [`Heap`] exists only inside [`Anchors::open`], which has the state's lock and runs on its thread.
//! - Nothing here can raise an error of Lua, which would leave Rust's functions by a long jump. The memory limit is
//!   lifted, and mlua's allocator ends the process where the system itself has none; keys are neither nil nor NaN;
//!   a table is not changed while it is gone through; indices of upvalues are looked up before they are used.
//! - The garbage collector is stopped, so no finalizer runs in between. Code of the user runs at one place,
//!   [`Heap::assign`], inside a protected call.
//! - A `Value` is checked before it is used: one that is not of this heap is nil, or another value, and no pointer
//!   is ever made of one.
#![allow(unsafe_code, reason = "see above")]

mod value;

use std::{
    cell::{Cell, RefCell},
    ffi::{CStr, c_int},
    mem::MaybeUninit,
    slice,
};

use mlua::{FromLuaMulti, IntoLuaMulti, Lua, Thread, ffi};

pub(super) use self::value::{Class, Kind, Value};
use super::limits::deadline;

/// Slots that one coroutine has; Lua allows a million.
const STACK: u32 = 200_000;
/// Slots above the values, for what an operation needs.
const WORK: c_int = 16;
/// A coroutine of Lua.
type State = *mut ffi::lua_State;

/// Where the values are held.
#[derive(Debug)]
pub(super) struct Anchors {
    thread: Thread,
    /// Coroutines that are full. Each but the first lies in the last slot of the one before it.
    full: RefCell<Vec<State>>,
    /// The one that is being filled; null: the first.
    last: Cell<State>,
    /// How many values there are in it.
    length: Cell<u32>,
    /// How many it has room for.
    room: Cell<u32>,
}

// SAFETY: the pointers are of coroutines of one Lua state, are only used with that state's lock held, in `open`, and
// lie in a coroutine that `thread` holds.
unsafe impl Send for Anchors {}

/// What can be done with values while the state is ours.
#[derive(Clone, Copy)]
pub(super) struct Heap<'a> {
    anchors: &'a Anchors,
    lua: &'a Lua,
    /// The coroutine that runs, where code of the user may be called.
    state: State,
    /// The memory limit of the user.
    limit: usize,
}

/// Where a function is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// What tells its chunk from others: see [`Heap::source`].
    pub(super) chunk: usize,
    /// The lines on which it begins and ends.
    pub(super) lines: (u32, u32),
}

/// A variable of an enclosing function that a function uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upvalue {
    /// Its number in the function, from 1 on.
    pub(super) index: i32,
    /// What identifies the variable: functions share it.
    pub(super) cell: usize,
    /// It is `_ENV`, the table of globals.
    pub(super) is_env: bool,
    pub(super) value: Value,
}

/// No memory limit and no collector, until it is dropped.
struct Undisturbed<'a> {
    lua: &'a Lua,
    limit: usize,
    collects: bool,
}

impl<'a> Undisturbed<'a> {
    fn new(lua: &'a Lua) -> mlua::Result<Self> {
        let limit = lua.set_memory_limit(0)?;
        let collects = lua.gc_is_running();
        if collects {
            lua.gc_stop();
        }
        Ok(Self { lua, limit, collects })
    }
}

impl Drop for Undisturbed<'_> {
    fn drop(&mut self) {
        let _ = self.lua.set_memory_limit(self.limit);
        if self.collects {
            self.lua.gc_restart();
        }
    }
}

impl Anchors {
    /// # Errors
    /// The state has no memory for them.
    pub(super) fn new(lua: &Lua) -> mlua::Result<Self> {
        // SAFETY: it leaves the new coroutine on the stack, and nothing else.
        let thread: Thread = unsafe {
            lua.exec_raw((), |state| {
                ffi::lua_newthread(state);
            })?
        };
        let last = Cell::new(std::ptr::null_mut());
        Ok(Self { thread, full: RefCell::default(), last, length: Cell::new(0), room: Cell::new(0) })
    }

    /// How many values are held.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.full.borrow().len()).unwrap_or(u32::MAX).saturating_mul(STACK) + self.length.get()
    }

    /// Works with values of the state: those that it is given, and what it finds. What it hands back is returned.
    ///
    /// # Errors
    /// The state has another allocator than mlua's; the arguments or the result cannot be converted.
    pub(super) fn open<R: FromLuaMulti>(
        &self,
        lua: &Lua,
        arguments: impl IntoLuaMulti,
        work: impl FnOnce(Heap<'_>, &[Value]) -> Value,
    ) -> mlua::Result<R> {
        let undisturbed = Undisturbed::new(lua)?;
        let limit = undisturbed.limit;
        let run = |state: State| {
            // SAFETY: the coroutine is the first argument, which mlua has found to be of this state. The others go to
            // where values are held, for which `reserve` has made room.
            unsafe {
                if self.last.get().is_null() {
                    self.last.set(ffi::lua_tothread(state, 1));
                }
                let heap = Heap { anchors: self, lua, state, limit };
                let count = ffi::lua_gettop(state) - 1;
                let l = heap.reserve(count);
                ffi::lua_xmove(state, l, count);
                let values: Vec<Value> = (0..count).map(|_| heap.keep_next()).collect();
                let result = work(heap, &values);
                ffi::lua_settop(state, 0);
                let l = heap.reserve(0);
                heap.push(l, result);
                ffi::lua_xmove(l, state, 1);
            }
        };
        // SAFETY: `run` raises no errors: see above.
        unsafe { lua.exec_raw((&self.thread, arguments), run) }
    }

    /// Lets go of all values but the first `length`.
    pub(super) fn truncate(&self, lua: &Lua, length: u32) {
        let run = |state: State| {
            // SAFETY: as in `open`; the coroutine has at least as many values, or gets nils.
            unsafe {
                let first = ffi::lua_tothread(state, 1);
                let is_first = self.full.borrow().is_empty();
                self.full.borrow_mut().clear();
                self.last.set(first);
                let length = if is_first { length.min(self.length.get()) } else { length.min(STACK) };
                self.length.set(length);
                ffi::lua_settop(first, index(length) - 1);
                ffi::lua_settop(state, 0);
            }
        };
        // SAFETY: making a stack shorter raises no errors.
        let _ = unsafe { lua.exec_raw::<()>(&self.thread, run) };
    }
}

/// Where on its coroutine the value with that number is.
fn index(slot: u32) -> c_int {
    // At most `STACK`.
    c_int::try_from(slot).unwrap_or(0) + 1
}

fn line(line: c_int) -> u32 {
    u32::try_from(line).unwrap_or(0)
}

impl<'a> Heap<'a> {
    /// The coroutine to work on, with room for so many more values and for `WORK`.
    fn reserve(self, more: c_int) -> State {
        let anchors = self.anchors;
        let more = u32::try_from(more).unwrap_or(0);
        // SAFETY: the coroutine is held by `thread`, as each is by the one before it.
        unsafe {
            if anchors.length.get() + more > STACK {
                let full = anchors.last.get();
                let next = ffi::lua_newthread(full);
                anchors.full.borrow_mut().push(full);
                anchors.last.set(next);
                anchors.length.set(0);
                anchors.room.set(0);
            }
            let wanted = anchors.length.get() + more + WORK.cast_unsigned();
            if wanted > anchors.room.get() {
                let room = wanted.next_power_of_two().max(256);
                let l = anchors.last.get();
                // It has room for a million, of which this is a part.
                ffi::lua_checkstack(l, c_int::try_from(room - anchors.length.get()).unwrap_or(0));
                anchors.room.set(room);
            }
            anchors.last.get()
        }
    }

    /// The coroutine to work on.
    fn stack(self) -> State {
        self.reserve(2)
    }

    /// What is at that place of a stack.
    unsafe fn look(l: State, at: c_int) -> (Kind, u64) {
        // SAFETY: the caller's: the place is one of the stack. None of these changes the value, for a string is not
        // asked for as a number nor the reverse.
        unsafe {
            let address = || ffi::lua_topointer(l, at).addr() as u64;
            match ffi::lua_type(l, at) {
                ffi::LUA_TBOOLEAN if ffi::lua_toboolean(l, at) == 0 => (Kind::False, 0),
                ffi::LUA_TBOOLEAN => (Kind::True, 0),
                ffi::LUA_TNUMBER if ffi::lua_isinteger(l, at) != 0 => {
                    (Kind::Integer, ffi::lua_tointegerx(l, at, std::ptr::null_mut()).cast_unsigned())
                }
                ffi::LUA_TNUMBER => (Kind::Float, ffi::lua_tonumberx(l, at, std::ptr::null_mut()).to_bits()),
                ffi::LUA_TSTRING => (Kind::String, address()),
                ffi::LUA_TTABLE => (Kind::Table, address()),
                ffi::LUA_TFUNCTION if ffi::lua_iscfunction(l, at) != 0 => (Kind::CFunction, address()),
                ffi::LUA_TFUNCTION => (Kind::Function, address()),
                ffi::LUA_TTHREAD => (Kind::Coroutine, address()),
                ffi::LUA_TUSERDATA => (Kind::Userdata, address()),
                ffi::LUA_TLIGHTUSERDATA => (Kind::LightUserdata, address()),
                _ => (Kind::Nil, 0),
            }
        }
    }

    fn is_held(kind: Kind) -> bool {
        !matches!(kind, Kind::Nil | Kind::False | Kind::True | Kind::Integer | Kind::Float)
    }

    /// The value that lies above those that are held is held as well.
    unsafe fn keep_next(self) -> Value {
        let length = &self.anchors.length;
        // SAFETY: the caller's: there is one.
        let (kind, bits) = unsafe { Self::look(self.anchors.last.get(), index(length.get())) };
        let value = self.at(length.get(), kind, bits);
        length.set(length.get() + 1);
        value
    }

    /// A value in that slot of the coroutine that is being filled.
    fn at(self, slot: u32, kind: Kind, bits: u64) -> Value {
        let full = u32::try_from(self.anchors.full.borrow().len()).unwrap_or(0);
        Value { kind, slot: full * STACK + slot, bits }
    }

    /// Takes what is on top of the stack, right above the values that are held.
    unsafe fn take(self, l: State) -> Value {
        // SAFETY: the caller's.
        unsafe {
            let (kind, bits) = Self::look(l, -1);
            if Self::is_held(kind) {
                let slot = self.anchors.length.get();
                self.anchors.length.set(slot + 1);
                self.at(slot, kind, bits)
            } else {
                ffi::lua_settop(l, -2);
                Value { kind, slot: 0, bits }
            }
        }
    }

    /// Takes what is on top of the stack, with one value below it that goes.
    unsafe fn take_over(self, l: State) -> Value {
        // SAFETY: the caller's.
        unsafe {
            ffi::lua_copy(l, -1, -2);
            ffi::lua_settop(l, -2);
            self.take(l)
        }
    }

    /// On top of the stack that is being filled.
    fn push(self, l: State, value: Value) {
        // SAFETY: there is room; a slot is looked for only where there are values.
        unsafe {
            match value.kind {
                Kind::Nil => ffi::lua_pushnil(l),
                Kind::False => ffi::lua_pushboolean(l, 0),
                Kind::True => ffi::lua_pushboolean(l, 1),
                Kind::Integer => ffi::lua_pushinteger(l, value.bits.cast_signed()),
                Kind::Float => ffi::lua_pushnumber(l, f64::from_bits(value.bits)),
                _ => self.push_held(l, value.slot),
            }
        }
    }

    fn push_held(self, l: State, slot: u32) {
        let full = self.anchors.full.borrow();
        let (stack, slot) = (slot / STACK, slot % STACK);
        // SAFETY: the slot is one of that coroutine's.
        unsafe {
            match full.get(stack as usize) {
                Some(&other) => {
                    ffi::lua_pushvalue(other, index(slot));
                    ffi::lua_xmove(other, l, 1);
                }
                None if stack as usize == full.len() && slot < self.anchors.length.get() => {
                    ffi::lua_pushvalue(l, index(slot));
                }
                None => ffi::lua_pushnil(l),
            }
        }
    }

    /// The value on that stack, if it is of the kind that the handle says: else the handle is of another heap.
    fn push_as(self, l: State, value: Value, lua_type: c_int) -> bool {
        self.push(l, value);
        // SAFETY: it has just been pushed.
        unsafe {
            let is_it = ffi::lua_type(l, -1) == lua_type;
            if !is_it {
                ffi::lua_settop(l, -2);
            }
            is_it
        }
    }

    fn push_table(self, l: State, table: Value) -> bool {
        table.kind == Kind::Table && self.push_as(l, table, ffi::LUA_TTABLE)
    }

    fn push_function(self, l: State, function: Value) -> bool {
        function.is_function() && self.push_as(l, function, ffi::LUA_TFUNCTION)
    }
}

/// Tables.
impl Heap<'_> {
    /// The value under that key, without metamethods; nil if it is no table.
    pub(super) fn get(self, table: Value, key: Value) -> Value {
        let l = self.stack();
        if !self.push_table(l, table) {
            return Value::NIL;
        }
        self.push(l, key);
        // SAFETY: a table and a key are on the stack; the value takes the key's place.
        unsafe {
            ffi::lua_rawget(l, -2);
            self.take_over(l)
        }
    }

    /// Whether that value is under that key. Holds nothing.
    pub(super) fn has(self, table: Value, key: Value, value: Value) -> bool {
        let l = self.stack();
        if !self.push_table(l, table) {
            return false;
        }
        self.push(l, key);
        // SAFETY: as in `get`.
        unsafe {
            ffi::lua_rawget(l, -2);
            let found = Self::look(l, -1);
            ffi::lua_settop(l, -3);
            found == (value.kind, value.bits)
        }
    }

    /// Whether what is under that key is neither nil nor false. Holds nothing.
    pub(super) fn is_true(self, table: Value, key: Value) -> bool {
        let l = self.stack();
        if !self.push_table(l, table) {
            return false;
        }
        self.push(l, key);
        // SAFETY: as in `get`.
        unsafe {
            ffi::lua_rawget(l, -2);
            let is_true = ffi::lua_toboolean(l, -1) != 0;
            ffi::lua_settop(l, -3);
            is_true
        }
    }

    /// Puts a value under that key, without metamethods. A key that no table takes is passed over.
    pub(super) fn set(self, table: Value, key: Value, value: Value) {
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
    pub(super) fn entries(self, table: Value) -> Vec<(Value, Value)> {
        let mut entries = Vec::new();
        self.entries_into(table, &mut entries);
        entries
    }

    /// [`entries`](Self::entries), after others.
    pub(super) fn entries_into(self, table: Value, entries: &mut Vec<(Value, Value)>) {
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
    pub(super) fn has_entries(self, table: Value, entries: &[(Value, Value)]) -> bool {
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
    pub(super) fn metatable(self, table: Value) -> Value {
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
    pub(super) fn set_metatable(self, table: Value, metatable: Value) {
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
    pub(super) fn new_table(self, elements: usize) -> Value {
        let l = self.stack();
        // SAFETY: there is room on the stack.
        unsafe {
            ffi::lua_createtable(l, c_int::try_from(elements).unwrap_or(0), 0);
            self.take(l)
        }
    }

    /// An assignment as a program makes it: metamethods of the user run, within his limits. Says whether it went well.
    pub(super) fn assign(self, table: Value, key: Value, value: Value) -> bool {
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
                let watches = deadline::watch(state);
                let is_good = ffi::lua_pcall(state, 3, 0, 0) == ffi::LUA_OK;
                if watches {
                    deadline::unwatch(state);
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

/// Texts and numbers.
impl Heap<'_> {
    pub(super) fn text(self, text: &str) -> Value {
        let l = self.stack();
        // SAFETY: the text is as long as it says.
        unsafe {
            ffi::lua_pushlstring(l, text.as_ptr().cast(), text.len());
            self.take(l)
        }
    }

    /// The bytes of a string; a number is none.
    pub(super) fn bytes_of(self, text: Value) -> Option<Vec<u8>> {
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
    pub(super) fn text_of(self, text: Value) -> Option<String> {
        let bytes = self.bytes_of(text)?;
        Some(
            String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        )
    }

    /// What `rawequal` says.
    pub(super) fn equal(self, a: Value, b: Value) -> bool {
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

/// Functions and coroutines.
impl Heap<'_> {
    /// Those that have names, and so are of Lua code of the user, from `from` on: the first whose cell `is_passed`
    /// does not know. Functions of C and of ours have none.
    pub(super) fn next_upvalue(
        self,
        function: Value,
        from: i32,
        is_passed: impl Fn(usize) -> bool,
    ) -> Option<Upvalue> {
        let l = self.stack();
        if !self.push_function(l, function) {
            return None;
        }
        // SAFETY: the function is on top, and above it for a moment the value of a variable that it has.
        unsafe {
            for index in from.. {
                let cell = ffi::lua_upvalueid(l, -1, index).addr();
                if cell != 0 && is_passed(cell) {
                    continue;
                }
                let name = if cell == 0 { std::ptr::null() } else { ffi::lua_getupvalue(l, -1, index) };
                if name.is_null() {
                    break;
                }
                let name = CStr::from_ptr(name);
                if matches!(name.to_bytes(), b"" | b"(no name)") {
                    ffi::lua_settop(l, -2);
                    break;
                }
                let is_env = name == c"_ENV";
                let value = self.take_over(l);
                return Some(Upvalue { index, cell, is_env, value });
            }
            ffi::lua_settop(l, -2);
        }
        None
    }

    /// Number and name of each variable that a function uses; of what is no function, none.
    pub(super) fn upvalue_names(self, function: Value) -> Vec<(i32, Box<[u8]>)> {
        let mut names = Vec::new();
        let l = self.stack();
        if !self.push_function(l, function) {
            return names;
        }
        // SAFETY: as in `next_upvalue`; the name is copied while the function is held.
        unsafe {
            for index in 1.. {
                let name = ffi::lua_getupvalue(l, -1, index);
                if name.is_null() {
                    break;
                }
                ffi::lua_settop(l, -2);
                names.push((index, CStr::from_ptr(name).to_bytes().into()));
            }
            ffi::lua_settop(l, -2);
        }
        names
    }

    /// The value of that variable; nil if there is none.
    pub(super) fn upvalue(self, function: Value, index: i32) -> Value {
        let l = self.stack();
        if !self.push_function(l, function) {
            return Value::NIL;
        }
        // SAFETY: the function is on top, and above it the value if there is one.
        unsafe {
            if index < 1 || ffi::lua_getupvalue(l, -1, index).is_null() {
                ffi::lua_settop(l, -2);
                return Value::NIL;
            }
            self.take_over(l)
        }
    }

    /// What identifies that variable. `None`: there is none.
    pub(super) fn upvalue_cell(self, function: Value, index: i32) -> Option<usize> {
        let l = self.stack();
        if index < 1 || !self.push_function(l, function) {
            return None;
        }
        // SAFETY: the function is on top.
        unsafe {
            let cell = ffi::lua_upvalueid(l, -1, index).addr();
            ffi::lua_settop(l, -2);
            (cell != 0).then_some(cell)
        }
    }

    pub(super) fn set_upvalue(self, function: Value, index: i32, value: Value) {
        let l = self.stack();
        if index < 1 || !self.push_function(l, function) {
            return;
        }
        self.push(l, value);
        // SAFETY: the function, and the value above it, which stays there if there is no such variable.
        unsafe {
            if ffi::lua_setupvalue(l, -2, index).is_null() {
                ffi::lua_settop(l, -2);
            }
            ffi::lua_settop(l, -2);
        }
    }

    /// From here on the variable of `function` is that of `other`.
    pub(super) fn join_upvalue(self, function: Value, index: i32, other: Value, of_other: i32) {
        let is_there =
            self.upvalue_cell(function, index).is_some() && self.upvalue_cell(other, of_other).is_some();
        if !is_there || function.is_c_function() || other.is_c_function() {
            return;
        }
        let l = self.stack();
        self.push(l, function);
        self.push(l, other);
        // SAFETY: two functions of Lua, which have variables of these numbers.
        unsafe {
            ffi::lua_upvaluejoin(l, -2, index, -1, of_other);
            ffi::lua_settop(l, -3);
        }
    }

    /// The coroutine that a function holds which `coroutine.wrap` has made.
    pub(super) fn wrapped(self, function: Value) -> Option<Value> {
        let held = self.upvalue(function, 1);
        (function.is_c_function() && held.class() == Class::Coroutine).then_some(held)
    }

    pub(super) fn origin(self, function: Value) -> Option<Origin> {
        let l = self.stack();
        if !self.push_function(l, function) {
            return None;
        }
        let mut about = MaybeUninit::<ffi::lua_Debug>::zeroed();
        // SAFETY: the function is on top, and goes; all zeroes are a valid `lua_Debug`.
        unsafe {
            ffi::lua_getinfo(l, c">S".as_ptr(), about.as_mut_ptr());
            Some(Origin::new(about.assume_init_ref()))
        }
    }

    /// The name of the chunk that a function is from; empty if it is no function.
    pub(super) fn source(self, function: Value) -> String {
        let l = self.stack();
        if !self.push_function(l, function) {
            return String::new();
        }
        let mut about = MaybeUninit::<ffi::lua_Debug>::zeroed();
        // SAFETY: as in `origin`; the function is held by its slot while its chunk's name is read.
        unsafe {
            ffi::lua_getinfo(l, c">S".as_ptr(), about.as_mut_ptr());
            source(about.assume_init_ref())
        }
    }

    /// The functions that a coroutine is in the middle of, innermost first, with the names of their chunks. None if
    /// it is not suspended.
    pub(super) fn frames(self, coroutine: Value) -> Vec<(Origin, String)> {
        let mut frames = Vec::new();
        let l = self.stack();
        if coroutine.class() != Class::Coroutine || !self.push_as(l, coroutine, ffi::LUA_TTHREAD) {
            return frames;
        }
        let mut about = MaybeUninit::<ffi::lua_Debug>::zeroed();
        // SAFETY: the coroutine is held by its slot; it does not run, so its stack is as it was left.
        unsafe {
            let thread = ffi::lua_tothread(l, -1);
            ffi::lua_settop(l, -2);
            if ffi::lua_status(thread) == ffi::LUA_YIELD {
                for level in 0.. {
                    if ffi::lua_getstack(thread, level, about.as_mut_ptr()) == 0 {
                        break;
                    }
                    ffi::lua_getinfo(thread, c"S".as_ptr(), about.as_mut_ptr());
                    let about = about.assume_init_ref();
                    frames.push((Origin::new(about), source(about)));
                }
            }
        }
        frames
    }
}

impl Origin {
    fn new(about: &ffi::lua_Debug) -> Self {
        Self { chunk: about.source.addr(), lines: (line(about.linedefined), line(about.lastlinedefined)) }
    }
}

/// # Safety
/// What it is about is alive.
unsafe fn source(about: &ffi::lua_Debug) -> String {
    if about.source.is_null() {
        return String::new();
    }
    // SAFETY: the caller's; Lua ends it with a zero byte.
    unsafe { CStr::from_ptr(about.source) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
