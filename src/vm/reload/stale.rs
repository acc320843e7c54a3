//! What goes on running the code of a replaced version: nobody can change it while it runs, or it has no
//! successor.

use std::{
    ffi::{CStr, c_char, c_int},
    mem::MaybeUninit,
};

use mlua::ffi::{
    LUA_YIELD, lua_Debug, lua_Integer, lua_call, lua_getfield, lua_getinfo, lua_getstack, lua_pop,
    lua_pushinteger, lua_pushstring, lua_pushvalue, lua_status, lua_tothread, lua_upvalueindex,
};

use super::{Identities, Reload, snapshot::entries};
use crate::vm::{
    raw::origin,
    values::{Raw, RawTable, same_text},
};

/// How often it has been met, by kind and by where it is.
#[derive(Default)]
pub(super) struct Counts {
    counts: Vec<Count>,
    /// Functions that have been counted.
    told: Identities,
}

struct Count {
    what: &'static CStr,
    source: *const c_char,
    line: c_int,
    count: lua_Integer,
}

impl Counts {
    pub(super) fn clear(&mut self) {
        self.counts.clear();
        self.told.clear();
    }

    unsafe fn add(&mut self, what: &'static CStr, source: *const c_char, line: c_int) {
        let is_it = |count: &&mut Count| {
            count.what == what && count.line == line && unsafe { same_text(count.source, source) }
        };
        match self.counts.iter_mut().find(is_it) {
            Some(known) => known.count += 1,
            None => self.counts.push(Count { what, source, line, count: 1 }),
        }
    }
}

impl Reload {
    pub(super) unsafe fn note_stale(&mut self) {
        unsafe {
            self.count_timers();
            self.count_coroutines();
            self.count_slots();
            self.tell_stale();
        }
    }

    /// If it is of a file that has run, and was there before.
    unsafe fn count(&mut self, what: &'static CStr, function: Raw) {
        if !function.is_function() || !self.seen.contains(&function.identity()) {
            return;
        }
        unsafe {
            let (source, line) = origin(self.l, function);
            if self.is_changed(source) {
                self.stale.add(what, source, line);
            }
        }
    }

    /// Those that were there before, and do not end with the version that started them.
    unsafe fn count_timers(&mut self) {
        unsafe {
            let mut timers = entries(self.of_prelude(self.names.timers));
            while let Some((handle, timer)) = timers.take() {
                if !self.has_ended(timer) && self.timers.contains(&handle.identity()) {
                    self.count(c"timer", self.field(timer, self.names.callback));
                }
            }
        }
    }

    /// Those that are in the middle of something.
    unsafe fn count_coroutines(&mut self) {
        let l = self.l;
        unsafe {
            for i in 0.. {
                let Some(&coroutine) = self.coroutines.get(i) else { return };
                coroutine.push(l);
                let thread = lua_tothread(l, -1);
                if !thread.is_null() && lua_status(thread) == LUA_YIELD {
                    let mut about = MaybeUninit::<lua_Debug>::zeroed();
                    let mut level = 0;
                    while lua_getstack(thread, level, about.as_mut_ptr()) != 0 {
                        lua_getinfo(thread, c"S".as_ptr(), about.as_mut_ptr());
                        let (source, line) = ((*about.as_ptr()).source, (*about.as_ptr()).linedefined);
                        if self.is_changed(source) {
                            self.stale.add(c"coroutine", source, line);
                            break;
                        }
                        level += 1;
                    }
                }
                lua_pop(l, 1);
            }
        }
    }

    /// Functions in tables of the user that have left the source.
    unsafe fn count_slots(&mut self) {
        unsafe {
            for i in 0.. {
                let Some(&[holder, key, function]) = self.slots.get(i) else { return };
                let Some(table) = holder.table() else { continue };
                if self.follows.contains_key(&function.identity())
                    || !self.is_of_changed(function)
                    || !RawTable::get(table, self.l, key).is(function)
                    || self.is_foreign(holder)
                    || !self.stale.told.insert(function.identity())
                {
                    continue;
                }
                self.count(c"function", function);
            }
        }
    }

    unsafe fn tell_stale(&mut self) {
        const RELOAD: c_int = 3;
        let l = self.l;
        unsafe {
            for i in 0.. {
                let Some(&Count { what, source, line, count }) = self.stale.counts.get(i) else { return };
                lua_pushvalue(l, lua_upvalueindex(RELOAD));
                lua_getfield(l, -1, c"note_stale".as_ptr());
                lua_pushstring(l, what.as_ptr());
                lua_pushstring(l, source);
                lua_pushinteger(l, line.into());
                lua_pushinteger(l, count);
                lua_call(l, 4, 0);
                lua_pop(l, 1);
            }
        }
    }
}
