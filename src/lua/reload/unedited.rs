//! Data that a load has written into tables by calls: `menu:add { label = "File" }`, `player.reset()`. No definition names
//! it. Where no statement that does so is edited, the load has written what the last one had, and what became of that
//! is kept. Where one is, what is new comes, and what has left the source leaves.

use rustc_hash::FxHashSet;

use super::{Reload, plan::Plan, registrations::Register};
use crate::{
    lua::heap::{Class, Value},
    reload::source::Registers,
};

/// Records are nested no deeper; what is may have a circle in it.
const DEEPEST: u32 = 8;
/// So many elements of a list are looked at for each that a load has added: there may be tens of thousands.
const SEARCHED: usize = 1000;

impl Reload<'_> {
    /// What the source says of a file that has run. `None`: nothing.
    pub(super) fn note_registered(&mut self, plan: Option<&Plan>) {
        let registered = &mut self.registered;
        match plan.map(|plan| plan.edits.registers()) {
            Some(Registers::Same) => {}
            Some(Registers::Others { come, gone }) => {
                registered.has_others = true;
                registered.come.extend(come.iter().cloned());
                registered.gone.extend(gone.iter().cloned());
            }
            None => registered.is_anew = true,
        }
    }

    /// In a table of another file.
    pub(super) fn keep_unedited(&mut self, table: Value, was: &[(Value, Value)]) {
        let written: Vec<_> =
            was.iter().filter(|(key, before)| self.is_written(table, *key, *before)).collect();
        let mut more = self.added_data(table, was);
        more.extend(self.added_code(table, was));
        if self.registered.is_anew || written.is_empty() && more.is_empty() || self.is_for_loads(table) {
            return;
        }
        if self.registered.has_others {
            return self.replace_left(table, was);
        }
        for &&(key, before) in &written {
            self.heap.set(table, key, before);
        }
        let mut register = Register::new(table, was);
        more.iter().for_each(|(key, _)| register.twice.push(*key));
        self.drop_twice(&register);
    }

    /// Of data in a list: what was there is there once, and what an edited statement had put there makes room for what
    /// it puts there now.
    pub(super) fn replace_left(&mut self, table: Value, was: &[(Value, Value)]) {
        let mut register = Register::new(table, was);
        let mut known = listed(was);
        let mut more = self.added_data(table, was);
        more.retain(|&(key, value)| {
            let near = || known.iter().take(SEARCHED);
            let same = near().position(|(_, known)| self.has_same(*known, value, DEEPEST));
            let at = same.or_else(|| near().position(|(_, known)| self.became(*known, value)));
            if let Some(at) = at {
                known.remove(at);
                register.twice.push(key);
            }
            at.is_none()
        });
        known.retain(|(_, known)| self.stands_in_left(*known));
        let mut more = more.into_iter();
        for (place, _) in known {
            match more.next() {
                Some((key, value)) => {
                    self.heap.set(table, place, value);
                    register.twice.push(key);
                }
                None => register.twice.push(place),
            }
        }
        self.drop_twice(&register);
    }

    /// Whether the load has put other data there, which no definition has decided.
    fn is_written(&self, table: Value, key: Value, before: Value) -> bool {
        let now = self.heap.get(table, key);
        !now.is(before)
            && self.is_data(now, DEEPEST)
            && self.is_data(before, DEEPEST)
            && (!now.is_object() || self.is_fresh(now))
            && !self.decided.contains(&(table.identity(), key.bit_pattern()))
    }

    /// Data that the load has put behind the elements of a list.
    fn added_data(&self, table: Value, was: &[(Value, Value)]) -> Vec<(Value, Value)> {
        let length = listed(was).last().map_or(0, |(key, _)| key.integer());
        let mut more = self.heap.entries(table);
        more.retain(|(key, value)| key.integer() > length && self.is_data(*value, DEEPEST));
        more.sort_by_key(|(key, _)| key.integer());
        more
    }

    /// Functions without a name, and records and sets of such, that the load has put there and that take no old one's
    /// place: the program has taken that out.
    fn added_code(&self, table: Value, was: &[(Value, Value)]) -> Vec<(Value, Value)> {
        let mut more = self.heap.entries(table);
        let known: FxHashSet<_> = was.iter().map(|(key, _)| key.bit_pattern()).collect();
        more.retain(|&(key, value)| {
            let is_code = self.is_new_unnamed(key)
                || self.is_new_unnamed(value)
                || self.is_fresh(value)
                    && value.table().is_some()
                    && self.heap.entries(value).iter().any(|(_, part)| self.is_new_unnamed(*part));
            is_code && !known.contains(&key.bit_pattern())
        });
        more
    }

    /// Where loads are meant to write: what is ours, what modules export, what files hand to their next version, and
    /// prototypes, of which only what is edited is declared anew.
    fn is_for_loads(&self, table: Value) -> bool {
        let (heap, prelude) = (self.heap, self.prelude);
        let is_handed_on = |record: Value| heap.get(record, prelude.names.data).is(table);
        let is_ours = prelude.is_own_or_library(heap, table) && !table.is(prelude.globals);
        is_ours
            || table.is(prelude.get(heap, prelude.names.loaded))
            || prelude.is_prototype(heap, table)
            || prelude.records(heap).into_iter().any(is_handed_on)
    }

    /// A plain value, or a table of such, which may be an object of a class that was there.
    fn is_data(&self, value: Value, depth: u32) -> bool {
        let heap = self.heap;
        let is_part = |(key, part): &(Value, Value)| !key.is_object() && self.is_data(*part, depth - 1);
        match value.class() {
            Class::Table => {
                let class = self.lasting(heap.metatable(value));
                depth > 0 && !self.is_fresh(class) && heap.entries(value).iter().all(is_part)
            }
            Class::Function | Class::Coroutine => false,
            Class::Other => !value.is_nil() && !value.is_object(),
        }
    }

    /// Whether a statement that has left the source has put it there: as far as its texts and numbers tell.
    fn stands_in_left(&self, value: Value) -> bool {
        let is_left =
            |value: Value| self.literal(value).is_some_and(|literal| self.registered.gone.contains(&literal));
        match value.class() {
            Class::Table => {
                self.is_data(value, DEEPEST)
                    && self.heap.entries(value).iter().any(|(_, part)| is_left(*part))
            }
            _ => is_left(value),
        }
    }

    /// Whether two values are the same all the way down. The one that was there may have got more.
    fn has_same(&self, known: Value, value: Value, depth: u32) -> bool {
        let heap = self.heap;
        if known.class() != Class::Table || value.class() != Class::Table || depth == 0 {
            return heap.equal(known, value) || known.is(self.lasting(value));
        }
        let parts = heap.entries(value);
        self.has_class_of(known, value)
            && parts.iter().all(|&(key, part)| self.has_same(heap.get(known, key), part, depth - 1))
    }

    /// Whether a record is what the program has made of this one, in which nothing is edited: some of it is as it was.
    fn became(&self, known: Value, record: Value) -> bool {
        let heap = self.heap;
        if known.class() != Class::Table || record.class() != Class::Table {
            return false;
        }
        let parts = heap.entries(record);
        let is_edited =
            |value: Value| self.literal(value).is_some_and(|literal| self.registered.come.contains(&literal));
        let is_as_it_was = |name: Value, part: Value| {
            heap.text_of(part).is_some() && heap.equal(heap.get(known, name), part)
        };
        parts.iter().all(|&(name, part)| !heap.get(known, name).is_nil() && !is_edited(part))
            && parts.iter().any(|&(name, part)| is_as_it_was(name, part))
    }
}

/// The elements of a list among the entries of a table, in order.
fn listed(entries: &[(Value, Value)]) -> Vec<(Value, Value)> {
    let mut list: Vec<_> = entries.iter().copied().filter(|(key, _)| key.integer() > 0).collect();
    list.sort_by_key(|(key, _)| key.integer());
    list
}
