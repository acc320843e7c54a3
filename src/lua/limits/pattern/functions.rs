//! `string.find`, `match`, `gmatch` and `gsub`, on our matcher: what they take, give and raise is what Lua's
//! own do.

#![allow(unsafe_code, reason = "C functions: a function of mlua's would cost each call a multiple")]
// One reason stands for all of them: each is called by Lua, on the thread that runs the state, with its
// arguments on the stack. Nothing in here has to be dropped when an error leaves by a long jump, and texts
// are borrowed from strings that stay on the stack, or in a closure, for as long.
#![allow(unsafe_op_in_unsafe_fn, reason = "they are made of such operations")]

use std::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
    slice,
};

use mlua::ffi::{self, lua_Integer, lua_State, luaL_Buffer};

use super::matcher::{Capture, Matcher, Stop};
use crate::lua::limits::deadline::{look, may_go_on, note_place, spend};

/// After so many bytes of a result more, the time and the memory are looked at.
const LOOKED_AT: usize = 256 * 1024;

/// A pattern without any of them is a text.
const SPECIAL: &[u8] = b"^$*+?.([%-";
/// Bytes of a text in which a text is searched that are one step.
const SEARCHED: usize = 64;
/// From so many bytes on it is worth to get ready for the search of a text.
const LONG: usize = 128;

pub(in crate::lua) unsafe extern "C-unwind" fn find(state: *mut lua_State) -> c_int {
    let (text, pattern) = text_and_pattern(state, 1, 2);
    let Some(from) = start(state, text) else { return nothing(state) };
    if ffi::lua_toboolean(state, 4) != 0 || !pattern.iter().any(|byte| SPECIAL.contains(byte)) {
        let Some(at) = find_text(&text[from..], pattern) else { return nothing(state) };
        push_range(state, from + at, from + at + pattern.len());
        return 2;
    }
    let mut matcher = Matcher::new(text, pattern, true, || may_go_on(state));
    match matcher.search(from, None) {
        Ok(Some(found)) => {
            push_range(state, found.0, found.1);
            2 + push_captures(state, &matcher, found, 0)
        }
        Ok(None) => nothing(state),
        Err(stop) => raise(state, stop),
    }
}

fn find_text(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let Some(first) = wanted.first() else { return Some(0) };
    if text.len() >= LONG {
        return memchr::memmem::find(text, wanted);
    }
    let last = text.len().checked_sub(wanted.len())?;
    (0..=last).find(|&at| text[at] == *first && text[at..].starts_with(wanted))
}

pub(in crate::lua) unsafe extern "C-unwind" fn match_(state: *mut lua_State) -> c_int {
    let (text, pattern) = text_and_pattern(state, 1, 2);
    let Some(from) = start(state, text) else { return nothing(state) };
    let mut matcher = Matcher::new(text, pattern, true, || may_go_on(state));
    match matcher.search(from, None) {
        Ok(Some(found)) => push_captures(state, &matcher, found, 1),
        Ok(None) => nothing(state),
        Err(stop) => raise(state, stop),
    }
}

/// An iterator with four upvalues: text, pattern, where to go on, where the last match ended or -1.
pub(in crate::lua) unsafe extern "C-unwind" fn gmatch(state: *mut lua_State) -> c_int {
    let (text, _) = text_and_pattern(state, 1, 2);
    // Beyond the end there is nothing to be found.
    let from = start(state, text).unwrap_or(text.len() + 1);
    ffi::lua_settop(state, 2);
    ffi::lua_pushinteger(state, integer(from));
    ffi::lua_pushinteger(state, -1);
    ffi::lua_pushcclosure(state, next_match, 4);
    1
}

unsafe extern "C-unwind" fn next_match(state: *mut lua_State) -> c_int {
    let upvalue = ffi::lua_upvalueindex;
    let position = |at| usize::try_from(ffi::lua_tointegerx(state, upvalue(at), std::ptr::null_mut())).ok();
    let (from, last) = (position(3).unwrap_or(usize::MAX), position(4));
    let (text, pattern) = text_and_pattern(state, upvalue(1), upvalue(2));
    let mut matcher = Matcher::new(text, pattern, false, || may_go_on(state));
    match matcher.search(from, last) {
        Ok(Some(found)) => {
            for at in [3, 4] {
                ffi::lua_pushinteger(state, integer(found.1));
                ffi::lua_replace(state, upvalue(at));
            }
            push_captures(state, &matcher, found, 1)
        }
        Ok(None) => 0,
        Err(stop) => raise(state, stop),
    }
}

