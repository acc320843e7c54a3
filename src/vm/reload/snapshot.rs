//! The walk over everything that user code can reach, before a reload, so that a bad one can be undone.

use std::ffi::{CStr, c_int};

use mlua::ffi::{
    lua_Integer, lua_State, lua_createtable, lua_getupvalue, lua_pop, lua_pushboolean, lua_tointeger,
};

use super::{
    Lists, Reload, enter, entries,
    upvalues::{Cells, Upvalue, is_no_name, next_upvalue},
};
use crate::vm::{
    entries::{Entries, List},
    names::Names,
    values::{Class, Raw, RawTable, nth},
};

/// Room for so many values in a list, to begin with: the globals alone take more of one.
const ROOM: c_int = 100;

/// `begin(max)`: takes down everything, up to so many tables, in `R.tables` and so on: see [`Lists`]. Says
/// whether that was all. What a reload needs beside it is in `R` then, and empty.
pub(super) unsafe extern "C-unwind" fn begin(l: *mut lua_State) -> c_int {
    const MAX: c_int = 1;
    unsafe {
        let reload = enter(l, MAX);
        let max = lua_tointeger(l, MAX);
        reload.clear();
        // Of one that failed.
        reload.told.clear();
        // Before it is taken down, or it would have changed at the end.
        if let Some(session) = reload.of_prelude(reload.names.session).table() {
            reload.set(session, reload.names.reloading, Raw::TRUE);
        }
        reload.begin_lists();
        reload.is_complete = reload.walk(max);
        reload.take_down_ours();
        reload.empty_sets();
        let Names { under_way, app, pending, planned, .. } = *reload.names;
        let (ours, prelude) = (reload.reload, reload.files.prelude);
        let was = reload.of_prelude(app);
        reload.set(ours, under_way, Raw::TRUE);
        reload.set(ours, app, if was.is_nil() { Raw::FALSE } else { was });
        reload.set(prelude, pending, reload.of_reload(planned));
        lua_pushboolean(l, c_int::from(reload.is_complete));
        1
    }
}

impl Reload {
    /// Once: what the prelude knows to be of the library or of ours.
    pub(super) unsafe fn know_library(&mut self) {
        let prelude = Raw::of_table(self.files.prelude);
        self.known.insert(prelude.identity());
        unsafe {
            for name in [c"library", c"own"] {
                let Some(tables) = RawTable::field(self.files.prelude, self.l, name).table() else {
                    continue;
                };
                let mut tables = Entries::of(tables);
                while let Some((table, _)) = tables.take() {
                    self.know_functions(table, name == c"library");
                }
            }
        }
    }

    /// Those in the table that are of C, or of ours: these have upvalues without a name.
    unsafe fn know_functions(&mut self, table: Raw, is_library: bool) {
        let l = self.l;
        let Some(table) = table.table() else { return };
        unsafe {
            let mut entries = Entries::of(table);
            while let Some((_, value)) = entries.take() {
                if !value.is_function() {
                    continue;
                }
                if value.is_c_function() {
                    // Among the globals may be one that a program has made.
                    if is_library {
                        self.known.insert(value.identity());
                    }
                    continue;
                }
                value.push(l);
                let name = lua_getupvalue(l, -1, 1);
                if !name.is_null() {
                    if is_no_name(name) {
                        self.known.insert(value.identity());
                    }
                    lua_pop(l, 1);
                }
                lua_pop(l, 1);
            }
        }
    }

    unsafe fn begin_lists(&mut self) {
        let l = self.l;
        let Names { tables, ours, upvalues, queue, .. } = *self.names;
        unsafe {
            let [tables, ours, upvalues, queue] = [tables, ours, upvalues, queue].map(|name| {
                let known = self.of_reload(name);
                if known.table().is_some() {
                    known.push(l);
                } else {
                    lua_createtable(l, ROOM, 0);
                    RawTable::set(self.reload, l, name, Raw::top(l));
                }
                let mut list = List::at(l, -1);
                lua_pop(l, 1);
                if !nth(list.values(), 1).is_nil() {
                    // Of a reload that nobody has ended, for want of memory.
                    list.end = list.room;
                    list.empty();
                }
                list
            });
            self.lists = Lists { tables, ours, upvalues, queue };
        }
    }

