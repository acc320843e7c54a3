//! The walk over everything that user code can reach, before a reload, so that a bad one can be undone.

use std::ffi::{CStr, c_int};

use mlua::ffi::{
    lua_Integer, lua_State, lua_createtable, lua_getupvalue, lua_iscfunction, lua_pop, lua_pushboolean,
    lua_setfield, lua_tointeger, lua_upvalueid,
};

use super::{Cells, Lists, Reload, enter, is_no_name};
use crate::vm::{
    entries::{Entries, List},
    values::{Class, Raw, RawTable, nth},
};

/// `snapshot(max)`: everything, up to so many tables, as a table with
/// `tables`: table, metatable or false, index of its last value, key, value, key, value ... one after the
///   other, the globals first. A list takes less time and leaves less garbage than a copy of each table;
/// `slots`: table, key, function ... for each function that is in a table;
/// `functions`, `coroutines`; `upvalues`: function, index, value (`P` for nil) ... Those that functions share
///   are there once;
/// `queue`: the tables; `held`: what is remembered on the way;
/// `complete`: whether that was all.
pub(super) unsafe extern "C-unwind" fn snapshot(l: *mut lua_State) -> c_int {
    const MAX: c_int = 1;
    const BATCH: c_int = 2;
    unsafe {
        let reload = enter(l, MAX);
        let max = lua_tointeger(l, MAX);
        reload.clear();
        lua_createtable(l, 0, 20);
        let mut lists = [List::NONE, List::NONE, List::NONE, List::NONE, List::NONE, List::NONE, List::NONE];
        for ((list, size), name) in lists.iter_mut().zip(reload.sizes).zip(Lists::NAMES) {
            lua_createtable(l, c_int::try_from(size).unwrap_or(0), 0);
            *list = List::at(l, -1);
            lua_setfield(l, BATCH, name.as_ptr());
        }
        let [queue, functions, coroutines, tables, slots, upvalues, held] = lists;
        reload.lists = Lists { queue, functions, coroutines, tables, slots, upvalues, held };
        reload.is_complete = reload.walk(max);
        lua_pushboolean(l, c_int::from(reload.is_complete));
        lua_setfield(l, BATCH, c"complete".as_ptr());
        1
    }
}

impl Lists {
    const NAMES: [&CStr; 7] =
        [c"queue", c"functions", c"coroutines", c"tables", c"slots", c"upvalues", c"held"];

    pub(super) fn ends(&self) -> [lua_Integer; 7] {
        let Self { queue, functions, coroutines, tables, slots, upvalues, held } = self;
        [queue, functions, coroutines, tables, slots, upvalues, held].map(|list| list.end)
    }
}

impl Reload {
    /// Once: what the prelude knows to be of the library or of ours.
    pub(super) unsafe fn know_library(&mut self) {
        let prelude = Raw::of_table(self.prelude);
        self.known.insert(prelude.identity());
        unsafe {
            for (name, is_known) in [(c"library", true), (c"own", false)] {
                let Some(tables) = RawTable::field(self.prelude, self.l, name).table() else { continue };
                let mut tables = Entries::of(tables);
                while let Some((table, _)) = tables.take() {
                    if is_known {
                        self.known.insert(table.identity());
                    }
                    self.know_functions(table);
                }
            }
        }
    }

    /// Those in the table that are of C, or of ours: these have upvalues without a name.
    unsafe fn know_functions(&mut self, table: Raw) {
        let l = self.l;
        let Some(table) = table.table() else { return };
        unsafe {
            let mut entries = Entries::of(table);
            while let Some((_, value)) = entries.take() {
                if !value.is_function() {
                    continue;
                }
                value.push(l);
                let mut is_known = lua_iscfunction(l, -1) != 0;
                if !is_known {
                    let name = lua_getupvalue(l, -1, 1);
                    if !name.is_null() {
                        is_known = is_no_name(name);
                        lua_pop(l, 1);
                    }
                }
                lua_pop(l, 1);
                if is_known {
                    self.known.insert(value.identity());
                }
            }
        }
    }

