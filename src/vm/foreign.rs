//! Tables of others.
//!
//! Safety of this file: as in `reload/mod.rs`.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::ffi::CStr;

use mlua::ffi::lua_State;

use super::values::{Raw, RawTable};

/// Tables that somebody else answers for: they are never merged with others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Foreign {
    /// Each has such tables as keys.
    sets: [*const RawTable; 4],
}

const SETS: [&CStr; 4] = [c"library", c"own", c"prototype_info", c"exported"];

impl Foreign {
    /// As the prelude has them, for as long as it is there.
    pub(super) unsafe fn of(l: *mut lua_State, prelude: *const RawTable) -> Self {
        let set = |name| unsafe { RawTable::field(prelude, l, name).table() };
        Self { sets: SETS.map(|name| set(name).unwrap_or(prelude)) }
    }

    pub(super) unsafe fn has(&self, l: *mut lua_State, table: Raw) -> bool {
        self.sets.iter().any(|&set| unsafe { RawTable::get(set, l, table).is_true() })
    }

    /// Is of ours, or the globals.
    pub(super) unsafe fn is_own(&self, l: *mut lua_State, table: Raw) -> bool {
        unsafe { RawTable::get(self.sets[1], l, table).is_true() }
    }

    /// Is of the library.
    pub(super) unsafe fn is_library(&self, l: *mut lua_State, table: Raw) -> bool {
        unsafe { RawTable::get(self.sets[0], l, table).is_true() }
    }

    pub(super) unsafe fn is_prototype(&self, l: *mut lua_State, table: Raw) -> bool {
        unsafe { RawTable::get(self.sets[2], l, table).is_true() }
    }
}
