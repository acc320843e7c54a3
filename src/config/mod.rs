//! What a deployment can choose, and where each choice was made.
//!
//! [`Config`] is the whole of it as plain values, with the defaults. The way from the outside to it:
//!
//! | module | holds |
//! |---|---|
//! | `load` | [`load`] and [`load_str`]: defaults, file, environment, flags, each over the one before |
//! | `file`, `environment`, `flags` | the layers: each reads its source into `Setting`s |
//! | `setting` | one value as one layer gives it, and its [`Origin`] |
//! | `schema` | which keys there are, of which kind; the nearest to a wrong one |
//! | `check` | what a type cannot say: ranges, names, one key against another |
//! | `backends` | [`Backends`]: what is known here of the watch backends and their options |
//! | `backend_choice` | [`BackendChoice`]: one watch backend, several, or "auto" |
//! | `base` | [`Base`]: below which path the addresses stand |
//! | `fleet` | [`FleetConfig`]: many servers, one site |
//! | `hub` | [`HubConfig`]: topics and the store |
//! | `nats` | [`NatsConfig`]: where NATS is, with `hub.engine = "nats"` |
//! | `error` | [`ConfigError`]: key, value, file and line, and what would be right |
//! | `units` | durations ("20ms") and sizes ("64MiB") |

mod backend_choice;
mod backends;
mod base;
mod check;
mod environment;
mod error;
mod file;
mod flags;
mod fleet;
mod hub;
mod load;
mod nats;
mod schema;
mod setting;
#[cfg(test)]
mod tests;
mod units;

pub use backend_choice::{AUTO, BackendChoice};
pub use backends::Backends;
pub use base::Base;
pub use error::{ConfigError, Problem, Reason};
pub use flags::Overrides;
pub use fleet::FleetConfig;
pub use hub::{HubConfig, HubEngine};
pub use load::{FILE, load, load_str};
pub use nats::NatsConfig;
pub use setting::Origin;
pub use units::ByteSize;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Everything that can be configured; `config/default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where and for whom the server listens.
    pub server: ServerConfig,
    /// The site's Lua code.
    pub lua: LuaConfig,
    /// The site's HTML view templates.
    pub viewdefs: ViewdefsConfig,
    /// What a saved file reaches.
    pub hotload: HotloadConfig,
    /// How changes are noticed.
    pub watch: WatchConfig,
    /// How long sessions live and what each may use.
    pub session: SessionConfig,
    /// What sessions tell each other, and what outlives them.
    pub hub: HubConfig,
    /// Many servers, one site.
    pub fleet: FleetConfig,
    /// Where NATS is.
    pub nats: NatsConfig,
    /// What is logged, and how.
    pub logging: LoggingConfig,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address to listen on; a name is resolved.
    pub host: String,
    /// TCP port; 0 takes a free one.
    pub port: u16,
    /// Below which path of its host all addresses stand; empty: at its root.
    pub base: Base,
    /// Four hexadecimal digits that session ids begin with, for a proxy before several servers; empty: none.
    pub tag: String,
    /// How long SIGTERM may take to hand sessions on to their next server; zero: they end.
    #[serde(with = "units::duration")]
    pub drain: Duration,
    /// Host names a request may be addressed to, beside loopback names and `host`.
    pub allowed_hosts: Vec<String>,
    /// Origins (`https://example.org`) a WebSocket may come from, beside the server's own.
    pub allowed_origins: Vec<String>,
    /// Addresses and networks (`10.0.0.0/8`) of proxies whose word on who asks, and how, is taken.
    pub trusted_proxies: Vec<String>,
    /// Largest frame taken from a browser.
    pub max_frame: ByteSize,
    /// How long one frame may take to be sent before the socket is given up, and how long a reader of
    /// an answer may read nothing.
    #[serde(with = "units::duration")]
    pub send_timeout: Duration,
    /// HTTP connections that one address may have at once; of IPv6, one network of 64 bits.
    pub connections_per_address: usize,
    /// The Content-Security-Policy of the site's own pages; empty: none but against framing.
    pub content_security_policy: String,
    /// Connections at once, WebSockets included; 0: three quarters of the file descriptors.
    pub max_connections: usize,
    /// Serve pages that show the inside of sessions; `--hotload` turns it on.
    pub debug_pages: bool,
    /// Let programs of the same user type Lua code into sessions, by a Unix socket: `lua-hotloader console`.
    pub console: bool,
    /// What browsers may ask for.
    pub bindings: BindingRule,
}

/// What browsers may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindingRule {
    /// What view templates bind, and what `session:expose` names.
    #[default]
    Templates,
    /// Any path that is not private.
    Any,
}

/// `[lua]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LuaConfig {
    /// Directory of the Lua files, relative to the site.
    pub path: PathBuf,
    /// File that runs once when a session begins, relative to `path`.
    pub main: PathBuf,
    /// Watch the files and reload what is saved.
    pub hotload: bool,
    /// Lua files and templates with more bytes are not loaded.
    pub max_file: ByteSize,
    /// Directory of other files that scripts may read, relative to the site.
    pub files: PathBuf,
    /// Variables of the environment that `os.getenv` answers.
    pub env: Vec<String>,
    /// Modules in C that `require` may open.
    pub native: Vec<String>,
}

