//! After a file has run: what it made goes into what other code holds already.

use std::ffi::CStr;

use mlua::ffi::lua_tostring;

use super::{
    Reload, entries,
    pairs::{Base, Pair},
};
use crate::vm::{
    entries::Entries,
    values::{Class, Raw, RawTable, nth},
};

impl Reload {
    /// `old` is what the file of `record` returned before, `new` what it returns now, `base` and `globals` what
    /// its source set last time. All are held by somebody. Returns what stays; names of it that have other
    /// values now are in `changed`.
    pub(super) unsafe fn merge_file(
        &mut self,
        record: Raw,
        old: Raw,
        new: Raw,
        base: Raw,
        globals: Raw,
    ) -> Raw {
        unsafe {
            self.begin_merge();
            self.begin_file(record);
            let has_root = self.pair_roots(old, new, base);
            let assigned = self.field(record, self.names.assigned);
            self.pair_globals(assigned, globals);
            let declared = self.of_reload(self.names.declared);
            self.pair_prototypes(record, declared);
            self.find_pairs();
            self.rebind_file(record, new, assigned, declared);
            self.fill_all();
            self.keep_globals();
            if has_root { old } else { new }
        }
    }

    /// What was gone through in the last one need not be again.
    pub(super) fn begin_merge(&mut self) {
        self.merge.clear();
        self.merge.number += 1;
    }

    unsafe fn begin_file(&mut self, record: Raw) {
        unsafe {
            let source = self.field(record, self.names.source);
            source.push(self.l);
            let name = lua_tostring(self.l, -1);
            Raw::pop(self.l);
            if !name.is_null() {
                self.begin_source(name);
                self.sources.insert(CStr::from_ptr(name).into());
            }
        }
    }

    /// What the file returns. Says whether the old table stays.
    unsafe fn pair_roots(&mut self, old: Raw, new: Raw, base: Raw) -> bool {
        unsafe {
            if old.is_function() && new.is_function() {
                self.pair_functions(old, new);
                return false;
            }
            let (Some(old_table), Some(new_table)) = (old.table(), new.table()) else { return false };
            if old.is(new)
                || self.is_seen(new)
                || self.files.foreign.is_own(self.l, old)
                || self.files.foreign.is_prototype(self.l, old)
                || self.is_foreign(new)
            {
                return false;
            }
            self.replaces(old, new);
            let base = base.table().map_or(Base::Empty, Base::Is);
            let source = self.merge.source.name;
            self.merge.pairs.push(Pair {
                old: old_table,
                new: new_table,
                base,
                data: None,
                source,
                is_root: true,
            });
            true
        }
    }

    /// Globals are exports of the file that assigns them: `assigned` has what was there before, `P` for nil.
    unsafe fn pair_globals(&mut self, assigned: Raw, before: Raw) {
        let (l, Some(globals)) = (self.l, self.files.globals.table()) else { return };
        let prelude = Raw::of_table(self.files.prelude);
        unsafe {
            let mut names = entries(assigned);
            while let Some((name, was)) = names.take() {
                let now = RawTable::get(globals, l, name);
                if was.is(prelude) || was.equals(l, now) {
                    continue;
                }
                let base = self.field(before, name);
                match (now.class(), was.class()) {
                    (Class::Table, Class::Table) => {
                        self.pair(was, now, base);
                        if let Some(stays) = self.stays_for(now) {
                            self.merge.staying.push([name, stays]);
                        }
                    }
                    (Class::Function, Class::Function) => self.pair_functions(was, now),
                    (Class::Function, _) => {}
                    _ if !base.is_nil() && self.is_same_data(base, now) => {
                        self.merge.staying.push([name, was]);
                    }
                    _ => {}
                }
            }
            // A function that has left the source, unless somebody has put another in its place.
            let mut names = entries(before);
            while let Some((name, base)) = names.take() {
                if base.is_function()
                    && self.field(assigned, name).is_nil()
                    && RawTable::get(globals, l, name).is(base)
                {
                    self.set(globals, name, Raw::NIL);
                }
            }
        }
    }

    unsafe fn keep_globals(&mut self) {
        let Some(globals) = self.files.globals.table() else { return };
        while let Some([name, value]) = self.merge.staying.pop() {
            unsafe { self.set(globals, name, value) }
        }
    }

