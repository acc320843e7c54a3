//! A file that is there already runs again.

use std::ffi::c_int;

use mlua::{
    Lua,
    ffi::{lua_State, lua_call, lua_gettop, lua_pushboolean, lua_pushstring, lua_pushvalue},
};

use super::{Reload, again, enter_reload, entries, merge::Before};
use crate::vm::{
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
        let [exports, made, capture, returned] = [1, 2, 3, 4].map(|i| Raw::at(l, bottom + i));
        let lua = Lua::get_or_init_from_ptr(l);
        // What we note is not the user's, and nothing may be raised while something is to be dropped.
        let limit = lua.set_memory_limit(0);
        let stays = again(l).take(record, returned, &Before { exports, made, capture });
        if let Ok(limit) = limit {
            let _ = lua.set_memory_limit(limit);
        }
        let reload = again(l);
        let why = if !stays.has_type_of(exports) {
            c"type"
        } else if stays.table().is_none() && !stays.is_function() && !stays.equals(l, exports) {
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
    /// Leaves on the stack what the file exported, and what is known of its definitions and locals.
    unsafe fn begin_version(&mut self, record: *const RawTable, file: Raw) -> &'static Files {
        let (l, names) = (self.l, self.names);
        unsafe {
            let get = |name| RawTable::get(record, l, name);
            for name in [names.exports, names.made, names.capture] {
                get(name).push(l);
            }
            self.set(record, names.done, Raw::TRUE);
            self.set(record, names.version, Raw::of(get(names.version).integer() + 1));
            if !file.is_nil() {
                self.set(record, names.file, file);
            }
            for name in [names.dispose, names.accept, names.capture] {
                if get(name).is_true() {
                    self.set(record, name, Raw::FALSE);
                }
            }
            self.name_exports(record, Raw::NIL);
            self.make_plan(record);
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

    /// What the new version of a file made goes into what others hold. Returns what the file exports.
    unsafe fn take(&mut self, record: *const RawTable, returned: Raw, before: &Before) -> Raw {
        unsafe {
            let stays = self.merge_file(record, returned, before);
            self.files.export(self.l, record, stays);
            self.name_exports(record, stays);
            stays
        }
    }
}
