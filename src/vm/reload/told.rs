//! What there is to tell of a reload. The prelude tells of some of it, which has to be read from a list; most of
//! it the reload itself does.

use std::ffi::{CStr, c_char, c_int};

use mlua::{
    LightUserData,
    ffi::{lua_State, lua_pushlightuserdata, lua_pushnil, lua_tolstring},
};

use super::{Reload, enter};
use crate::{
    reload::StaleKind,
    vm::values::{Raw, RawTable, nth},
};

/// A fact of a reload.
#[derive(Debug)]
pub(in crate::vm) struct Told {
    /// The chunk's name of the file that it is about.
    pub(in crate::vm) source: String,
    pub(in crate::vm) what: What,
}

#[derive(Debug)]
pub(in crate::vm) enum What {
    /// A value was made again, since that was edited.
    MadeAgain { line: u32, name: String, by: String },
    /// The file counts as edited as a whole.
    Whole { why: String },
    /// So many of these go on running old code from that line on.
    Stale { kind: StaleKind, line: u32, count: usize },
    /// What requires the file runs again, and why: `type`, `scalar`, or `invalidated`, with what that said.
    Dependents { why: String, message: Option<String>, sources: Vec<String> },
    /// `hot.invalidate`, and nothing requires the file.
    Invalidated { message: String },
}

/// Takes what a function of the prelude has said is there.
///
/// # Safety
/// `told` comes from `commit_all` or `take_notes` of a state on this thread, and none of its code has run since.
pub(in crate::vm) unsafe fn take_told(told: Option<LightUserData>) -> Vec<Told> {
    let told = told.map(|told| told.0.cast::<Vec<Told>>());
    // SAFETY: it points into the `Reload` of that state: see `push_told`.
    told.map(|told| unsafe { std::mem::take(&mut *told) }).unwrap_or_default()
}

/// `note(list)`: kind, file and what else there is to say of it.
pub(super) unsafe extern "C-unwind" fn note(l: *mut lua_State) -> c_int {
    unsafe {
        let reload = enter(l, 1);
        if let Some(told) = read(l, RawTable::at(l, 1)) {
            reload.told.push(told);
        }
        0
    }
}

/// `take_notes()`: where they are that nobody has taken, for [`take_told`].
pub(super) unsafe extern "C-unwind" fn take_notes(l: *mut lua_State) -> c_int {
    unsafe {
        let reload = enter(l, 0);
        reload.push_told();
        1
    }
}

unsafe fn read(l: *mut lua_State, list: *const RawTable) -> Option<Told> {
    unsafe {
        let list = RawTable::list(list);
        let text = |at| text(l, nth(list, at));
        let all = |from| (from..).map_while(text).collect();
        let what = match text(1)?.as_str() {
            "dependents" => What::Dependents { why: text(3)?, message: text(4), sources: all(5) },
            _ => What::Invalidated { message: text(3)? },
        };
        Some(Told { source: text(2)?, what })
    }
}

/// Of a string; a number is none.
pub(super) unsafe fn text(l: *mut lua_State, value: Raw) -> Option<String> {
    if !value.is_string() {
        return None;
    }
    unsafe {
        value.push(l);
        let mut length = 0;
        let text = lua_tolstring(l, -1, &raw mut length);
        let bytes = std::slice::from_raw_parts(text.cast::<u8>(), length);
        let text = String::from_utf8_lossy(bytes).into_owned();
        Raw::pop(l);
        Some(text)
    }
}

/// Of what Lua knows as text.
pub(super) unsafe fn words(text: *const c_char) -> String {
    if text.is_null() {
        String::new()
    } else {
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

impl Reload {
    /// On the stack: nil if there is nothing.
    pub(super) unsafe fn push_told(&mut self) {
        unsafe {
            if self.told.is_empty() {
                lua_pushnil(self.l);
            } else {
                lua_pushlightuserdata(self.l, (&raw mut self.told).cast());
            }
        }
    }
}
