//! Objects that stay although the file made them anew: what made them is code of its own, a class library, say,
//! of which the source does not tell. They get the functions of the new ones.

use super::Reload;
use crate::{
    lua::heap::{Class, Value},
    reload::Source,
};

impl Reload<'_> {
    /// All that have been paired.
    pub(super) fn merge_kept_objects(&mut self, source: &Source) {
        while let Some([old, new]) = self.merge.kept.pop() {
            self.merge_kept(old, new, source);
        }
    }

    fn merge_kept(&mut self, old: Value, new: Value, source: &Source) {
        let heap = self.heap;
        self.pair_kept(heap.metatable(old), heap.metatable(new));
        let entries = heap.entries(new);
        if self.merge.fills_lists
            && entries.iter().any(|(key, value)| key.integer() > 0 && value.is_function())
        {
            return self.merge.lists.push([old, new]);
        }
        for (key, value) in entries {
            let before = heap.get(old, key);
            match (value.class(), before.class()) {
                (Class::Function, Class::Function)
                    if self.is_fresh(value)
                        && self.is_of_changed(before)
                        && self.is_of_file_level(value, source) =>
                {
                    self.pair_functions(before, value);
                }
                (Class::Function, Class::Other) if before.is_nil() => heap.set(old, key, value),
                (Class::Table, Class::Table) => {
                    let is_plain = heap.metatable(before).is_nil() && heap.metatable(value).is_nil();
                    if !self.merge.fills_lists || !is_plain {
                        self.pair_kept(before, value);
                    } else if self.may_be_kept(before, value) && self.replaces(before, value) {
                        // Calls have filled it.
                        self.merge.lists.push([before, value]);
                    }
                }
                _ => {}
            }
        }
    }

    fn pair_kept(&mut self, old: Value, new: Value) {
        if self.may_be_kept(old, new) && self.replaces(old, new) {
            self.merge.kept.push([old, new]);
        }
    }

    fn may_be_kept(&self, old: Value, new: Value) -> bool {
        old.table().is_some()
            && new.table().is_some()
            && !old.is(new)
            && self.is_fresh(new)
            && !self.is_fresh(old)
            && !self.prelude.is_own(self.heap, old)
            && !self.taken.contains(&old.identity())
    }

    /// Whether a function uses only what stands at file level. Any other is a closure, with a state of its own: it
    /// keeps its body.
    pub(super) fn is_of_file_level(&self, function: Value, source: &Source) -> bool {
        self.heap.upvalue_names(function).iter().all(|(_, name)| {
            let name = std::str::from_utf8(name).unwrap_or_default();
            name == "_ENV" || source.local(name).is_some()
        })
    }
}
