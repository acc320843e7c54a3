//! The layer of the command line.

use figment::value::Value;

use super::{Origin, setting::Setting};

/// What the command line sets; `None`, `false` and 0 leave a key to the other layers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// `--host`: `server.host`
    pub host: Option<String>,
    /// `--port`: `server.port`
    pub port: Option<u16>,
    /// `--hotload`: `lua.hotload`, and `server.debug_pages` with it
    pub hotload: bool,
    /// `--lua-path`: `lua.path`
    pub lua_path: Option<String>,
    /// `--watch-backend`: `watch.backend`
    pub watch_backend: Option<String>,
    /// `--site`: `fleet.site`
    pub fleet_site: Option<String>,
    /// `--log-format`: `logging.format`
    pub log_format: Option<String>,
    /// Number of `-v`: `logging.verbosity`
    pub verbosity: u8,
}

pub(super) fn settings(flags: &Overrides) -> Vec<Setting> {
    let text =
        |text: &Option<String>| text.as_ref().map(|text| (Value::from(text.as_str()), format!("{text:?}")));
    let on = || flags.hotload.then(|| (Value::from(true), "true".to_owned()));
    let number = |n: u16| (Value::from(n), n.to_string());
    let verbosity = (flags.verbosity > 0).then(|| number(flags.verbosity.into()));
    [
        ("--host", "server.host", text(&flags.host)),
        ("--port", "server.port", flags.port.map(number)),
        ("--hotload", "lua.hotload", on()),
        ("--hotload", "server.debug_pages", on()),
        ("--lua-path", "lua.path", text(&flags.lua_path)),
        ("--watch-backend", "watch.backend", text(&flags.watch_backend)),
        ("--site", "fleet.site", text(&flags.fleet_site)),
        ("--log-format", "logging.format", text(&flags.log_format)),
        ("-v", "logging.verbosity", verbosity),
    ]
    .into_iter()
    .filter_map(|(flag, key, given)| {
        let (value, written) = given?;
        Some(Setting { key: key.into(), value, written, origin: Origin::Flag(flag) })
    })
    .collect()
}
