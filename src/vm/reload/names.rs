//! The names of fields of ours, which Lua has to make once only.

use std::ffi::CStr;

use mlua::ffi::{lua_State, lua_pop};

use crate::vm::values::{Raw, RawTable};

macro_rules! names {
    ($($name:ident)*) => {
        pub(super) struct Names { $(pub(super) $name: Raw,)* pub(super) index: Raw, pub(super) mode: Raw }

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
                    index: name(c"__index"),
                    mode: name(c"__mode"),
                }
            }
        }
    };
}
names! {
    accept app assigned callback changed data declared dispose done exported exports extra instances let_go loaded
    local_notes names notes object old_dispose ours owner planned prototype prototypes queue records source tables
    timers upvalues variables version was
}
