//! What the snapshot has of one table.

use super::{
    Reload,
    snapshot::{Entries, Snapshot},
};
use crate::lua::heap::Value;

/// A table with more entries than these is not searched through each time.
const FEW: usize = 32;

impl Snapshot {
    /// Its entries as they were before the reload. `None`: the table was not there, or there was no more room for it.
    fn listed(&mut self, table: Value) -> Option<&[(Value, Value)]> {
        if self.index.is_empty() {
            let places = self.tables.iter().enumerate();
            self.index = places.map(|(at, before)| (before.table.identity(), at)).collect();
        }
        let before = self.tables.get(*self.index.get(&table.identity())?)?;
        self.entries.get(before.entries.clone())
    }

    pub(super) fn has_table(&mut self, table: Value) -> bool {
        self.listed(table).is_some()
    }

    pub(super) fn entries_of(&mut self, table: Value) -> Vec<(Value, Value)> {
        self.listed(table).unwrap_or_default().to_vec()
    }
}

impl Reload<'_> {
    /// What was under that key; what is there now, if that is not known.
    pub(super) fn value_before(&mut self, table: Value, key: Value) -> Value {
        let heap = self.heap;
        let snapshot = &mut self.progress.snapshot;
        if let Some(entries) = snapshot.maps.get(&table.identity()) {
            return entries.get(&key.bit_pattern()).copied().unwrap_or(Value::NIL);
        }
        let Some(listed) = snapshot.listed(table) else { return heap.get(table, key) };
        if listed.len() <= FEW {
            let found = listed.iter().find(|(known, _)| heap.equal(*known, key));
            return found.map_or(Value::NIL, |(_, value)| *value);
        }
        let entries: Entries = listed.iter().map(|(key, value)| (key.bit_pattern(), *value)).collect();
        let found = entries.get(&key.bit_pattern()).copied().unwrap_or(Value::NIL);
        snapshot.maps.insert(table.identity(), entries);
        found
    }
}
