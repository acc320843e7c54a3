//! What Rust code sees of its frame. Nothing here raises an error of Lua's.
#![allow(unsafe_code, reason = "see the first page of `frame`")]

use std::{
    ffi::{CStr, c_int},
    ops::RangeInclusive,
    ptr, slice,
};

use mlua::ffi;

use super::{Frame, Raise, Type};

impl<'f> Frame<'f> {
    /// How many arguments there are. They stay as they are.
    #[inline]
    pub(crate) fn arguments(self) -> c_int {
        self.0.given.get()
    }

    #[inline]
    pub(crate) fn type_of(self, at: c_int) -> Type {
        let Some(at) = self.0.find(at) else { return Type::None };
        // SAFETY: there is that value.
        match unsafe { ffi::lua_type(self.0.state, at) } {
            ffi::LUA_TNIL => Type::Nil,
            ffi::LUA_TBOOLEAN => Type::Boolean,
            ffi::LUA_TNUMBER => Type::Number,
            ffi::LUA_TSTRING => Type::String,
            ffi::LUA_TTABLE => Type::Table,
            ffi::LUA_TFUNCTION => Type::Function,
            _ => Type::Other,
        }
    }

    #[inline]
    pub(crate) fn is_nothing(self, at: c_int) -> bool {
        matches!(self.type_of(at), Type::None | Type::Nil)
    }

