//! After a file has run: what it made goes into what other code holds already, as its source says.

use std::{
    ffi::{CStr, CString, c_int},
    sync::Arc,
};

use mlua::ffi::lua_tostring;
use rustc_hash::FxHashMap;

use super::{
    ByIdentity, Reload, entries,
    locals::Capture,
    plan::Plan,
    told::{Told, What, words},
};
use crate::{
    reload::source::{Change, Definition, DefinitionId, Key, Kind, Source, Why},
    vm::{
        made::{metatable, text},
        values::{Class, Raw, RawTable},
    },
};

/// What is known of the version that was replaced. Lua's stack holds it.
pub(super) struct Before {
    /// What it returned.
    pub(super) exports: Raw,
    /// The objects that its definitions are: see [`Files::note_made`](crate::vm::files::Files::note_made).
    pub(super) made: Raw,
    /// The function that has its locals.
    pub(super) capture: Raw,
}

/// A file that has just run again.
pub(super) struct Merging {
    pub(super) plan: Arc<Plan>,
    /// What each definition of the new version is, by its number.
    pub(super) fresh: Vec<Raw>,
    /// What each definition of the old version is: the object that stays.
    pub(super) known: Vec<Raw>,
    /// The definitions of the new version that make something of their own.
    pub(super) makes: Vec<bool>,
    /// Those of the old version.
    made_before: Vec<bool>,
    /// Functions that have the locals of both versions.
    pub(super) was: Capture,
    pub(super) is: Capture,
    /// Locals that only some functions have: by their numbers in the new version, a function of the old one
    /// that has it, and which of its upvalues it is.
    pub(super) hidden: FxHashMap<usize, (Raw, c_int)>,
    /// The variables of the new version that these have been.
    pub(super) hidden_cells: Vec<usize>,
}

impl Merging {
    pub(super) fn new_source(&self) -> &Source {
        &self.plan.new.says
    }

    pub(super) fn old_source(&self) -> &Source {
        &self.plan.old.says
    }

    pub(super) fn fresh_of(&self, id: DefinitionId) -> Raw {
        self.fresh.get(id.index()).copied().unwrap_or(Raw::NIL)
    }

    pub(super) fn known_of(&self, id: DefinitionId) -> Raw {
        self.known.get(id.index()).copied().unwrap_or(Raw::NIL)
    }

    /// What the definition of the new version was in the old one.
    pub(super) fn before(&self, id: DefinitionId) -> Raw {
        self.plan.edits.old(id).map_or(Raw::NIL, |old| self.known_of(old))
    }
}

impl Reload {
    /// Returns what the file exports from here on.
    pub(super) unsafe fn merge_file(
        &mut self,
        record: *const RawTable,
        returned: Raw,
        before: &Before,
    ) -> Raw {
        let (l, names) = (self.l, self.names);
        unsafe {
            self.begin_merge();
            self.begin_file(record);
            let get = |name| RawTable::get(record, l, name);
            let (capture, locals) = (get(names.capture), get(names.locals));
            self.set(record, names.locals, Raw::FALSE);
            let plan = self.plans.get(&Raw::of_table(record).identity()).cloned();
            if let Some(name) =
                plan.as_ref().and_then(|plan| CString::new(format!("@{}", plan.old.display)).ok())
            {
                // It may have had another name.
                self.sources.insert(name.into_boxed_c_str());
            }
            let Some(plan) = plan.filter(|plan| plan.is_known()) else {
                return self.merge_whole(record, returned, before, locals);
            };
            let fresh = self.files.values(l, &plan.new.says, returned, locals);
            for &value in &fresh {
                if value.is_object() {
                    self.hold(value);
                }
            }
            let (was, is) = (self.capture(before.capture), self.capture(capture));
            let known = self.known_objects(&plan.old.says, before, &was);
            let mut makes = vec![false; fresh.len()];
            for id in plan.new.says.objects() {
                makes[id.index()] = true;
            }
            let mut made_before = vec![false; known.len()];
            for id in plan.old.says.objects() {
                made_before[id.index()] = true;
            }
            let hidden = FxHashMap::default();
            let mut file =
                Merging { plan, fresh, known, makes, made_before, was, is, hidden, hidden_cells: Vec::new() };
            self.find_hidden(&mut file);
            self.pair_definitions(&file);
            self.find_cells(&file);
            self.merge_kept_objects(file.new_source());
            self.decide_definitions(&file);
            self.leave_out(&file);
            self.rebind_file(record, &file, returned);
            for cell in &file.hidden_cells {
                // Nobody holds it any more: another one may come to lie there.
                self.joins.remove(cell);
            }
            let of_object = |id: DefinitionId, _: &Definition| {
                let value = file.fresh_of(id);
                let stays = self.stays_for(value).unwrap_or(value);
                if stays.is_object() { stays } else { file.before(id) }
            };
            self.files.note_made(l, record, file.new_source(), of_object);
            self.exports(&file, returned, before.exports)
        }
    }

