//! The end of a reload that went well: whoever holds a function of a replaced version gets the new one.

use std::ffi::c_int;

use mlua::ffi::{lua_createtable, lua_gettop, lua_getupvalue, lua_pop, lua_settop, lua_setupvalue};

use super::{Reload, entries};
use crate::vm::{
    entries::Entries,
    raw::begins_as_listed,
    values::{Class, Raw, RawTable, nth, part},
};

impl Reload {
    /// What goes on running old code is told.
    pub(super) unsafe fn settle(&mut self) {
        unsafe {
            // What a name lay at may have been freed since.
            self.is_source.clear();
            self.find_changes();
            if !self.found.is_empty() {
                self.merge_found();
            }
            if !self.follows.is_empty() || !self.replaced.is_empty() {
                self.repoint_slots();
                self.repoint_upvalues();
                self.repoint_timers();
                self.repoint_exports();
            }
            self.tell_stale();
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

    /// `was`: key, value, key, value ...
    unsafe fn find_changes_in(&mut self, table: *const RawTable, was: &[Raw]) {
        let l = self.l;
        let subject = Raw::of_table(table);
        let stays = self.taken.contains(&subject.identity());
        unsafe {
            let height = lua_gettop(l);
            lua_createtable(l, 0, c_int::try_from(was.len() / 2).unwrap_or(0));
            let known = RawTable::at(l, -1);
            for pair in was.chunks_exact(2) {
                RawTable::set(known, l, pair[0], pair[1]);
            }
            let mut entries = Entries::of(table);
            while let Some((key, value)) = entries.take() {
                let class = value.class();
                if !matches!(class, Class::Table | Class::Function) {
                    continue;
                }
                let before = RawTable::get(known, l, key);
                if before.is(value) {
                    continue;
                }
                if let Some(stays) = self.stays_for(value) {
                    self.set(table, key, stays);
                } else if !self.is_seen(value) {
                    if before.class() == class && !stays {
                        self.hold(value);
                        self.found.push([subject, before, value]);
                    } else {
                        self.rebind(value);
                    }
                }
            }
            let mut entries = Entries::of(table);
            while let Some((key, value)) = entries.take() {
                if self.stays_for(key).is_some() {
                    self.merge.moved.push([key, value]);
                }
            }
            self.move_keys(table);
            lua_settop(l, height);
        }
    }

    /// The newest version of a function of a file that has run: a file may have exported one of another file.
    unsafe fn newest(&mut self, function: Raw) -> Option<Raw> {
        let new = self.follower(function)?;
        unsafe { self.is_of_changed(function).then_some(new) }
    }

    unsafe fn repoint_slots(&mut self) {
        unsafe {
            for i in 0.. {
                let Some(&[holder, key, function]) = self.slots.get(i) else { return };
                let Some(table) = holder.table() else { continue };
                if self.follows.contains_key(&function.identity())
                    && RawTable::get(table, self.l, key).is(function)
                    && let Some(new) = self.newest(function)
                {
                    self.set(table, key, new);
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