    /// Says whether it came to the end of everything.
    unsafe fn walk(&mut self, max: lua_Integer) -> bool {
        unsafe {
            self.meet(self.globals);
            self.meet_prototypes();
            let placed = self.lists.queue.end;
            self.meet_what_is_held_for_users();
            let mut cells = Cells::default();
            let (mut at, mut looked) = (0, 0);
            loop {
                while at < self.lists.queue.end && at < max {
                    at += 1;
                    if let Some(table) = nth(self.lists.queue.values(), at).table() {
                        self.table(table, at <= placed);
                    }
                }
                while looked < self.lists.functions.end && looked < max {
                    looked += 1;
                    self.function(nth(self.lists.functions.values(), looked), &mut cells);
                }
                let (tables, functions) = (self.lists.queue.end, self.lists.functions.end);
                if (at == tables || at >= max) && (looked == functions || looked >= max) {
                    return at == tables && looked == functions;
                }
            }
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
                for name in [self.names.exports, self.names.data, self.names.accept] {
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

    /// Takes note of what somebody holds.
    #[inline]
    unsafe fn meet(&mut self, value: Raw) {
        let list = match value.class() {
            Class::Table => &mut self.lists.queue,
            Class::Function => &mut self.lists.functions,
            Class::Coroutine => &mut self.lists.coroutines,
            Class::Other => return,
        };
        let identity = value.identity();
        if !self.known.contains(&identity) && self.seen.insert(identity) {
            unsafe { list.append(self.l, value) }
        }
    }

    unsafe fn table(&mut self, table: *const RawTable, has_place: bool) {
        let l = self.l;
        unsafe {
            let subject = Raw::of_table(table);
            if has_place {
                self.places.insert(subject.identity(), self.lists.tables.end + 1);
            }
            self.lists.tables.append(l, subject);
            let metatable = RawTable::metatable(table);
            if metatable.is_null() {
                self.lists.tables.append(l, Raw::FALSE);
            } else {
                let metatable = Raw::of_table(metatable);
                self.meet(metatable);
                self.lists.tables.append(l, metatable);
            }
            self.lists.tables.append(l, Raw::of(0));
            let stop = self.lists.tables.end;
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
                match value.class() {
                    // Most of the globals are known.
                    Class::Function if !self.known.contains(&value.identity()) => {
                        self.lists.slots.append(l, subject);
                        self.lists.slots.append(l, key);
                        self.lists.slots.append(l, value);
                        self.meet(value);
                    }
                    Class::Table | Class::Coroutine => self.meet(value),
                    _ => {}
                }
                if key.is_object() {
                    self.meet(key);
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
            for i in 1.. {
                let identity = lua_upvalueid(l, -1, i);
                if identity.is_null() {
                    break;
                }
                // Functions of one file share theirs.
                if cells.has(identity) {
                    continue;
                }
                let name = lua_getupvalue(l, -1, i);
                if name.is_null() {
                    break;
                }
                let value = Raw::pop(l);
                if is_no_name(name) {
                    break;
                }
                cells.add(identity);
                if CStr::from_ptr(name) != c"_ENV" && self.seen.insert(identity.addr()) {
                    // It lies in the function, which may give it up only when it runs.
                    self.lists.upvalues.append(l, function);
                    self.lists.upvalues.append(l, Raw::of(i.into()));
                    let value_or_mark = if value.is_nil() { Raw::of_table(self.prelude) } else { value };
                    self.lists.upvalues.append(l, value_or_mark);
                    self.meet(value);
                }
            }
            lua_pop(l, 1);
        }
    }
}

/// Those of a table of ours; none of anything else.
pub(super) unsafe fn entries(table: Raw) -> Entries {
    table.table().map_or(Entries::NONE, |table| unsafe { Entries::of(table) })
}