impl LuaConfig {
    /// Whether a module in C can be called so: what is between the dots are letters, digits and `_`.
    pub fn is_module_in_c(name: &str) -> bool {
        let is_plain =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        name.split('.').all(is_plain)
    }
}

/// `[viewdefs]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ViewdefsConfig {
    /// Directory of the templates `TYPE.NAMESPACE.html`, relative to the site.
    pub path: PathBuf,
}

/// `[hotload]`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HotloadConfig {
    /// Which sessions run a saved file.
    pub scope: ReloadScope,
    /// Which notes on a reload are told.
    pub notes: NoteLevel,
    /// A link that opens the place of an error, with `{path}` and `{line}` in it; empty: none.
    pub editor: String,
}

/// Which notes on a reload are told, in the log and to browsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoteLevel {
    /// All.
    #[default]
    All,
    /// Those that say what did not go as one would expect.
    Warnings,
    /// None; errors are told all the same.
    Off,
}

/// Which sessions run a saved file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadScope {
    /// Those that have loaded it.
    #[default]
    Loaded,
    /// Every active one.
    All,
}

/// `[watch]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchConfig {
    /// Which watch backends, the preferred one first.
    pub backend: BackendChoice,
    /// A change is acted on when nothing else happened for this long.
    #[serde(with = "units::duration")]
    pub quiet: Duration,
    /// A change is acted on after this long at the latest, however much goes on.
    #[serde(with = "units::duration")]
    pub max_hold: Duration,
    /// What is in use is looked at so often, whoever watches; 0: never.
    #[serde(with = "units::duration")]
    pub recheck: Duration,
    /// Names that are never looked at (`*` stands for any characters).
    pub ignore: Vec<String>,
    /// Directories that links may lead into, beside the site; empty: anywhere.
    pub allowed_roots: Vec<PathBuf>,
    /// The table `[watch.NAME]` of each backend, by its name. Which there are, the backends say: [`Backends`].
    #[serde(flatten)]
    pub options: BTreeMap<String, BackendOptions>,
}

impl Config {
    /// How the site in that directory is watched: not where the store writes.
    #[must_use]
    pub fn watch_in(&self, site: &Path) -> WatchConfig {
        let mut watch = self.watch.clone().in_site(site);
        watch.ignore.extend(self.hub.names());
        watch
    }

    /// The keys that have another value in `other`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        fn walk(key: &str, one: Option<&Json>, other: Option<&Json>, found: &mut Vec<String>) {
            match (one, other) {
                (Some(Json::Object(one)), Some(Json::Object(other))) => {
                    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
                    for name in names {
                        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                        walk(&key, one.get(name), other.get(name), found);
                    }
                }
                (one, other) if one == other => {}
                _ => found.push(key.to_owned()),
            }
        }
        let mut found = Vec::new();
        let [one, other] = [self, other].map(|config| serde_json::to_value(config).ok());
        walk("", one.as_ref(), other.as_ref(), &mut found);
        found
    }
}

impl WatchConfig {
    /// Whether a backend would be made the same by both.
    pub fn same_options(&self, other: &Self, backend: &str) -> bool {
        self.options(backend) == other.options(backend)
    }

    /// The table of a backend; empty if nothing is set in it.
    pub fn options(&self, backend: &str) -> &BackendOptions {
        static NONE: BackendOptions = BackendOptions::new();
        self.options.get(backend).unwrap_or(&NONE)
    }

    /// The table of a backend, to set something in it.
    pub fn options_mut(&mut self, backend: &str) -> &mut BackendOptions {
        self.options.entry(backend.to_owned()).or_default()
    }

    /// Resolves `allowed_roots` against a site's directory, which becomes one of them.
    #[must_use]
    pub fn in_site(mut self, site: &Path) -> Self {
        if !self.allowed_roots.is_empty() {
            let allowed = self.allowed_roots.iter().map(|root| site.join(root));
            self.allowed_roots = allowed.chain([site.to_owned()]).collect();
        }
        self
    }
}

/// The table `[watch.NAME]` of one backend, as it stands; the backend checks it.
pub type BackendOptions = BTreeMap<String, Json>;

/// `[session]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// How long a session outlives its last socket; zero: for ever.
    #[serde(with = "units::duration")]
    pub timeout: Duration,
    /// Anybody who knows a session's address may use it; otherwise it belongs to the browser that began it.
    pub share: bool,
    /// After so long without a socket, the timers of a session wait until one is back; zero: never.
    #[serde(with = "units::duration")]
    pub rest: Duration,
    /// How long a session waits for its first socket.
    #[serde(with = "units::duration")]
    pub unopened: Duration,
    /// How many such sessions may be begun from one address; of IPv6, one network of 64 bits.
    pub unopened_per_address: usize,
    /// Who gets a session of its own at `/`.
    pub per: SessionPer,
    /// How many sessions there may be at once.
    pub max: usize,
    /// How many sockets each may have.
    pub sockets: usize,
    /// Threads that run Lua; 0: one per processor. More are added while scripts hog them.
    pub threads: usize,
    /// How many sessions may be stuck in a function that cannot be interrupted and get another thread in
    /// their place. Beyond it the server is not ready, and a stuck session that is restarted waits.
    pub max_stuck: usize,
    /// What one session may use.
    pub budget: BudgetConfig,
}

