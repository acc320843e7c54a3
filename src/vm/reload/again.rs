//! A file that is there already runs again.

use std::ffi::c_int;

use mlua::ffi::{lua_State, lua_call, lua_gettop, lua_pop, lua_pushboolean, lua_pushstring, lua_pushvalue};

use super::{Reload, again, enter_reload, entries};
use crate::vm::{
    data::push_copy,
    files::Files,
    values::{Raw, RawTable},
};

/// `reload(path, chunk, file, name)`: runs the new version of a file, which is `chunk`. `file` and `name` are
/// not given if it is loaded under these. Says whether files are to run beyond the plan.
pub(super) unsafe extern "C-unwind" fn reload(l: *mut lua_State) -> c_int {
    const PATH: c_int = 1;
    const CHUNK: c_int = 2;
    const FILE: c_int = 3;
    const NAME: c_int = 4;
    unsafe {
        let reload = enter_reload(l, NAME);
        let record = reload.field(reload.of_prelude(reload.names.records), Raw::at(l, PATH));
        // It may be unloaded while it runs.
        record.push(l);
        if let Some(record) = record.table() {
            // Or somebody has required it meanwhile.
            if !RawTable::get(record, l, reload.names.done).is_true() {
                run(l, record, CHUNK, Raw::at(l, FILE));
            }
        } else {
            reload.field(reload.of_prelude(reload.names.load), reload.names.load_first).push(l);
            for argument in PATH..=NAME {
                lua_pushvalue(l, argument);
            }
            lua_call(l, 4, 0);
        }
        let reload = again(l);
        let has_more = entries(reload.of_reload(reload.names.extra)).take().is_some();
        lua_pushboolean(l, c_int::from(has_more));
        1
    }
}

/// Code of the user runs in here, and may come back: so nothing that was known of the reload before it is used
/// after it but what is on the stack.
unsafe fn run(l: *mut lua_State, record: *const RawTable, chunk: c_int, file: Raw) {
    unsafe {
        let bottom = lua_gettop(l);
        let files = again(l).begin_version(record, file);
        files.run(l, record, chunk);
        let [before, base, globals, exports] = [1, 2, 3, 4].map(|i| Raw::at(l, bottom + i));
        let reload = again(l);
        reload.take(record, exports, before, base, globals);
        let why = if !exports.has_type_of(before) {
            c"type"
        } else if exports.table().is_none() && !exports.is_function() && !exports.equals(l, before) {
            c"scalar"
        } else {
            return;
        };
        // What requires this one cannot follow by itself.
        reload.of_reload(reload.names.run_dependents).push(l);
        Raw::of_table(record).push(l);
        lua_pushstring(l, why.as_ptr());
        lua_call(l, 2, 0);
    }
}

impl Reload {
    /// Leaves on the stack what the file exported, and what its source set, in exports and in globals.
    unsafe fn begin_version(&mut self, record: *const RawTable, file: Raw) -> &'static Files {
        let (l, names) = (self.l, self.names);
        unsafe {
            let get = |name| RawTable::get(record, l, name);
            for name in [names.exports, names.base, names.globals] {
                get(name).push(l);
            }
            self.set(record, names.done, Raw::TRUE);
            self.set(record, names.version, Raw::of(get(names.version).integer() + 1));
            if !file.is_nil() {
                self.set(record, names.file, file);
            }
            let dispose = get(names.dispose);
            if dispose.is_true() {
                self.set(record, names.old_dispose, dispose);
                self.set(record, names.dispose, Raw::FALSE);
            }
            if get(names.accept).is_true() {
                self.set(record, names.accept, Raw::FALSE);
            }
            self.name_exports(record, Raw::NIL);
        }
        self.files
    }

    /// `package.loaded` has that under all names of the file.
    unsafe fn name_exports(&mut self, record: *const RawTable, exports: Raw) {
        let names = self.names;
        unsafe {
            let Some(loaded) = self.of_prelude(names.loaded).table() else { return };
            let mut each = entries(RawTable::get(record, self.l, names.names));
            while let Some((name, _)) = each.take() {
                self.set(loaded, name, exports);
            }
        }
    }

    /// What the new version of a file made goes into what others hold.
    unsafe fn take(&mut self, record: *const RawTable, exports: Raw, before: Raw, base: Raw, globals: Raw) {
        let (l, names) = (self.l, self.names);
        unsafe {
            if exports.table().is_some() {
                push_copy(l, self.files.foreign, self.files.mark, exports);
            } else {
                Raw::FALSE.push(l);
            }
            self.set(record, names.base, Raw::top(l));
            self.files.push_globals_of(l, record);
            let now = Raw::top(l);
            self.set(record, names.globals, if now.is_nil() { Raw::FALSE } else { now });
            lua_pop(l, 2);
            let subject = Raw::of_table(record);
            let stays = self.merge_file(subject, before, exports, base, globals);
            self.set(record, names.assigned, Raw::FALSE);
            self.files.export(l, record, stays);
            self.name_exports(record, stays);
            if !self.merge.changed.is_empty() {
                for i in 0..self.merge.changed.len() {
                    self.hold(self.merge.changed[i]);
                }
                self.changed.push((subject, std::mem::take(&mut self.merge.changed)));
            }
        }
    }
}
