//! A reload that failed: everything is put back as the snapshot has it.

use super::{
    Reload,
    snapshot::Entries,
    snapshot::{TableBefore, UpvalueBefore},
};
use crate::lua::heap::Value;

impl Reload<'_> {
    pub(super) fn roll_back(&mut self) {
        let (heap, prelude) = (self.heap, self.prelude);
        let snapshot = std::mem::take(&mut self.snapshot);
        let entries = |before: &TableBefore| snapshot.entries.get(before.entries.clone()).unwrap_or_default();
        for before in &snapshot.tables {
            self.restore(before, entries(before));
        }
        for &UpvalueBefore { function, index, value } in &snapshot.upvalues {
            if !heap.upvalue(function, index).is(value) {
                heap.set_upvalue(function, index, value);
            }
        }
        let note_prototypes = |is_there: bool| {
            let info_of = prelude.get(heap, prelude.names.prototype_info);
            for (_, info) in heap.entries(prelude.get(heap, prelude.names.prototypes)) {
                let noted = if is_there { info } else { Value::NIL };
                heap.set(info_of, heap.get(info, prelude.names.prototype), noted);
            }
        };
        note_prototypes(false);
        for before in &snapshot.ours {
            self.restore(before, entries(before));
        }
        note_prototypes(true);
    }

    fn restore(&self, before: &TableBefore, entries: &[(Value, Value)]) {
        let (heap, table) = (self.heap, before.table);
        if !heap.has_entries(table, entries) {
            let known: Entries = entries.iter().map(|(key, value)| (key.bit_pattern(), *value)).collect();
            for (key, _) in heap.entries(table) {
                // A long string may be equal to a known one, and be another object: it is set again below.
                if !known.contains_key(&key.bit_pattern()) {
                    heap.set(table, key, Value::NIL);
                }
            }
            for &(key, value) in entries {
                if !heap.has(table, key, value) {
                    heap.set(table, key, value);
                }
            }
        }
        if !heap.metatable(table).is(before.metatable) {
            heap.set_metatable(table, before.metatable);
        }
    }
}
