//! What a load puts into tables of its own file by calls: `on("click", function() … end)`, where `on` fills a local.
//! Such a table is made anew by each load, and the old one stays. So what the new one got is put into the old one, as
//! a load does with a table of another file, and goes the same way from there.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use super::{Reload, merge::Merging};
use crate::{
    lua::heap::{self, Class, Value},
    reload::source::{Key, Kind, Registers},
};

impl Reload<'_> {
    pub(super) fn merge_registered(&mut self, file: &Merging) {
        let source = file.new_source();
        for (id, one) in source.definitions() {
            let fresh = file.fresh_of(id);
            let Some(stays) = self.stays_for(fresh).filter(|_| one.kind == Kind::Table && !one.is_alias())
            else {
                continue;
            };
            let given = self.heap.entries(fresh);
            let parts: Vec<_> = source.parts(id).filter(|(_, part)| part.key != Key::Metatable).collect();
            let there = parts.iter().filter(|(id, _)| !file.fresh_of(*id).is_nil()).count();
            let is_same = self.come_of(file).is_none();
            if is_same && given.len() == there || parts.iter().any(|(_, part)| part.key == Key::Computed) {
                // Nothing but parts, or what statements of the file compute, which is a definition.
                continue;
            }
            let keys = parts.iter().filter_map(|(_, part)| self.key(source, &file.fresh, &part.key));
            let named: FxHashSet<_> = keys.map(Value::bit_pattern).collect();
            self.fill_registered(file, stays, given, &named);
        }
        // However deep they are in each other.
        while let Some([stays, fresh]) = self.merge.lists.pop() {
            let given = self.heap.entries(fresh);
            self.fill_registered(file, stays, given, &FxHashSet::default());
        }
    }

    fn fill_registered(
        &mut self,
        file: &Merging,
        stays: Value,
        mut given: Vec<(Value, Value)>,
        named: &FxHashSet<(heap::Kind, u64)>,
    ) {
        let heap = self.heap;
        let is_same = self.come_of(file).is_none();
        let is_code = |(key, value): &(Value, Value)| key.is_function() || value.is_object();
        given.retain(|entry| !named.contains(&entry.0.bit_pattern()) && (!is_same || is_code(entry)));
        if is_same && given.is_empty() {
            return;
        }
        given.sort_by_key(|(key, _)| key.integer());
        let was = heap.entries(stays);
        let known = self.list(stays).len();
        let mut length = known;
        for (key, value) in given {
            let in_list = key.integer() > 0;
            let before = if in_list { Value::NIL } else { heap.get(stays, key) };
            if key.is_function() && self.is_fresh(key) {
                // A set of functions.
                heap.set(stays, key, value);
            } else if self.is_same_part(before, value) {
                let is_record = !self.is_list(value) && self.takes_over(before, value);
                if self.replaces(before, value) && !is_record {
                    self.merge.lists.push([before, value]);
                }
            } else if self.is_registered(file, &was, key, value, before) {
                length += usize::from(in_list);
                let end = Value::of(i64::try_from(length).unwrap_or(i64::MAX));
                heap.set(stays, if in_list { end } else { key }, value);
            }
        }
        self.find_changes_in(stays, &was);
        if is_same {
            self.drop_fresh(stays, known, &was);
        } else {
            self.replace_left(stays, &was);
        }
    }

    /// Texts and numbers of statements of the file that put something else there than the last version has put; `None`
    /// if none does.
    fn come_of<'m>(&self, file: &'m Merging) -> Option<&'m BTreeSet<Box<str>>> {
        static NONE: BTreeSet<Box<str>> = BTreeSet::new();
        match file.plan.edits.registers() {
            Registers::Others { come, .. } => Some(come),
            Registers::Same => self.registered.is_anew.then_some(&NONE),
        }
    }

    /// What has found no old one whose place it takes: the program has taken that out, and no edit brings it back.
    fn drop_fresh(&self, list: Value, known: usize, was: &[(Value, Value)]) {
        for (key, _) in self.heap.entries(list) {
            if key.is_function() && self.is_fresh(key) && !was.iter().any(|(old, _)| old.is(key)) {
                self.heap.set(list, key, Value::NIL);
            }
        }
        let elements = self.list(list);
        let is_kept = |(at, value): &(usize, &Value)| *at < known || !self.is_fresh(**value);
        let kept: Vec<Value> = elements.iter().enumerate().filter(is_kept).map(|(_, value)| *value).collect();
        if kept.len() < elements.len() {
            self.set_list(list, elements.len(), &kept);
        }
    }

    /// Whether both are tables that calls have made under one key, and that nothing else is known of.
    fn is_same_part(&self, before: Value, value: Value) -> bool {
        before.class() == Class::Table
            && value.class() == Class::Table
            && self.is_fresh(value)
            && self.stays_for(value).is_none()
            && self.heap.metatable(value).is_nil()
            && self.heap.metatable(before).is_nil()
            && !self.is_fresh(before)
            && !self.taken.contains(&before.identity())
            && !self.prelude.is_foreign(self.heap, before)
    }

    /// Whether what the load gave to the new table goes into the old one: code, since it is always new, and data that
    /// an edited statement has put there.
    fn is_registered(
        &mut self,
        file: &Merging,
        was: &[(Value, Value)],
        key: Value,
        value: Value,
        before: Value,
    ) -> bool {
        let in_list = key.integer() > 0;
        let come = self.come_of(file);
        // To a list it may belong in the place of an old one.
        let may_come = before.is_nil() && (in_list || come.is_some());
        let is_there = |value: Value| was.iter().any(|(_, known)| known.is(value));
        match value.class() {
            Class::Function if self.is_fresh(value) => {
                let is_of_top_level = self.is_of_top_level(value) || self.old_of(value).is_some();
                // Made by another function: where nobody's state is lost.
                let is_free = || !in_list && (self.has_no_state(value) || before.is_nil());
                (is_of_top_level || is_free()) && (may_come || before.is_function())
            }
            Class::Table if self.is_fresh(value) && self.holds_code(value) => may_come,
            Class::Table | Class::Function if self.is_fresh(value) => {
                come.is_some() && may_come && !is_there(self.lasting(value))
            }
            Class::Table | Class::Function => come.is_some() && may_come && !is_there(value),
            _ => come.is_some_and(|come| {
                let is_edited = |value: Value| self.literal(value).is_some_and(|it| come.contains(&it));
                !in_list && is_edited(key) || before.is_nil()
            }),
        }
    }
}
