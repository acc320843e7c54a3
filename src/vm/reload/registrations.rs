//! What a load puts into tables that were there before: handlers in somebody's list, classes in a registry. What
//! the old version had put there is still there, so the new one's takes its place.

use std::ffi::c_int;

use mlua::ffi::{lua_createtable, lua_gettop, lua_settop};

use super::{ByIdentity, Reload};
use crate::vm::{
    raw::lines,
    values::{Class, Raw, RawTable},
};

/// One table, with what was in it.
struct Register<'a> {
    table: Raw,
    was: &'a [Raw],
    /// Of objects among the values, their keys.
    keys: ByIdentity<Raw>,
    /// Entries that the new version has added and the old one had, too.
    twice: Vec<Raw>,
    /// Fresh functions without a name, with their keys.
    unnamed: Vec<[Raw; 2]>,
}

impl Reload {
    /// `was`: key, value, key, value ...
    pub(super) unsafe fn find_changes_in(&mut self, table: *const RawTable, was: &[Raw]) {
        let l = self.l;
        unsafe {
            let height = lua_gettop(l);
            lua_createtable(l, 0, c_int::try_from(was.len() / 2).unwrap_or(0));
            let known = RawTable::at(l, -1);
            let mut register = Register {
                table: Raw::of_table(table),
                was,
                keys: ByIdentity::default(),
                twice: Vec::new(),
                unnamed: Vec::new(),
            };
            for pair in was.chunks_exact(2) {
                RawTable::set(known, l, pair[0], pair[1]);
                if pair[1].is_object() {
                    register.keys.insert(pair[1].identity(), pair[0]);
                }
            }
            let mut each = super::entries(register.table);
            while let Some((key, value)) = each.take() {
                let before = RawTable::get(known, l, key);
                if !before.is(value) {
                    self.register(&mut register, key, value, before);
                }
                if before.is_nil()
                    && self.old_of(key).is_some_and(|old| !RawTable::get(known, l, old).is_nil())
                {
                    // A set of functions: the old one's key becomes the new one.
                    register.twice.push(key);
                } else if self.stays_for(key).is_some() {
                    self.merge.moved.push([key, value]);
                }
            }
            self.move_keys(table);
            self.pair_unnamed(&mut register);
            self.drop_twice(&register);
            lua_settop(l, height);
        }
    }

    /// The old object that a fresh one stands for.
    fn old_of(&self, object: Raw) -> Option<Raw> {
        if !object.is_object() {
            return None;
        }
        self.stays_for(object).or_else(|| self.precedes.get(&object.identity()).copied())
    }

    unsafe fn register(&mut self, register: &mut Register<'_>, key: Raw, value: Raw, before: Raw) {
        let Some(table) = register.table.table() else { return };
        if !matches!(value.class(), Class::Table | Class::Function) {
            return;
        }
        let is_new = before.is_nil();
        unsafe {
            if let Some(old) = self.old_of(value) {
                if is_new && register.keys.contains_key(&old.identity()) {
                    register.twice.push(key);
                } else if let Some(stays) = self.stays_for(value) {
                    self.set(table, key, stays);
                }
                return;
            }
            if self.is_seen(value) {
                return;
            }
            if value.is_function() && before.is_function() && self.is_of_changed(before) {
                self.pair_functions(before, value);
            } else if value.is_function() && is_new {
                register.unnamed.push([key, value]);
            }
            self.rebind(value);
            if is_new && value.class() == Class::Table {
                self.find_record(register, key, value);
            }
        }
    }

    /// A record that was made for one function or object: `{ fn = M.hear, once = true }`.
    unsafe fn find_record(&mut self, register: &mut Register<'_>, key: Raw, value: Raw) {
        let l = self.l;
        unsafe {
            for pair in register.was.chunks_exact(2) {
                let Some(record) = pair[1].table().filter(|_| !self.is_fresh(pair[1])) else { continue };
                if self.files.foreign.has(l, pair[1]) || register.twice.iter().any(|known| known.is(pair[0]))
                {
                    continue;
                }
                let (mut is_its, mut is_same) = (false, true);
                let mut each = super::entries(value);
                while let Some((name, part)) = each.take() {
                    let was = RawTable::get(record, l, name);
                    let old = self.old_of(part).unwrap_or(part);
                    let holds_same = part.is_object() && was.is(old);
                    is_its |= holds_same && !self.is_seen_twice(part, was);
                    is_same &= holds_same || was.equals(l, part);
                }
                if is_its {
                    register.twice.push(key);
                    if !is_same && let Some(table) = register.table.table() {
                        self.set(table, pair[0], value);
                    }
                    return;
                }
            }
        }
    }

    /// Something that both hold and neither made: it says nothing of whose record it is.
    fn is_seen_twice(&self, part: Raw, was: Raw) -> bool {
        part.is(was) && !self.taken.contains(&was.identity())
    }

    /// Functions without a name belong together in the order of the table.
    unsafe fn pair_unnamed(&mut self, register: &mut Register<'_>) {
        unsafe {
            let mut olds = Vec::new();
            for pair in register.was.chunks_exact(2) {
                if self.is_unnamed(pair[1]) {
                    olds.push(pair[1]);
                }
            }
            register.unnamed.sort_by_key(|[key, _]| key.integer());
            let mut olds = olds.into_iter();
            for &[key, new] in &register.unnamed {
                let Some(old) = olds.next() else { break };
                self.pair_functions(old, new);
                register.twice.push(key);
            }
            if !register.unnamed.is_empty() {
                for gone in olds {
                    self.left.insert(gone.identity(), Raw::NIL);
                }
            }
        }
    }

    /// An old function of a file's top level that no definition names, and that nothing follows yet.
    pub(super) unsafe fn is_unnamed(&mut self, function: Raw) -> bool {
        if !function.is_function() || self.follows.contains_key(&function.identity()) {
            return false;
        }
        unsafe {
            if !self.is_of_changed(function) {
                return false;
            }
            let source = self.source_of(function);
            let lines = lines(self.l, function);
            let name = std::ffi::CStr::from_ptr(source).to_bytes();
            self.plans.values().any(|plan| {
                name.strip_prefix(b"@").is_some_and(|name| name == plan.old.display.as_bytes())
                    && plan.old.says.is_unnamed_function(lines)
            })
        }
    }

    unsafe fn drop_twice(&mut self, register: &Register<'_>) {
        let l = self.l;
        let Some(table) = register.table.table().filter(|_| !register.twice.is_empty()) else { return };
        unsafe {
            let length = (1..).take_while(|&i| !RawTable::get(table, l, Raw::of(i)).is_nil()).count();
            let is_twice = |key: Raw| register.twice.iter().any(|known| known.is(key));
            let mut list = Vec::with_capacity(length);
            for i in (1..).take(length) {
                if !is_twice(Raw::of(i)) {
                    list.push(RawTable::get(table, l, Raw::of(i)));
                }
            }
            let is_list = list.len() < length;
            for &key in &register.twice {
                self.set(table, key, Raw::NIL);
            }
            if is_list {
                self.set_list(register.table, length, &list);
            }
        }
    }
}
