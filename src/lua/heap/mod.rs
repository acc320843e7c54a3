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

mod anchors;
mod functions;
mod tables;
mod value;

use std::ffi::c_int;

use mlua::{Lua, ffi};

pub(super) use self::{
    anchors::Anchors,
    value::{Class, Kind, Value},
};

/// Slots that one coroutine has; Lua allows a million.
const STACK: u32 = 200_000;
/// Slots above the values, for what an operation needs.
const WORK: c_int = 16;
/// A coroutine of Lua.
type State = *mut ffi::lua_State;

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

/// Where on its coroutine the value with that number is.
fn index(slot: u32) -> c_int {
    // At most `STACK`.
    c_int::try_from(slot).unwrap_or(0) + 1
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

#[cfg(test)]
mod tests;