    /// What was gone through in the last one need not be again.
    pub(super) fn begin_merge(&mut self) {
        self.merge.clear();
        self.merge.number += 1;
    }

    unsafe fn begin_file(&mut self, record: *const RawTable) {
        unsafe {
            RawTable::get(record, self.l, self.names.source).push(self.l);
            let name = lua_tostring(self.l, -1);
            Raw::pop(self.l);
            if !name.is_null() {
                self.merge.source = name;
                self.sources.insert(CStr::from_ptr(name).into());
                self.is_source.clear();
            }
        }
    }

    pub(super) unsafe fn tell(&mut self, what: What) {
        let source = unsafe { words(self.merge.source) };
        self.told.push(Told { source, what });
    }

    /// The objects that the definitions of the old version are. A name may have been pointed at something else
    /// meanwhile: if that is no definition's, it is what is edited from here on.
    unsafe fn known_objects(&mut self, old: &Source, before: &Before, was: &Capture) -> Vec<Raw> {
        let l = self.l;
        let mut made = vec![Raw::NIL; old.definitions().count()];
        let mut of_others: ByIdentity<usize> = ByIdentity::default();
        if let Some(list) = before.made.table() {
            for (i, id) in (1..).zip(old.objects()) {
                let object = unsafe { RawTable::get(list, l, Raw::of(i)) };
                if object.is_object() {
                    unsafe { self.hold(object) }
                    of_others.insert(object.identity(), id.index());
                    made[id.index()] = object;
                }
            }
        }
        let mut known: Vec<Raw> = Vec::with_capacity(made.len());
        for (id, one) in old.definitions() {
            let own = made[id.index()];
            let mut object = own;
            if one.kind != Kind::Function {
                let current = unsafe { self.current(old, id, one, before, was, &known) };
                let is_others = of_others.get(&current.identity()).is_some_and(|&of| of != id.index());
                let is_foreign = unsafe { self.files.foreign.has(l, current) } && !current.is(own);
                if current.class() == Class::Table && !is_others && (!is_foreign || !own.is_object()) {
                    object = current;
                }
            }
            known.push(object);
        }
        known
    }

    /// What is at the place of a definition of the old version, as it was before the file ran.
    unsafe fn current(
        &mut self,
        old: &Source,
        id: DefinitionId,
        one: &Definition,
        before: &Before,
        was: &Capture,
        known: &[Raw],
    ) -> Raw {
        let l = self.l;
        unsafe {
            let Some(parent) = one.parent else {
                return match &one.key {
                    Key::Local(name, _) if is_last(old, name, id) => {
                        was.place(name).map_or(Raw::NIL, |at| self.upvalue_at(was.function, at))
                    }
                    Key::Global(name) => {
                        let name = text(l, name);
                        self.value_before(self.files.globals, name)
                    }
                    Key::Returned => before.exports,
                    Key::Prototype(name) => {
                        let info = self.field(self.of_prelude(self.names.prototypes), text(l, name));
                        self.field(info, self.names.prototype)
                    }
                    Key::Module(name) => self.field(self.of_prelude(self.names.loaded), text(l, name)),
                    _ => Raw::NIL,
                };
            };
            let table = known.get(parent.index()).copied().unwrap_or(Raw::NIL);
            if one.key == Key::Metatable {
                return metatable(table);
            }
            match self.files.key(l, old, known, &one.key) {
                Some(key) if table.table().is_some() => self.value_before(table, key),
                _ => Raw::NIL,
            }
        }
    }

    /// Which old object a fresh one is the new version of.
    unsafe fn pair_definitions(&mut self, file: &Merging) {
        for (id, one) in file.new_source().definitions() {
            let (old, new) = (file.before(id), file.fresh_of(id));
            let made_before = file.plan.edits.old(id).is_some_and(|old| file.made_before[old.index()]);
            if !file.makes[id.index()]
                || !made_before
                || !old.is_object()
                || old.is(new)
                || !self.is_fresh(new)
            {
                continue;
            }
            unsafe {
                if one.kind == Kind::Function {
                    if old.is_function() && new.is_function() {
                        self.pair_functions(old, new);
                    }
                    continue;
                }
                let (Some(_), Some(_)) = (old.table(), new.table()) else { continue };
                if self.is_ours_or_library(old) || self.is_ours_or_library(new) {
                    continue;
                }
                if !self.replaces(old, new) || one.kind == Kind::Table {
                    continue;
                }
                match file.plan.change(id) {
                    Some(Change::Edited(Why::Source | Why::Uses(_))) => {}
                    Some(Change::Edited(Why::Calls(_))) if !self.is_instance(old) => {}
                    _ => self.merge.kept.push([old, new]),
                }
            }
        }
    }

    /// Something with a class or a prototype.
    pub(super) unsafe fn is_instance(&self, value: Raw) -> bool {
        !metatable(value).is_nil() || unsafe { self.files.foreign.is_prototype(self.l, value) }
    }

