//! After a file has run: what it made goes into what other code holds already, as its source says.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{ByIdentity, Reload, capture::Capture, plan::Plan, told::What};
use crate::{
    lua::heap::{Class, Value},
    reload::source::{Change, Definition, DefinitionId, Key, Kind, Source, Why},
};

/// What is known of the version that was replaced.
pub(super) struct Before {
    /// What it returned.
    pub(super) exports: Value,
    /// The objects that its definitions are: see [`Reload::note_made`].
    pub(super) made: Value,
    /// The function that has its locals.
    pub(super) capture: Value,
}

/// A file that has just run again.
pub(super) struct Merging {
    pub(super) plan: Arc<Plan>,
    /// What each definition of the new version is, by its number.
    pub(super) fresh: Vec<Value>,
    /// What each definition of the old version is: the object that stays.
    pub(super) known: Vec<Value>,
    /// The definitions of the new version that make something of their own.
    pub(super) makes: Vec<bool>,
    /// Those of the old version.
    made_before: Vec<bool>,
    /// Functions that have the locals of both versions.
    pub(super) was: Capture,
    pub(super) is: Capture,
    /// Locals that only some functions have: by their numbers in the new version, a function of the old one
    /// that has it, and which of its upvalues it is.
    pub(super) hidden: FxHashMap<usize, (Value, i32)>,
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

    pub(super) fn fresh_of(&self, id: DefinitionId) -> Value {
        self.fresh.get(id.index()).copied().unwrap_or(Value::NIL)
    }

    pub(super) fn known_of(&self, id: DefinitionId) -> Value {
        self.known.get(id.index()).copied().unwrap_or(Value::NIL)
    }

    /// What the definition of the new version was in the old one.
    pub(super) fn before(&self, id: DefinitionId) -> Value {
        self.plan.edits.old(id).map_or(Value::NIL, |old| self.known_of(old))
    }
}

/// Which definitions of a version make something of their own.
fn makes(source: &Source) -> Vec<bool> {
    let mut makes = vec![false; source.definitions().count()];
    for id in source.objects() {
        makes[id.index()] = true;
    }
    makes
}

