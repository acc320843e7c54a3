//! Parts of the prelude that come when they are needed, each with the functions of Rust that it calls: some two
//! hundred bytes each, which a session that does not use them goes without.

use mlua::{Lua, Table};

use super::{
    api::{host, hub, json, native, outside},
    prelude::{PRELUDE, load_parts},
    reload,
};

/// What the prelude asks for by that name.
pub(super) fn load(lua: &Lua, prelude: &Table, part: &str, max_string: usize) -> mlua::Result<()> {
    let host: Table = prelude.raw_get("host")?;
    let parts: &[Vec<u8>] = match part {
        "reload" => return load_reload(lua, prelude),
        "load" => return load_files(lua, prelude),
        "outside" => {
            outside::functions(lua, &host)?;
            &PRELUDE.outside
        }
        "store" => {
            host.raw_set("hub", hub::reading(lua)?)?;
            &PRELUDE.store
        }
        "hub" => {
            hub::all_else(lua, &host.raw_get("hub")?)?;
            &PRELUDE.hub
        }
        "expose" => {
            host::expose(lua, &host)?;
            &PRELUDE.expose
        }
        "seldom" => {
            host::seldom(lua, &host)?;
            &PRELUDE.seldom
        }
        "viewlist" => &PRELUDE.viewlist,
        _ => {
            host::extras(lua, &host)?;
            prelude.raw_set("json", json::functions(lua, max_string)?)?;
            &PRELUDE.extras
        }
    };
    load_parts(lua, parts, prelude)
}

/// What it takes to run files, if it is not there.
pub(super) fn load_files(lua: &Lua, prelude: &Table) -> mlua::Result<()> {
    if prelude.raw_get::<Option<Table>>("L")?.is_some() {
        return Ok(());
    }
    let host: Table = prelude.raw_get("host")?;
    let files = host::files(lua, prelude)?;
    native::functions(lua, &files)?;
    files.raw_set("note_made", reload::note_made(lua, prelude)?)?;
    host.raw_set("files", files)?;
    load_parts(lua, &PRELUDE.load, prelude)
}

pub(super) fn forget_files(prelude: &Table) -> mlua::Result<()> {
    prelude.raw_get::<Table>("host")?.raw_set("files", mlua::Nil)?;
    prelude.raw_set("L", mlua::Nil)
}

/// What reloads need, with what it needs.
pub(super) fn load_reload(lua: &Lua, prelude: &Table) -> mlua::Result<()> {
    load_files(lua, prelude)?;
    prelude.raw_get::<Table>("host")?.raw_set("reloads", reload::functions(lua, prelude)?)?;
    load_parts(lua, &PRELUDE.reload, prelude)
}

pub(super) fn forget_reload(prelude: &Table) -> mlua::Result<()> {
    prelude.raw_get::<Table>("host")?.raw_set("reloads", mlua::Nil)?;
    prelude.raw_set("R", mlua::Nil)
}
