//! Records that a load puts into tables, made for a function or an object: `{ fn = M.hear, once = true }`. What became
//! of the one that the last load has put there stays, but for what its author has edited.

use super::{Reload, registrations::Register};
use crate::{
    lua::heap::{Class, Value},
    reload::source::literal_of_number,
};

/// How a record is known to stand for an old one.
#[derive(Clone, Copy)]
enum By {
    Content,
    Shape,
    Order,
}

impl Reload<'_> {
    /// Which record of a list this one stands for.
    pub(super) fn find_record(&mut self, register: &mut Register<'_>, key: Value, value: Value) {
        let heap = self.heap;
        let parts = heap.entries(value);
        for at in register.places() {
            let (place, record) = register.was[at];
            if !self.may_be_record(register, place, record) {
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
                register.next = at + 1;
                self.take_record(register, key, value, place, is_same);
                return;
            }
        }
        register.records.push((key, value));
    }

    fn may_be_record(&self, register: &Register<'_>, place: Value, record: Value) -> bool {
        record.class() == Class::Table
            && !self.is_fresh(record)
            && !self.prelude.is_foreign(self.heap, record)
            && !register.twice.contains(place)
    }

    /// Records that were made for functions without a name: those with the same beside them, then those that a
    /// statement of the same shape has made, and then those whose statements were edited, in the order of the list.
    pub(super) fn pair_records(&mut self, register: &mut Register<'_>) {
        let mut records = std::mem::take(&mut register.records);
        records.sort_by_key(|(key, _)| key.integer());
        let mut found: Vec<Option<usize>> = vec![None; records.len()];
        for by in [By::Content, By::Shape, By::Order] {
            register.next = 0;
            for (&(key, value), found) in records.iter().zip(&mut found) {
                *found = found.or_else(|| self.find_record_of_unnamed(register, key, value, by));
                register.next = found.map_or(register.next, |at| at + 1);
            }
        }
    }

    /// Which of the entries it stands for.
    fn find_record_of_unnamed(
        &mut self,
        register: &mut Register<'_>,
        key: Value,
        value: Value,
        by: By,
    ) -> Option<usize> {
        let heap = self.heap;
        let parts = heap.entries(value);
        let unnamed = parts.iter().find(|(_, part)| part.is_function() && self.is_fresh(*part));
        let &(name, new) = unnamed.filter(|(_, part)| self.old_of(*part).is_none())?;
        for at in register.places() {
            let (place, record) = register.was[at];
            let old = heap.get(record, name);
            if !self.may_be_record(register, place, record) || !self.is_unnamed(old) {
                continue;
            }
            let is_same = parts.iter().all(|&(other, part)| {
                let was = heap.get(record, other);
                part.is(new) || was.is(self.old_of(part).unwrap_or(part)) || heap.equal(was, part)
            });
            let is_it = match by {
                By::Content => is_same,
                By::Shape => self.is_edited_around(old, new) == Some(false),
                By::Order => self.has_left(old) || self.is_edited_around(old, new).is_none(),
            };
            if is_it {
                self.take_record(register, key, value, place, is_same);
                return Some(at);
            }
        }
        None
    }

    fn take_record(
        &mut self,
        register: &mut Register<'_>,
        key: Value,
        value: Value,
        place: Value,
        is_same: bool,
    ) {
        register.twice.push(key);
        let record = self.heap.get(register.table, place);
        if !self.takes_over(record, value) {
            self.pair_parts(record, value);
            if !is_same {
                self.heap.set(register.table, place, value);
            }
        }
    }

    /// Whether the record of the last load stays, with the functions of the new one: the statement that made it is not
    /// edited, or what is edited in it has been put into the record.
    pub(super) fn takes_over(&mut self, record: Value, new: Value) -> bool {
        let heap = self.heap;
        let are_tables = record.class() == Class::Table && new.class() == Class::Table;
        if !are_tables || !self.has_class_of(record, new) || self.is_fresh(record) || !self.holds_code(new) {
            return false;
        }
        let parts = heap.entries(new);
        let functions = parts.iter().find_map(|&(name, part)| {
            let was = heap.get(record, name);
            (part.is_function() && was.is_function()).then_some([was, part])
        });
        let edited = functions.and_then(|[was, part]| self.is_edited_around(was, part));
        if edited.unwrap_or(self.registered.has_others || self.registered.is_anew) {
            let literals = functions.and_then(|[_, part]| self.literals_around(part)).unwrap_or_default();
            let is_written =
                |value: Value| self.literal(value).is_some_and(|literal| literals.contains(&literal));
            let written: Vec<_> = parts
                .iter()
                .filter(|(name, part)| is_written(*part) && !heap.equal(heap.get(record, *name), *part))
                .collect();
            if written.is_empty() {
                return false;
            }
            for &&(name, part) in &written {
                heap.set(record, name, part);
            }
        }
        self.pair_parts(record, new);
        true
    }

    /// Whether what the load has made has the metatable of what was there.
    pub(super) fn has_class_of(&self, old: Value, new: Value) -> bool {
        self.heap.metatable(old).is(self.lasting(self.heap.metatable(new)))
    }

    /// Whether a table has elements: under a name it is a list of its own, and no record.
    pub(super) fn is_list(&self, table: Value) -> bool {
        !self.heap.get(table, Value::of(1)).is_nil()
    }

    /// Functions that are under one name in both.
    fn pair_parts(&mut self, record: Value, new: Value) {
        for (name, part) in self.heap.entries(new) {
            let was = self.heap.get(record, name);
            if part.is_function() && self.is_fresh(part) && self.is_unnamed(was) {
                self.pair_functions(was, part);
            }
        }
    }

    /// Whether a record has a function of the file that has run, or something that stands for an old one.
    pub(super) fn holds_code(&self, record: Value) -> bool {
        let is_code = |part: Value| {
            part.is_object() && self.is_fresh(part) && (part.is_function() || self.old_of(part).is_some())
        };
        self.heap.entries(record).iter().any(|(_, part)| is_code(*part))
    }

    /// As it stands in a source.
    pub(super) fn literal(&self, value: Value) -> Option<Box<str>> {
        let number = || value.number().map(literal_of_number);
        self.heap.text_of(value).map(Into::into).or_else(number)
    }
}
