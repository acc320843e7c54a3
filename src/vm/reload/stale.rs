//! What goes on running the code of a replaced version: nobody can change it while it runs, or it has no
//! successor.

use std::{
    ffi::{c_char, c_int},
    mem::MaybeUninit,
};

use mlua::ffi::{LUA_YIELD, lua_Debug, lua_getinfo, lua_getstack, lua_pop, lua_status, lua_tothread};

use super::{
    Identities, Reload, entries,
    told::{Told, What, words},
};
use crate::{
    reload::StaleKind,
    vm::{
        raw::origin,
        values::{Raw, RawTable, same_text},
    },
};

/// How often it has been met, by kind and by where it is.
#[derive(Default)]
pub(super) struct Counts {
    counts: Vec<Count>,
    /// Functions that have been counted.
    told: Identities,
}

struct Count {
    kind: StaleKind,
    source: *const c_char,
    line: c_int,
    count: usize,
}

impl Counts {
    pub(super) fn clear(&mut self) {
        self.counts.clear();
        self.told.clear();
    }

    unsafe fn add(&mut self, kind: StaleKind, source: *const c_char, line: c_int) {
        let is_it = |count: &&mut Count| {
            count.kind == kind && count.line == line && unsafe { same_text(count.source, source) }
        };
        match self.counts.iter_mut().find(is_it) {
            Some(known) => known.count += 1,
            None => self.counts.push(Count { kind, source, line, count: 1 }),
        }
    }
}

impl Reload {
    pub(super) unsafe fn tell_stale(&mut self) {
        unsafe {
            self.count_timers();
            self.count_coroutines();
            self.count_slots();
        }
        for &Count { kind, source, line, count } in &self.stale.counts {
            let source = unsafe { words(source) };
            let what = What::Stale { kind, line: u32::try_from(line).unwrap_or_default(), count };
            self.told.push(Told { source, what });
        }
    }

    /// If it is of a file that has run, and was there before.
    unsafe fn count(&mut self, kind: StaleKind, function: Raw) {
        if !function.is_function() || !self.seen.contains(&function.identity()) {
            return;
        }
        unsafe {
            let (source, line) = origin(self.l, function);
            if self.is_changed(source) {
                self.stale.add(kind, source, line);
            }
        }
    }

    /// Those that were there before, and do not end with the version that started them.
    unsafe fn count_timers(&mut self) {
        unsafe {
            let mut timers = entries(self.of_prelude(self.names.timers));
            while let Some((handle, timer)) = timers.take() {
                if !self.has_ended(timer) && self.timers.contains(&handle.identity()) {
                    self.count(StaleKind::Timer, self.field(timer, self.names.callback));
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
                            self.stale.add(StaleKind::Coroutine, source, line);
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
        let l = self.l;
        unsafe {
            for i in 0.. {
                let Some(&[holder, key, function]) = self.slots.get(i) else { return };
                let Some(table) = holder.table() else { continue };
                if self.follows.contains_key(&function.identity())
                    || !self.is_of_changed(function)
                    || !RawTable::get(table, self.l, key).is(function)
                    || self.files.foreign.has(l, holder)
                    || !self.stale.told.insert(function.identity())
                {
                    continue;
                }
                self.count(StaleKind::Function, function);
            }
        }
    }
}
