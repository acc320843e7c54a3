//! What stands in for the machine: the functions behind `prelude/outside.lua`. Nothing in here opens a file: what a
//! script can read is part of the [`Generation`](crate::reload::Generation).

use std::{
    ffi::OsStr,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::PathBuf,
};

use mlua::{IntoLuaMulti, Lua, LuaString, MultiValue, Table};

use super::host::{HostState, MAX_LINE, Unfinished, path, with};
use crate::lua::limits::deadline::spend_in;

/// Bytes that are one step of the deadline's.
const COPIED: usize = 16;

impl HostState {
    /// Whole lines go to the log. The rest waits for its end, or for that of what runs.
    fn write(&mut self, level: &str, text: &[u8]) {
        if self.unfinished.level != level {
            self.end_line();
            level.clone_into(&mut self.unfinished.level);
        }
        let mut lines = text.split(|&byte| byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let room = MAX_LINE.saturating_sub(self.unfinished.text.len());
            self.unfinished.text.extend_from_slice(&line[..line.len().min(room)]);
            if lines.peek().is_some() {
                self.log_unfinished();
            }
        }
    }

    fn log_unfinished(&mut self) {
        let Unfinished { level, text } = &mut self.unfinished;
        let (level, text) = (level.clone(), std::mem::take(text));
        self.log(&level, &String::from_utf8_lossy(&text));
    }

    /// What is written next begins a line of the log.
    pub(in crate::lua) fn end_line(&mut self) {
        if !self.unfinished.text.is_empty() {
            self.log_unfinished();
        }
    }
}

pub(in crate::lua) fn functions(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let lua_dir = |lua: &Lua, ()| {
        let dir = with(lua, |state| state.generation.layout.lua.clone()).unwrap_or_default();
        lua.create_string(dir.as_os_str().as_bytes())
    };
    host.raw_set("lua_dir", lua.create_function(lua_dir)?)?;
    let getenv = |lua: &Lua, name: LuaString| {
        let wanted = name.to_string_lossy();
        let is_allowed = |state: &mut HostState| state.env.iter().any(|name| *name == *wanted);
        let value = with(lua, is_allowed).unwrap_or_default().then(|| std::env::var_os(&*wanted)).flatten();
        value.map(|value| lua.create_string(value.into_vec())).transpose()
    };
    host.raw_set("getenv", lua.create_function(getenv)?)?;
    let write = |lua: &Lua, (level, text): (LuaString, LuaString)| {
        spend_in(lua, text.as_bytes().len() / COPIED)?;
        with(lua, |state| state.write(&level.to_string_lossy(), &text.as_bytes()));
        Ok(())
    };
    host.raw_set("write", lua.create_function(write)?)?;
    let is_file = |lua: &Lua, name: LuaString| {
        Ok(with(lua, |state| state.generation.content(&path(&name)).is_ok()).unwrap_or_default())
    };
    host.raw_set("is_file", lua.create_function(is_file)?)?;
    host.raw_set("read", lua.create_function(read)?)
}

/// The content of a file, or nil and why not. `module` and `line`: who reads it while it runs.
fn read(
    lua: &Lua,
    (name, module, line): (LuaString, Option<LuaString>, Option<u32>),
) -> mlua::Result<MultiValue> {
    let file = PathBuf::from(OsStr::from_bytes(&name.as_bytes()));
    let content = with(lua, |state| {
        let content = state.generation.content(&file);
        if let Some(module) = module {
            let hash = content.as_ref().ok().map(|content| content.hash);
            state.reads.note(path(&module), &file, hash, line.unwrap_or_default());
        }
        content
    });
    match content {
        Some(Ok(content)) => {
            spend_in(lua, content.bytes.len() / COPIED)?;
            lua.create_string(&content.bytes)?.into_lua_multi(lua)
        }
        Some(Err(why)) => (mlua::Nil, format!("{}: {why}", file.display())).into_lua_multi(lua),
        None => (mlua::Nil, "the session is ending").into_lua_multi(lua),
    }
}