    /// A table that was not used by the last reload is as good as a new one.
    unsafe fn empty_sets(&mut self) {
        let l = self.l;
        let Names { extra, inits, let_go, planned, .. } = *self.names;
        unsafe {
            for name in [extra, inits, let_go, planned] {
                let is_empty = |table| Entries::of(table).take().is_none();
                if !self.of_reload(name).table().is_some_and(is_empty) {
                    lua_createtable(l, 0, 0);
                    RawTable::set(self.reload, l, name, Raw::top(l));
                    lua_pop(l, 1);
                }
            }
        }
    }

    /// Says whether it came to the end of everything.
    unsafe fn walk(&mut self, max: lua_Integer) -> bool {
        unsafe {
            self.meet(self.files.globals);
            self.meet_prototypes();
            self.meet_what_is_held_for_users();
            let mut cells = Cells::default();
            let (mut at, mut tables, mut functions) = (0, 0, 0);
            while at < self.lists.queue.end {
                at += 1;
                let object = nth(self.lists.queue.values(), at);
                if let Some(table) = object.table() {
                    tables += 1;
                    if tables <= max {
                        self.table(table);
                    }
                } else if object.is_function() {
                    functions += 1;
                    if functions <= max {
                        self.function(object, &mut cells);
                    }
                }
            }
            tables <= max && functions <= max
        }
    }

    unsafe fn meet_prototypes(&mut self) {
        unsafe {
            let prototypes = self.of_prelude(self.names.prototypes);
            let mut prototypes = entries(prototypes);
            while let Some((_, info)) = prototypes.take() {
                self.meet(self.field(info, self.names.prototype));
            }
        }
    }

    /// Tables and functions that we hold for user code.
    unsafe fn meet_what_is_held_for_users(&mut self) {
        unsafe {
            let mut records = entries(self.of_prelude(self.names.records));
            while let Some((_, record)) = records.take() {
                for name in [self.names.exports, self.names.capture, self.names.data, self.names.accept] {
                    self.meet(self.field(record, name));
                }
                let mut dispose = entries(self.field(record, self.names.dispose));
                while let Some((_, function)) = dispose.take() {
                    self.meet(function);
                }
            }
            self.meet(self.of_prelude(self.names.app));
            self.meet(self.of_prelude(self.names.variables));
            let mut timers = entries(self.of_prelude(self.names.timers));
            while let Some((_, timer)) = timers.take() {
                self.meet(self.field(timer, self.names.callback));
                self.meet(self.field(timer, self.names.object));
            }
            let mut instances = entries(self.of_prelude(self.names.instances));
            while let Some((instance, _)) = instances.take() {
                self.meet(instance);
            }
        }
    }

    /// Takes note of what somebody holds. Says whether it is a function that can be replaced.
    #[inline]
    unsafe fn meet(&mut self, value: Raw) -> bool {
        let class = value.class();
        let identity = value.identity();
        if class == Class::Other || self.known.contains(&identity) {
            return false;
        }
        if value.is_c_function() {
            unsafe { self.meet_wrapped(value) }
            return false;
        }
        if self.seen.insert(identity) {
            unsafe { self.lists.queue.append(self.l, value) }
            if class == Class::Coroutine {
                self.coroutines.push(value);
            }
        }
        class == Class::Function
    }

    /// `coroutine.wrap` makes a function of C that holds the coroutine.
    #[cold]
    unsafe fn meet_wrapped(&mut self, function: Raw) {
        let l = self.l;
        unsafe {
            function.push(l);
            if !lua_getupvalue(l, -1, 1).is_null() {
                let held = Raw::pop(l);
                if held.class() == Class::Coroutine {
                    self.meet(held);
                }
            }
            lua_pop(l, 1);
        }
    }

