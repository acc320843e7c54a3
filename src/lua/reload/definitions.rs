//! Where it is decided what a definition is from here on: the value that it became at run time, or the one that
//! the source gives it now.

use rustc_hash::FxHashSet;

use super::{Reload, merge::Merging, told::What};
use crate::{
    lua::heap::{Class, Value},
    reload::source::{Change, Definition, DefinitionId, Key, Kind, Why},
};

/// Of one definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// What is there stays.
    Keep,
    /// The new value takes its place.
    Take,
}

/// Where a definition puts its value.
#[derive(Clone, Copy)]
struct Place {
    table: Value,
    key: Value,
    /// The file has put it there already, since the table was not made anew.
    is_set: bool,
}

impl Reload<'_> {
    /// All definitions of the new version, what contains others before these.
    pub(super) fn decide_definitions(&mut self, file: &Merging) {
        for (id, one) in file.new_source().definitions() {
            match &one.key {
                Key::Local(name, _) => self.decide_local(file, id, one, name),
                Key::Metatable => self.decide_metatable(file, id, one),
                Key::Computed => self.decide_computed(file, id, one),
                // All of a list at once: see below.
                Key::Element(_) => {}
                _ => self.decide_slot(file, id, one),
            }
            self.fill_edited(file, id, one);
            if one.kind == Kind::Table {
                self.merge_list(file, id);
            }
        }
    }

    /// The rule: functions are new, but where somebody has put something else; data that is not edited stays.
    fn decide(&mut self, file: &Merging, id: DefinitionId, one: &Definition, current: Value) -> Decision {
        let change = file.plan.change(id);
        let (was, fresh) = (file.before(id), file.fresh_of(id));
        // The handle of a timer goes with the timer; what a circular `require` gave is no module yet.
        let is_unfinished = current.is_boolean(true) && fresh.table().is_some() && !file.makes[id.index()];
        if one.is_timer && !fresh.is_nil() || is_unfinished {
            return Decision::Take;
        }
        match (one.kind, change) {
            (_, Some(Change::Added)) => Decision::Take,
            (Kind::Function, change) => {
                let is_there = current.is(was) && !was.is_nil();
                let comes_back = current.is_nil() && change.is_some();
                // Who holds the old one gets the new one in any case.
                if is_there || comes_back || was.is_nil() { Decision::Take } else { Decision::Keep }
            }
            (_, None) => Decision::Keep,
            (_, Some(Change::Edited(Why::Source | Why::Uses(_)))) => Decision::Take,
            (_, Some(Change::Edited(Why::Code))) if self.is_kept_with_new_code(current, fresh) => {
                Decision::Keep
            }
            (_, Some(Change::Edited(Why::Code))) => {
                let old = file.plan.edits.old(id).and_then(|old| file.old_source().get(old));
                let is_plain = !fresh.is_object() && !current.is_object();
                let is_handle = is_plain && old.is_some_and(|old| self.is_handle(&file.plan, old.line));
                if is_handle { Decision::Keep } else { Decision::Take }
            }
            (_, Some(Change::Edited(Why::Calls(by)))) => {
                if self.is_instance(current) || self.is_instance(fresh) {
                    return Decision::Keep;
                }
                let (line, name, by) = (one.line, file.new_source().name(id), by.clone());
                self.tell(What::MadeAgain { line, name, by });
                Decision::Take
            }
        }
    }

    /// Of something in which only functions are edited: an object, or a record that holds them, gets these.
    pub(super) fn is_kept_with_new_code(&self, old: Value, fresh: Value) -> bool {
        self.is_instance(old) || self.is_instance(fresh) || fresh.table().is_some() && self.holds_code(fresh)
    }

    /// Of a local that functions use: the old variable goes on, and the new functions get it (`find_cells`).
    fn decide_local(&mut self, file: &Merging, id: DefinitionId, one: &Definition, name: &str) {
        let Some((holder, index)) = Self::lasting_local(file, id, name) else { return };
        let current = self.heap.upvalue(holder, index);
        if self.decide(file, id, one, current) == Decision::Take {
            self.heap.set_upvalue(holder, index, self.lasting(file.fresh_of(id)));
        }
    }

    /// A function that has the local that stays, and which of its upvalues it is.
    fn lasting_local(file: &Merging, id: DefinitionId, name: &str) -> Option<(Value, i32)> {
        if let Some(&known) = file.hidden.get(&id.index()) {
            return Some(known);
        }
        file.new_source().name_of_local(id).filter(|last| *last == name)?;
        let old_name = file.old_source().name_of_local(file.plan.edits.old(id)?)?;
        file.is.place(name)?;
        Some((file.was.function, file.was.place(old_name)?))
    }

    fn decide_slot(&mut self, file: &Merging, id: DefinitionId, one: &Definition) {
        let heap = self.heap;
        let Some(Place { table, key: written, is_set }) = self.place(file, one) else { return };
        // A key may be an object that stays.
        let key = self.lasting(written);
        if is_set {
            self.decided.insert((table.identity(), key.bit_pattern()));
        }
        let set = heap.get(table, written);
        let now = heap.get(table, key);
        let current = if is_set { self.value_before(table, key) } else { now };
        if is_set && !key.is(written) {
            heap.set(table, written, Value::NIL);
        }
        let decision = if is_set && one.reads_itself && one.kind != Kind::Function {
            Decision::Take
        } else {
            self.decide(file, id, one, current)
        };
        let value = match decision {
            Decision::Take => self.lasting(if is_set { set } else { file.fresh_of(id) }),
            // Nobody but the file itself has put it there.
            Decision::Keep if is_set && !self.snapshot.has_table(table) => return,
            Decision::Keep => current,
        };
        if one.kind != Kind::Outside && !value.is(now) {
            self.put(table, key, value);
        }
    }

    fn put(&self, table: Value, key: Value, value: Value) {
        if value.is_function() {
            self.assign(table, key, value);
        } else {
            self.heap.set(table, key, value);
        }
    }

    /// As the program would: a class library hands methods on to subclasses, and takes them back.
    pub(super) fn assign(&self, table: Value, key: Value, value: Value) {
        let heap = self.heap;
        if heap.metatable(table).is_nil() || !heap.assign(table, key, value) {
            heap.set(table, key, value);
        }
    }

    /// Where the definition of the new version has its place. `None`: in a table that is new as a whole.
    fn place(&self, file: &Merging, one: &Definition) -> Option<Place> {
        let Some(parent) = one.parent else {
            let Key::Global(name) = &one.key else { return None };
            return Some(Place { table: self.prelude.globals, key: self.heap.text(name), is_set: true });
        };
        let fresh = file.fresh_of(parent).table()?;
        let key = self.key(file.new_source(), &file.fresh, &one.key)?;
        match self.stays_for(fresh) {
            Some(table) => Some(Place { table, key, is_set: false }),
            None if self.is_seen(fresh) => Some(Place { table: fresh, key, is_set: true }),
            None => None,
        }
    }

    fn decide_metatable(&self, file: &Merging, id: DefinitionId, one: &Definition) {
        let Some(fresh) = one.parent.map(|parent| file.fresh_of(parent)) else { return };
        // Where the parent is new as a whole, its metatable only has to be the one that stays.
        if self.stays_for(fresh).is_none() || file.plan.change(id).is_some() {
            let metatable = self.lasting(self.heap.metatable(fresh));
            self.heap.set_metatable(self.lasting(fresh), metatable);
        }
    }

    /// What statements compute is one definition: all keys that no other definition of the table names.
    fn decide_computed(&mut self, file: &Merging, id: DefinitionId, one: &Definition) {
        let heap = self.heap;
        let Some(parent) = one.parent else { return };
        let fresh = file.fresh_of(parent);
        let is_edited = file.plan.change(id).is_some();
        let parts = file.new_source().parts(parent);
        let keys = parts.filter_map(|(_, part)| self.key(file.new_source(), &file.fresh, &part.key));
        // A table of constants may have thousands of both.
        let named: FxHashSet<_> = keys.map(Value::bit_pattern).collect();
        let is_named = |key: Value| named.contains(&key.bit_pattern());
        match self.stays_for(fresh) {
            Some(stays) => {
                for (key, value) in heap.entries(fresh) {
                    let before = heap.get(stays, key);
                    let is_new = is_edited || value.is_function() && before.is_nil();
                    if !is_named(key) && is_new {
                        self.pair_unnamed_at(before, value);
                        heap.set(stays, key, self.lasting(value));
                    }
                }
                for (key, before) in heap.entries(stays) {
                    let is_gone = is_edited && heap.get(fresh, key).is_nil() && !is_named(key);
                    if is_gone && self.is_unnamed(before) {
                        heap.set(stays, key, Value::NIL);
                    }
                }
            }
            None if self.is_seen(fresh) && !is_edited => {
                for (key, was) in self.snapshot.entries_of(fresh) {
                    if !is_named(key) && !was.is_function() && !heap.has(fresh, key, was) {
                        heap.set(fresh, key, was);
                    }
                }
            }
            None => {}
        }
    }

    /// An edited value goes into the table that was there: whoever holds that sees the edit.
    fn fill_edited(&mut self, file: &Merging, id: DefinitionId, one: &Definition) {
        let is_edited = match file.plan.change(id) {
            Some(Change::Edited(Why::Source | Why::Uses(_))) => true,
            Some(Change::Edited(Why::Code)) => {
                !self.is_kept_with_new_code(file.before(id), file.fresh_of(id))
            }
            Some(Change::Edited(Why::Calls(_))) => !self.is_instance(file.before(id)),
            _ => false,
        };
        if one.kind != Kind::Data || !is_edited || !file.makes[id.index()] {
            return;
        }
        let fresh = file.fresh_of(id);
        if let Some(stays) = self.stays_for(fresh)
            && stays.is(file.before(id))
        {
            self.replace_entries(stays, fresh);
            self.heap.set_metatable(stays, self.lasting(self.heap.metatable(fresh)));
        }
    }

    /// All entries of a table become those of another.
    pub(super) fn replace_entries(&mut self, old: Value, new: Value) {
        let heap = self.heap;
        for (key, _) in heap.entries(old) {
            if heap.get(new, key).is_nil() {
                heap.set(old, key, Value::NIL);
            }
        }
        for (key, value) in heap.entries(new) {
            let before = heap.get(old, key);
            let is_nested = before.class() == Class::Table
                && value.class() == Class::Table
                && !before.is(value)
                && self.is_fresh(value)
                && heap.metatable(value).is_nil()
                && heap.metatable(before).is_nil();
            if is_nested && self.replaces(before, value) {
                self.replace_entries(before, value);
            } else {
                heap.set(old, key, self.lasting(value));
            }
        }
    }
}
