//! The upvalues of a function, one after the other.

use std::ffi::{CStr, c_char, c_int};

use mlua::ffi::{lua_State, lua_getupvalue, lua_upvalueid};

use crate::vm::values::Raw;

/// One of them that has not been met.
pub(super) struct Upvalue {
    pub(super) i: c_int,
    /// What identifies it: functions of one file share most of theirs.
    pub(super) cell: usize,
    pub(super) name: *const c_char,
    pub(super) value: Raw,
}

/// The first one from `from` on, of the function on top of the stack, whose cell `is_done` does not know.
/// `None`: there are no more, or it is a function of C or of ours, which are not looked into.
#[inline]
pub(super) unsafe fn next_upvalue(
    l: *mut lua_State,
    from: c_int,
    is_done: impl Fn(usize) -> bool,
) -> Option<Upvalue> {
    unsafe {
        for i in from.. {
            let cell = lua_upvalueid(l, -1, i);
            if cell.is_null() {
                return None;
            }
            if is_done(cell.addr()) {
                continue;
            }
            let name = lua_getupvalue(l, -1, i);
            if name.is_null() {
                return None;
            }
            let value = Raw::pop(l);
            return (!is_no_name(name)).then(|| Upvalue { i, cell: cell.addr(), name, value });
        }
        None
    }
}

/// Whether that name is one of functions of C, and of ours.
pub(super) unsafe fn is_no_name(name: *const c_char) -> bool {
    unsafe { name.is_null() || matches!(CStr::from_ptr(name).to_bytes(), b"" | b"(no name)") }
}

/// The cells that were met last.
#[derive(Default)]
pub(super) struct Cells {
    last: [usize; 8],
    next: usize,
}

impl Cells {
    pub(super) fn has(&self, cell: usize) -> bool {
        self.last.contains(&cell)
    }

    pub(super) fn add(&mut self, cell: usize) {
        self.last[self.next % self.last.len()] = cell;
        self.next += 1;
    }
}
