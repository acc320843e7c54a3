//! Objects that stay although the file made them anew: what made them is code of its own, a class library, say,
//! of which the source does not tell. They get the functions of the new ones.

use super::{Reload, locals::for_each_upvalue};
use crate::{
    reload::Source,
    vm::{
        made::metatable,
        values::{Class, Raw, RawTable},
    },
};

impl Reload {
    /// All that have been paired.
    pub(super) unsafe fn merge_kept_objects(&mut self, source: &Source) {
        unsafe {
            while let Some([old, new]) = self.merge.kept.pop() {
                self.merge_kept(old, new, source);
            }
        }
    }

    unsafe fn merge_kept(&mut self, old: Raw, new: Raw, source: &Source) {
        let l = self.l;
        let (Some(into), Some(_)) = (old.table(), new.table()) else { return };
        unsafe {
            self.pair_kept(metatable(old), metatable(new));
            let mut added: Vec<[Raw; 2]> = Vec::new();
            let mut each = super::entries(new);
            while let Some((key, value)) = each.take() {
                let before = RawTable::get(into, l, key);
                match (value.class(), before.class()) {
                    (Class::Function, Class::Function)
                        if self.is_fresh(value)
                            && self.is_of_changed(before)
                            && self.is_of_file_level(value, source) =>
                    {
                        self.pair_functions(before, value);
                    }
                    (Class::Function, Class::Other) if before.is_nil() => added.push([key, value]),
                    (Class::Table, Class::Table) => self.pair_kept(before, value),
                    _ => {}
                }
            }
            for [key, value] in added {
                self.set(into, key, value);
            }
        }
    }

    unsafe fn pair_kept(&mut self, old: Raw, new: Raw) {
        unsafe {
            let is_pair = old.table().is_some()
                && new.table().is_some()
                && !old.is(new)
                && self.is_fresh(new)
                && !self.is_fresh(old)
                && !self.files.foreign.is_own(self.l, old);
            if is_pair && !self.taken.contains(&old.identity()) && self.replaces(old, new) {
                self.merge.kept.push([old, new]);
            }
        }
    }

    /// Whether a function uses only what stands at file level. Any other is a closure, with a state of its own: it
    /// keeps its body.
    unsafe fn is_of_file_level(&self, function: Raw, source: &Source) -> bool {
        let mut is_of_it = true;
        unsafe {
            for_each_upvalue(self.l, function, |_, name| {
                let name = std::str::from_utf8(name).unwrap_or_default();
                is_of_it &= name == "_ENV" || source.local(name).is_some();
            });
        }
        is_of_it
    }
}