    /// The name of its type, as Lua's messages have it.
    pub(in crate::lua) fn type_name(self, at: c_int) -> &'static str {
        // SAFETY: the names of types are constants of Lua's.
        let name = unsafe {
            let of = self.0.find(at).map_or(ffi::LUA_TNONE, |at| ffi::lua_type(self.0.state, at));
            CStr::from_ptr(ffi::lua_typename(self.0.state, of))
        };
        name.to_str().unwrap_or_default()
    }

    /// Neither nil nor false.
    #[inline]
    pub(in crate::lua) fn is_true(self, at: c_int) -> bool {
        // SAFETY: there is that value.
        self.0.find(at).is_some_and(|at| unsafe { ffi::lua_toboolean(self.0.state, at) } != 0)
    }

    /// A number without a fraction, or a text that reads as one.
    #[inline]
    pub(in crate::lua) fn try_integer(self, at: c_int) -> Option<i64> {
        let at = self.0.find(at)?;
        let mut is_one = 0;
        // SAFETY: there is that value.
        let integer = unsafe { ffi::lua_tointegerx(self.0.state, at, &raw mut is_one) };
        (is_one != 0).then_some(integer)
    }

    /// # Errors
    /// It is no integer: the error says so of the argument.
    #[inline]
    pub(in crate::lua) fn integer(self, at: c_int) -> Result<i64, Raise> {
        self.try_integer(at).ok_or(Raise::NoInteger(at))
    }

    /// What it is if it is left out.
    ///
    /// # Errors
    /// It is no integer.
    #[inline]
    pub(in crate::lua) fn integer_or(self, at: c_int, otherwise: i64) -> Result<i64, Raise> {
        if self.is_nothing(at) { Ok(otherwise) } else { self.integer(at) }
    }

    /// The text of an argument. A number becomes a text; the function is then asked anew.
    ///
    /// # Errors
    /// It is no text.
    #[inline]
    pub(in crate::lua) fn text(self, at: c_int) -> Result<&'f [u8], Raise> {
        if at < 1 || at > self.arguments() || self.type_of(at) != Type::String {
            return Err(Raise::NoText(at));
        }
        // SAFETY: a string, which stays where it is while the frame is there.
        unsafe {
            let mut length = 0;
            let text = ffi::lua_tolstring(self.0.state, at, &raw mut length);
            Ok(slice::from_raw_parts(text.cast(), length))
        }
    }

    /// Bytes of a string; of anything else 0.
    #[inline]
    pub(in crate::lua) fn text_length(self, at: c_int) -> usize {
        match self.0.find(at) {
            // SAFETY: there is that value, and it is a string.
            Some(at) if self.type_of(at) == Type::String => unsafe { ffi::lua_rawlen(self.0.state, at) },
            _ => 0,
        }
    }

    /// Bytes of these elements of a table, each with so many beside it; a number counts as so many. `None`: one is
    /// neither a text nor a number, or the table has a metatable.
    pub(in crate::lua) fn length_of_elements(
        self,
        table: c_int,
        elements: RangeInclusive<i64>,
        beside: usize,
        number: usize,
    ) -> Option<usize> {
        let l = self.0.state;
        let table = self.0.find(table).filter(|_| self.type_of(table) == Type::Table)?;
        // SAFETY: it is a table, and nothing changes it meanwhile. There is room for what is pushed, which is gone at
        // the end.
        unsafe {
            if ffi::lua_checkstack(l, 1) == 0 {
                return None;
            }
            if ffi::lua_getmetatable(l, table) != 0 {
                ffi::lua_settop(l, -2);
                return None;
            }
            let mut bytes = 0usize;
            for element in elements {
                let length = match ffi::lua_rawgeti(l, table, element) {
                    ffi::LUA_TSTRING => Some(ffi::lua_rawlen(l, -1)),
                    ffi::LUA_TNUMBER => Some(number),
                    _ => None,
                };
                ffi::lua_settop(l, -2);
                bytes = bytes.saturating_add(length?).saturating_add(beside);
            }
            Some(bytes)
        }
    }

    /// Whether both are the same, by `rawequal`.
    #[inline]
    pub(crate) fn is_same(self, one: c_int, other: c_int) -> bool {
        let (Some(one), Some(other)) = (self.0.find(one), self.0.find(other)) else { return false };
        // SAFETY: there are both.
        unsafe { ffi::lua_rawequal(self.0.state, one, other) != 0 }
    }

    /// Whether the table has no metatable, and a key that is a text of which that holds.
    pub(crate) fn has_plain_key(self, table: c_int, holds: impl Fn(&[u8]) -> bool) -> bool {
        let l = self.0.state;
        let Some(table) = self.0.find(table).filter(|_| self.type_of(table) == Type::Table) else {
            return false;
        };
        // SAFETY: it is a table, and nothing changes it meanwhile. What is pushed is gone at the end; `holds` has no
        // frame. A key is not converted: it is a string.
        unsafe {
            let top = self.0.height.get();
            if ffi::lua_checkstack(l, 2) == 0 {
                return false;
            }
            let mut found = false;
            if ffi::lua_getmetatable(l, table) == 0 {
                ffi::lua_pushnil(l);
                while !found && ffi::lua_next(l, table) != 0 {
                    ffi::lua_settop(l, -2);
                    if ffi::lua_type(l, -1) == ffi::LUA_TSTRING {
                        let mut length = 0;
                        let text = ffi::lua_tolstring(l, -1, &raw mut length);
                        found = holds(slice::from_raw_parts(text.cast(), length));
                    }
                }
            }
            ffi::lua_settop(l, top);
            found
        }
    }

    /// What the last [`Op::Length`] has found.
    #[inline]
    pub(in crate::lua) fn answer(self) -> i64 {
        self.0.answer.get()
    }

    /// What the last [`Op::Less`], [`Op::LessBy`] or [`Op::Equal`] has found.
    #[inline]
    pub(in crate::lua) fn is_so(self) -> bool {
        self.0.answer.get() != 0
    }

    /// Bytes in the buffer.
    #[inline]
    pub(in crate::lua) fn buffered(self) -> usize {
        if self.0.level.get() == 0 {
            return 0;
        }
        // SAFETY: there is a buffer, which is only used by operations.
        unsafe { (*self.0.buffer.get()).assume_init_ref().n }
    }

    /// A variable of the function itself that is an integer.
    #[inline]
    pub(in crate::lua) fn upvalue_integer(self, number: u8) -> i64 {
        // SAFETY: a variable that the function has not is no integer.
        unsafe {
            ffi::lua_tointegerx(self.0.state, ffi::lua_upvalueindex(c_int::from(number)), ptr::null_mut())
        }
    }

    /// Bytes that the state uses, garbage included.
    #[inline]
    pub(in crate::lua) fn used(self) -> usize {
        // SAFETY: counting raises no errors.
        let (kib, rest) = unsafe {
            (ffi::lua_gc(self.0.state, ffi::LUA_GCCOUNT), ffi::lua_gc(self.0.state, ffi::LUA_GCCOUNTB))
        };
        usize::try_from(kib).unwrap_or(0) * 1024 + usize::try_from(rest).unwrap_or(0)
    }

    /// Collects the garbage.
    pub(in crate::lua) fn collect(self) {
        // SAFETY: errors of finalizers are warnings.
        unsafe {
            ffi::lua_gc(self.0.state, ffi::LUA_GCCOLLECT);
        }
    }
}
