//! Running a file: who runs is known meanwhile, and what it assigns to globals is noted. Functions of C that
//! `prelude/load.lua` calls.
//!
//! Safety of this file: as in `reload/mod.rs`. But code of the user does run in here, at one place: what is
//! used after it is on Lua's stack, or held by the prelude.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::ffi::{CStr, c_int};

use mlua::{
    Lua, Table,
    ffi::{
        LUA_OK, lua_CFunction, lua_Integer, lua_State, lua_call, lua_closeslot, lua_copy, lua_createtable,
        lua_error, lua_gettop, lua_isnil, lua_newuserdatauv, lua_pcall, lua_pop, lua_pushboolean,
        lua_pushcclosure, lua_pushfstring, lua_pushnil, lua_pushstring, lua_pushthread, lua_pushvalue,
        lua_rawlen, lua_rawset, lua_rawseti, lua_replace, lua_setfield, lua_setiuservalue, lua_setmetatable,
        lua_settable, lua_settop, lua_setupvalue, lua_toclose, lua_tostring, lua_touserdata,
        lua_upvalueindex,
    },
};

use super::{
    data::{Foreign, push_copy},
    deadline,
    entries::Entries,
    names::Names,
    raw::{begins_as_listed, note_changes, origin, push_list, push_unlisted},
    values::{Raw, RawTable, make_room, nth, part},
};

/// Adds it to the functions that the prelude gets.
pub(super) fn add(lua: &Lua, host: &Table) -> mlua::Result<()> {
    // SAFETY: it is called by the prelude only, with the arguments that it names.
    unsafe { host.raw_set("file_functions", lua.create_c_function(file_functions)?) }
}

/// What these functions know of the prelude. It lies in a userdata, which holds the names.
pub(super) struct Files {
    pub(super) names: Names,
    /// `P`, and `L`.
    pub(super) prelude: *const RawTable,
    load: *const RawTable,
    pub(super) globals: Raw,
    pub(super) foreign: Foreign,
    /// Stands in copies for a function.
    pub(super) mark: Raw,
}

/// `file_functions(P, L)`: they go to `L`, and `P.files` to those of a reload, which know of the same.
unsafe extern "C-unwind" fn file_functions(l: *mut lua_State) -> c_int {
    const PRELUDE: c_int = 1;
    const LOAD: c_int = 2;
    const FILES: c_int = 3;
    const HELD: c_int = 4;
    const FUNCTIONS: [(&CStr, lua_CFunction); 4] =
        [(c"run", run), (c"untrack", untrack), (c"globals_of", globals_of), (c"export", export)];
    unsafe {
        lua_settop(l, LOAD);
        make_room(l);
        let files = lua_newuserdatauv(l, size_of::<Files>(), 1).cast::<Files>();
        // Room for the names, and for what else is to stay as long as these functions.
        lua_createtable(l, 2, 64);
        lua_pushvalue(l, PRELUDE);
        lua_rawseti(l, HELD, 1);
        lua_pushvalue(l, LOAD);
        lua_rawseti(l, HELD, 2);
        let names = Names::new(l, RawTable::at(l, HELD));
        lua_setiuservalue(l, FILES, 1);
        let prelude = RawTable::at(l, PRELUDE);
        let of = |name| RawTable::get(prelude, l, name);
        files.write(Files {
            globals: of(names.globals),
            mark: RawTable::field(prelude, l, c"FUNCTION"),
            foreign: Foreign::of(l, prelude),
            prelude,
            load: RawTable::at(l, LOAD),
            names,
        });
        for (name, function) in FUNCTIONS {
            lua_pushvalue(l, FILES);
            lua_pushcclosure(l, function, 1);
            lua_setfield(l, LOAD, name.as_ptr());
        }
        lua_createtable(l, 0, 1);
        lua_pushvalue(l, FILES);
        lua_pushcclosure(l, leave, 1);
        lua_setfield(l, -2, c"__close".as_ptr());
        lua_setmetatable(l, FILES);
        lua_pushvalue(l, FILES);
        lua_setfield(l, PRELUDE, c"files".as_ptr());
        0
    }
}

