//! A session that has more tables than a snapshot takes down: functions are exchanged in all of them nevertheless.

use super::{Identities, Reload};
use crate::lua::heap::{Class, Value};

impl Reload<'_> {
    /// Goes on where the snapshot stopped.
    pub(super) fn exchange_beyond(&mut self) {
        let mut met = Identities::default();
        let mut waiting = Vec::new();
        for at in 0..self.snapshot.met.len() {
            let object = self.snapshot.met[at];
            if met.insert(object.identity()) && !self.snapshot.has_table(object) {
                waiting.push(object);
            }
        }
        while let Some(object) = waiting.pop() {
            let found = if object.table().is_some() {
                self.exchange_in(object)
            } else {
                self.exchange_upvalues(object)
            };
            for value in found {
                let is_looked_into = matches!(value.class(), Class::Table | Class::Function)
                    && !value.is_c_function()
                    && !self.prelude.is_known(value);
                if is_looked_into && met.insert(value.identity()) {
                    waiting.push(value);
                }
            }
        }
    }

    /// Returns what the table refers to.
    fn exchange_in(&mut self, table: Value) -> Vec<Value> {
        let mut found = vec![self.heap.metatable(table)];
        for (key, value) in self.heap.entries(table) {
            if let Some(new) = self.newest(value) {
                self.heap.set(table, key, new);
            }
            found.extend([key, value]);
        }
        found
    }

    /// Returns what the function refers to.
    fn exchange_upvalues(&mut self, function: Value) -> Vec<Value> {
        let mut found = Vec::new();
        let mut from = 1;
        while let Some(upvalue) = self.heap.next_upvalue(function, from, |_| false) {
            from = upvalue.index + 1;
            if let Some(new) = self.newest(upvalue.value) {
                self.heap.set_upvalue(function, upvalue.index, new);
            }
            found.push(upvalue.value);
        }
        found
    }
}
