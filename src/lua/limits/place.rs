//! Where a script is: `file:line`, kept without an allocation, since it is asked for where memory has run
//! out and where Lua may leave by a long jump.

use std::{
    ffi::CStr,
    fmt,
    io::{Cursor, Write},
};

use crate::lua::frame::Frame;

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
    pub(in crate::lua) fn of(frame: Frame<'_>) -> Self {
        frame.line(DEPTH, Self::new).unwrap_or(Self::NONE)
    }

    fn new(file: &[u8], line: i32) -> Self {
        let mut place = Self::NONE;
        let mut room = Cursor::new(&mut place.0[..ROOM - 1]);
        // What has no room is cut.
        let _ = room.write_all(&file[..file.len().min(ROOM - 13)]).and_then(|()| write!(room, ":{line}"));
        place
    }

    fn as_c_str(&self) -> &CStr {
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
