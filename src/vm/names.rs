//! The names of fields of ours, which Lua has to make once only.

#![allow(unsafe_code, reason = "Lua's own API: as in `reload/mod.rs`")]

use std::ffi::CStr;

use mlua::ffi::{lua_State, lua_pop};

use super::values::{Raw, RawTable};

macro_rules! names {
    ($($name:ident)*) => {
        pub(super) struct Names {
            $(pub(super) $name: Raw,)*
            pub(super) mode: Raw,
            pub(super) load: Raw,
            pub(super) reload: Raw,
        }

        impl Names {
            /// To `held` go those names.
            pub(super) unsafe fn new(l: *mut lua_State, held: *const RawTable) -> Self {
                let name = |text: &CStr| unsafe {
                    let name = Raw::text(l, text);
                    name.push(l);
                    RawTable::set(held, l, name, Raw::of(1));
                    lua_pop(l, 1);
                    name
                };
                Self {
                    // The longest of them is shorter than what Lua keeps only once.
                    $($name: name(const {
                        match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                            Ok(name) => name,
                            Err(_) => c"",
                        }
                    }),)*
                    mode: name(c"__mode"),
                    load: name(c"L"),
                    reload: name(c"R"),
                }
            }
        }
    };
}
names! {
    accept app callback capture changes commit data default_new deps dispose done exported exports exposed extra failed file files globals
    hot inits instances let_go load_first loaded locals made name names object ours owner path pending planned prototype
    prototypes queue records reloading run_dependents running session source stack tables timers under_way
    upvalues variables version watch weak
}
