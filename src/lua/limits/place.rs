//! Where a script is: `file:line`, kept without an allocation, since it is asked for where memory has run
//! out and where Lua may leave by a long jump.

#![allow(unsafe_code, reason = "the stack of a state that is running can only be read by Lua's C interface")]

use std::{
    ffi::CStr,
    fmt,
    io::{Cursor, Write},
    mem::MaybeUninit,
};

use mlua::ffi;

/// Frames that are looked at for one of the user.
const DEPTH: i32 = 10;
/// Lua cuts the names of chunks at 60 bytes.
const ROOM: usize = 80;

/// `file:line`, or nothing; always ends with a zero byte.
#[derive(Clone, Copy)]
pub(crate) struct Place([u8; ROOM]);

impl Place {
    /// Not known.
    pub(crate) const NONE: Self = Self([0; ROOM]);

    /// The innermost frame of the user: the prelude, which mends parts of the library, has no lines.
    ///
    /// # Safety
    /// `state` has to be one that is running on this thread.
    pub(crate) unsafe fn of(state: *mut ffi::lua_State) -> Self {
        for level in 0..DEPTH {
            let mut frame = MaybeUninit::<ffi::lua_Debug>::zeroed();
            // SAFETY: the caller's; neither function raises errors or allocates with these options, and
            // all zeroes are a valid `lua_Debug`.
            let frame = unsafe {
                if ffi::lua_getstack(state, level, frame.as_mut_ptr()) == 0
                    || ffi::lua_getinfo(state, c"Sl".as_ptr(), frame.as_mut_ptr()) == 0
                {
                    break;
                }
                frame.assume_init_ref()
            };
            if frame.currentline > 0 {
                // SAFETY: Lua ends it with a zero byte.
                let file = unsafe { CStr::from_ptr(frame.short_src.as_ptr()) };
                return Self::new(file.to_bytes(), frame.currentline);
            }
        }
        Self::NONE
    }

    fn new(file: &[u8], line: i32) -> Self {
        let mut place = Self::NONE;
        let mut room = Cursor::new(&mut place.0[..ROOM - 1]);
        // What has no room is cut.
        let _ = room.write_all(&file[..file.len().min(ROOM - 13)]).and_then(|()| write!(room, ":{line}"));
        place
    }

    /// For Lua's formats.
    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_c_str().to_string_lossy())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
