//! The Lua code of ours that states run, in parts that come when they are needed.

use std::sync::LazyLock;

use mlua::{Lua, Table, chunk::ChunkMode};

/// Compiled once for all states. Without debug information: a state is smaller, and tracebacks show
/// the user's files.
pub(super) static PRELUDE: LazyLock<Prelude> = LazyLock::new(|| {
    let lua = Lua::new();
    let compile = |name: &str, text: &str| {
        let function = lua.load(text).set_name(format!("=[hot] {name}")).into_function();
        // A test loads each of them; an empty one would fail every session at once.
        function.map(|function| function.dump(true)).unwrap_or_default()
    };
    Prelude {
        sandbox: [
            compile("sandbox", include_str!("prelude/sandbox.lua")),
            compile("base", include_str!("prelude/base.lua")),
        ],
        guest: [
            compile("guest", include_str!("prelude/guest.lua")),
            compile("base", include_str!("prelude/base.lua")),
        ],
        start: [
            compile("session", include_str!("prelude/session.lua")),
            compile("modules", include_str!("prelude/modules.lua")),
        ],
        load: [
            compile("prototypes", include_str!("prelude/prototypes.lua")),
            compile("load", include_str!("prelude/load.lua")),
        ],
        reload: [
            compile("snapshot", include_str!("prelude/snapshot.lua")),
            compile("reload", include_str!("prelude/reload.lua")),
            compile("settle", include_str!("prelude/settle.lua")),
        ],
        follow: [
            compile("follow", include_str!("prelude/follow.lua")),
            compile("migrate", include_str!("prelude/migrate.lua")),
        ],
        extras: [compile("extras", include_str!("prelude/extras.lua"))],
        seldom: [
            compile("variables", include_str!("prelude/variables.lua")),
            compile("unload", include_str!("prelude/unload.lua")),
        ],
        outside: [compile("outside", include_str!("prelude/outside.lua"))],
        expose: [compile("expose", include_str!("prelude/expose.lua"))],
        store: [compile("store", include_str!("prelude/store.lua"))],
        hub: [compile("hub", include_str!("prelude/hub.lua"))],
        viewlist: [compile("viewlist", include_str!("prelude/viewlist.lua"))],
    }
});

/// Code of ours in every state. All of it together would be the greater part of an idle session, so what
/// is not always needed is not always there.
pub(super) struct Prelude {
    /// First, in a state of ours.
    pub(super) sandbox: [Vec<u8>; 2],
    /// First, in a state of somebody else.
    pub(super) guest: [Vec<u8>; 2],
    pub(super) start: [Vec<u8>; 2],
    /// Loaded when a file is to run, and let go when none has for a while.
    pub(super) load: [Vec<u8>; 2],
    /// Loaded for a reload, after the above, and let go when nobody edits any more.
    pub(super) reload: [Vec<u8>; 3],
    /// Loaded after the above when something follows a commit: hooks, migrations, files that are gone.
    pub(super) follow: [Vec<u8>; 2],
    /// Loaded when user code asks for it.
    pub(super) extras: [Vec<u8>; 1],
    /// Loaded after the above when user code asks for what few sessions use.
    pub(super) seldom: [Vec<u8>; 2],
    /// Loaded when user code looks for something of the machine.
    pub(super) outside: [Vec<u8>; 1],
    /// Loaded when user code exposes something.
    pub(super) expose: [Vec<u8>; 1],
    /// Loaded when user code reads from the store.
    pub(super) store: [Vec<u8>; 1],
    /// Loaded after the above when user code writes to the store, or asks for topics.
    pub(super) hub: [Vec<u8>; 1],
    /// Loaded when a page, or user code, asks for it.
    pub(super) viewlist: [Vec<u8>; 1],
}

/// Runs parts, whether they are there or not. They see the library as `prelude/base.lua` found it, and no
/// global of a script.
pub(super) fn load_parts(lua: &Lua, parts: &[Vec<u8>], prelude: &Table) -> mlua::Result<()> {
    let environment = || prelude.raw_get::<Option<Table>>("env");
    parts.iter().try_for_each(|part| {
        let part = lua.load(part.as_slice()).set_mode(ChunkMode::Binary);
        match environment()? {
            Some(environment) => part.set_environment(environment).call::<()>(prelude),
            // The first ones.
            None => part.call(prelude),
        }
    })
}
