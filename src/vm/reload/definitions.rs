//! Where it is decided what a definition is from here on: the value that it became at run time, or the one that
//! the source gives it now.

use std::ffi::c_int;

use mlua::ffi::{lua_pop, lua_setupvalue};
use rustc_hash::FxHashSet;

use super::{
    Reload,
    merge::{Merging, is_last},
    told::What,
};
use crate::{
    reload::source::{Change, Definition, DefinitionId, Key, Kind, Why},
    vm::{
        made::{metatable, text},
        values::{Class, Raw, RawTable},
    },
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
struct Slot {
    table: Raw,
    key: Raw,
    /// The file has put it there already, since the table was not made anew.
    is_set: bool,
}

impl Reload {
    /// All definitions of the new version, what contains others before these.
    pub(super) unsafe fn decide_definitions(&mut self, file: &Merging) {
        for (id, one) in file.new_source().definitions() {
            unsafe {
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
    }

    /// The rule: functions are new, but where somebody has put something else; data that is not edited stays.
    unsafe fn decide(
        &mut self,
        file: &Merging,
        id: DefinitionId,
        one: &Definition,
        current: Raw,
    ) -> Decision {
        let change = file.plan.change(id);
        let (was, fresh) = (file.before(id), file.fresh_of(id));
        // The handle of a timer goes with the timer; what a circular `require` gave is no module yet.
        let is_unfinished = current.is(Raw::TRUE) && fresh.table().is_some() && !file.makes[id.index()];
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
            (_, Some(Change::Edited(Why::Calls(by)))) => {
                let is_kept = unsafe { self.is_instance(current) || self.is_instance(fresh) };
                if is_kept {
                    return Decision::Keep;
                }
                let (line, name, by) = (one.line, file.new_source().name(id), by.clone());
                unsafe { self.tell(What::MadeAgain { line, name, by }) }
                Decision::Take
            }
        }
    }

    /// What stays in place of a fresh value, or that value.
    pub(super) fn lasting(&self, value: Raw) -> Raw {
        self.stays_for(value).unwrap_or(value)
    }

    /// Of a local that functions use: the old variable goes on, and the new functions get it (`find_cells`).
    unsafe fn decide_local(&mut self, file: &Merging, id: DefinitionId, one: &Definition, name: &str) {
        let l = self.l;
        unsafe {
            let Some((holder, index)) = Self::lasting_local(file, id, name) else { return };
            let current = self.upvalue_at(holder, index);
            if self.decide(file, id, one, current) == Decision::Take {
                holder.push(l);
                self.lasting(file.fresh_of(id)).push(l);
                lua_setupvalue(l, -2, index);
                lua_pop(l, 1);
            }
        }
    }

    /// A function that has the local that stays, and which of its upvalues it is.
    fn lasting_local(file: &Merging, id: DefinitionId, name: &str) -> Option<(Raw, c_int)> {
        if let Some(&known) = file.hidden.get(&id.index()) {
            return Some(known);
        }
        let old = file.plan.edits.old(id).filter(|_| is_last(file.new_source(), name, id))?;
        let (old_name, _) = file.old_source().locals().iter().find(|(_, known)| *known == old)?;
        file.is.place(name)?;
        Some((file.was.function, file.was.place(old_name)?))
    }

    unsafe fn decide_slot(&mut self, file: &Merging, id: DefinitionId, one: &Definition) {
        let l = self.l;
        unsafe {
            let Some(slot) = self.slot(file, one) else { return };
            let Some(table) = slot.table.table() else { return };
            // A key may be an object that stays.
            let key = self.lasting(slot.key);
            let set = RawTable::get(table, l, slot.key);
            let now = RawTable::get(table, l, key);
            let current = if slot.is_set { self.value_before(slot.table, key) } else { now };
            if slot.is_set && !key.is(slot.key) {
                self.set(table, slot.key, Raw::NIL);
            }
            let decision = if slot.is_set && one.reads_itself && one.kind != Kind::Function {
                Decision::Take
            } else {
                self.decide(file, id, one, current)
            };
            let value = match decision {
                Decision::Take => self.lasting(if slot.is_set { set } else { file.fresh_of(id) }),
                // Nobody but the file itself has put it there.
                Decision::Keep if slot.is_set && !self.was_there(slot.table) => return,
                Decision::Keep => current,
            };
            if one.kind == Kind::Outside || value.is(now) {
                return;
            }
            if metatable(slot.table).is_nil() || !value.is_function() {
                self.set(table, key, value);
            } else {
                // A class library hands methods on to subclasses.
                self.assign(slot.table, key, value);
            }
        }
    }

    /// Where the definition of the new version has its place. `None`: in a table that is new as a whole.
    unsafe fn slot(&mut self, file: &Merging, one: &Definition) -> Option<Slot> {
        let l = self.l;
        unsafe {
            let Some(parent) = one.parent else {
                let Key::Global(name) = &one.key else { return None };
                return Some(Slot { table: self.files.globals, key: text(l, name), is_set: true });
            };
            let fresh = file.fresh_of(parent);
            fresh.table()?;
            let key = self.files.key(l, file.new_source(), &file.fresh, &one.key)?;
            match self.stays_for(fresh) {
                Some(table) => Some(Slot { table, key, is_set: false }),
                None if self.is_seen(fresh) => Some(Slot { table: fresh, key, is_set: true }),
                None => None,
            }
        }
    }

    unsafe fn decide_metatable(&mut self, file: &Merging, id: DefinitionId, one: &Definition) {
        let Some(fresh) = one.parent.map(|parent| file.fresh_of(parent)) else { return };
        let Some(table) = self.lasting(fresh).table() else { return };
        // Where the parent is new as a whole, its metatable only has to be the one that stays.
        let is_new = self.stays_for(fresh).is_none() || file.plan.change(id).is_some();
        unsafe {
            if is_new {
                let metatable = self.lasting(metatable(fresh));
                self.set_metatable(table, metatable);
            }
        }
    }

    /// What statements compute is one definition: all keys that no other definition of the table names.
    unsafe fn decide_computed(&mut self, file: &Merging, id: DefinitionId, one: &Definition) {
        let l = self.l;
        let Some(parent) = one.parent else { return };
        let fresh = file.fresh_of(parent);
        let is_edited = file.plan.change(id).is_some();
        unsafe {
            let parts = file.new_source().parts(parent);
            let keys =
                parts.filter_map(|(_, part)| self.files.key(l, file.new_source(), &file.fresh, &part.key));
            // A table of constants may have thousands of both.
            let named: FxHashSet<(u8, u64)> = keys.map(Raw::bit_pattern).collect();
            let is_named = |key: Raw| named.contains(&key.bit_pattern());
            match (self.stays_for(fresh).and_then(Raw::table), fresh.table()) {
                (Some(stays), Some(_)) => {
                    let mut entries = super::entries(fresh);
                    while let Some((key, value)) = entries.take() {
                        let is_new =
                            is_edited || RawTable::get(stays, l, key).is_nil() && value.is_function();
                        if !is_named(key) && is_new {
                            let value = self.lasting(value);
                            self.set(stays, key, value);
                        }
                    }
                }
                (None, Some(live)) if self.is_seen(fresh) && !is_edited => {
                    for (key, was) in self.entries_before(fresh) {
                        let now = RawTable::get(live, l, key);
                        if !is_named(key) && !now.is(was) && !was.is_function() {
                            self.set(live, key, was);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// An edited value goes into the table that was there: whoever holds that sees the edit.
    unsafe fn fill_edited(&mut self, file: &Merging, id: DefinitionId, one: &Definition) {
        let is_edited = match file.plan.change(id) {
            Some(Change::Edited(Why::Source | Why::Uses(_))) => true,
            Some(Change::Edited(Why::Calls(_))) => unsafe { !self.is_instance(file.before(id)) },
            _ => false,
        };
        if one.kind != Kind::Data || !is_edited || !file.makes[id.index()] {
            return;
        }
        let fresh = file.fresh_of(id);
        if let Some(stays) = self.stays_for(fresh)
            && stays.is(file.before(id))
        {
            unsafe {
                self.replace_entries(stays, fresh);
                if let Some(table) = stays.table() {
                    let metatable = self.lasting(metatable(fresh));
                    self.set_metatable(table, metatable);
                }
            }
        }
    }

    /// What the old version had and the new one has not.
    pub(super) unsafe fn leave_out(&mut self, file: &Merging) {
        let l = self.l;
        for &id in file.old_source().handed_over() {
            let mut now = file.new_source().handed_over().iter().filter_map(|&now| file.plan.edits.old(now));
            if !now.any(|now| now == id) {
                self.withdrawn.insert(file.known_of(id).identity());
            }
        }
        for &id in file.plan.edits.removed() {
            let Some(one) = file.old_source().get(id) else { continue };
            unsafe {
                if one.kind == Kind::Function && file.known_of(id).is_function() {
                    self.hold(file.known_of(id));
                    let name = self.files.key(l, file.old_source(), &file.known, &one.key);
                    self.left.insert(file.known_of(id).identity(), name.unwrap_or(Raw::NIL));
                }
                let table = match (one.parent, &one.key) {
                    (Some(parent), _) => file.known_of(parent),
                    (None, Key::Global(_)) => self.files.globals,
                    _ => continue,
                };
                let Some(raw) = table.table() else { continue };
                if one.key == Key::Metatable {
                    if !metatable(table).is_nil() && self.is_alive(file, one.parent) {
                        let base = self.default_base(table);
                        self.set_metatable(raw, base);
                    }
                    continue;
                }
                let name = match &one.key {
                    Key::Global(name) => text(l, name),
                    Key::Element(_) | Key::Computed => continue,
                    of => match self.files.key(l, file.old_source(), &file.known, of) {
                        Some(key) => key,
                        None => continue,
                    },
                };
                let now = RawTable::get(raw, l, name);
                let is_its = match one.kind {
                    Kind::Function => now.is(file.known_of(id)),
                    // Globals are everybody's: others may read it.
                    _ if one.parent.is_none() => false,
                    // Objects are migrated first, and may read it until then.
                    _ => !self.files.foreign.is_prototype(l, table),
                };
                if one.kind == Kind::Function && now.is_nil() && !metatable(table).is_nil() {
                    // A class library has it elsewhere, and takes it from subclasses.
                    self.assign(table, name, Raw::NIL);
                }
                let is_set_again = one.parent.is_none() && !now.is(self.value_before(table, name));
                if is_its && !now.is_nil() && !is_set_again {
                    let is_new = matches!(&one.key, Key::Field(name) if **name == *"new");
                    if is_new
                        && self.files.foreign.is_prototype(l, table)
                        && self.default_base(table).is_nil()
                    {
                        let default = self.of_prelude(self.names.default_new);
                        self.set(raw, name, default);
                    } else if metatable(table).is_nil() {
                        self.set(raw, name, Raw::NIL);
                    } else {
                        self.assign(table, name, Raw::NIL);
                    }
                }
            }
        }
    }

    /// Whether the new version still has that definition.
    fn is_alive(&self, file: &Merging, old: Option<DefinitionId>) -> bool {
        old.is_none_or(|old| !file.plan.edits.removed().contains(&old))
    }

    /// What a table has without a metatable of its own: a prototype inherits from the common one.
    unsafe fn default_base(&self, table: Raw) -> Raw {
        unsafe {
            if !self.files.foreign.is_prototype(self.l, table) {
                return Raw::NIL;
            }
            let prototypes = self.of_prelude(self.names.prototypes);
            let object = self.field(prototypes, text(self.l, "Object"));
            let base = self.field(object, self.names.prototype);
            if base.is(table) { Raw::NIL } else { base }
        }
    }

    /// All entries of a table become those of another.
    pub(super) unsafe fn replace_entries(&mut self, old: Raw, new: Raw) {
        let (Some(table), Some(other)) = (old.table(), new.table()) else { return };
        unsafe {
            let mut each = super::entries(old);
            while let Some((key, _)) = each.take() {
                if RawTable::get(other, self.l, key).is_nil() {
                    self.set(table, key, Raw::NIL);
                }
            }
            let mut each = super::entries(new);
            while let Some((key, value)) = each.take() {
                let before = RawTable::get(table, self.l, key);
                let is_nested = before.class() == Class::Table
                    && value.class() == Class::Table
                    && !before.is(value)
                    && self.is_fresh(value)
                    && metatable(value).is_nil()
                    && metatable(before).is_nil();
                if is_nested && self.replaces(before, value) {
                    self.replace_entries(before, value);
                } else {
                    let value = self.lasting(value);
                    self.set(table, key, value);
                }
            }
        }
    }
}