pub(in crate::lua) unsafe extern "C-unwind" fn gsub(state: *mut lua_State) -> c_int {
    let (text, pattern) = text_and_pattern(state, 1, 2);
    let kind = ffi::lua_type(state, 3);
    let most = ffi::luaL_optinteger(state, 4, integer(text.len() + 1));
    if !matches!(kind, ffi::LUA_TNUMBER | ffi::LUA_TSTRING | ffi::LUA_TFUNCTION | ffi::LUA_TTABLE) {
        let name = ffi::luaL_typename(state, 3);
        let why = ffi::lua_pushfstring(state, c"string/function/table expected, got %s".as_ptr(), name);
        ffi::luaL_argerror(state, 3, why);
    }
    let mut matcher = Matcher::new(text, pattern, true, || may_go_on(state));
    let mut buffer = MaybeUninit::<luaL_Buffer>::uninit();
    let buffer = buffer.as_mut_ptr();
    ffi::luaL_buffinit(state, buffer);
    let (mut count, mut copied, mut last, mut is_changed) = (0, 0, None, false);
    let mut looked_at = 0;
    while count < most {
        // What it makes may be large where the search is short.
        if (*buffer).n > looked_at + LOOKED_AT {
            looked_at = (*buffer).n;
            note_place(state);
            if !may_go_on(state) {
                return raise(state, Stop::Interrupted);
            }
        }
        let found = match matcher.search(copied, last) {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(stop) => return raise(state, stop),
        };
        count += 1;
        add(buffer, &text[copied..found.0]);
        is_changed |= match kind {
            ffi::LUA_TFUNCTION => {
                ffi::lua_pushvalue(state, 3);
                let captures = push_captures(state, &matcher, found, 1);
                ffi::lua_call(state, captures, 1);
                add_value(state, buffer, &text[found.0..found.1])
            }
            ffi::LUA_TTABLE => {
                push_capture(state, &matcher, 0, found);
                ffi::lua_gettable(state, 3);
                add_value(state, buffer, &text[found.0..found.1])
            }
            _ => {
                add_replacement(state, buffer, &mut matcher, found);
                true
            }
        };
        (copied, last) = (found.1, Some(found.1));
        if matcher.is_anchored() {
            break;
        }
    }
    if is_changed {
        add(buffer, &text[copied..]);
        ffi::luaL_pushresult(buffer);
    } else {
        ffi::lua_pushvalue(state, 1);
    }
    ffi::lua_pushinteger(state, count);
    2
}

/// What a function or a table has given for a match, which is on top of the stack. Says whether it is
/// something else than the match itself.
unsafe fn add_value(state: *mut lua_State, buffer: *mut luaL_Buffer, found: &[u8]) -> bool {
    if ffi::lua_toboolean(state, -1) == 0 {
        ffi::lua_pop(state, 1);
        add(buffer, found);
        return false;
    }
    if ffi::lua_isstring(state, -1) == 0 {
        let kind = ffi::luaL_typename(state, -1);
        ffi::luaL_error(state, c"invalid replacement value (a %s)".as_ptr(), kind);
    }
    ffi::luaL_addvalue(buffer);
    true
}

/// The third argument, with its `%1` and the like filled in.
unsafe fn add_replacement<G: FnMut() -> bool>(
    state: *mut lua_State,
    buffer: *mut luaL_Buffer,
    matcher: &mut Matcher<'_, '_, G>,
    found: (usize, usize),
) {
    let mut rest = text(state, 3);
    if let Err(stop) = matcher.spend(rest.len()) {
        raise(state, stop);
    }
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        add(buffer, &rest[..at]);
        let capture = match rest.get(at + 1) {
            Some(b'%') => Ok(Capture::Text(b"%")),
            Some(b'0') => Ok(Capture::Text(matcher.text(found))),
            Some(digit @ b'1'..=b'9') => matcher.capture(usize::from(digit - b'1'), found),
            _ => {
                ffi::luaL_error(state, c"invalid use of '%%' in replacement string".as_ptr());
                return;
            }
        };
        match capture {
            Ok(Capture::Text(text)) => add(buffer, text),
            Ok(Capture::Position(at)) => {
                ffi::lua_pushinteger(state, integer(at + 1));
                ffi::luaL_addvalue(buffer);
            }
            Err(stop) => {
                raise(state, stop);
            }
        }
        rest = &rest[at + 2..];
    }
    add(buffer, rest);
}