/// Who gets a session of its own at `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionPer {
    /// Each visit.
    #[default]
    Window,
    /// Each browser: it is led back to its session while that lives.
    Browser,
}

/// `[session.budget]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// One batch of messages, one timer, one call from the host.
    #[serde(with = "units::duration")]
    pub handler: Duration,
    /// Running one file, at first or when it is reloaded.
    #[serde(with = "units::duration")]
    pub load: Duration,
    /// One `mutate`: one object that follows its prototype.
    #[serde(with = "units::duration")]
    pub mutate: Duration,
    /// All of them after one reload.
    #[serde(with = "units::duration")]
    pub migration: Duration,
    /// Reading one path for the browser.
    #[serde(with = "units::duration")]
    pub read: Duration,
    /// Memory of the session's Lua state.
    pub memory: ByteSize,
    /// Memory for what is held for the session's browsers, beside its Lua state.
    pub browser: ByteSize,
    /// One string made by `string.rep`, `string.format`, `string.pack`, `table.concat` or `os.date`, and one JSON text.
    pub string: ByteSize,
    /// One file that a person uploads.
    pub upload: ByteSize,
    /// Timers that may be pending.
    pub timers: usize,
    /// Shortest interval of a repeating timer.
    #[serde(with = "units::duration")]
    pub interval: Duration,
    /// Lines a session may log in a second.
    pub log_lines: u32,
}

/// `[logging]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggingConfig {
    /// Least severe level that is logged: error, warn, info, debug or trace.
    pub level: String,
    /// Raises `level` by as many steps; what `-v` counts.
    pub verbosity: u8,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

impl ServerConfig {
    /// [`tag`](Self#structfield.tag) as the first bytes of an id; `None` if there is none, or it is none.
    pub fn tag(&self) -> Option<[u8; 2]> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_tag = self.tag.len() == 4 && self.tag.bytes().all(is_digit);
        u16::from_str_radix(&self.tag, 16).ok().filter(|_| is_tag).map(u16::to_be_bytes)
    }

    /// What an entry of [`trusted_proxies`](Self::trusted_proxies) stands for: a network, or one address.
    pub(crate) fn network(entry: &str) -> Option<ipnet::IpNet> {
        entry.parse().ok().or_else(|| entry.parse().ok().map(|address: std::net::IpAddr| address.into()))
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8080,
            base: Base::default(),
            tag: String::new(),
            drain: Duration::ZERO,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            max_frame: ByteSize::mib(1),
            send_timeout: Duration::from_secs(10),
            connections_per_address: 256,
            max_connections: 0,
            content_security_policy: "script-src 'self' 'unsafe-inline' https:; object-src 'none'; base-uri \
                                      'self'; frame-ancestors 'self'"
                .into(),
            debug_pages: false,
            console: true,
            bindings: BindingRule::default(),
        }
    }
}

impl Default for LuaConfig {
    fn default() -> Self {
        Self {
            path: "lua".into(),
            main: "main.lua".into(),
            hotload: false,
            max_file: ByteSize::mib(8),
            files: "data".into(),
            env: Vec::new(),
            native: Vec::new(),
        }
    }
}

impl Default for ViewdefsConfig {
    fn default() -> Self {
        Self { path: "viewdefs".into() }
    }
}

impl Default for WatchConfig {
    fn default() -> Self {
        let ignore = [".*", "*~", "#*#", "*.bak", "*.tmp", "*.swp", "4913", "*___jb_*", "node_modules"];
        Self {
            backend: AUTO.into(),
            quiet: Duration::from_millis(20),
            max_hold: Duration::from_millis(500),
            recheck: Duration::from_secs(1),
            ignore: ignore.map(String::from).to_vec(),
            allowed_roots: Vec::new(),
            options: BTreeMap::new(),
        }
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(24 * 60 * 60),
            share: false,
            per: SessionPer::Window,
            rest: Duration::from_secs(60),
            unopened: Duration::from_secs(30),
            unopened_per_address: 1000,
            max: 10_000,
            sockets: 64,
            threads: 0,
            max_stuck: 8,
            budget: BudgetConfig::default(),
        }
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            handler: Duration::from_secs(2),
            load: Duration::from_secs(5),
            mutate: Duration::from_millis(100),
            migration: Duration::from_secs(2),
            read: Duration::from_millis(250),
            memory: ByteSize::mib(64),
            browser: ByteSize::mib(16),
            string: ByteSize::mib(8),
            upload: ByteSize::mib(4),
            timers: 1000,
            interval: Duration::from_millis(10),
            log_lines: 200,
        }
    }
}

impl Default for LoggingConfig {
    fn default() -> Self {
        Self { level: "info".into(), verbosity: 0, format: LogFormat::Pretty }
    }
}
