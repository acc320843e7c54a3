//! What the definitions of a file are at run time.
//!
//! Safety of this file: as in `reload/mod.rs`.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::{ffi::c_int, os::unix::ffi::OsStrExt as _, path::Path, sync::Arc};

use mlua::{
    Lua,
    ffi::{
        lua_State, lua_createtable, lua_pop, lua_pushboolean, lua_pushinteger, lua_pushlstring,
        lua_pushnumber, lua_rawseti, lua_setmetatable,
    },
};

use super::{
    entries::Entries,
    files::Files,
    host::HostState,
    raw::lines,
    values::{Raw, RawTable},
};
use crate::reload::{
    SourceFile,
    source::{Definition, DefinitionId, Key, Kind, Source},
};

/// A string of ours as a value. It is held as long as no garbage is collected.
pub(super) unsafe fn text(l: *mut lua_State, text: &str) -> Raw {
    unsafe {
        lua_pushlstring(l, text.as_ptr().cast(), text.len());
        Raw::pop(l)
    }
}

/// The version of a file that is to run, or runs.
pub(super) unsafe fn source_file(
    l: *mut lua_State,
    files: &Files,
    record: *const RawTable,
) -> Option<Arc<SourceFile>> {
    unsafe {
        let lua = Lua::get_or_init_from_ptr(l);
        let file = RawTable::get(record, l, files.names.file);
        with_text(l, file, |file| {
            let state = lua.try_app_data_ref::<HostState>().ok().flatten()?;
            state.generation.file(file).cloned()
        })
    }
}

/// A path that the prelude has as a string.
pub(super) unsafe fn with_text<R>(
    l: *mut lua_State,
    value: Raw,
    work: impl FnOnce(&Path) -> Option<R>,
) -> Option<R> {
    if !value.is_string() {
        return None;
    }
    unsafe {
        value.push(l);
        let mut length = 0;
        let bytes = mlua::ffi::lua_tolstring(l, -1, &raw mut length);
        let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), length);
        let result = work(Path::new(std::ffi::OsStr::from_bytes(bytes)));
        lua_pop(l, 1);
        result
    }
}

impl Files {
    /// What each definition of the file is right after it has run, by its number; nil if that cannot be told.
    pub(super) unsafe fn values(
        &self,
        l: *mut lua_State,
        source: &Source,
        exports: Raw,
        locals: Raw,
    ) -> Vec<Raw> {
        let mut values: Vec<Raw> = Vec::new();
        for (_, one) in source.definitions() {
            let within = one.parent.and_then(|parent| values.get(parent.index()).copied());
            let value = unsafe {
                match (within, &one.key) {
                    (None, key) => self.root(l, key, exports, locals, source, values.len()),
                    (Some(table), Key::Metatable) => metatable(table),
                    (Some(table), of) => match (table.table(), self.key(l, source, &values, of)) {
                        (Some(table), Some(key)) => {
                            let declared = self.declared(l, source, one, key);
                            let value =
                                if declared.is_object() { declared } else { RawTable::get(table, l, key) };
                            let is_method = value.is_nil() && one.kind == Kind::Function;
                            if is_method { method(l, table, key, one.line) } else { value }
                        }
                        _ => Raw::NIL,
                    },
                }
            };
            values.push(value);
        }
        values
    }

    /// What the name of a part is as a key. `None`: the source does not say.
    pub(super) unsafe fn key(
        &self,
        l: *mut lua_State,
        source: &Source,
        values: &[Raw],
        key: &Key,
    ) -> Option<Raw> {
        unsafe {
            match key {
                Key::Field(name) => Some(text(l, name)),
                Key::Element(position) => Some(Raw::of(i64::from(*position))),
                Key::At(written) => {
                    match (written.parse::<i64>(), written.parse::<f64>(), &**written) {
                        (Ok(integer), ..) => lua_pushinteger(l, integer),
                        (_, Ok(number), _) if written.starts_with(|first: char| first.is_ascii_digit()) => {
                            lua_pushnumber(l, number);
                        }
                        (.., "true" | "false") => lua_pushboolean(l, c_int::from(&**written == "true")),
                        _ => return self.path(l, source, values, written),
                    }
                    Some(Raw::pop(l))
                }
                _ => None,
            }
        }
    }