    unsafe fn pair_prototypes(&mut self, record: Raw, declared: Raw) {
        unsafe {
            let mut declared = entries(declared);
            while let Some((info, _)) = declared.take() {
                if self.field(info, self.names.owner).is(record) {
                    self.pair_prototype(self.field(info, self.names.prototype));
                }
            }
        }
    }

    /// Methods are put straight into a prototype. One that was there and was not set again has left the file.
    unsafe fn pair_prototype(&mut self, prototype: Raw) {
        unsafe {
            let (Some(table), Some(at)) = (prototype.table(), self.place_of(prototype)) else { return };
            let stop = nth(self.lists.tables.values(), at + 2).integer();
            for i in (at + 3..stop).step_by(2) {
                let saved = self.lists.tables.values();
                let (key, before) = (nth(saved, i), nth(saved, i + 1));
                if !before.is_function() {
                    continue;
                }
                let now = RawTable::get(table, self.l, key);
                if now.is(before) {
                    if self.is_ours(now) {
                        self.set(table, key, Raw::NIL);
                    }
                } else if now.is_function() {
                    self.pair_functions(before, now);
                }
            }
        }
    }

    /// Where the snapshot has that table. It is noted of prototypes; one that became a prototype just now has
    /// to be searched for.
    unsafe fn place_of(&self, table: Raw) -> Option<i64> {
        if let Some(&at) = self.places.get(&table.identity()) {
            return Some(at);
        }
        if !self.seen.contains(&table.identity()) {
            return None;
        }
        let tables = unsafe { self.lists.tables.values() };
        let mut at = 1;
        loop {
            let one = nth(tables, at);
            one.table()?;
            if one.is(table) {
                return Some(at);
            }
            at = nth(tables, at + 2).integer() + 1;
        }
    }

    /// The methods of a prototype may use the file's locals, and globals, timers and hooks may hold what only
    /// they know.
    unsafe fn rebind_file(&mut self, record: Raw, new: Raw, assigned: Raw, declared: Raw) {
        unsafe {
            self.rebind_value(new);
            let mut names = entries(assigned);
            while let Some((name, _)) = names.take() {
                let value = self.field(self.files.globals, name);
                if self.is_fresh(value) {
                    self.rebind_value(value);
                }
            }
            let mut declared = entries(declared);
            while let Some((info, _)) = declared.take() {
                if self.field(info, self.names.owner).is(record) {
                    self.rebind_value(self.field(info, self.names.prototype));
                }
            }
            let mut timers = entries(self.of_prelude(self.names.timers));
            while let Some((_, timer)) = timers.take() {
                let version = self.field(timer, self.names.version);
                let callback = self.field(timer, self.names.callback);
                if self.field(timer, self.names.owner).is(record)
                    && version.is(self.field(record, self.names.version))
                    && callback.is_function()
                {
                    self.rebind_value(callback);
                }
            }
            for name in [self.names.data, self.names.accept] {
                self.rebind_value(self.field(record, name));
            }
            let mut dispose = entries(self.field(record, self.names.dispose));
            while let Some((_, function)) = dispose.take() {
                self.rebind_value(function);
            }
        }
    }

    /// If it is something that holds others.
    pub(super) unsafe fn rebind_value(&mut self, value: Raw) {
        if matches!(value.class(), Class::Table | Class::Function) {
            unsafe { self.rebind(value) }
        }
    }

    /// Pairs that were found elsewhere: in tables of other files.
    pub(super) unsafe fn merge_found(&mut self) {
        unsafe {
            self.begin_merge();
            for i in 0.. {
                let Some(&[_, old, new]) = self.found.get(i) else { break };
                if old.is_function() {
                    let name = self.source_of(new);
                    self.begin_source(name);
                    self.pair_functions(old, new);
                } else {
                    let mut values = entries(new);
                    while let Some((_, value)) = values.take() {
                        if value.is_function() {
                            let name = self.source_of(value);
                            self.begin_source(name);
                        }
                    }
                    self.pair(old, new, Raw::NIL);
                }
                self.find_pairs();
            }
            for i in 0.. {
                let Some(&[holder, _, new]) = self.found.get(i) else { break };
                self.rebind(new);
                let (Some(stays), Some(holder)) = (self.stays_for(new), holder.table()) else { continue };
                let mut values = Entries::of(holder);
                while let Some((key, value)) = values.take() {
                    if value.is(new) {
                        self.set(holder, key, stays);
                    }
                }
            }
            self.fill_all();
        }
    }
}
