//! What the old version of a file had and the new one has not.

use super::{Reload, merge::Merging};
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
        let is_its = match one.kind {
            Kind::Function => now.is(file.known_of(id)),
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
        let is_new = matches!(&one.key, Key::Field(name) if **name == *"new");
        if is_new && is_prototype && prelude.default_metatable(heap, table).is_nil() {
            heap.set(table, key, prelude.get(heap, prelude.names.default_new));
        } else {
            self.assign(table, key, Value::NIL);
        }
    }
}