impl Reload<'_> {
    /// Returns what the file exports from here on.
    pub(super) fn merge_file(&mut self, record: Value, returned: Value, before: &Before) -> Value {
        let (heap, names) = (self.heap, &self.prelude.names);
        self.begin_merge();
        self.begin_file(record);
        let (capture, locals) = (heap.get(record, names.capture), heap.get(record, names.locals));
        heap.set(record, names.locals, Value::FALSE);
        let plan = self.plan_of(record);
        if let Some(plan) = &plan {
            // It may have had another name.
            self.sources.insert(format!("@{}", plan.old.display));
        }
        // What its hook has put back, the load puts there anew.
        let is_disposed = heap.get(record, names.disposed).is_true();
        heap.set(record, names.disposed, Value::NIL);
        self.note_registered(plan.as_deref().filter(|plan| plan.is_known() && !is_disposed));
        let Some(plan) = plan.filter(|plan| plan.is_known()) else {
            return self.merge_whole(record, returned, before, locals);
        };
        let fresh = self.values(&plan.new.says, returned, locals);
        let (was, is) = (Capture::new(heap, before.capture), Capture::new(heap, capture));
        let known = self.known_objects(&plan.old.says, before, &was);
        let mut file = Merging {
            makes: makes(&plan.new.says),
            made_before: makes(&plan.old.says),
            plan,
            fresh,
            known,
            was,
            is,
            hidden: FxHashMap::default(),
            hidden_cells: Vec::new(),
        };
        self.merge.fills_lists = true;
        self.find_hidden(&mut file);
        self.pair_definitions(&file);
        self.find_cells(&file);
        self.merge_kept_objects(file.new_source());
        self.decide_definitions(&file);
        self.merge_registered(&file);
        self.leave_out(&file);
        self.rebind_file(record, &file, returned);
        for cell in &file.hidden_cells {
            // Nobody holds it any more: another one may come to lie there.
            self.joins.remove(cell);
        }
        let stays = |id: DefinitionId| {
            let stays = self.lasting(file.fresh_of(id));
            if stays.is_object() { stays } else { file.before(id) }
        };
        self.note_made(record, file.new_source(), stays);
        self.exports(&file, returned, before.exports)
    }

    fn begin_file(&mut self, record: Value) {
        let source = self.heap.text_of(self.heap.get(record, self.prelude.names.source)).unwrap_or_default();
        self.sources.insert(source.clone());
        self.is_changed.clear();
        self.merge.source = source;
    }

    /// The objects that the definitions of the old version are. A name may have been pointed at something else
    /// meanwhile: if that is no definition's, it is what is edited from here on.
    fn known_objects(&mut self, old: &Source, before: &Before, was: &Capture) -> Vec<Value> {
        let heap = self.heap;
        let mut made = vec![Value::NIL; old.definitions().count()];
        let mut of_others: ByIdentity<usize> = ByIdentity::default();
        for (i, id) in (1..).zip(old.objects()) {
            let object = heap.get(before.made, Value::of(i));
            if object.is_object() {
                of_others.insert(object.identity(), id.index());
                made[id.index()] = object;
            }
        }
        let mut known: Vec<Value> = Vec::with_capacity(made.len());
        for (id, one) in old.definitions() {
            let own = made[id.index()];
            let mut object = own;
            if one.kind != Kind::Function {
                let current = self.current(old, id, one, before, was, &known);
                let is_others = of_others.get(&current.identity()).is_some_and(|&of| of != id.index());
                let is_foreign = self.prelude.is_foreign(heap, current) && !current.is(own);
                if current.class() == Class::Table && !is_others && (!is_foreign || !own.is_object()) {
                    object = current;
                }
            }
            known.push(object);
        }
        known
    }

    /// What is at the place of a definition of the old version, as it was before the file ran.
    fn current(
        &mut self,
        old: &Source,
        id: DefinitionId,
        one: &Definition,
        before: &Before,
        was: &Capture,
        known: &[Value],
    ) -> Value {
        let (heap, prelude) = (self.heap, self.prelude);
        let Some(parent) = one.parent else {
            return match &one.key {
                Key::Local(name, _) if old.last_local(name) == Some(id) => {
                    was.place(name).map_or(Value::NIL, |at| heap.upvalue(was.function, at))
                }
                Key::Local(name, _) if **name == *"_ENV" && old.returned() == Some(id) => before.exports,
                Key::Global(name) => self.value_before(prelude.globals, heap.text(name)),
                Key::Returned => before.exports,
                Key::Prototype(name) => prelude.prototype(heap, name),
                Key::Module(name) => heap.get(prelude.get(heap, prelude.names.loaded), heap.text(name)),
                _ => Value::NIL,
            };
        };
        let table = known.get(parent.index()).copied().unwrap_or(Value::NIL);
        if one.key == Key::Metatable {
            return heap.metatable(table);
        }
        match self.key(old, known, &one.key) {
            Some(key) if table.table().is_some() => self.value_before(table, key),
            _ => Value::NIL,
        }
    }

    /// Which old object a fresh one is the new version of.
    fn pair_definitions(&mut self, file: &Merging) {
        for (id, one) in file.new_source().definitions() {
            let (old, new) = (file.before(id), file.fresh_of(id));
            let made_before = file.plan.edits.old(id).is_some_and(|old| file.made_before[old.index()]);
            let is_pair = file.makes[id.index()] && made_before && old.is_object() && !old.is(new);
            if !is_pair || !self.is_fresh(new) {
                continue;
            }
            if one.kind == Kind::Function {
                if old.is_function() && new.is_function() {
                    self.pair_functions(old, new);
                }
                continue;
            }
            let is_ours = |table| self.prelude.is_own_or_library(self.heap, table);
            if old.table().is_none() || new.table().is_none() || is_ours(old) || is_ours(new) {
                continue;
            }
            if !self.replaces(old, new) || one.kind == Kind::Table {
                continue;
            }
            match file.plan.change(id) {
                Some(Change::Edited(Why::Source | Why::Uses(_))) => {}
                Some(Change::Edited(Why::Code)) if !self.is_kept_with_new_code(old, new) => {}
                Some(Change::Edited(Why::Calls(_))) if !self.is_instance(old) => {}
                _ => self.merge.kept.push([old, new]),
            }
        }
    }

    /// The old table stays. Says whether that is news.
    pub(super) fn replaces(&mut self, old: Value, new: Value) -> bool {
        if self.replaced.contains_key(&new.identity()) {
            return false;
        }
        self.replaced.insert(new.identity(), old);
        self.taken.insert(old.identity());
        true
    }

    pub(super) fn pair_functions(&mut self, old: Value, new: Value) {
        if self.follows.contains_key(&old.identity()) || old.is(new) || self.is_seen(new) {
            return;
        }
        self.follows.insert(old.identity(), new);
        self.precedes.insert(new.identity(), old);
    }

    /// Whatever the file made sees the tables and locals that stay.
    fn rebind_file(&mut self, record: Value, file: &Merging, returned: Value) {
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

    /// What of a file is held by us.
    fn rebind_held(&mut self, record: Value) {
        let (heap, prelude) = (self.heap, self.prelude);
        let names = &prelude.names;
        let version = heap.get(record, names.version);
        for (_, timer) in prelude.timers(heap) {
            if !heap.has(timer, names.owner, record) || !heap.has(timer, names.version, version) {
                continue;
            }
            self.rebind_value(heap.get(timer, names.callback));
            let object = heap.get(timer, names.object);
            match self.stays_for(object) {
                Some(stays) => heap.set(timer, names.object, stays),
                None => self.rebind_value(object),
            }
        }
        for name in [names.data, names.accept] {
            self.rebind_value(heap.get(record, name));
        }
        for (_, function) in heap.entries(heap.get(record, names.dispose)) {
            self.rebind_value(function);
        }
    }

    /// If it is something that holds others.
    pub(super) fn rebind_value(&mut self, value: Value) {
        if matches!(value.class(), Class::Table | Class::Function) {
            self.rebind(value);
        }
    }

    /// What the file exports from here on.
    fn exports(&self, file: &Merging, returned: Value, before: Value) -> Value {
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
    fn merge_whole(&mut self, record: Value, returned: Value, before: &Before, locals: Value) -> Value {
        let plan = self.plan_of(record);
        let source = plan.as_ref().map(|plan| plan.new.says.clone()).unwrap_or_default();
        let why = plan.and_then(|plan| {
            let why = plan.new.says.not_understood().or_else(|| plan.old.says.not_understood());
            why.map(ToString::to_string)
        });
        self.tell(What::Whole { why: why.unwrap_or_else(|| "its locals cannot be told".to_owned()) });
        let (old, new) = (before.exports, returned);
        let both = old.table().is_some() && new.table().is_some() && self.is_fresh(new);
        let is_same_table = both && !self.prelude.is_own_or_library(self.heap, old);
        if old.is_function() && new.is_function() {
            self.pair_functions(old, new);
        }
        if is_same_table && self.replaces(old, new) {
            self.merge.kept.push([old, new]);
            self.merge_kept_objects(&source);
            self.replace_entries(old, new);
        }
        self.rebind_value(new);
        for (_, value) in self.heap.entries(locals) {
            self.rebind_value(value);
        }
        self.rebind_held(record);
        // The next version has nothing to go by.
        self.heap.set(record, self.prelude.names.made, Value::FALSE);
        if is_same_table { old } else { new }
    }
}
