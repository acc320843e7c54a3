//! Objects that stay although the file made them anew: what made them is code of its own, a class library, say,
//! of which the source does not tell. They get the functions of the new ones.

use super::Reload;
use crate::vm::{
    made::metatable,
    values::{Class, Raw, RawTable},
};

impl Reload {
    /// All that have been paired.
    pub(super) unsafe fn merge_kept_objects(&mut self) {
        unsafe {
            while let Some([old, new]) = self.merge.kept.pop() {
                self.merge_kept(old, new);
            }
        }
    }

    unsafe fn merge_kept(&mut self, old: Raw, new: Raw) {
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
                        if self.is_fresh(value) && self.is_of_changed(before) =>
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
}
