//! What is fresh has to see the tables that stay, or the first reload works and the second changes tables
//! that nobody holds.

use super::{Reload, cells::RecentCells};
use crate::lua::heap::{Class, Value};

impl Reload<'_> {
    /// Whatever is fresh, and is reached from `root`, gets the tables that stay in place of those that they
    /// replace.
    pub(super) fn rebind(&mut self, root: Value) {
        // Most values in a table that has changed are those that the merge has just been through.
        if self.merge.visited.get(&root.identity()) == Some(&self.merge.number) {
            return;
        }
        let mut cells = RecentCells::default();
        self.wait(root);
        self.rebind_all(&mut cells);
    }

    /// The same for each value of a table that was there before; its own entries follow, too.
    pub(super) fn rebind_entries(&mut self, table: Value) {
        let mut cells = RecentCells::default();
        for (key, value) in self.heap.entries(table) {
            match value.class() {
                Class::Table => match self.stays_for(value) {
                    Some(stays) => self.heap.set(table, key, stays),
                    None if !self.is_seen(value) => self.wait_once(value),
                    None => {}
                },
                Class::Function => self.rebind_function(value, &mut cells),
                _ => {}
            }
            self.move_key(table, key, value);
        }
        self.rebind_all(&mut cells);
    }

    fn rebind_all(&mut self, cells: &mut RecentCells) {
        while let Some(subject) = self.merge.waiting.pop() {
            match subject.table() {
                Some(table) => self.rebind_table(table, cells),
                None => self.rebind_function(subject, cells),
            }
        }
    }

    fn wait_once(&mut self, object: Value) {
        if self.merge.visited.get(&object.identity()) != Some(&self.merge.number) {
            self.wait(object);
        }
    }

    fn wait(&mut self, object: Value) {
        let number = self.merge.number;
        self.merge.visited.insert(object.identity(), number);
        self.merge.waiting.push(object);
    }

    /// A table, if it is fresh and nobody has been there.
    fn meet_fresh(&mut self, table: Value) {
        if !self.merge.visited.contains_key(&table.identity()) && !self.is_seen(table) {
            self.wait(table);
        }
    }

    /// An entry whose key is a table that has been replaced.
    pub(super) fn move_key(&mut self, table: Value, key: Value, value: Value) {
        if let Some(stays) = self.stays_for(key) {
            self.heap.set(table, key, Value::NIL);
            self.heap.set(table, stays, self.stays_for(value).unwrap_or(value));
        }
    }

    fn rebind_table(&mut self, table: Value, cells: &mut RecentCells) {
        if let Some(metatable) = self.heap.metatable(table).table() {
            if let Some(stays) = self.stays_for(metatable) {
                self.heap.set_metatable(table, stays);
            }
            self.meet_fresh(metatable);
        }
        for (key, value) in self.heap.entries(table) {
            match value.class() {
                Class::Table => {
                    if let Some(stays) = self.stays_for(value) {
                        self.heap.set(table, key, stays);
                    }
                    self.meet_fresh(value);
                }
                Class::Function => self.rebind_function(value, cells),
                _ => {}
            }
            if key.class() == Class::Table {
                self.move_key(table, key, value);
                self.meet_fresh(key);
            }
        }
    }

    /// It may be an old one, which does no harm: there is less to be done for its upvalues than to find out.
    fn rebind_function(&mut self, function: Value, cells: &mut RecentCells) {
        if self.merge.rebound.contains(&function.identity()) {
            return;
        }
        self.join(function);
        let mut from = 1;
        while let Some(upvalue) = self.heap.next_upvalue(function, from, |cell| cells.has(cell)) {
            from = upvalue.index + 1;
            cells.add(upvalue.cell);
            let value = upvalue.value;
            let class = value.class();
            if !matches!(class, Class::Table | Class::Function) || !self.merge.rebound.insert(upvalue.cell) {
                continue;
            }
            if class == Class::Function {
                // Not at once: it may have an upvalue that has one that has one.
                if !self.is_seen(value) {
                    self.merge.waiting.push(value);
                }
                continue;
            }
            if let Some(stays) = self.stays_for(value) {
                self.heap.set_upvalue(function, upvalue.index, stays);
            }
            self.meet_fresh(value);
        }
    }

    /// Its locals become those that stay.
    fn join(&mut self, function: Value) {
        if self.joins.is_empty()
            || function.is_c_function()
            || !self.merge.rebound.insert(function.identity())
        {
            return;
        }
        for index in 1.. {
            let Some(cell) = self.heap.upvalue_cell(function, index) else { return };
            if let Some(&(holder, of_holder)) = self.joins.get(&cell) {
                self.heap.join_upvalue(function, index, holder, of_holder);
            }
        }
    }
}
