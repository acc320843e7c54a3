//! The end of a reload that went well: whoever holds a function of a replaced version gets the new one.

use super::{
    Reload,
    snapshot::{Slot, UpvalueBefore},
};
use crate::lua::heap::Value;

impl Reload<'_> {
    /// What goes on running old code is told.
    pub(super) fn settle(&mut self) {
        self.begin_merge();
        self.find_changes();
        if self.registered.has_others {
            self.note_left_unnamed();
        }
        if !self.follows.is_empty() || !self.replaced.is_empty() || !self.left.is_empty() {
            self.exchange_in_slots();
            self.exchange_in_keys();
            self.exchange_in_upvalues();
            self.exchange_in_timers();
            self.exchange_exports();
            if !self.snapshot.is_complete && !self.follows.is_empty() {
                self.exchange_beyond();
            }
        }
        self.tell_stale();
        while let Some(capture) = self.captures.pop() {
            self.merge.rebound.remove(&capture.identity());
            self.rebind_value(capture);
        }
    }

    /// What the new code put into tables that were there before: classes in a registry, methods in a class of
    /// another file. Tables that nobody wrote to are read once, in the order in which they were saved.
    fn find_changes(&mut self) {
        for at in 0.. {
            let Some(before) = self.snapshot.tables.get(at) else { return };
            let (table, range) = (before.table, before.entries.clone());
            if let Some(stays) = self.stays_for(self.heap.metatable(table)) {
                self.heap.set_metatable(table, stays);
            }
            let was = self.snapshot.entries.get(range).unwrap_or_default();
            if self.heap.has_entries(table, was) {
                continue;
            }
            if self.snapshot.is_complete && self.taken.contains(&table.identity()) {
                // What was in a table that a merge has filled is of no matter: all that is old is known.
                self.rebind_entries(table);
            } else {
                let was = was.to_vec();
                self.find_changes_in(table, &was);
                // What a merge has filled has been decided.
                if !self.taken.contains(&table.identity()) {
                    self.keep_unedited(table, &was);
                }
            }
        }
    }

    /// Functions without a name that are held where the load has put nothing, as their statements have left the source.
    fn note_left_unnamed(&mut self) {
        for at in 0.. {
            let Some(&Slot { key, function, .. }) = self.snapshot.slots.get(at) else { return };
            if self.has_left(function) {
                let name = if key.integer() > 0 { Value::NIL } else { key };
                self.left.insert(function.identity(), name);
            }
        }
    }

    fn exchange_in_slots(&mut self) {
        let heap = self.heap;
        let mut gone = Vec::new();
        for at in 0.. {
            let Some(&Slot { table, key, function }) = self.snapshot.slots.get(at) else { break };
            // A copy has its name, and a registration a number. Whoever has it by another name holds it himself.
            let left = self.left.get(&function.identity());
            let is_its = |name: Value| key.integer() > 0 || !name.is_nil() && heap.equal(key, name);
            let has_left = left.is_some_and(|&name| is_its(name))
                || key.integer() > 0 && self.withdrawn.contains(&function.identity());
            if !has_left && self.follower(function).is_none() || !heap.has(table, key, function) {
                continue;
            }
            if has_left {
                gone.push([table, key]);
            } else if let Some(new) = self.newest(function) {
                heap.set(table, key, new);
            }
        }
        // From the last to the first: what comes after in a list moves up.
        for [table, key] in gone.into_iter().rev() {
            self.take_out(table, key);
        }
    }

    /// A function that has left its source goes from a table.
    fn take_out(&self, table: Value, key: Value) {
        let (heap, at) = (self.heap, key.integer());
        if at <= 0 {
            // It is no element of a list.
            return heap.set(table, key, Value::NIL);
        }
        for place in at.. {
            let next = heap.get(table, Value::of(place + 1));
            heap.set(table, Value::of(place), next);
            if next.is_nil() {
                return;
            }
        }
    }

    /// Sets of functions.
    fn exchange_in_keys(&mut self) {
        let heap = self.heap;
        for at in 0.. {
            let Some(&[table, key]) = self.snapshot.keys.get(at) else { return };
            let value = heap.get(table, key);
            if value.is_nil() {
                continue;
            }
            if self.left.contains_key(&key.identity()) || self.withdrawn.contains(&key.identity()) {
                heap.set(table, key, Value::NIL);
            } else if let Some(new) = self.newest(key) {
                heap.set(table, key, Value::NIL);
                if heap.get(table, new).is_nil() {
                    heap.set(table, new, self.newest(value).unwrap_or(value));
                }
            }
        }
    }

    fn exchange_in_upvalues(&mut self) {
        let heap = self.heap;
        for at in 0.. {
            let Some(&UpvalueBefore { function, index, value: before }) = self.snapshot.upvalues.get(at)
            else {
                return;
            };
            let now = heap.upvalue(function, index);
            let new = if now.is(before) {
                self.newest(before)
            } else if self.follower(before).is_some() {
                None
            } else {
                let stays = self.stays_for(now);
                if stays.is_none() && self.is_fresh(now) {
                    self.rebind_value(now);
                }
                stays
            };
            if let Some(new) = new {
                heap.set_upvalue(function, index, new);
            }
        }
    }

    fn exchange_in_timers(&mut self) {
        let (heap, prelude) = (self.heap, self.prelude);
        for (_, timer) in prelude.timers(heap) {
            let callback = heap.get(timer, prelude.names.callback);
            if let Some(new) = self.newest(callback) {
                heap.set(timer, prelude.names.callback, new);
            }
        }
    }

    /// A file may return a function.
    fn exchange_exports(&mut self) {
        let (heap, prelude) = (self.heap, self.prelude);
        let names = &prelude.names;
        for record in prelude.records(heap) {
            let Some(new) = self.newest(heap.get(record, names.exports)) else { continue };
            heap.set(record, names.exports, new);
            heap.set(prelude.get(heap, names.exported), new, record);
            for (name, _) in heap.entries(heap.get(record, names.names)) {
                heap.set(prelude.get(heap, names.loaded), name, new);
            }
        }
    }
}
