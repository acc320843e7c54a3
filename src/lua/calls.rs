//! The functions of the prelude that Rust calls, by name and kept: to look one up takes longer than some of them run.

use mlua::{Function, Table};

macro_rules! calls {
    ($(#[$doc:meta])* $name:ident: $($function:ident)*) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name {
            $(pub(super) $function: Function,)*
        }

        impl $name {
            /// As that table of the prelude has them.
            pub(super) fn of(table: &Table) -> mlua::Result<Self> {
                Ok(Self { $($function: table.raw_get(stringify!($function))?,)* })
            }
        }
    };
}

calls! {
    /// `prelude/load.lua`
    LoadCalls: load_first
}
calls! {
    /// `prelude/snapshot.lua`, `reload.lua` and `settle.lua`.
    ReloadCalls: begin is_start plan reload take_extra take_dispose commit undone finish
}
calls! {
    /// `prelude/follow.lua` and `migrate.lua`.
    FollowCalls: prune rename take_hook take_accept take_invalidated plan_migration take_migration end_migration
}