/// What each of the functions begins with: only its arguments are on the stack, and there is room.
unsafe fn enter<'a>(l: *mut lua_State, arguments: c_int) -> &'a Files {
    unsafe {
        lua_settop(l, arguments);
        make_room(l);
        &*lua_touserdata(l, lua_upvalueindex(1)).cast::<Files>()
    }
}

/// `run(record, chunk)`: runs that version of the file. Returns what it exports.
unsafe extern "C-unwind" fn run(l: *mut lua_State) -> c_int {
    const RECORD: c_int = 1;
    const CHUNK: c_int = 2;
    unsafe {
        let files = enter(l, CHUNK);
        files.run(l, RawTable::at(l, RECORD), CHUNK);
        1
    }
}

/// `untrack(record)`: what the file assigns from here on is not noted.
unsafe extern "C-unwind" fn untrack(l: *mut lua_State) -> c_int {
    unsafe {
        let files = enter(l, 1);
        files.untrack(l, RawTable::at(l, 1));
        0
    }
}

/// `globals_of(record)`: what the globals are that a file has assigned, as its source set them. A function is
/// there itself: it goes when it leaves the source, unless somebody else has put another in its place.
unsafe extern "C-unwind" fn globals_of(l: *mut lua_State) -> c_int {
    unsafe {
        let files = enter(l, 1);
        files.push_globals_of(l, RawTable::at(l, 1));
        1
    }
}

/// `export(record, exports)`
unsafe extern "C-unwind" fn export(l: *mut lua_State) -> c_int {
    unsafe {
        let files = enter(l, 2);
        files.export(l, RawTable::at(l, 1), Raw::at(l, 2));
        0
    }
}

/// `__close` of these functions: see [`Files::call`].
unsafe extern "C-unwind" fn leave(l: *mut lua_State) -> c_int {
    unsafe {
        let files = enter(l, 0);
        files.leave(l);
        0
    }
}

/// `__newindex` of a file's environment: a global is set, and what was there before is noted.
unsafe extern "C-unwind" fn assign(l: *mut lua_State) -> c_int {
    const ASSIGNED: c_int = 1;
    const GLOBALS: c_int = 2;
    const PRELUDE: c_int = 3;
    unsafe {
        lua_settop(l, 3);
        make_room(l);
        let of = |i| RawTable::at(l, lua_upvalueindex(i));
        let (assigned, globals, name) = (of(ASSIGNED), of(GLOBALS), Raw::at(l, 2));
        if RawTable::get(assigned, l, name).is_nil() {
            let was = RawTable::get(globals, l, name);
            RawTable::set(assigned, l, name, if was.is_nil() { Raw::of_table(of(PRELUDE)) } else { was });
        }
        Raw::of_table(globals).push(l);
        lua_replace(l, 1);
        // The program's, in a state that is somebody else's, may have metamethods.
        lua_settable(l, 1);
        0
    }
}

impl Files {
    unsafe fn of_prelude(&self, l: *mut lua_State, name: Raw) -> Raw {
        unsafe { RawTable::get(self.prelude, l, name) }
    }

    /// The files that are running, and how many there are.
    unsafe fn stack(&self, l: *mut lua_State) -> (*const RawTable, lua_Integer) {
        unsafe {
            let stack = self.of_prelude(l, self.names.stack);
            stack.push(l);
            let count = lua_rawlen(l, -1);
            lua_pop(l, 1);
            (stack.table().unwrap_or(self.prelude), lua_Integer::try_from(count).unwrap_or(0))
        }
    }