unsafe fn add(buffer: *mut luaL_Buffer, text: &[u8]) {
    if !text.is_empty() {
        ffi::luaL_addlstring(buffer, text.as_ptr().cast(), text.len());
    }
}

/// Says how many; at least `least`, of which the first is the match itself.
unsafe fn push_captures<G: FnMut() -> bool>(
    state: *mut lua_State,
    matcher: &Matcher<'_, '_, G>,
    found: (usize, usize),
    least: usize,
) -> c_int {
    let count = matcher.captures().max(least);
    let number = c_int::try_from(count).unwrap_or(c_int::MAX);
    ffi::luaL_checkstack(state, number, c"too many captures".as_ptr());
    for index in 0..count {
        push_capture(state, matcher, index, found);
    }
    number
}

unsafe fn push_capture<G: FnMut() -> bool>(
    state: *mut lua_State,
    matcher: &Matcher<'_, '_, G>,
    index: usize,
    found: (usize, usize),
) {
    match matcher.capture(index, found) {
        Ok(Capture::Text(text)) => {
            ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
        }
        Ok(Capture::Position(at)) => ffi::lua_pushinteger(state, integer(at + 1)),
        Err(stop) => {
            raise(state, stop);
        }
    }
}

/// As Lua counts.
unsafe fn push_range(state: *mut lua_State, start: usize, end: usize) {
    ffi::lua_pushinteger(state, integer(start + 1));
    ffi::lua_pushinteger(state, integer(end));
}

unsafe fn nothing(state: *mut lua_State) -> c_int {
    ffi::lua_pushnil(state);
    1
}

/// What is looked at before the matcher begins to count is counted here.
unsafe fn text_and_pattern<'a>(state: *mut lua_State, at: c_int, then: c_int) -> (&'a [u8], &'a [u8]) {
    let (text, pattern) = (text(state, at), text(state, then));
    spend(state, pattern.len() + text.len() / SEARCHED);
    (text, pattern)
}

/// An argument, or an upvalue, that is text or a number.
unsafe fn text<'a>(state: *mut lua_State, at: c_int) -> &'a [u8] {
    let mut length = 0;
    let text = ffi::luaL_checklstring(state, at, &raw mut length);
    slice::from_raw_parts(text.cast(), length)
}

/// Where the third argument has the search begin, unless that is beyond the end.
unsafe fn start(state: *mut lua_State, text: &[u8]) -> Option<usize> {
    let from = ffi::luaL_optinteger(state, 3, 1);
    let from = match from {
        1.. => usize::try_from(from - 1).unwrap_or(usize::MAX),
        0 => 0,
        ..0 => text.len().saturating_sub(usize::try_from(from.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    Some(from).filter(|from| *from <= text.len())
}

fn integer(at: usize) -> lua_Integer {
    lua_Integer::try_from(at).unwrap_or(lua_Integer::MAX)
}

/// Does not return; it says that it does as Lua's own functions for that do.
unsafe fn raise(state: *mut lua_State, stop: Stop) -> c_int {
    let (message, number): (&CStr, _) = match stop {
        Stop::Interrupted => {
            look(state);
            (c"interrupted", 0)
        }
        Stop::TooComplex => (c"pattern too complex", 0),
        Stop::TooManyCaptures => (c"too many captures", 0),
        Stop::NoSuchCapture(number) => (c"invalid capture index %%%d", c_int::from(number)),
        Stop::NothingToClose => (c"invalid pattern capture", 0),
        Stop::UnfinishedCapture => (c"unfinished capture", 0),
        Stop::EndsWithPercent => (c"malformed pattern (ends with '%%')", 0),
        Stop::SetWithoutEnd => (c"malformed pattern (missing ']')", 0),
        Stop::BalanceWithoutArguments => (c"malformed pattern (missing arguments to '%%b')", 0),
        Stop::FrontierWithoutSet => (c"missing '[' after '%%f' in pattern", 0),
    };
    ffi::luaL_error(state, message.as_ptr(), number)
}