    /// What the prelude knows of files, prototypes and timers.
    unsafe fn take_down_ours(&mut self) {
        unsafe {
            let records = self.of_prelude(self.names.records);
            self.take_down(records);
            let mut each = entries(records);
            while let Some((_, record)) = each.take() {
                self.take_down(record);
                self.take_down(self.field(record, self.names.names));
                self.take_down(self.field(record, self.names.dispose));
            }
            let prototypes = self.of_prelude(self.names.prototypes);
            self.take_down(prototypes);
            let mut each = entries(prototypes);
            while let Some((_, info)) = each.take() {
                self.take_down(info);
            }
            self.take_down(self.of_prelude(self.names.loaded));
            let timers = self.of_prelude(self.names.timers);
            self.take_down(timers);
            let mut each = entries(timers);
            while let Some((handle, _)) = each.take() {
                self.timers.insert(handle.identity());
            }
        }
    }

    unsafe fn take_down(&mut self, table: Raw) {
        let (l, Some(inner)) = (self.l, table.table()) else { return };
        let list = &mut self.lists.ours;
        unsafe {
            let stop = begin_table(l, list, inner);
            let mut entries = Entries::of(inner);
            while let Some((key, value)) = entries.take() {
                list.append(l, key);
                list.append(l, value);
            }
            list.put(l, stop, Raw::of(list.end));
        }
    }

    unsafe fn table(&mut self, table: *const RawTable) {
        let l = self.l;
        unsafe {
            let subject = Raw::of_table(table);
            let stop = begin_table(l, &mut self.lists.tables, table);
            let metatable = RawTable::metatable(table);
            if !metatable.is_null() {
                self.meet(Raw::of_table(metatable));
            }
            // A list that grows may have it cleared.
            let is_weak = !metatable.is_null() && !RawTable::get(metatable, l, self.names.mode).is_nil();
            let mut entries = Entries::of(table);
            while let Some((key, value)) = entries.take() {
                if is_weak {
                    key.push(l);
                    value.push(l);
                }
                self.lists.tables.append(l, key);
                self.lists.tables.append(l, value);
                if self.meet(value) {
                    self.slots.push([subject, key, value]);
                }
                if key.is_object() && self.meet(key) {
                    self.keys.push([subject, key]);
                }
                if is_weak {
                    lua_pop(l, 2);
                }
            }
            let end = self.lists.tables.end;
            self.lists.tables.put(l, stop, Raw::of(end));
        }
    }

    unsafe fn function(&mut self, function: Raw, cells: &mut Cells) {
        let l = self.l;
        unsafe {
            function.push(l);
            let mut from = 1;
            while let Some(Upvalue { i, cell, name, value }) = next_upvalue(l, from, |cell| cells.has(cell)) {
                from = i + 1;
                cells.add(cell);
                if CStr::from_ptr(name) != c"_ENV" && self.seen.insert(cell) {
                    // It lies in the function, which may give it up only when it runs.
                    self.lists.upvalues.append(l, function);
                    self.lists.upvalues.append(l, Raw::of(i.into()));
                    let value_or_mark =
                        if value.is_nil() { Raw::of_table(self.files.prelude) } else { value };
                    self.lists.upvalues.append(l, value_or_mark);
                    self.meet(value);
                }
            }
            lua_pop(l, 1);
        }
    }
}

/// What a table in a list begins with: see [`Lists`]. Returns where its end is to be noted.
unsafe fn begin_table(l: *mut lua_State, list: &mut List, table: *const RawTable) -> lua_Integer {
    unsafe {
        let metatable = RawTable::metatable(table);
        list.append(l, Raw::of_table(table));
        list.append(l, if metatable.is_null() { Raw::FALSE } else { Raw::of_table(metatable) });
        list.append(l, Raw::of(0));
        list.end
    }
}
