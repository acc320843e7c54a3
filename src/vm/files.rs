//! Running a file: who runs is known meanwhile, and what it made is noted. Functions of C that
//! `prelude/load.lua` calls.
//!
//! Safety of this file: as in `reload/mod.rs`. But code of the user does run in here, at one place: what is
//! used after it is on Lua's stack, or held by the prelude.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::ffi::{CStr, c_int};

use mlua::{
    Lua, Table,
    ffi::{
        LUA_MULTRET, LUA_OK, lua_CFunction, lua_Integer, lua_State, lua_call, lua_closeslot, lua_copy,
        lua_createtable, lua_error, lua_gettop, lua_isnil, lua_newuserdatauv, lua_pcall, lua_pop,
        lua_pushboolean, lua_pushcclosure, lua_pushfstring, lua_pushnil, lua_pushstring, lua_pushthread,
        lua_pushvalue, lua_rawlen, lua_rawseti, lua_setfield, lua_setiuservalue, lua_setmetatable,
        lua_settop, lua_toclose, lua_tostring, lua_touserdata, lua_upvalueindex,
    },
};

use super::{
    deadline,
    foreign::Foreign,
    made::source_file,
    names::Names,
    raw::origin,
    values::{Raw, RawTable, make_room, nth},
};
use crate::reload::source::{Definition, DefinitionId};

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
}

/// `file_functions(P, L)`: they go to `L`, and `P.files` to those of a reload, which know of the same.
unsafe extern "C-unwind" fn file_functions(l: *mut lua_State) -> c_int {
    const PRELUDE: c_int = 1;
    const LOAD: c_int = 2;
    const FILES: c_int = 3;
    const HELD: c_int = 4;
    const FUNCTIONS: [(&CStr, lua_CFunction); 3] = [(c"run", run), (c"made", made), (c"export", export)];
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

/// `made(record, exports)`: notes what the definitions of the file are that has just run for the first time.
unsafe extern "C-unwind" fn made(l: *mut lua_State) -> c_int {
    const RECORD: c_int = 1;
    unsafe {
        let files = enter(l, 2);
        let lua = Lua::get_or_init_from_ptr(l);
        // What we note is not the user's, and nothing may be raised while something is to be dropped.
        let limit = lua.set_memory_limit(0);
        let record = RawTable::at(l, RECORD);
        if let Some(file) = source_file(l, files, record)
            && file.captures
        {
            let locals = RawTable::get(record, l, files.names.locals);
            let values = files.values(l, &file.says, Raw::at(l, 2), locals);
            let value =
                |id: DefinitionId, _: &Definition| values.get(id.index()).copied().unwrap_or(Raw::NIL);
            files.note_made(l, record, &file.says, value);
            RawTable::set(record, l, files.names.locals, Raw::FALSE);
        }
        if let Ok(limit) = limit {
            let _ = lua.set_memory_limit(limit);
        }
        0
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

impl Files {
    pub(super) unsafe fn of_prelude(&self, l: *mut lua_State, name: Raw) -> Raw {
        unsafe { RawTable::get(self.prelude, l, name) }
    }

    /// The files that are running, and how many there are.
    pub(super) unsafe fn stack(&self, l: *mut lua_State) -> (*const RawTable, lua_Integer) {
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
            lua_call(l, 2, LUA_MULTRET);
            self.end_call(l, record, watches, closing + 1);
            lua_closeslot(l, closing);
            lua_copy(l, -1, closing);
            lua_settop(l, closing);
        }
    }

    /// The same in a coroutine. If that ends by an error, what is to be closed in it waits until somebody closes
    /// the coroutine, which may be never; but the traceback is lost anyway.
    unsafe fn call_in_coroutine(&self, l: *mut lua_State, record: *const RawTable, chunk: c_int) {
        unsafe {
            let first = lua_gettop(l) + 1;
            let watches = self.push_call(l, record, chunk);
            let is_good = lua_pcall(l, 2, LUA_MULTRET, 0) == LUA_OK;
            if is_good {
                self.end_call(l, record, watches, first);
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

    /// The function and its arguments. Says whether the deadline begins to look with it: all around it is code of
    /// ours, which the deadline does not look at. So nothing of the user's may run there: `package.loaded` can
    /// have metamethods.
    unsafe fn push_call(&self, l: *mut lua_State, record: *const RawTable, chunk: c_int) -> bool {
        let names = &self.names;
        unsafe {
            lua_pushvalue(l, chunk);
            RawTable::get(record, l, names.name).push(l);
            RawTable::get(record, l, names.path).push(l);
            self.of_prelude(l, names.watch).is_true() && deadline::watch(l)
        }
    }

    /// It has come to its end, and what it returns lies from `first` on. Leaves what it exports there.
    unsafe fn end_call(&self, l: *mut lua_State, record: *const RawTable, watches: bool, first: c_int) {
        let names = &self.names;
        unsafe {
            if watches {
                deadline::unwatch(l);
            }
            let is_captured = lua_gettop(l) >= first + 2 && self.of_prelude(l, names.hot).is_true();
            if is_captured && source_file(l, self, record).is_some_and(|file| file.captures) {
                for (name, at) in [(names.capture, first + 1), (names.locals, first + 2)] {
                    let value = Raw::at(l, at);
                    RawTable::set(record, l, name, if value.is_nil() { Raw::FALSE } else { value });
                }
            }
            lua_settop(l, first);
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
            RawTable::set(record, l, names.running, Raw::TRUE);
            Raw::of_table(stack).push(l);
            Raw::of_table(record).push(l);
            lua_rawseti(l, -2, running + 1);
            lua_pop(l, 4);
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
