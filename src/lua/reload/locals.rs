//! Which locals of the new version are those of the old one. They go on as the variables that they are, so that
//! old and new functions share them.

use super::{Reload, merge::Merging};
use crate::{
    lua::heap::{Heap, Value},
    reload::source::{Key, Kind, Source},
};

/// The upvalue of that name: which it is, and its value.
fn upvalue(heap: Heap<'_>, function: Value, name: &str) -> Option<(i32, Value)> {
    let names = heap.upvalue_names(function);
    let (index, _) = names.iter().rfind(|(_, known)| **known == *name.as_bytes())?;
    Some((*index, heap.upvalue(function, *index)))
}

impl Reload<'_> {
    /// Locals in `do` blocks, and those that others of their name have taken the place of, are known by the
    /// functions that use them.
    pub(super) fn find_hidden(&mut self, file: &mut Merging) {
        let heap = self.heap;
        let plan = file.plan.clone();
        let (new, old) = (&plan.new.says, &plan.old.says);
        // A function that is hidden itself knows more of them.
        for _ in 0..2 {
            for (function, one) in new.definitions() {
                let (after, before) = (file.fresh_of(function), file.before(function));
                if one.kind != Kind::Function || !after.is_function() || !before.is_function() {
                    continue;
                }
                for (name, id) in new.hidden_locals(function) {
                    let old_id = plan.edits.old(id).filter(|_| !file.hidden.contains_key(&id.index()));
                    let Some(old_id) = old_id else { continue };
                    let Some(Key::Local(old_name, _)) = old.get(old_id).map(|one| &one.key) else { continue };
                    let (Some((index, fresh)), Some((at, known))) =
                        (upvalue(heap, after, name), upvalue(heap, before, old_name))
                    else {
                        continue;
                    };
                    let Some(cell) = heap.upvalue_cell(after, index) else { continue };
                    self.joins.insert(cell, (before, at));
                    file.hidden_cells.push(cell);
                    file.hidden.insert(id.index(), (before, at));
                    file.fresh[id.index()] = fresh;
                    file.known[old_id.index()] = known;
                }
            }
            self.find_parts(new, &mut file.fresh);
            self.find_parts(old, &mut file.known);
        }
    }

    /// What is within what has just been found.
    fn find_parts(&self, source: &Source, values: &mut [Value]) {
        for (id, one) in source.definitions() {
            let Some(table) = one.parent.map(|parent| values[parent.index()]) else { continue };
            if !values[id.index()].is_nil() || table.table().is_none() {
                continue;
            }
            values[id.index()] = match (&one.key, self.key(source, values, &one.key)) {
                (Key::Metatable, _) => self.heap.metatable(table),
                (_, Some(key)) => self.heap.get(table, key),
                _ => Value::NIL,
            };
        }
    }

    /// The locals of the new version that are those of the old one: whoever uses one of them uses the other.
    pub(super) fn find_cells(&mut self, file: &Merging) {
        let heap = self.heap;
        for (name, id) in file.new_source().locals() {
            let Some(old) = file.plan.edits.old(*id) else { continue };
            let Some(old_name) = file.old_source().name_of_local(old) else { continue };
            if let (Some(new_index), Some(old_index)) = (file.is.place(name), file.was.place(old_name))
                && let Some(cell) = heap.upvalue_cell(file.is.function, new_index)
            {
                self.joins.insert(cell, (file.was.function, old_index));
            }
        }
        if file.is.function.is_function() && file.was.function.is_function() {
            self.captures.push(file.is.function);
        }
    }
}
