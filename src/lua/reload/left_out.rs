//! What the old version of a file had and the new one has not.

use super::{Reload, merge::Merging, plan::Covered};
use crate::{
    lua::heap::Value,
    reload::source::{Definition, DefinitionId, Key, Kind},
};

impl Reload<'_> {
    pub(super) fn leave_out(&mut self, file: &Merging) {
        self.note_withdrawn(file);
        for &id in file.plan.edits.removed() {
            let Some(one) = file.old_source().get(id) else { continue };
            if one.kind == Kind::Function && file.known_of(id).is_function() {
                let name = self.key(file.old_source(), &file.known, &one.key);
                self.left.insert(file.known_of(id).identity(), name.unwrap_or(Value::NIL));
            }
            let table = match (one.parent, &one.key) {
                (Some(parent), _) => file.known_of(parent),
                (None, Key::Global(_)) => self.prelude.globals,
                _ => continue,
            };
            if table.table().is_none() {
                continue;
            }
            if one.key == Key::Metatable {
                self.leave_out_metatable(file, one, table);
            } else if let Some(key) = self.name_of(file, one) {
                self.leave_out_part(file, id, one, table, key);
            }
        }
    }

    /// Functions that the file does not hand to others any more when it is loaded.
    fn note_withdrawn(&mut self, file: &Merging) {
        for &id in file.old_source().handed_over() {
            let mut now = file.new_source().handed_over().iter().filter_map(|&now| file.plan.edits.old(now));
            if !now.any(|now| now == id) {
                self.withdrawn.insert(file.known_of(id).identity());
            }
        }
    }

    /// The key of a definition that has one by itself.
    fn name_of(&self, file: &Merging, one: &Definition) -> Option<Value> {
        match &one.key {
            Key::Global(name) => Some(self.heap.text(name)),
            Key::Element(_) | Key::Computed => None,
            key => self.key(file.old_source(), &file.known, key),
        }
    }

    fn leave_out_metatable(&self, file: &Merging, one: &Definition, table: Value) {
        let is_alive = one.parent.is_none_or(|parent| !file.plan.edits.removed().contains(&parent));
        if is_alive && !self.heap.metatable(table).is_nil() {
            self.heap.set_metatable(table, self.prelude.default_metatable(self.heap, table));
        }
    }

    /// The function that another file has defined where this one has put its own.
    fn function_of(&self, covered: &Covered) -> Option<Value> {
        let (heap, names, source) = (self.heap, &self.prelude.names, &covered.by.says);
        let (chunk, path) =
            (format!("@{}", covered.by.display), covered.by.path.as_os_str().as_encoded_bytes());
        let is_of_file = |function: Value| function.is_function() && heap.source(function) == chunk;
        let number = (1..).zip(source.objects()).find(|(_, id)| **id == covered.id).map(|(number, _)| number);
        let is_its = |record: &Value| heap.bytes_of(heap.get(*record, names.path)).as_deref() == Some(path);
        let record = self.prelude.records(heap).into_iter().find(is_its)?;
        let made = heap.get(heap.get(record, names.made), Value::of(number?));
        if is_of_file(made) {
            return Some(made);
        }
        // It was replaced before its file had come to its end; whoever wraps it has it.
        let line = source.get(covered.id)?.line;
        let begins = |function: &Value| heap.origin(*function).is_some_and(|origin| origin.lines.0 == line);
        let mut found = self.snapshot.met.iter().copied().filter(|met| is_of_file(*met) && begins(met));
        found.next().filter(|_| found.next().is_none())
    }

    fn leave_out_part(
        &mut self,
        file: &Merging,
        id: DefinitionId,
        one: &Definition,
        table: Value,
        key: Value,
    ) {
        let (heap, prelude) = (self.heap, self.prelude);
        let now = heap.get(table, key);
        let is_prototype = prelude.is_prototype(heap, table);
        let original = heap.get(heap.get(prelude.get(heap, prelude.names.originals), table), key);
        let is_its = match one.kind {
            Kind::Function => now.is(file.known_of(id)),
            _ if original.is_function() => true,
            // Globals are everybody's: others may read it.
            _ if one.parent.is_none() => false,
            // Objects are migrated first, and may read it until then.
            _ => !is_prototype,
        };
        if one.kind == Kind::Function && now.is_nil() && !heap.metatable(table).is_nil() {
            // A class library has it elsewhere, and takes it from subclasses.
            self.assign(table, key, Value::NIL);
        }
        let is_set_again = one.parent.is_none() && !now.is(self.value_before(table, key));
        if !is_its || now.is_nil() || is_set_again {
            return;
        }
        if let Some(covered) = file.plan.covered(id) {
            // Of plain data nobody knows what it was, and it is not this file's alone.
            if one.kind == Kind::Function {
                self.assign(table, key, self.function_of(covered).unwrap_or(Value::NIL));
            }
            return;
        }
        if original.is_function() {
            return heap.set(table, key, original);
        }
        let is_new = matches!(&one.key, Key::Field(name) if **name == *"new");
        if is_new && is_prototype && prelude.default_metatable(heap, table).is_nil() {
            heap.set(table, key, prelude.get(heap, prelude.names.default_new));
        } else {
            self.assign(table, key, Value::NIL);
        }
    }
}
