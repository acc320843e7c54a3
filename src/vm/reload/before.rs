//! What the snapshot has of one table.

use mlua::ffi::{LUA_OK, lua_State, lua_gettop, lua_pcall, lua_pushcfunction, lua_settable, lua_settop};

use super::Reload;
use crate::vm::values::{Raw, RawTable, nth, part};

/// A table with more values than these, keys included, is not searched through each time. Keys that are long
/// strings are not found there then; a source has none.
const FEW: usize = 64;

impl Reload {
    /// Key, value, key, value ... as they were before the reload. `None`: the table was not there, or the snapshot
    /// has no more room for it.
    unsafe fn listed(&mut self, table: Raw) -> Option<&'static [Raw]> {
        let tables = unsafe { self.lists.tables.values() };
        if self.index.is_empty() {
            let mut at = 1;
            while nth(tables, at).table().is_some() {
                self.index.insert(nth(tables, at).identity(), at);
                at = nth(tables, at + 2).integer() + 1;
            }
        }
        let at = *self.index.get(&table.identity())?;
        Some(part(tables, at + 3, nth(tables, at + 2).integer()))
    }

    pub(super) unsafe fn was_there(&mut self, table: Raw) -> bool {
        unsafe { self.listed(table).is_some() }
    }

    /// What was under that key; what is there now, if that is not known.
    pub(super) unsafe fn value_before(&mut self, table: Raw, key: Raw) -> Raw {
        unsafe {
            let l = self.l;
            match self.listed(table) {
                Some(listed) if listed.len() > FEW => {
                    let entries = self.maps.entry(table.identity()).or_insert_with(|| {
                        listed.chunks_exact(2).map(|pair| (pair[0].bit_pattern(), pair[1])).collect()
                    });
                    entries.get(&key.bit_pattern()).copied().unwrap_or(Raw::NIL)
                }
                Some(listed) => {
                    let found = listed.chunks_exact(2).find(|pair| pair[0].equals(l, key));
                    found.map_or(Raw::NIL, |pair| pair[1])
                }
                None => table.table().map_or(Raw::NIL, |table| RawTable::get(table, l, key)),
            }
        }
    }

    pub(super) unsafe fn entries_before(&mut self, table: Raw) -> Vec<(Raw, Raw)> {
        let listed = unsafe { self.listed(table) }.unwrap_or_default();
        listed.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
    }

    /// An assignment as a program makes it: metamethods run. Where these fail, it is a plain one.
    pub(super) unsafe fn assign(&mut self, table: Raw, key: Raw, value: Raw) {
        let l = self.l;
        unsafe {
            let height = lua_gettop(l);
            lua_pushcfunction(l, set_table);
            for argument in [table, key, value] {
                argument.push(l);
            }
            let is_good = lua_pcall(l, 3, 0, 0) == LUA_OK;
            lua_settop(l, height);
            if !is_good && let Some(table) = table.table() {
                self.set(table, key, value);
            }
        }
    }
}

unsafe extern "C-unwind" fn set_table(l: *mut lua_State) -> std::ffi::c_int {
    unsafe {
        lua_settable(l, 1);
        0
    }
}
