//! What a load puts into tables that were there before: handlers in somebody's list, classes in a registry. What
//! the old version had put there is still there, so the new one's takes its place.

use std::sync::Arc;

use super::{ByIdentity, Reload, snapshot::Entries};
use crate::{
    lua::heap::{Class, Value},
    reload::SourceFile,
};

/// One table, with what was in it.
struct Register<'a> {
    table: Value,
    was: &'a [(Value, Value)],
    /// Of objects among the values, their keys.
    keys: ByIdentity<Value>,
    /// Entries that the new version has added and the old one had, too.
    twice: Vec<Value>,
    /// Fresh functions without a name, with their keys.
    unnamed: Vec<(Value, Value)>,
}

impl Reload<'_> {
    pub(super) fn find_changes_in(&mut self, table: Value, was: &[(Value, Value)]) {
        let known: Entries = was.iter().map(|(key, value)| (key.bit_pattern(), *value)).collect();
        let value_of = |key: Value| known.get(&key.bit_pattern()).copied().unwrap_or(Value::NIL);
        let objects = was.iter().filter(|(_, value)| value.is_object());
        let keys = objects.map(|(key, value)| (value.identity(), *key)).collect();
        let mut register = Register { table, was, keys, twice: Vec::new(), unnamed: Vec::new() };
        let mut moved = Vec::new();
        for (key, value) in self.heap.entries(table) {
            let before = value_of(key);
            if !before.is(value) {
                self.register(&mut register, key, value, before);
            }
            if before.is_nil() && self.old_of(key).is_some_and(|old| !value_of(old).is_nil()) {
                // A set of functions: the old one's key becomes the new one.
                register.twice.push(key);
            } else if self.stays_for(key).is_some() {
                moved.push((key, value));
            }
        }
        for (key, value) in moved {
            self.move_key(table, key, value);
        }
        self.pair_unnamed(&mut register);
        self.drop_twice(&register);
    }

    /// The old object that a fresh one stands for.
    fn old_of(&self, object: Value) -> Option<Value> {
        if !object.is_object() {
            return None;
        }
        self.stays_for(object).or_else(|| self.precedes.get(&object.identity()).copied())
    }

    fn register(&mut self, register: &mut Register<'_>, key: Value, value: Value, before: Value) {
        if !matches!(value.class(), Class::Table | Class::Function) {
            return;
        }
        let is_new = before.is_nil();
        if let Some(old) = self.old_of(value) {
            if is_new && register.keys.contains_key(&old.identity()) {
                register.twice.push(key);
            } else if let Some(stays) = self.stays_for(value) {
                self.heap.set(register.table, key, stays);
            }
            return;
        }
        if self.is_seen(value) {
            return;
        }
        if value.is_function() && before.is_function() && self.is_of_changed(before) {
            if self.has_no_state(value) {
                self.pair_functions(before, value);
            }
        } else if value.is_function() && is_new {
            register.unnamed.push((key, value));
        }
        self.rebind(value);
        if is_new && value.class() == Class::Table {
            self.find_record(register, key, value);
        }
    }

    /// A record that was made for one function or object: `{ fn = M.hear, once = true }`.
    fn find_record(&mut self, register: &mut Register<'_>, key: Value, value: Value) {
        let heap = self.heap;
        let parts = heap.entries(value);
        for &(place, record) in register.was {
            if record.table().is_none()
                || self.is_fresh(record)
                || self.prelude.is_foreign(heap, record)
                || register.twice.iter().any(|known| known.is(place))
            {
                continue;
            }
            let (mut is_its, mut is_same) = (false, true);
            for &(name, part) in &parts {
                let was = heap.get(record, name);
                let old = self.old_of(part).unwrap_or(part);
                let holds_same = part.is_object() && was.is(old);
                // Something that both hold and neither made says nothing of whose record it is.
                is_its |= holds_same && (!part.is(was) || self.taken.contains(&was.identity()));
                is_same &= holds_same || heap.equal(was, part);
            }
            if is_its {
                register.twice.push(key);
                if !is_same {
                    heap.set(register.table, place, value);
                }
                return;
            }
        }
        self.find_record_of_unnamed(register, key, value, &parts);
    }

    /// A record that was made for a function without a name: one with the same beside it, or else the next one.
    fn find_record_of_unnamed(
        &mut self,
        register: &mut Register<'_>,
        key: Value,
        value: Value,
        parts: &[(Value, Value)],
    ) {
        let heap = self.heap;
        let unnamed = parts.iter().find(|(_, part)| part.is_function() && self.is_fresh(*part));
        let Some(&(name, new)) = unnamed.filter(|(_, part)| self.old_of(*part).is_none()) else { return };
        for has_same in [true, false] {
            for &(place, record) in register.was {
                if record.table().is_none()
                    || self.is_fresh(record)
                    || self.prelude.is_foreign(heap, record)
                    || !self.is_unnamed(heap.get(record, name))
                {
                    continue;
                }
                let is_same = parts.iter().all(|&(other, part)| {
                    let was = heap.get(record, other);
                    part.is(new) || was.is(self.old_of(part).unwrap_or(part)) || heap.equal(was, part)
                });
                if has_same && !is_same {
                    continue;
                }
                self.pair_functions(heap.get(record, name), new);
                register.twice.push(key);
                if !is_same {
                    heap.set(register.table, place, value);
                }
                return;
            }
        }
    }

    /// Functions without a name belong together in the order of the table.
    fn pair_unnamed(&mut self, register: &mut Register<'_>) {
        if register.unnamed.is_empty() {
            return;
        }
        let mut olds = Vec::new();
        for &(_, value) in register.was {
            if self.is_unnamed(value) {
                olds.push(value);
            }
        }
        register.unnamed.sort_by_key(|(key, _)| key.integer());
        let mut olds = olds.into_iter();
        for &(key, new) in &register.unnamed {
            let Some(old) = olds.next() else { break };
            self.pair_functions(old, new);
            register.twice.push(key);
        }
        for gone in olds {
            self.left.insert(gone.identity(), Value::NIL);
        }
    }

    /// An old function of a file's top level that no definition names, and that nothing follows yet.
    fn is_unnamed(&mut self, function: Value) -> bool {
        if !function.is_function() || self.follower(function).is_some() || !self.is_of_changed(function) {
            return false;
        }
        let Some(origin) = self.heap.origin(function) else { return false };
        let source = self.heap.source(function);
        self.plans
            .values()
            .any(|plan| plan.old.is_chunk(&source) && plan.old.says.is_unnamed_function(origin.lines))
    }

    /// Whether a function of a file that has run uses only what stands at file level there. Any other has a state of
    /// its own, which whoever holds it goes on using.
    fn has_no_state(&self, function: Value) -> bool {
        let source = self.heap.source(function);
        let file: Option<Arc<SourceFile>> =
            self.plans.values().map(|plan| &plan.new).find(|file| file.is_chunk(&source)).cloned();
        file.is_none_or(|file| self.is_of_file_level(function, &file.says))
    }

    fn drop_twice(&mut self, register: &Register<'_>) {
        if register.twice.is_empty() {
            return;
        }
        let (heap, table) = (self.heap, register.table);
        let values = (1..).map(|i| heap.get(table, Value::of(i))).take_while(|value| !value.is_nil());
        let values: Vec<Value> = values.collect();
        let is_twice = |key: Value| register.twice.iter().any(|known| known.is(key));
        let list: Vec<Value> =
            (1..).zip(&values).filter(|(i, _)| !is_twice(Value::of(*i))).map(|(_, value)| *value).collect();
        for &key in &register.twice {
            heap.set(table, key, Value::NIL);
        }
        if list.len() < values.len() {
            self.set_list(table, values.len(), &list);
        }
    }
}