    /// Runs the file, whose function is at that index. Leaves what it exports on top of the stack.
    pub(super) unsafe fn run(&self, l: *mut lua_State, record: *const RawTable, chunk: c_int) {
        let names = &self.names;
        unsafe {
            self.begin(l, record, chunk);
            let is_main = lua_pushthread(l) != 0;
            lua_pop(l, 1);
            if is_main {
                self.call(l, record, chunk);
            } else {
                self.call_in_coroutine(l, record, chunk);
            }
            if lua_isnil(l, -1) != 0
                && let Some(loaded) = self.of_prelude(l, names.loaded).table()
            {
                lua_pop(l, 1);
                RawTable::get(loaded, l, RawTable::get(record, l, names.name)).push(l);
            }
            if lua_isnil(l, -1) != 0 {
                lua_pop(l, 1);
                lua_pushboolean(l, 1);
            }
        }
    }

    /// Leaves the file however it ends, without losing the traceback of an error as a protected call would.
    unsafe fn call(&self, l: *mut lua_State, record: *const RawTable, chunk: c_int) {
        unsafe {
            self.of_prelude(l, self.names.files).push(l);
            let closing = lua_gettop(l);
            lua_toclose(l, closing);
            let watches = self.push_call(l, record, chunk);
            lua_call(l, 2, 1);
            self.end_call(l, record, watches);
            lua_closeslot(l, closing);
            lua_copy(l, -1, closing);
            lua_settop(l, closing);
        }
    }

    /// The same in a coroutine. If that ends by an error, what is to be closed in it waits until somebody closes
    /// the coroutine, which may be never; but the traceback is lost anyway.
    unsafe fn call_in_coroutine(&self, l: *mut lua_State, record: *const RawTable, chunk: c_int) {
        unsafe {
            let watches = self.push_call(l, record, chunk);
            let is_good = lua_pcall(l, 2, 1, 0) == LUA_OK;
            if is_good {
                self.end_call(l, record, watches);
            }
            self.leave(l);
            if !is_good {
                self.explain_yield(l, record);
                lua_error(l);
            }
        }
    }

    /// In place of what Lua says of a file that yields, which names neither the file nor what to do.
    unsafe fn explain_yield(&self, l: *mut lua_State, record: *const RawTable) {
        unsafe {
            let error = Raw::top(l);
            let yields = Raw::text(l, c"attempt to yield across a C-call boundary");
            if error.equals(l, yields) {
                // A chunk's name begins with a mark that it is a file's.
                RawTable::get(record, l, self.names.source).push(l);
                let file = lua_tostring(l, -1).add(1);
                lua_pushfstring(
                    l,
                    c"%s: a file cannot yield while it is required; yield in a function of it".as_ptr(),
                    file,
                );
            }
        }
    }

    /// The function and its arguments. Says whether the deadline begins to look with it: all around it is code of ours, which the deadline does not look at. So
    /// nothing of the user's may run there: `package.loaded` can have metamethods.
    unsafe fn push_call(&self, l: *mut lua_State, record: *const RawTable, chunk: c_int) -> bool {
        let names = &self.names;
        unsafe {
            if self.of_prelude(l, names.hot).is_true() {
                self.track(l, record, chunk);
            }
            lua_pushvalue(l, chunk);
            RawTable::get(record, l, names.name).push(l);
            RawTable::get(record, l, names.path).push(l);
            self.of_prelude(l, names.watch).is_true() && deadline::watch(l)
        }
    }

    /// It has come to its end, and what it returns is on top of the stack.
    unsafe fn end_call(&self, l: *mut lua_State, record: *const RawTable, watches: bool) {
        unsafe {
            if watches {
                deadline::unwatch(l);
            }
            let exports = Raw::top(l);
            if RawTable::get(record, l, self.names.exports).is_nil() {
                // See `leave`. What it really exports is known later.
                RawTable::set(
                    record,
                    l,
                    self.names.exports,
                    if exports.is_nil() { Raw::TRUE } else { exports },
                );
            }
        }
    }

    /// The innermost file that runs does so no longer.
    unsafe fn leave(&self, l: *mut lua_State) {
        let names = &self.names;
        unsafe {
            let (stack, running) = self.stack(l);
            let subject = nth(RawTable::list(stack), running);
            let Some(record) = subject.table() else { return };
            // On Lua's stack: nobody else may hold it.
            subject.push(l);
            Raw::of_table(stack).push(l);
            lua_pushnil(l);
            lua_rawseti(l, -2, running);
            RawTable::set(record, l, names.running, Raw::FALSE);
            self.untrack(l, record);
            if RawTable::get(record, l, names.exports).is_nil() {
                // It has not come to its end when it ran first.
                RawTable::get(self.load, l, names.failed).push(l);
                subject.push(l);
                lua_call(l, 1, 0);
            }
            lua_pop(l, 2);
        }
    }