    unsafe fn is_ours_or_library(&self, table: Raw) -> bool {
        unsafe { self.files.foreign.is_own(self.l, table) || self.files.foreign.is_library(self.l, table) }
    }

    /// The old table stays. Says whether that is news.
    pub(super) unsafe fn replaces(&mut self, old: Raw, new: Raw) -> bool {
        if self.replaced.contains_key(&new.identity()) {
            return false;
        }
        unsafe {
            self.hold(old);
            self.hold(new);
        }
        self.replaced.insert(new.identity(), old);
        self.taken.insert(old.identity());
        true
    }

    pub(super) unsafe fn pair_functions(&mut self, old: Raw, new: Raw) {
        if self.follows.contains_key(&old.identity()) || old.is(new) || self.is_seen(new) {
            return;
        }
        unsafe {
            self.hold(old);
            self.hold(new);
        }
        self.follows.insert(old.identity(), new);
        self.precedes.insert(new.identity(), old);
    }

    /// Whatever the file made sees the tables and locals that stay.
    unsafe fn rebind_file(&mut self, record: *const RawTable, file: &Merging, returned: Raw) {
        unsafe {
            // It holds the variables of the new version by which their functions are known: see `join`.
            self.merge.rebound.insert(file.is.function.identity());
            self.rebind_value(returned);
            for &value in &file.fresh {
                if self.is_fresh(value) {
                    self.rebind_value(value);
                }
            }
            self.rebind_held(record);
        }
    }

    /// What of a file is held by us.
    unsafe fn rebind_held(&mut self, record: *const RawTable) {
        let (l, names) = (self.l, self.names);
        unsafe {
            let get = |name| RawTable::get(record, l, name);
            let (subject, now) = (Raw::of_table(record), get(names.version));
            let mut timers = entries(self.of_prelude(names.timers));
            while let Some((_, timer)) = timers.take() {
                let is_its = self.field(timer, names.owner).is(subject);
                let Some(table) =
                    timer.table().filter(|_| is_its && self.field(timer, names.version).is(now))
                else {
                    continue;
                };
                self.rebind_value(self.field(timer, names.callback));
                let object = self.field(timer, names.object);
                match self.stays_for(object) {
                    Some(stays) => self.set(table, names.object, stays),
                    None => self.rebind_value(object),
                }
            }
            for name in [names.data, names.accept] {
                self.rebind_value(get(name));
            }
            let mut dispose = entries(get(names.dispose));
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

    /// What the file exports from here on.
    unsafe fn exports(&mut self, file: &Merging, returned: Raw, before: Raw) -> Raw {
        if let Some(stays) = self.stays_for(returned) {
            return stays;
        }
        let source = file.new_source();
        let is_kept = source.returned().is_some_and(|id| {
            let is_data = source.get(id).is_some_and(|one| one.kind == Kind::Data);
            is_data && file.plan.change(id).is_none() && file.plan.edits.old(id).is_some()
        });
        // A clock, say, or an object that its own file points at.
        if is_kept && !returned.is_function() && returned.has_type_of(before) { before } else { returned }
    }

    /// Of a file whose definitions are not known: all of it counts as edited.
    unsafe fn merge_whole(
        &mut self,
        record: *const RawTable,
        returned: Raw,
        before: &Before,
        locals: Raw,
    ) -> Raw {
        unsafe {
            let plan = self.plans.get(&Raw::of_table(record).identity()).cloned();
            let source = plan.as_ref().map(|plan| plan.new.says.clone()).unwrap_or_default();
            let why = plan.and_then(|plan| {
                let why = plan.new.says.not_understood().or_else(|| plan.old.says.not_understood());
                why.map(ToString::to_string)
            });
            let why = why.unwrap_or_else(|| "its locals cannot be told".to_owned());
            self.tell(What::Whole { why });
            let (old, new) = (before.exports, returned);
            let both = old.table().is_some() && new.table().is_some() && self.is_fresh(new);
            let is_same_table = both && !self.is_ours_or_library(old);
            if old.is_function() && new.is_function() {
                self.pair_functions(old, new);
            }
            if is_same_table && self.replaces(old, new) {
                self.merge.kept.push([old, new]);
                self.merge_kept_objects(&source);
                self.replace_entries(old, new);
            }
            self.rebind_value(new);
            let mut values = entries(locals);
            while let Some((_, value)) = values.take() {
                self.rebind_value(value);
            }
            self.rebind_held(record);
            // The next version has nothing to go by.
            self.set(record, self.names.made, Raw::FALSE);
            if is_same_table { old } else { new }
        }
    }
}

/// Whether that local is the last of its name.
pub(super) fn is_last(source: &Source, name: &str, id: DefinitionId) -> bool {
    source.locals().iter().any(|(known, last)| **known == *name && *last == id)
}
