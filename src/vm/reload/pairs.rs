//! What of the new version of a file goes with what of the old one. "Fresh" is what was not there before the
//! reload.

use std::ffi::{c_char, c_int};

use mlua::ffi::{lua_call, lua_getupvalue, lua_pop};

use super::{
    Reload, Source,
    told::{Told, What, text, words},
    upvalues::{Upvalue, next_upvalue},
};
use crate::vm::{
    entries::Entries,
    values::{Class, Raw, RawTable, same_text},
};

/// Two tables: the old one stays, and becomes what the new one is.
pub(super) struct Pair {
    pub(super) old: *const RawTable,
    pub(super) new: *const RawTable,
    /// What the source set last time, if that is known.
    pub(super) base: Base,
    /// Of data, not code: whether the source is as it was.
    pub(super) data: Option<Data>,
    /// Of the file that this is from.
    pub(super) source: *const c_char,
    /// What the file returns.
    pub(super) is_root: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Base {
    Unknown,
    Empty,
    Is(*const RawTable),
}

impl Base {
    pub(super) fn of(value: Raw) -> Self {
        value.table().map_or(Self::Unknown, Self::Is)
    }

    pub(super) unsafe fn get(self, reload: &Reload, key: Raw) -> Raw {
        match self {
            Self::Is(table) => unsafe { RawTable::get(table, reload.l, key) },
            _ => Raw::NIL,
        }
    }
}

/// A literal that was edited is taken as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    Kept,
    Edited,
}

impl Reload {
    /// `base` is what the source set last time; nil if that is not known.
    pub(super) unsafe fn pair(&mut self, old: Raw, new: Raw, base: Raw) {
        let (Some(old_table), Some(new_table)) = (old.table(), new.table()) else { return };
        unsafe {
            if self.replaced.contains_key(&new.identity())
                || self.taken.contains(&old.identity())
                || self.is_seen(new)
                || self.is_foreign(old)
                || self.is_foreign(new)
            {
                return;
            }
            let is_code = self.is_code(old_table) || self.holds_code(new);
            if !is_code && base.is_nil() {
                return;
            }
            self.replaces(old, new);
            let data = (!is_code).then(|| {
                let same = self.is_same_data(base, new);
                if same { Data::Kept } else { Data::Edited }
            });
            let (base, source) = (Base::of(base), self.merge.source.name);
            self.merge.pairs.push(Pair {
                old: old_table,
                new: new_table,
                base,
                data,
                source,
                is_root: false,
            });
        }
    }

    /// The old table stays.
    pub(super) unsafe fn replaces(&mut self, old: Raw, new: Raw) {
        unsafe {
            self.hold(old);
            self.hold(new);
        }
        self.replaced.insert(new.identity(), old);
        self.taken.insert(old.identity());
    }

    pub(super) unsafe fn pair_functions(&mut self, old: Raw, new: Raw) {
        if self.follows.contains_key(&old.identity()) || old.is(new) || self.is_seen(new) {
            return;
        }
        unsafe {
            self.hold(old);
            self.hold(new);
        }
        self.follows.insert(old.identity(), new);
        self.merge.functions.push(old);
    }

    /// A namespace or class holds functions; anything else is data.
    unsafe fn is_code(&self, table: *const RawTable) -> bool {
        unsafe {
            if !RawTable::get(table, self.l, self.names.index).is_nil() {
                return true;
            }
            let mut entries = Entries::of(table);
            while let Some((_, value)) = entries.take() {
                if value.is_function() {
                    return true;
                }
            }
            false
        }
    }

    /// Namespaces may be in namespaces. Only what the new version made is looked at.
    unsafe fn holds_code(&mut self, table: Raw) -> bool {
        unsafe {
            self.merge.looked.clear();
            // The list that merges use later.
            let begin = self.merge.waiting.len();
            self.merge.waiting.push(table);
            let mut holds = false;
            while self.merge.waiting.len() > begin {
                let Some(table) = self.merge.waiting.pop().and_then(Raw::table) else { continue };
                if self.is_code(table) {
                    holds = true;
                    break;
                }
                let mut entries = Entries::of(table);
                while let Some((_, value)) = entries.take() {
                    if value.class() == Class::Table
                        && !self.is_seen(value)
                        && !self.is_foreign(value)
                        && self.merge.looked.insert(value.identity())
                    {
                        self.merge.waiting.push(value);
                    }
                }
            }
            self.merge.waiting.truncate(begin);
            holds
        }
    }

    /// From the pairs that are known to all that belong together. Tables are looked into first, by the names
    /// that the source gives them: only so it is known what the source set in them.
    pub(super) unsafe fn find_pairs(&mut self) {
        let (mut tables, mut metatables, mut functions) = (0, 0, 0);
        unsafe {
            loop {
                if let Some(&Pair { old, new, base, data, .. }) = self.merge.pairs.get(tables) {
                    tables += 1;
                    self.look_into(old, new, base, data);
                } else if let Some(&[old, new]) = self.merge.metatables.get(metatables) {
                    metatables += 1;
                    self.pair(old, new, Raw::NIL);
                } else if let Some(&old) = self.merge.functions.get(functions) {
                    functions += 1;
                    self.look_into_function(old);
                } else {
                    return;
                }
            }
        }
    }

