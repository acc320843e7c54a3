//! What a session hands on to its successor: `session:snapshot` and `session:restore` of the site.

use mlua::{Function, Table, Value};

use super::{failure::Failure, state::Vm};

/// What a site keeps of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// JSON.
    pub(crate) data: String,
    /// JSON: what the site calls the form of the data.
    pub(crate) version: String,
}

impl Vm {
    /// What `session:snapshot()` gives; `None` if the site has none, or it gives nil.
    pub(crate) fn take_snapshot(&self, max: usize) -> Result<Option<Snapshot>, Failure> {
        self.run(self.handler(), |_| {
            let Some((session, take)) = self.hook("snapshot")? else { return Ok(None) };
            let (data, version): (Value, Value) = take.call(session)?;
            if data.is_nil() {
                return Ok(None);
            }
            let (data, version) = (self.encode(data)?, self.encode(version)?);
            let bytes = data.len() + version.len();
            if bytes > max {
                return Err(mlua::Error::runtime(format!(
                    "session:snapshot: {bytes} bytes as JSON, and hub.max_value allows {max}"
                )));
            }
            Ok(Some(Snapshot { data, version }))
        })
    }

    /// Calls `session:restore(data, version)`. Says whether there is one.
    pub(crate) fn restore_snapshot(&self, snapshot: &Snapshot) -> Result<bool, Failure> {
        self.run(self.handler(), |_| {
            let Some((session, restore)) = self.hook("restore")? else { return Ok(false) };
            let (data, version) = (self.decode(&snapshot.data)?, self.decode(&snapshot.version)?);
            restore.call::<()>((session, data, version))?;
            Ok(true)
        })
    }

    /// A function that the site has put into `session`.
    fn hook(&self, name: &str) -> mlua::Result<Option<(Table, Function)>> {
        let session: Table = self.prelude.raw_get("session")?;
        let hook: Value = session.raw_get(name)?;
        match hook {
            Value::Nil => Ok(None),
            Value::Function(hook) => Ok(Some((session, hook))),
            other => Err(mlua::Error::runtime(format!(
                "session.{name} is a {}, not a function",
                other.type_name()
            ))),
        }
    }

    fn encode(&self, value: Value) -> mlua::Result<String> {
        let encode: Function = self.json()?.raw_get("encode")?;
        let (text, problem): (Option<String>, Option<String>) = encode.call(value)?;
        text.ok_or_else(|| mlua::Error::runtime(format!("session:snapshot: {}", problem.unwrap_or_default())))
    }

    fn decode(&self, text: &str) -> mlua::Result<Value> {
        self.json()?.raw_get::<Function>("decode")?.call(text)
    }

    fn json(&self) -> mlua::Result<Table> {
        // It comes with what is loaded at first use.
        self.prelude.raw_get::<Function>("load_more")?.call::<()>(())?;
        self.prelude.raw_get("json")
    }
}
