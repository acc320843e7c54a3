//! States whose debug library is for the prelude only.
#![allow(unsafe_code, reason = "one call each")]

use mlua::{Lua, LuaOptions, StdLib, Table};

/// A state with these libraries, the debug library among them if they say so: whoever makes it takes that away before
/// anything of the user runs. No C module can be loaded without `package`.
pub(in crate::lua) fn new_state(libraries: StdLib) -> Lua {
    // With `catch_rust_panics` it keeps Lua's own `pcall`, through which a coroutine can yield.
    let options = LuaOptions::new().catch_rust_panics(true);
    // SAFETY: mlua calls a state with the debug library unsafe because that library can break the interpreter's
    // invariants. Only the prelude ever sees it.
    unsafe { Lua::unsafe_new_with(libraries & !StdLib::PACKAGE, options) }
}

/// The debug library, for a state whose scripts may not have it.
///
/// # Errors
/// The state has no memory for it.
pub(in crate::lua) fn debug_library(lua: &Lua) -> mlua::Result<Table> {
    // SAFETY: it is a C function of Lua's own, called by the rules. It makes a table of functions and sets no global and
    // nothing in the registry. mlua keeps the library from a safe state since code that has it can break what others
    // rely on; only the prelude has this one.
    unsafe { lua.create_c_function(mlua::ffi::luaopen_debug)? }.call(())
}
