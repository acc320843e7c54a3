//! Modules in C that `lua.native` names: `require` finds those of the system's own Lua.
//!
//! They know no budget and no sandbox, so the site's owner has to name each.

use std::{
    env::consts::ARCH,
    ffi::CString,
    path::{Path, PathBuf},
};

use mlua::{Function, IntoLuaMulti, Lua, LuaString, MultiValue, Table};

use super::host::with;
use crate::{config::LuaConfig, lua::frame::module};

#[cfg(not(feature = "lua55"))]
const VERSION: &str = "5.4";
#[cfg(feature = "lua55")]
const VERSION: &str = "5.5";

pub(in crate::lua) fn functions(lua: &Lua, host: &Table) -> mlua::Result<()> {
    host.raw_set("native", lua.create_function(native)?)
}

/// What opens the module, and where it is; or nil, and what to add to the message that it is not found.
fn native(lua: &Lua, name: LuaString) -> mlua::Result<MultiValue> {
    let name = name.to_string_lossy();
    let none = |why: String| (mlua::Nil, why).into_lua_multi(lua);
    let Some(file) = find(&name) else { return none(String::new()) };
    let is_named = with(lua, |state| state.native.contains(&name)).unwrap_or_default();
    if !is_named {
        return none(format!(
            "\n\tthere is a module in C, {}: a session has it where lua.native names it, and it is bound by no limit then",
            file.display()
        ));
    }
    match open(lua, &name, &file) {
        Ok(opener) => (opener, file.to_string_lossy().into_owned()).into_lua_multi(lua),
        Err(why) => none(format!("\n\t{}, which lua.native names, cannot be opened: {why}", file.display())),
    }
}

/// Where the system keeps it, if it does.
fn find(name: &str) -> Option<PathBuf> {
    if !LuaConfig::is_module_in_c(name) {
        return None;
    }
    let below = format!("lua/{VERSION}/{}.so", name.replace('.', "/"));
    let multiarch = format!("/usr/lib/{ARCH}-linux-gnu");
    let places = ["/usr/local/lib", &multiarch, "/usr/lib64", "/usr/lib"];
    places.iter().map(|place| Path::new(place).join(&below)).find(|file| file.is_file())
}

fn open(lua: &Lua, name: &str, file: &Path) -> Result<Function, String> {
    let name =
        CString::new(format!("luaopen_{}", name.replace('.', "_"))).map_err(|error| error.to_string())?;
    module(lua, file, &name)
}
