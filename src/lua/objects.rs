//! What others ask of the objects in a state: the application, prototypes, what scripts have exposed.

use mlua::{Function, LuaString, Table, Value};

use super::state::Vm;

/// Prototypes that are based on others are looked through so far.
const MAX_BASES: usize = 16;

impl Vm {
    /// The object that `session:createAppVariable` named.
    pub(crate) fn app(&self) -> Option<Table> {
        self.prelude.raw_get("app").ok().flatten()
    }

    /// Lets scripts know where in the site the browser is: `session.url`.
    pub(crate) fn set_url(&self, url: &str) {
        let session = self.prelude.raw_get::<Table>("session");
        if let Err(error) = session.and_then(|session| session.raw_set("url", url)) {
            tracing::error!(%error, "session.url could not be set");
        }
    }

    /// The text in the app's field `title`, its own or its prototype's. No code of the script runs for it.
    pub(crate) fn app_title(&self) -> Option<LuaString> {
        let mut at = self.app();
        for _ in 0..MAX_BASES {
            let table = at?;
            match table.raw_get("title").ok()? {
                Value::String(title) => return Some(title),
                Value::Nil => {}
                _ => return None,
            }
            at = table.metatable()?.raw_get("__index").ok();
        }
        None
    }

    /// The prototypes that there are, by name.
    pub(crate) fn prototypes(&self) -> mlua::Result<Vec<(String, Table)>> {
        let infos = self.prelude.raw_get::<Table>("prototypes")?;
        infos
            .pairs::<String, Table>()
            .map(|pair| pair.and_then(|(name, info)| Ok((name, info.raw_get("prototype")?))))
            .collect()
    }

    /// The objects that `session:create` made, as long as they live; with hot loading only.
    pub(crate) fn instances(&self) -> mlua::Result<Vec<Table>> {
        let numbers = self.prelude.raw_get::<Table>("instances")?;
        numbers.pairs::<Table, Value>().map(|pair| Ok(pair?.0)).collect()
    }

    /// Whether many objects have what is in that table: a prototype or class, a part of the library. The
    /// application is an object even if it is its own prototype.
    pub(crate) fn is_code(&self, table: &Table) -> mlua::Result<bool> {
        for name in ["own", "library"] {
            let ours: Table = self.prelude.raw_get(name)?;
            if !ours.raw_get::<Value>(table)?.is_nil() {
                return Ok(true);
            }
        }
        Ok(!table.raw_get::<Value>("__index")?.is_nil() && self.app().as_ref() != Some(table))
    }

    /// What `session:createVariable` and its like have declared: see `prelude/variables.lua`.
    pub(crate) fn variables(&self) -> Option<Table> {
        self.prelude.raw_get("variables").ok()
    }

    /// Another one whenever [`exposed`](Self::exposed) may be another.
    pub(crate) fn exposed_version(&self) -> u64 {
        self.state(|state| state.exposed).unwrap_or_default()
    }

    /// What `session:expose` has named: type and path.
    pub(crate) fn exposed(&self) -> Vec<(String, String)> {
        if self.exposed_version() == 0 {
            return Vec::new();
        }
        let list: Vec<LuaString> = self.list_exposed().unwrap_or_else(|error| {
            tracing::error!(%error, "a bug: the paths of session:expose could not be read");
            Vec::new()
        });
        let text = |text: &LuaString| text.to_string_lossy();
        list.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    }

    fn list_exposed(&self) -> mlua::Result<Vec<LuaString>> {
        self.prelude.raw_get::<Function>("list_exposed")?.call(())
    }
}
