//! Functions with their variables, and coroutines.
#![allow(unsafe_code, reason = "see the first page of `heap`")]

use std::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
};

use mlua::ffi;

use super::{Class, Heap, Value};

/// Where a function is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lua) struct Origin {
    /// What tells its chunk from others: see [`Heap::source`].
    pub(in crate::lua) chunk: usize,
    /// The lines on which it begins and ends.
    pub(in crate::lua) lines: (u32, u32),
}

/// A variable of an enclosing function that a function uses.
#[derive(Debug, Clone, Copy)]
pub(in crate::lua) struct Upvalue {
    /// Its number in the function, from 1 on.
    pub(in crate::lua) index: i32,
    /// What identifies the variable: functions share it.
    pub(in crate::lua) cell: usize,
    /// It is `_ENV`, the table of globals.
    pub(in crate::lua) is_env: bool,
    pub(in crate::lua) value: Value,
}

impl Heap<'_> {
    /// Those that have names, and so are of Lua code of the user, from `from` on: the first whose cell `is_passed`
    /// does not know. Functions of C and of ours have none.
    pub(in crate::lua) fn next_upvalue(
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
    pub(in crate::lua) fn upvalue_names(self, function: Value) -> Vec<(i32, Box<[u8]>)> {
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
    pub(in crate::lua) fn upvalue(self, function: Value, index: i32) -> Value {
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
    pub(in crate::lua) fn upvalue_cell(self, function: Value, index: i32) -> Option<usize> {
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

    pub(in crate::lua) fn set_upvalue(self, function: Value, index: i32, value: Value) {
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
    pub(in crate::lua) fn join_upvalue(self, function: Value, index: i32, other: Value, of_other: i32) {
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
    pub(in crate::lua) fn wrapped(self, function: Value) -> Option<Value> {
        let held = self.upvalue(function, 1);
        (function.is_c_function() && held.class() == Class::Coroutine).then_some(held)
    }

    pub(in crate::lua) fn origin(self, function: Value) -> Option<Origin> {
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
    pub(in crate::lua) fn source(self, function: Value) -> String {
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
    pub(in crate::lua) fn frames(self, coroutine: Value) -> Vec<(Origin, String)> {
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

fn line(line: c_int) -> u32 {
    u32::try_from(line).unwrap_or(0)
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
