//! What is fresh has to see the tables that stay, or the first reload works and the second changes tables
//! that nobody holds.

use mlua::ffi::{lua_pop, lua_setmetatable, lua_setupvalue, lua_upvalueid, lua_upvaluejoin};

use super::{
    Reload,
    upvalues::{Cells, Upvalue, next_upvalue},
};
use crate::vm::{
    entries::Entries,
    values::{Class, Raw, RawTable},
};

impl Reload {
    /// Whatever is fresh, and is reached from `root`, gets the tables that stay in place of those that they
    /// replace.
    pub(super) unsafe fn rebind(&mut self, root: Raw) {
        unsafe {
            // Most values in a table that has changed are those that the merge has just been through.
            if self.merge.visited.get(&root.identity()) == Some(&self.merge.number) {
                return;
            }
            let mut cells = Cells::default();
            self.wait(root);
            self.rebind_all(&mut cells);
        }
    }

    /// The same for each value of a table that was there before; its own entries follow, too.
    pub(super) unsafe fn rebind_entries(&mut self, table: *const RawTable) {
        let mut cells = Cells::default();
        unsafe {
            let mut entries = Entries::of(table);
            while let Some((key, value)) = entries.take() {
                match value.class() {
                    Class::Table => match self.stays_for(value) {
                        Some(stays) => self.set(table, key, stays),
                        None if !self.is_seen(value) => self.wait_once(value),
                        None => {}
                    },
                    Class::Function => self.rebind_function(value, &mut cells),
                    _ => {}
                }
                if self.stays_for(key).is_some() {
                    self.merge.moved.push([key, value]);
                }
            }
            self.move_keys(table);
            self.rebind_all(&mut cells);
        }
    }

    unsafe fn rebind_all(&mut self, cells: &mut Cells) {
        unsafe {
            while let Some(subject) = self.merge.waiting.pop() {
                match subject.table() {
                    Some(table) => self.rebind_table(table, cells),
                    None => self.rebind_function(subject, cells),
                }
            }
        }
    }

    unsafe fn wait_once(&mut self, object: Raw) {
        if self.merge.visited.get(&object.identity()) != Some(&self.merge.number) {
            unsafe { self.wait(object) }
        }
    }

    unsafe fn wait(&mut self, object: Raw) {
        unsafe { self.hold(object) }
        self.merge.visited.insert(object.identity(), self.merge.number);
        self.merge.waiting.push(object);
    }

    /// A table, if it is fresh and nobody has been there.
    unsafe fn meet_fresh(&mut self, table: Raw) {
        if !self.merge.visited.contains_key(&table.identity()) && !self.is_seen(table) {
            unsafe { self.wait(table) }
        }
    }

    /// While a table is gone through, no key may be added to it.
    pub(super) unsafe fn move_keys(&mut self, table: *const RawTable) {
        unsafe {
            while let Some([key, value]) = self.merge.moved.pop() {
                let Some(stays) = self.stays_for(key) else { continue };
                self.set(table, key, Raw::NIL);
                self.set(table, stays, self.stays_for(value).unwrap_or(value));
            }
        }
    }

    unsafe fn rebind_table(&mut self, table: *const RawTable, cells: &mut Cells) {
        unsafe {
            let metatable = RawTable::metatable(table);
            if !metatable.is_null() {
                let metatable = Raw::of_table(metatable);
                if let Some(stays) = self.stays_for(metatable) {
                    self.set_metatable(table, stays);
                }
                self.meet_fresh(metatable);
            }
            let mut entries = Entries::of(table);
            while let Some((key, value)) = entries.take() {
                match value.class() {
                    Class::Table => {
                        if let Some(stays) = self.stays_for(value) {
                            self.set(table, key, stays);
                        }
                        self.meet_fresh(value);
                    }
                    Class::Function => self.rebind_function(value, cells),
                    _ => {}
                }
                if key.class() == Class::Table {
                    if self.stays_for(key).is_some() {
                        self.merge.moved.push([key, value]);
                    }
                    self.meet_fresh(key);
                }
            }
            self.move_keys(table);
        }
    }

    /// It may be an old one, which does no harm: there is less to be done for its upvalues than to find out.
    unsafe fn rebind_function(&mut self, function: Raw, cells: &mut Cells) {
        let l = self.l;
        unsafe {
            if self.merge.rebound.contains(&function.identity()) {
                return;
            }
            function.push(l);
            self.join(function);
            let mut from = 1;
            while let Some(Upvalue { i, cell, value, .. }) = next_upvalue(l, from, |cell| cells.has(cell)) {
                from = i + 1;
                cells.add(cell);
                let class = value.class();
                if !matches!(class, Class::Table | Class::Function) || !self.merge.rebound.insert(cell) {
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
                    stays.push(l);
                    lua_setupvalue(l, -2, i);
                }
                self.meet_fresh(value);
            }
            lua_pop(l, 1);
        }
    }

    /// The function is on top of the stack. Its locals become those that stay.
    unsafe fn join(&mut self, function: Raw) {
        let l = self.l;
        if self.joins.is_empty()
            || function.is_c_function()
            || !self.merge.rebound.insert(function.identity())
        {
            return;
        }
        unsafe {
            for i in 1.. {
                let cell = lua_upvalueid(l, -1, i);
                if cell.is_null() {
                    return;
                }
                if let Some(&(holder, index)) = self.joins.get(&cell.addr()) {
                    holder.push(l);
                    lua_upvaluejoin(l, -2, i, -1, index);
                    lua_pop(l, 1);
                }
            }
        }
    }

    pub(super) unsafe fn set_metatable(&self, table: *const RawTable, metatable: Raw) {
        let l = self.l;
        unsafe {
            let now = RawTable::metatable(table);
            if metatable.table().is_some_and(|metatable| metatable == now)
                || metatable.is_nil() && now.is_null()
            {
                return;
            }
            Raw::of_table(table).push(l);
            metatable.push(l);
            lua_setmetatable(l, -2);
            lua_pop(l, 1);
        }
    }
}
