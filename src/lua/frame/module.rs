//! The function with which a module in C begins.
#![allow(unsafe_code, reason = "code that is not ours runs")]

use std::{
    ffi::{CStr, c_int},
    path::Path,
};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use mlua::{Function, Lua, ffi::lua_State};

type Open = unsafe extern "C-unwind" fn(*mut lua_State) -> c_int;

/// The function of that name in a library which the owner of the site has named: whether its code is sound is theirs
/// to know.
///
/// # Errors
/// The library cannot be loaded, or has no such function: in the system's words.
pub(in crate::lua) fn module(lua: &Lua, file: &Path, name: &CStr) -> Result<Function, String> {
    // SAFETY: loading a library runs code of its own, which is the owner's to judge, see above. A function of that name
    // has this type in every module for this version of Lua. The library is never closed: states keep functions of it.
    let open = unsafe {
        let library = Library::open(Some(file), RTLD_NOW | RTLD_LOCAL).map_err(|error| error.to_string())?;
        let open = *library.get::<Open>(name.to_bytes_with_nul()).map_err(|error| error.to_string())?;
        std::mem::forget(library);
        lua.create_c_function(open)
    };
    open.map_err(|error| error.to_string())
}