    unsafe fn begin(&self, l: *mut lua_State, record: *const RawTable, chunk: c_int) {
        let names = &self.names;
        unsafe {
            lua_pushvalue(l, chunk);
            lua_pushstring(l, origin(l, Raw::top(l)).0);
            RawTable::set(record, l, names.source, Raw::top(l));
            lua_createtable(l, 0, 0);
            RawTable::set(record, l, names.deps, Raw::top(l));
            let (stack, running) = self.stack(l);
            if let Some(around) = nth(RawTable::list(stack), running).table() {
                self.note_unseen(l, around);
            }
            RawTable::set(record, l, names.running, Raw::TRUE);
            Raw::of_table(stack).push(l);
            Raw::of_table(record).push(l);
            lua_rawseti(l, -2, running + 1);
            lua_pop(l, 4);
        }
    }

    /// What the chunk assigns to globals goes where it is noted with what was there before. Its functions share
    /// the variable that holds its environment, so afterwards they see the globals themselves.
    unsafe fn track(&self, l: *mut lua_State, record: *const RawTable, chunk: c_int) {
        let names = &self.names;
        unsafe {
            let height = lua_gettop(l);
            let set = |table, name, value| RawTable::set(table, l, name, value);
            let metatable = match RawTable::get(record, l, names.metatable).table() {
                Some(metatable) => metatable,
                None => {
                    // Once for all versions.
                    lua_createtable(l, 0, 3);
                    set(record, names.metatable, Raw::top(l));
                    RawTable::at(l, -1)
                }
            };
            lua_createtable(l, 0, 0);
            set(record, names.assigned, Raw::top(l));
            self.globals.push(l);
            Raw::of_table(self.prelude).push(l);
            // It may stay when these functions are let go, so it is not to hold them.
            lua_pushcclosure(l, assign, 3);
            // All of it: the version before could have done anything to it.
            set(metatable, names.new_index, Raw::top(l));
            set(metatable, names.index, self.globals);
            set(metatable, names.pairs, RawTable::get(self.load, l, names.pairs_of_globals));
            lua_pushvalue(l, chunk);
            lua_createtable(l, 0, 0);
            Raw::of_table(metatable).push(l);
            lua_setmetatable(l, -2);
            lua_setupvalue(l, -2, 1);
            set(record, names.chunk, Raw::top(l));
            self.note_globals(l, record);
            lua_settop(l, height);
        }
    }

    /// What is in the globals, to tell later what else the file has set, as a list.
    unsafe fn note_globals(&self, l: *mut lua_State, record: *const RawTable) {
        let names = &self.names;
        unsafe {
            if let Some(reload) = self.of_prelude(l, names.reload).table()
                && RawTable::get(reload, l, names.untouched).is_true()
            {
                // They are listed already, as the first of the snapshot.
                RawTable::set(reload, l, names.untouched, Raw::FALSE);
                RawTable::set(record, l, names.was, RawTable::get(reload, l, names.tables));
            } else if let Some(globals) = self.globals.table() {
                push_list(l, globals);
                RawTable::set(record, l, names.was, Raw::pop(l));
            }
        }
    }

    unsafe fn was<'a>(&self, l: *mut lua_State, record: *const RawTable) -> Option<&'a [Raw]> {
        let names = &self.names;
        unsafe {
            let list = RawTable::get(record, l, names.was);
            let values = RawTable::list(list.table()?);
            let reload = self.of_prelude(l, names.reload).table();
            let is_snapshot = reload.is_some_and(|reload| RawTable::get(reload, l, names.tables).is(list));
            Some(if is_snapshot { part(values, 4, nth(values, 3).integer()) } else { values })
        }
    }

