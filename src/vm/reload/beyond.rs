//! A session that has more tables than a snapshot takes down: functions are exchanged in all of them nevertheless.

use mlua::ffi::{lua_pop, lua_setupvalue};

use super::{
    Identities, Reload,
    upvalues::{Upvalue, next_upvalue},
};
use crate::vm::values::{Class, Raw, RawTable};

impl Reload {
    /// Goes on where the snapshot stopped.
    pub(super) unsafe fn exchange_beyond(&mut self) {
        let mut met = Identities::default();
        let mut waiting: Vec<Raw> = Vec::new();
        unsafe {
            let known = self.lists.queue.values();
            let end = usize::try_from(self.lists.queue.end).unwrap_or(0);
            for &object in known.iter().take(end) {
                let is_listed = object.table().is_some() && self.was_there(object);
                if met.insert(object.identity()) && !is_listed {
                    waiting.push(object);
                }
            }
            while let Some(object) = waiting.pop() {
                let mut found = Vec::new();
                match object.table() {
                    Some(table) => self.exchange_in(table, &mut found),
                    None => self.exchange_upvalues(object, &mut found),
                }
                for value in found {
                    let is_looked_into = matches!(value.class(), Class::Table | Class::Function)
                        && !value.is_c_function()
                        && !self.known.contains(&value.identity());
                    if is_looked_into && met.insert(value.identity()) {
                        waiting.push(value);
                    }
                }
            }
        }
    }

    unsafe fn exchange_in(&mut self, table: *const RawTable, found: &mut Vec<Raw>) {
        unsafe {
            let metatable = RawTable::metatable(table);
            if !metatable.is_null() {
                found.push(Raw::of_table(metatable));
            }
            let mut entries = super::entries(Raw::of_table(table));
            while let Some((key, value)) = entries.take() {
                if let Some(new) = self.newest(value) {
                    self.set(table, key, new);
                }
                found.push(key);
                found.push(value);
            }
        }
    }

    unsafe fn exchange_upvalues(&mut self, function: Raw, found: &mut Vec<Raw>) {
        let l = self.l;
        if !function.is_function() || function.is_c_function() {
            return;
        }
        unsafe {
            function.push(l);
            let mut from = 1;
            while let Some(Upvalue { i, value, .. }) = next_upvalue(l, from, |_| false) {
                from = i + 1;
                if let Some(new) = self.newest(value) {
                    new.push(l);
                    lua_setupvalue(l, -2, i);
                }
                found.push(value);
            }
            lua_pop(l, 1);
        }
    }
}