    /// `State.IDLE`
    unsafe fn path(&self, l: *mut lua_State, source: &Source, values: &[Raw], path: &str) -> Option<Raw> {
        let mut names = path.split('.');
        let first = names.next()?;
        let local = source.locals().iter().find(|(known, _)| **known == *first);
        let mut value = match local {
            Some((_, id)) => *values.get(id.index())?,
            None => {
                let globals = self.globals.table()?;
                unsafe { RawTable::get(globals, l, text(l, first)) }
            }
        };
        for name in names {
            value = unsafe { RawTable::get(value.table()?, l, text(l, name)) };
        }
        (!value.is_nil()).then_some(value)
    }

    /// What a prototype that was there before has just been declared with: only what was edited is put into it.
    unsafe fn declared(&self, l: *mut lua_State, source: &Source, one: &Definition, key: Raw) -> Raw {
        let names = &self.names;
        let parent = one.parent.and_then(|parent| source.get(parent)).map(|parent| &parent.key);
        let Some(Key::Prototype(name)) = parent else { return Raw::NIL };
        unsafe {
            let field =
                |table: Raw, name| table.table().map_or(Raw::NIL, |table| RawTable::get(table, l, name));
            let inits = field(self.of_prelude(l, names.reload), names.inits);
            field(field(inits, text(l, name)), key)
        }
    }

    unsafe fn root(
        &self,
        l: *mut lua_State,
        key: &Key,
        exports: Raw,
        locals: Raw,
        source: &Source,
        number: usize,
    ) -> Raw {
        let in_table = |table: Raw, name: &str| unsafe {
            let key = text(l, name);
            table.table().map_or(Raw::NIL, |table| RawTable::get(table, l, key))
        };
        unsafe {
            match key {
                Key::Local(name, _) if is_visible(source, name, number) => in_table(locals, name),
                Key::Global(name) => in_table(self.globals, name),
                Key::Returned => exports,
                Key::Module(name) => in_table(self.of_prelude(l, self.names.loaded), name),
                Key::Prototype(name) => {
                    let info = in_table(self.of_prelude(l, self.names.prototypes), name);
                    info.table().map_or(Raw::NIL, |info| RawTable::get(info, l, self.names.prototype))
                }
                _ => Raw::NIL,
            }
        }
    }

    /// Notes which objects the definitions of a file are, so that the next version finds them, wherever they
    /// are by then. Nobody is held by that.
    pub(super) unsafe fn note_made(
        &self,
        l: *mut lua_State,
        record: *const RawTable,
        source: &Source,
        value: impl Fn(DefinitionId, &Definition) -> Raw,
    ) {
        unsafe {
            lua_createtable(l, c_int::try_from(source.objects().len()).unwrap_or(0), 0);
            for (i, &id) in (1..).zip(source.objects()) {
                let made = source.get(id).map_or(Raw::NIL, |one| value(id, one));
                if made.is_object() {
                    made.push(l);
                    lua_rawseti(l, -2, i);
                }
            }
            self.of_prelude(l, self.names.weak).push(l);
            lua_setmetatable(l, -2);
            RawTable::set(record, l, self.names.made, Raw::top(l));
            lua_pop(l, 1);
        }
    }
}

/// A method that a class library has put elsewhere: where objects find it, say.
unsafe fn method(l: *mut lua_State, class: *const RawTable, name: Raw, line: u32) -> Raw {
    unsafe {
        let mut fields = Entries::of(class);
        while let Some((_, value)) = fields.take() {
            let Some(table) = value.table() else { continue };
            let found = RawTable::get(table, l, name);
            if found.is_function() && !found.is_c_function() && lines(l, found).0 == line {
                return found;
            }
        }
        Raw::NIL
    }
}

/// Whether the local of that name and number is the one that is in scope at the end.
fn is_visible(source: &Source, name: &str, number: usize) -> bool {
    source.locals().iter().any(|(known, id)| **known == *name && id.index() == number)
}

pub(super) fn metatable(table: Raw) -> Raw {
    let Some(table) = table.table() else { return Raw::NIL };
    // SAFETY: the table is held by whoever looked at it.
    let metatable = unsafe { RawTable::metatable(table) };
    if metatable.is_null() { Raw::NIL } else { Raw::of_table(metatable) }
}
