//! What of the prelude's tables a reload uses.

use super::{Identities, names::Names};
use crate::lua::heap::{Heap, Value};

/// The tables are the same as long as the state lives.
#[derive(Debug)]
pub(super) struct Prelude {
    pub(super) names: Names,
    /// `P`
    table: Value,
    pub(super) globals: Value,
    /// Tables that somebody else answers for, as keys: they are never merged with others.
    library: Value,
    own: Value,
    prototype_info: Value,
    exported: Value,
    /// Functions of the library, and of ours: they are never looked into.
    known: Identities,
}

impl Prelude {
    pub(super) fn new(heap: Heap<'_>, table: Value) -> Self {
        let names = Names::new(heap);
        let of = |name| heap.get(table, heap.text(name));
        Self {
            globals: of("globals"),
            library: of("library"),
            own: of("own"),
            prototype_info: heap.get(table, names.prototype_info),
            exported: heap.get(table, names.exported),
            known: Identities::default(),
            names,
            table,
        }
    }

    /// Once. What is met on the way need not be held.
    pub(super) fn know_functions(&mut self, heap: Heap<'_>) {
        self.known.insert(self.table.identity());
        for (tables, is_library) in [(self.library, true), (self.own, false)] {
            for (table, _) in heap.entries(tables) {
                for (_, value) in heap.entries(table) {
                    let is_ours = if value.is_c_function() {
                        // Among the globals may be one that a program has made.
                        is_library
                    } else {
                        value.is_function()
                            && heap.upvalue_names(value).iter().any(|(_, name)| is_no_name(name))
                    };
                    if is_ours {
                        self.known.insert(value.identity());
                    }
                }
            }
        }
    }

    /// A function of the library or of ours.
    pub(super) fn is_known(&self, object: Value) -> bool {
        self.known.contains(&object.identity())
    }

    /// A field of `P`.
    pub(super) fn get(&self, heap: Heap<'_>, name: Value) -> Value {
        heap.get(self.table, name)
    }

    /// What the prelude knows of the prototype of that name.
    pub(super) fn prototype(&self, heap: Heap<'_>, name: &str) -> Value {
        let info = heap.get(self.get(heap, self.names.prototypes), heap.text(name));
        heap.get(info, self.names.prototype)
    }

    /// The records of timers, by their handles.
    pub(super) fn timers(&self, heap: Heap<'_>) -> Vec<(Value, Value)> {
        heap.entries(self.get(heap, self.names.timers))
    }

    /// The records of loaded files.
    pub(super) fn records(&self, heap: Heap<'_>) -> Vec<Value> {
        heap.entries(self.get(heap, self.names.records)).into_iter().map(|(_, record)| record).collect()
    }

    /// A timer was started by a version of a file that has been replaced.
    pub(super) fn has_ended(&self, heap: Heap<'_>, timer: Value) -> bool {
        let owner = heap.get(timer, self.names.owner);
        let version = heap.get(timer, self.names.version);
        owner.is_true() && !version.is(heap.get(owner, self.names.version))
    }

    /// Whether somebody else answers for the table.
    pub(super) fn is_foreign(&self, heap: Heap<'_>, table: Value) -> bool {
        [self.library, self.own, self.prototype_info, self.exported]
            .into_iter()
            .any(|set| is_in(heap, set, table))
    }

    /// Is of ours, or the globals.
    pub(super) fn is_own(&self, heap: Heap<'_>, table: Value) -> bool {
        is_in(heap, self.own, table)
    }

    pub(super) fn is_own_or_library(&self, heap: Heap<'_>, table: Value) -> bool {
        is_in(heap, self.own, table) || is_in(heap, self.library, table)
    }

    pub(super) fn is_prototype(&self, heap: Heap<'_>, table: Value) -> bool {
        is_in(heap, self.prototype_info, table)
    }

    /// What a table has without a metatable of its own: a prototype inherits from the common one.
    pub(super) fn default_metatable(&self, heap: Heap<'_>, table: Value) -> Value {
        if !self.is_prototype(heap, table) {
            return Value::NIL;
        }
        let base = self.prototype(heap, "Object");
        if base.is(table) { Value::NIL } else { base }
    }
}

fn is_in(heap: Heap<'_>, set: Value, table: Value) -> bool {
    table.is_object() && heap.is_true(set, table)
}

/// Functions of C and code without debug information, as ours is, have no names for their upvalues.
fn is_no_name(name: &[u8]) -> bool {
    matches!(name, b"" | b"(no name)")
}
