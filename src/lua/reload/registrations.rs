//! What a load puts into tables that were there before: handlers in somebody's list, classes in a registry. What
//! the old version had put there is still there, so the new one's takes its place.

use std::ops::Range;

use rustc_hash::FxHashSet;

use super::{ByIdentity, Reload, snapshot::Entries};
use crate::lua::heap::{Class, Kind, Value};

/// A list is not searched through for each of its elements, which may be thousands: loads fill it in the same order, so
/// what is looked for is so near to what was found last.
pub(super) const NEAR: usize = 64;

/// One table, with what was in it.
pub(super) struct Register<'a> {
    pub(super) table: Value,
    pub(super) was: &'a [(Value, Value)],
    /// Of objects among the values, their keys.
    keys: ByIdentity<Value>,
    /// Entries that the new version has added and the old one had, too.
    pub(super) twice: Keys,
    /// Fresh functions without a name, with their keys.
    pub(super) unnamed: Vec<(Value, Value)>,
    /// Records of functions without a name, with their keys.
    pub(super) records: Vec<(Value, Value)>,
    /// Those that are keys.
    pub(super) unnamed_keys: Vec<(Value, Value)>,
    /// Behind the record that was found last.
    pub(super) next: usize,
}

/// Keys of a table.
#[derive(Default)]
pub(super) struct Keys {
    list: Vec<Value>,
    patterns: FxHashSet<(Kind, u64)>,
}

impl Keys {
    pub(super) fn push(&mut self, key: Value) {
        self.list.push(key);
        self.patterns.insert(key.bit_pattern());
    }

    pub(super) fn contains(&self, key: Value) -> bool {
        self.patterns.contains(&key.bit_pattern())
    }
}

impl<'a> Register<'a> {
    pub(super) fn new(table: Value, was: &'a [(Value, Value)]) -> Self {
        let (keys, twice, unnamed, records, unnamed_keys) = Default::default();
        Self { table, was, keys, twice, unnamed, records, unnamed_keys, next: 0 }
    }

    /// Which of the entries to search through.
    pub(super) fn places(&self) -> Range<usize> {
        self.next.saturating_sub(NEAR)..self.was.len().min(self.next + NEAR)
    }
}

impl Reload<'_> {
    pub(super) fn find_changes_in(&mut self, table: Value, was: &[(Value, Value)]) {
        let known: Entries = was.iter().map(|(key, value)| (key.bit_pattern(), *value)).collect();
        let value_of = |key: Value| known.get(&key.bit_pattern()).copied().unwrap_or(Value::NIL);
        let objects = was.iter().filter(|(_, value)| value.is_object());
        let keys = objects.map(|(key, value)| (value.identity(), *key)).collect();
        let mut register = Register { keys, ..Register::new(table, was) };
        let mut moved = Vec::new();
        for (key, value) in self.heap.entries(table) {
            let before = value_of(key);
            if !before.is(value) {
                self.register(&mut register, key, value, before);
            }
            if before.is_nil() && self.old_of(key).is_some_and(|old| !value_of(old).is_nil()) {
                // A set of functions: the old one's key becomes the new one.
                register.twice.push(key);
            } else if before.is_nil() && self.is_fresh(key) && key.is_function() {
                register.unnamed_keys.push((key, key));
            } else if self.stays_for(key).is_some() {
                moved.push((key, value));
            }
        }
        for (key, value) in moved {
            self.move_key(table, key, value);
        }
        self.pair_records(&mut register);
        self.pair_unnamed(&mut register);
        self.leave_out_registered(&mut register);
        self.drop_twice(&register);
    }

    /// The old object that a fresh one stands for.
    pub(super) fn old_of(&self, object: Value) -> Option<Value> {
        if !object.is_object() {
            return None;
        }
        self.stays_for(object).or_else(|| self.precedes.get(&object.identity()).copied())
    }

    fn register(&mut self, register: &mut Register<'_>, key: Value, value: Value, before: Value) {
        if !matches!(value.class(), Class::Table | Class::Function) {
            return;
        }
        let (is_new, in_list) = (before.is_nil(), key.integer() > 0);
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
            if self.has_no_state(value) || self.has_state_of(value, before) {
                self.pair_functions(before, value);
            }
        } else if value.is_function() && is_new && in_list {
            register.unnamed.push((key, value));
        }
        self.rebind(value);
        if value.class() == Class::Table {
            if is_new && in_list {
                self.find_record(register, key, value);
            } else if !self.is_list(value) && self.takes_over(before, value) {
                self.heap.set(register.table, key, before);
            }
        }
    }

    /// What the last version had put there, by a statement that has left the source. Functions in a list are known
    /// to have left by those beside them.
    fn leave_out_registered(&mut self, register: &mut Register<'_>) {
        let is_shared = register.table.is(self.prelude.globals);
        for &(key, value) in register.was {
            let may_leave =
                value.is_function() && key.integer() <= 0 || value.table().is_some() && !is_shared;
            if may_leave && self.has_left(value) && self.heap.has(register.table, key, value) {
                register.twice.push(key);
            }
        }
    }

    pub(super) fn drop_twice(&mut self, register: &Register<'_>) {
        if register.twice.list.is_empty() {
            return;
        }
        let (heap, table) = (self.heap, register.table);
        let values = (1..).map(|i| heap.get(table, Value::of(i))).take_while(|value| !value.is_nil());
        let values: Vec<Value> = values.collect();
        let is_twice = |key: Value| register.twice.contains(key);
        let list: Vec<Value> =
            (1..).zip(&values).filter(|(i, _)| !is_twice(Value::of(*i))).map(|(_, value)| *value).collect();
        for &key in &register.twice.list {
            heap.set(table, key, Value::NIL);
        }
        if list.len() < values.len() {
            self.set_list(table, values.len(), &list);
        }
    }
}
