//! The end of a reload that went well: whoever holds a function of a replaced version gets the new one.

use std::ffi::c_int;

use mlua::ffi::{lua_getupvalue, lua_pop, lua_setupvalue};

use super::{Reload, entries};
use crate::vm::{
    raw::begins_as_listed,
    values::{Raw, RawTable, nth, part},
};

impl Reload {
    /// What goes on running old code is told.
    pub(super) unsafe fn settle(&mut self) {
        unsafe {
            // What a name lay at may have been freed since.
            self.is_source.clear();
            self.begin_merge();
            self.find_changes();
            if !self.follows.is_empty() || !self.replaced.is_empty() || !self.left.is_empty() {
                self.repoint_slots();
                self.repoint_keys();
                self.repoint_upvalues();
                self.repoint_timers();
                self.repoint_exports();
                if !self.is_complete && !self.follows.is_empty() {
                    self.exchange_beyond();
                }
            }
            self.tell_stale();
            while let Some(capture) = self.captures.pop() {
                self.merge.rebound.remove(&capture.identity());
                self.rebind_value(capture);
            }
        }
    }

    /// What the new code put into tables that were there before: classes in a registry, methods in a class of
    /// another file. Tables that nobody wrote to are read once, in the order in which they were saved.
    unsafe fn find_changes(&mut self) {
        let mut at = 1;
        unsafe {
            let tables = self.lists.tables.values();
            while let Some(table) = nth(tables, at).table() {
                let stop = nth(tables, at + 2).integer();
                let metatable = RawTable::metatable(table);
                if !metatable.is_null()
                    && let Some(stays) = self.stays_for(Raw::of_table(metatable))
                {
                    self.set_metatable(table, stays);
                }
                let listed = part(tables, at + 3, stop);
                if begins_as_listed(table, listed).is_none() {
                    if self.is_complete && self.taken.contains(&Raw::of_table(table).identity()) {
                        // What was in a table that a merge has filled is of no matter: all that is old is in
                        // `seen`.
                        self.rebind_entries(table);
                    } else {
                        self.find_changes_in(table, listed);
                    }
                }
                at = stop + 1;
            }
        }
    }

    /// The newest version of a function of a file that has run: a file may have exported one of another file.
    pub(super) unsafe fn newest(&mut self, function: Raw) -> Option<Raw> {
        let new = self.follower(function)?;
        unsafe { self.is_of_changed(function).then_some(new) }
    }

    unsafe fn repoint_slots(&mut self) {
        let l = self.l;
        unsafe {
            let mut gone: Vec<[Raw; 2]> = Vec::new();
            for i in 0.. {
                let Some(&[holder, key, function]) = self.slots.get(i) else { break };
                let Some(table) = holder.table() else { continue };
                // A copy has its name, and a registration a number. Whoever has it by another name holds it himself.
                let has_left = self
                    .left
                    .get(&function.identity())
                    .is_some_and(|&name| key.integer() > 0 || !name.is_nil() && key.equals(l, name));
                let has_left = has_left || key.integer() > 0 && self.withdrawn.contains(&function.identity());
                if !has_left && !self.follows.contains_key(&function.identity())
                    || !RawTable::get(table, l, key).is(function)
                {
                    continue;
                }
                if has_left {
                    gone.push([holder, key]);
                } else if let Some(new) = self.newest(function) {
                    self.set(table, key, new);
                }
            }
            // From the last to the first: what comes after in a list moves up.
            while let Some([holder, key]) = gone.pop() {
                self.take_out(holder, key);
            }
        }
    }

    /// Of a function that has left its source.
    unsafe fn take_out(&mut self, holder: Raw, key: Raw) {
        let l = self.l;
        let Some(table) = holder.table() else { return };
        unsafe {
            let at = key.integer();
            if at > 0 && !RawTable::get(table, l, Raw::of(at + 1)).is_nil() {
                let list: Vec<Raw> = (at + 1..)
                    .map(|i| RawTable::get(table, l, Raw::of(i)))
                    .take_while(|value| !value.is_nil())
                    .collect();
                for (i, value) in (at..).zip(&list) {
                    self.set(table, Raw::of(i), *value);
                }
                let last = at + i64::try_from(list.len()).unwrap_or(0);
                self.set(table, Raw::of(last), Raw::NIL);
            } else {
                self.set(table, key, Raw::NIL);
            }
        }
    }

    /// Sets of functions.
    unsafe fn repoint_keys(&mut self) {
        let l = self.l;
        unsafe {
            for i in 0.. {
                let Some(&[holder, key]) = self.keys.get(i) else { return };
                let Some(table) = holder.table() else { continue };
                let value = RawTable::get(table, l, key);
                if value.is_nil() {
                    continue;
                }
                if self.left.contains_key(&key.identity()) || self.withdrawn.contains(&key.identity()) {
                    self.set(table, key, Raw::NIL);
                } else if let Some(new) = self.newest(key) {
                    self.set(table, key, Raw::NIL);
                    if RawTable::get(table, l, new).is_nil() {
                        let value = self.newest(value).unwrap_or(value);
                        self.set(table, new, value);
                    }
                }
            }
        }
    }

    unsafe fn repoint_upvalues(&mut self) {
        let l = self.l;
        unsafe {
            let upvalues = self.lists.upvalues.values();
            for upvalue in upvalues.chunks_exact(3) {
                let (holder, before) = (upvalue[0], upvalue[2]);
                if !holder.is_function() {
                    return;
                }
                let i = c_int::try_from(upvalue[1].integer()).unwrap_or(0);
                holder.push(l);
                if lua_getupvalue(l, -1, i).is_null() {
                    lua_pop(l, 1);
                    continue;
                }
                let now = Raw::pop(l);
                let new = if self.follower(before).is_some() {
                    if now.is(before) { self.newest(before) } else { None }
                } else if now.is(before) {
                    None
                } else {
                    let stays = self.stays_for(now);
                    if stays.is_none() && self.is_fresh(now) {
                        self.rebind_value(now);
                    }
                    stays
                };
                if let Some(new) = new {
                    new.push(l);
                    lua_setupvalue(l, -2, i);
                }
                lua_pop(l, 1);
            }
        }
    }

    unsafe fn repoint_timers(&mut self) {
        unsafe {
            let mut timers = entries(self.of_prelude(self.names.timers));
            while let Some((_, timer)) = timers.take() {
                let callback = self.field(timer, self.names.callback);
                if let (Some(timer), Some(new)) = (timer.table(), self.newest(callback)) {
                    self.set(timer, self.names.callback, new);
                }
            }
        }
    }

    /// A file may return a function.
    unsafe fn repoint_exports(&mut self) {
        unsafe {
            let loaded = self.of_prelude(self.names.loaded);
            let exported = self.of_prelude(self.names.exported);
            let mut records = entries(self.of_prelude(self.names.records));
            while let Some((_, record)) = records.take() {
                let exports = self.field(record, self.names.exports);
                let (Some(table), Some(new)) = (record.table(), self.newest(exports)) else { continue };
                self.set(table, self.names.exports, new);
                if let Some(exported) = exported.table() {
                    self.set(exported, new, record);
                }
                let mut names = entries(self.field(record, self.names.names));
                while let Some((name, _)) = names.take() {
                    if let Some(loaded) = loaded.table() {
                        self.set(loaded, name, new);
                    }
                }
            }
        }
    }
}
