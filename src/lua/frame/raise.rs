//! Errors as values: they are raised when the Rust code has returned.
#![allow(unsafe_code, reason = "see the first page of `frame`")]

use std::{
    ffi::{CStr, c_int},
    fmt::{self, Write},
};

use mlua::ffi;

use super::{Stack, Type};

/// Bytes of a message; what has no room is cut.
const ROOM: usize = 112;

/// A text that needs no memory of its own. Zero bytes follow it.
#[derive(Clone, Copy)]
pub(crate) struct Message([u8; ROOM]);

impl Message {
    fn new(text: fmt::Arguments<'_>) -> Self {
        struct Rest<'a>(&'a mut [u8]);
        impl Write for Rest<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                let (here, rest) =
                    std::mem::take(&mut self.0).split_at_mut_checked(text.len()).ok_or(fmt::Error)?;
                here.copy_from_slice(text.as_bytes());
                self.0 = rest;
                Ok(())
            }
        }
        let mut message = Self([0; ROOM]);
        let _ = Rest(&mut message.0[..ROOM - 1]).write_fmt(text);
        message
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_c_str(), f)
    }
}

/// What is to be raised.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Raise {
    /// The Rust code has panicked.
    Bug,
    /// A message, with the place of the caller.
    Error(Message),
    /// A message as it is.
    Bare(Message),
    /// What is wrong with that argument.
    Argument(c_int, Message),
    /// That argument is none of that type.
    NoType(c_int, Type),
    /// That argument is no integer.
    NoInteger(c_int),
    /// That argument is no text, or a number, which becomes one.
    NoText(c_int),
}

impl Raise {
    #[cold]
    pub(in crate::lua) fn error(text: fmt::Arguments<'_>) -> Self {
        Self::Error(Message::new(text))
    }

    #[cold]
    pub(in crate::lua) fn bare(text: fmt::Arguments<'_>) -> Self {
        Self::Bare(Message::new(text))
    }

    #[cold]
    pub(in crate::lua) fn argument(number: c_int, text: fmt::Arguments<'_>) -> Self {
        Self::Argument(number, Message::new(text))
    }

    /// Returns only where a number has become a text: then the Rust code is to be asked again.
    ///
    /// # Safety
    /// No Rust code is under way in the frame.
    #[cold]
    pub(super) unsafe fn out(&self, stack: &Stack) {
        let l = stack.state;
        // SAFETY: the caller's; a message has nothing to be dropped. Each has room for what it pushes, or sees to that.
        unsafe {
            match *self {
                Self::Bug => {
                    ffi::luaL_error(l, c"a function of the server has panicked; this is a bug".as_ptr());
                }
                Self::NoType(number, _) | Self::NoInteger(number) | Self::NoText(number) if number < 1 => {
                    ffi::luaL_argerror(l, number, c"it is of the wrong type".as_ptr());
                }
                Self::Error(ref message) => {
                    ffi::luaL_error(l, c"%s".as_ptr(), message.as_c_str().as_ptr());
                }
                Self::Bare(ref message) => {
                    ffi::luaL_checkstack(l, 1, std::ptr::null());
                    ffi::lua_pushstring(l, message.as_c_str().as_ptr());
                    ffi::lua_error(l);
                }
                Self::Argument(number, ref message) => {
                    ffi::luaL_argerror(l, number, message.as_c_str().as_ptr());
                }
                Self::NoType(number, wanted) => {
                    let wanted = match wanted {
                        Type::Table => ffi::LUA_TTABLE,
                        Type::Function => ffi::LUA_TFUNCTION,
                        Type::String => ffi::LUA_TSTRING,
                        Type::Number => ffi::LUA_TNUMBER,
                        Type::Boolean => ffi::LUA_TBOOLEAN,
                        Type::None | Type::Nil | Type::Other => ffi::LUA_TNIL,
                    };
                    ffi::luaL_checktype(l, number, wanted);
                    ffi::luaL_argerror(l, number, c"it is of the wrong type".as_ptr());
                }
                Self::NoInteger(number) => {
                    ffi::luaL_checkinteger(l, number);
                    ffi::luaL_argerror(l, number, c"it is no integer".as_ptr());
                }
                Self::NoText(number) if number > stack.given.get() && number <= stack.height.get() => {
                    ffi::luaL_argerror(l, number, c"it is no argument".as_ptr());
                }
                Self::NoText(number) => {
                    ffi::luaL_checklstring(l, number, std::ptr::null_mut());
                }
            }
        }
    }
}