    unsafe fn look_into(
        &mut self,
        old: *const RawTable,
        new: *const RawTable,
        base: Base,
        data: Option<Data>,
    ) {
        unsafe {
            let (a, b) = (RawTable::metatable(old), RawTable::metatable(new));
            if !a.is_null() && !b.is_null() && a != b {
                self.merge.metatables.push([Raw::of_table(a), Raw::of_table(b)]);
            }
            if data.is_some() {
                return;
            }
            let mut entries = Entries::of(new);
            while let Some((key, value)) = entries.take() {
                let class = value.class();
                if !matches!(class, Class::Table | Class::Function) {
                    continue;
                }
                let before = RawTable::get(old, self.l, key);
                if before.class() != class || before.is(value) {
                    continue;
                }
                if class == Class::Function {
                    self.pair_functions(before, value);
                } else {
                    self.pair(before, value, base.get(self, key));
                }
            }
        }
    }

    /// Through the upvalues of its functions a file's local functions, classes and metatables are found.
    unsafe fn look_into_function(&mut self, old: Raw) {
        let (l, Some(new)) = (self.l, self.follower(old)) else { return };
        unsafe {
            // Most often both have their upvalues in the same order.
            old.push(l);
            new.push(l);
            let mut from = 1;
            while let Some(Upvalue { i, cell, name, value }) =
                next_upvalue(l, from, |cell| self.merge.matched.contains(&cell))
            {
                from = i + 1;
                if same_text(name, c"_ENV".as_ptr()) || self.look_into_upvalue(old, i, name, value) {
                    self.merge.matched.insert(cell);
                }
            }
            lua_pop(l, 2);
        }
    }

    /// Whether all is known of it: no other function has to say more.
    unsafe fn look_into_upvalue(&mut self, old: Raw, i: c_int, name: *const c_char, value: Raw) -> bool {
        unsafe {
            let known = match value.class() {
                Class::Table => {
                    self.replaced.contains_key(&value.identity())
                        || self.is_seen(value)
                        || self.is_foreign(value)
                        || {
                            let before = self.upvalue_of_old(i, name);
                            let known = before.is_some();
                            if let Some(before) = before {
                                self.pair_upvalues(old, before, value);
                                if !self.replaced.contains_key(&value.identity()) {
                                    self.starts_over(old, name, before, value);
                                }
                            }
                            known
                        }
                }
                Class::Function => {
                    self.is_seen(value) || {
                        let before = self.upvalue_of_old(i, name);
                        if let Some(before) = before
                            && before.is_function()
                            && !self.follows.contains_key(&before.identity())
                            && self.is_ours(before)
                        {
                            self.pair_functions(before, value);
                        }
                        before.is_some()
                    }
                }
                _ => match self.upvalue_of_old(i, name) {
                    Some(before) => {
                        self.starts_over(old, name, before, value);
                        true
                    }
                    None => false,
                },
            };
            known && self.is_ours(old)
        }
    }

    unsafe fn pair_upvalues(&mut self, old: Raw, before: Raw, value: Raw) {
        unsafe {
            if let (Some(a), Some(b)) = (before.table(), value.table())
                && (self.is_code(b) || self.is_code(a))
                && self.is_ours(old)
            {
                self.pair(before, value, Raw::NIL);
            }
        }
    }

    /// The upvalue of that name, of the function below the top of the stack; most often it is at the same place.
    unsafe fn upvalue_of_old(&self, i: c_int, name: *const c_char) -> Option<Raw> {
        const OLD: c_int = -2;
        let l = self.l;
        let at = |i| unsafe {
            let found = lua_getupvalue(l, OLD, i);
            (!found.is_null()).then(|| (same_text(found, name), Raw::pop(l)))
        };
        if let Some((true, value)) = at(i) {
            return Some(value);
        }
        (1..).map_while(at).find(|found| found.0).map(|found| found.1)
    }

    /// Of the file that is being merged, in this or an earlier version.
    pub(super) unsafe fn is_ours(&mut self, function: Raw) -> bool {
        // One function is asked for each of its upvalues.
        if self.merge.asked.0 != function.identity() {
            unsafe {
                let name = self.source_of(function);
                self.merge.asked = (function.identity(), self.merge.source.is(name));
            }
        }
        self.merge.asked.1
    }

    pub(super) fn begin_source(&mut self, name: *const c_char) {
        self.merge.asked = (0, false);
        self.merge.source = Source::of(name);
    }

    /// A local of the file that starts over. Whether it is worth a note is decided where the source is known.
    unsafe fn starts_over(&mut self, old: Raw, name: *const c_char, was: Raw, now: Raw) {
        let l = self.l;
        unsafe {
            if was.is_function() || now.equals(l, was) || !self.is_ours(old) {
                return;
            }
            if was.class() == Class::Table {
                let is_table = now.class() == Class::Table;
                if self.is_foreign(was) || is_table && (self.is_foreign(now) || self.is_same_data(was, now)) {
                    return;
                }
            }
            self.tell_local(name, was, now);
        }
    }

    unsafe fn tell_local(&mut self, name: *const c_char, was: Raw, now: Raw) {
        let l = self.l;
        unsafe {
            let (source, own_name) = (words(self.merge.source.name), words(name));
            let is_told = |told: &Told| {
                matches!(&told.what, What::Local { name: known, .. } if *known == own_name)
                    && told.source == source
            };
            if self.told.iter().any(is_told) {
                return;
            }
            drop((source, own_name));
            // Lua may raise an error in there, so nothing is to be dropped.
            for value in [was, now] {
                self.of_reload(self.names.show).push(l);
                value.push(l);
                lua_call(l, 1, 1);
            }
            let (was_text, now_text) = (text(l, Raw::at(l, -2)), text(l, Raw::top(l)));
            lua_pop(l, 2);
            self.told.push(Told {
                source: words(self.merge.source.name),
                what: What::Local {
                    name: words(name),
                    was: was_text.unwrap_or_default(),
                    now: now_text.filter(|_| now.class() == Class::Other),
                    was_table: was.class() == Class::Table,
                },
            });
        }
    }
}
