//! What files replace of Lua's library: `function print(…)`, `math.floor = …`. It is kept in `P.originals`, by table
//! and name, so that it is back when no file replaces it any more.

use mlua::{Function, Lua, Table, Value};

use crate::reload::{
    Source,
    source::{Definition, Key, Kind},
};

const LIBRARIES: [&str; 8] = ["string", "table", "math", "utf8", "coroutine", "os", "io", "debug"];

/// Before a file runs. Without hot loading nothing ever comes back.
pub(super) fn keep(lua: &Lua, prelude: &Table, source: &Source) -> mlua::Result<()> {
    if !prelude.raw_get::<bool>("hot")? {
        return Ok(());
    }
    let globals = lua.globals();
    for (id, one) in source.definitions().filter(|(_, one)| one.parent.is_none()) {
        let Key::Global(name) = &one.key else { continue };
        keep_one(lua, prelude, &globals, name, one)?;
        if LIBRARIES.contains(&&**name)
            && let Value::Table(library) = globals.raw_get::<Value>(&**name)?
        {
            for (_, part) in source.parts(id) {
                let Key::Field(name) = &part.key else { continue };
                keep_one(lua, prelude, &library, name, part)?;
            }
        }
    }
    Ok(())
}

fn keep_one(lua: &Lua, prelude: &Table, of: &Table, name: &str, one: &Definition) -> mlua::Result<()> {
    if !matches!(one.kind, Kind::Function | Kind::Data) {
        return Ok(());
    }
    let Value::Function(original) = of.raw_get::<Value>(name)? else { return Ok(()) };
    if !is_of_library(&original) {
        return Ok(());
    }
    let all = match prelude.raw_get::<Option<Table>>("originals")? {
        Some(all) => all,
        None => {
            let all = lua.create_table()?;
            prelude.raw_set("originals", &all)?;
            all
        }
    };
    let known = match all.raw_get::<Option<Table>>(of)? {
        Some(known) => known,
        None => {
            let known = lua.create_table()?;
            all.raw_set(of, &known)?;
            known
        }
    };
    // Another function of the library may stand there by now.
    if known.contains_key(name)? { Ok(()) } else { known.raw_set(name, original) }
}

/// A function of C, or one of ours that stands for one: ours are without debug information.
fn is_of_library(function: &Function) -> bool {
    let info = function.info();
    info.what != "Lua" || info.source.is_some_and(|source| source == "=?")
}
