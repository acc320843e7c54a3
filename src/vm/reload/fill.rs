//! The tables that stay become what the new ones are. A value whose source is as it was keeps what it became
//! at run time.

use mlua::ffi::{lua_pop, lua_pushnil, lua_setmetatable};

use super::{
    Reload, Source,
    pairs::{Base, Data, Pair},
};
use crate::vm::{
    entries::Entries,
    values::{Class, Raw, RawTable},
};

impl Reload {
    /// All pairs of the merge.
    pub(super) unsafe fn fill_all(&mut self) {
        unsafe {
            for i in 0.. {
                let Some(&Pair { old, new, base, data, source, is_root }) = self.merge.pairs.get(i) else {
                    return;
                };
                self.take_metatable(old, new, is_root);
                match data {
                    Some(Data::Kept) => {}
                    Some(Data::Edited) => self.replace_entries(old, new),
                    None => {
                        self.leave_out(old, new, base, Source::of(source));
                        self.take_entries(old, new, base, is_root);
                    }
                }
            }
        }
    }

    unsafe fn take_metatable(&mut self, old: *const RawTable, new: *const RawTable, is_root: bool) {
        unsafe {
            let metatable = RawTable::metatable(new);
            if !metatable.is_null() {
                let metatable = Raw::of_table(metatable);
                self.set_metatable(old, self.stays_for(metatable).unwrap_or(metatable));
            } else if !is_root {
                self.set_metatable(old, Raw::NIL);
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
            if metatable.is_nil() {
                lua_pushnil(l)
            } else {
                metatable.push(l)
            }
            lua_setmetatable(l, -2);
            lua_pop(l, 1);
        }
    }

    /// A literal that was edited.
    unsafe fn replace_entries(&mut self, old: *const RawTable, new: *const RawTable) {
        unsafe {
            let mut entries = Entries::of(old);
            while let Some((key, _)) = entries.take() {
                if RawTable::get(new, self.l, key).is_nil() {
                    self.set(old, key, Raw::NIL);
                }
            }
            let mut entries = Entries::of(new);
            while let Some((key, value)) = entries.take() {
                self.set(old, key, value);
            }
        }
    }

    /// What the source does not set any more: what it set last time, or functions of the file.
    unsafe fn leave_out(
        &mut self,
        old: *const RawTable,
        new: *const RawTable,
        base: Base,
        mut source: Source,
    ) {
        unsafe {
            let mut entries = Entries::of(old);
            while let Some((key, value)) = entries.take() {
                if !RawTable::get(new, self.l, key).is_nil() {
                    continue;
                }
                let is_gone = match base {
                    Base::Unknown => value.is_function() && source.is(self.source_of(value)),
                    _ => !base.get(self, key).is_nil(),
                };
                if is_gone {
                    self.set(old, key, Raw::NIL);
                }
            }
        }
    }

    unsafe fn take_entries(&mut self, old: *const RawTable, new: *const RawTable, base: Base, is_root: bool) {
        unsafe {
            let mut entries = Entries::of(new);
            while let Some((key, value)) = entries.take() {
                let class = value.class();
                if class == Class::Function {
                    self.set(old, key, value);
                    continue;
                }
                let was = base.get(self, key);
                let is_old = class == Class::Table
                    && (self.taken.contains(&value.identity()) || self.is_taken_under(old, key));
                if was.is_nil() || was.is(self.files.mark) || is_old {
                    self.set(old, key, value);
                    continue;
                }
                let same = if class == Class::Table {
                    self.is_same_data(was, value)
                } else {
                    value.equals(self.l, was)
                };
                if same {
                    continue;
                }
                self.set(old, key, value);
                if is_root && key.is_string() {
                    self.merge.changed.push(key);
                }
            }
        }
    }

    /// Whether the old table has a table under that key that stays in place of another one: it was there under
    /// two names, and is two tables now.
    unsafe fn is_taken_under(&self, old: *const RawTable, key: Raw) -> bool {
        let there = unsafe { RawTable::get(old, self.l, key) };
        there.class() == Class::Table && self.taken.contains(&there.identity())
    }
}
