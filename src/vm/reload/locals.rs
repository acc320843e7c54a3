//! Which locals of the new version are those of the old one. They go on as the variables that they are, so that
//! old and new functions share them.

use std::ffi::{CStr, c_int};

use mlua::ffi::{lua_State, lua_getupvalue, lua_pop, lua_upvalueid};
use rustc_hash::FxHashMap;

use super::{Reload, merge::Merging};
use crate::{
    reload::source::{Key, Kind, Source},
    vm::{
        made::metatable,
        values::{Raw, RawTable},
    },
};

/// A function that has the locals of a file, and which of its upvalues each is.
pub(super) struct Capture {
    pub(super) function: Raw,
    places: FxHashMap<Box<[u8]>, c_int>,
}

impl Capture {
    pub(super) fn place(&self, name: &str) -> Option<c_int> {
        self.places.get(name.as_bytes()).copied()
    }
}

/// The places and names of all upvalues; of what is no function, none.
pub(super) unsafe fn for_each_upvalue(l: *mut lua_State, function: Raw, mut take: impl FnMut(c_int, &[u8])) {
    if !function.is_function() {
        return;
    }
    unsafe {
        function.push(l);
        for i in 1.. {
            let name = lua_getupvalue(l, -1, i);
            if name.is_null() {
                break;
            }
            lua_pop(l, 1);
            take(i, CStr::from_ptr(name).to_bytes());
        }
        lua_pop(l, 1);
    }
}

impl Reload {
    pub(super) unsafe fn upvalue_at(&self, function: Raw, at: c_int) -> Raw {
        let l = self.l;
        unsafe {
            function.push(l);
            let value = if lua_getupvalue(l, -1, at).is_null() { Raw::NIL } else { Raw::pop(l) };
            lua_pop(l, 1);
            value
        }
    }

    pub(super) unsafe fn capture(&self, function: Raw) -> Capture {
        let l = self.l;
        let mut places = FxHashMap::default();
        unsafe {
            for_each_upvalue(l, function, |i, name| {
                places.insert(name.into(), i);
            });
        }
        Capture { function, places }
    }

    /// The upvalue of that name: which it is, and its value.
    unsafe fn upvalue(&self, function: Raw, name: &str) -> Option<(c_int, Raw)> {
        let mut found = None;
        unsafe {
            for_each_upvalue(self.l, function, |i, known| {
                if known == name.as_bytes() {
                    found = Some(i);
                }
            });
            found.map(|i| (i, self.upvalue_at(function, i)))
        }
    }

    /// Locals in `do` blocks, and those that others of their name have taken the place of, are known by the
    /// functions that use them.
    pub(super) unsafe fn find_hidden(&mut self, file: &mut Merging) {
        let l = self.l;
        let plan = file.plan.clone();
        let (new, old) = (&plan.new.says, &plan.old.says);
        // A function that is hidden itself knows more of them.
        for _ in 0..2 {
            for (function, one) in new.definitions() {
                let (after, before) = (file.fresh_of(function), file.before(function));
                if one.kind != Kind::Function || !after.is_function() || !before.is_function() {
                    continue;
                }
                for (name, id) in new.hidden_locals(function) {
                    let Some(old_id) = plan.edits.old(id).filter(|_| !file.hidden.contains_key(&id.index()))
                    else {
                        continue;
                    };
                    let Some(Key::Local(old_name, _)) = old.get(old_id).map(|one| &one.key) else { continue };
                    unsafe {
                        let (Some((i, fresh)), Some((at, known))) =
                            (self.upvalue(after, name), self.upvalue(before, old_name))
                        else {
                            continue;
                        };
                        after.push(l);
                        let cell = lua_upvalueid(l, -1, i).addr();
                        lua_pop(l, 1);
                        self.hold(after);
                        self.hold(before);
                        self.joins.insert(cell, (before, at));
                        file.hidden_cells.push(cell);
                        file.hidden.insert(id.index(), (before, at));
                        file.fresh[id.index()] = fresh;
                        file.known[old_id.index()] = known;
                    }
                }
            }
            unsafe {
                self.find_parts(new, &mut file.fresh);
                self.find_parts(old, &mut file.known);
            }
        }
    }

    /// What is within what has just been found.
    unsafe fn find_parts(&self, source: &Source, values: &mut [Raw]) {
        for (id, one) in source.definitions() {
            let Some(table) = one.parent.map(|parent| values[parent.index()]) else { continue };
            if !values[id.index()].is_nil() || table.table().is_none() {
                continue;
            }
            values[id.index()] = unsafe {
                match (&one.key, self.files.key(self.l, source, values, &one.key), table.table()) {
                    (Key::Metatable, ..) => metatable(table),
                    (_, Some(key), Some(table)) => RawTable::get(table, self.l, key),
                    _ => Raw::NIL,
                }
            };
        }
    }

    /// The locals of the new version that are those of the old one: whoever uses one of them uses the other.
    pub(super) unsafe fn find_cells(&mut self, file: &Merging) {
        let l = self.l;
        for (name, id) in file.new_source().locals() {
            let Some(old) = file.plan.edits.old(*id) else { continue };
            let Some((old_name, _)) = file.old_source().locals().iter().find(|(_, known)| *known == old)
            else {
                continue;
            };
            unsafe {
                let (Some(new_index), Some(old_index)) = (file.is.place(name), file.was.place(old_name))
                else {
                    continue;
                };
                file.is.function.push(l);
                let cell = lua_upvalueid(l, -1, new_index).addr();
                lua_pop(l, 1);
                self.joins.insert(cell, (file.was.function, old_index));
            }
        }
        if file.is.function.is_function() && file.was.function.is_function() {
            // The functions that have them.
            unsafe {
                self.hold(file.is.function);
                self.hold(file.was.function);
                self.captures.push(file.is.function);
            }
        }
    }
}