    /// Past the environment, by `_G.x = 1` or `rawset`, globals are set unseen: they are compared with what was
    /// there.
    unsafe fn note_unseen(&self, l: *mut lua_State, record: *const RawTable) {
        unsafe {
            let (Some(was), Some(globals)) = (self.was(l, record), self.globals.table()) else { return };
            if begins_as_listed(globals, was) == Some(0) {
                return;
            }
            let assigned = RawTable::get(record, l, self.names.assigned);
            push_unlisted(l, was);
            let was = RawTable::at(l, -1);
            if let Some(assigned) = assigned.table() {
                note_changes(l, globals, was, assigned, Raw::of_table(self.prelude));
            }
            lua_pop(l, 1);
        }
    }

    /// Those around it have not set what it has set.
    unsafe fn hand_over(&self, l: *mut lua_State, record: *const RawTable) {
        unsafe {
            let assigned = RawTable::get(record, l, self.names.assigned).table();
            let (Some(assigned), Some(globals)) = (assigned, self.globals.table()) else { return };
            if Entries::of(assigned).take().is_none() {
                return;
            }
            let (stack, running) = self.stack(l);
            for i in 1..=running {
                let Some(around) = nth(RawTable::list(stack), i).table() else { continue };
                let Some(was) = self.was(l, around) else { continue };
                push_unlisted(l, was);
                let was = RawTable::at(l, -1);
                let mut names = Entries::of(assigned);
                while let Some((name, _)) = names.take() {
                    name.push(l);
                    RawTable::get(globals, l, name).push(l);
                    lua_rawset(l, -3);
                }
                push_list(l, was);
                RawTable::set(around, l, self.names.was, Raw::top(l));
                lua_pop(l, 2);
            }
        }
    }

    unsafe fn untrack(&self, l: *mut lua_State, record: *const RawTable) {
        let names = &self.names;
        unsafe {
            let chunk = RawTable::get(record, l, names.chunk);
            if !chunk.is_function() {
                return;
            }
            self.note_unseen(l, record);
            self.hand_over(l, record);
            // Not nil: an entry that has left a table takes a new place in it when it comes back.
            RawTable::set(record, l, names.was, Raw::FALSE);
            chunk.push(l);
            self.globals.push(l);
            lua_setupvalue(l, -2, 1);
            lua_pop(l, 1);
            if let Some(metatable) = RawTable::get(record, l, names.metatable).table() {
                // Who kept the environment itself uses it on.
                RawTable::set(metatable, l, names.new_index, self.globals);
            }
            RawTable::set(record, l, names.chunk, Raw::FALSE);
        }
    }

    /// See [`globals_of`]; nil if there are none.
    pub(super) unsafe fn push_globals_of(&self, l: *mut lua_State, record: *const RawTable) {
        unsafe {
            let assigned = RawTable::get(record, l, self.names.assigned).table();
            let mut names = assigned.map_or(Entries::NONE, |assigned| Entries::of(assigned));
            lua_pushnil(l);
            while let (Some((name, _)), Some(globals)) = (names.take(), self.globals.table()) {
                if lua_isnil(l, -1) != 0 {
                    lua_pop(l, 1);
                    lua_createtable(l, 0, 4);
                }
                let value = RawTable::get(globals, l, name);
                name.push(l);
                if value.is_function() {
                    value.push(l);
                } else {
                    push_copy(l, self.foreign, self.mark, value);
                }
                lua_rawset(l, -3);
            }
        }
    }

    /// What the file returns belongs to it.
    pub(super) unsafe fn export(&self, l: *mut lua_State, record: *const RawTable, exports: Raw) {
        unsafe {
            RawTable::set(record, l, self.names.exports, exports);
            let is_its = match exports.table() {
                Some(_) => !self.foreign.has(l, exports),
                None => exports.is_function(),
            };
            if is_its && let Some(exported) = self.of_prelude(l, self.names.exported).table() {
                RawTable::set(exported, l, exports, Raw::of_table(record));
            }
        }
    }
}
