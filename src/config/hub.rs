//! `[hub]`: what sessions tell each other, and what outlives them.

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ByteSize, units};

/// `[hub]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubConfig {
    /// Who carries topics and keeps the store.
    pub engine: HubEngine,
    /// The store's file, relative to the site; `":memory:"`: it ends with the server; `"off"`: none.
    pub store: String,
    /// How long a write may take before the call fails.
    #[serde(with = "units::duration")]
    pub patience: Duration,
    /// Subscriptions and watches of one session.
    pub subscriptions: usize,
    /// Messages that one session may publish, and may get, in a second.
    pub messages: u32,
    /// Bytes of a key of the store.
    pub max_key: ByteSize,
    /// Bytes of a value or a message, as JSON.
    pub max_value: ByteSize,
    /// Keys in the store.
    pub max_keys: usize,
    /// Bytes of all keys and values together.
    pub max_size: ByteSize,
}

/// Who carries topics and keeps the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HubEngine {
    /// This server: channels, and a file.
    #[default]
    Local,
    /// NATS, for many servers.
    Nats,
}

impl HubConfig {
    /// The store's file below the site, if it has one.
    pub fn file(&self) -> Option<&Path> {
        let is_file = self.store != Self::OFF && self.store != Self::MEMORY;
        is_file.then(|| Path::new(&self.store))
    }

    /// Names of files that belong to the store: the watcher passes over them, wherever the store is.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = self.file().and_then(Path::file_name).map(|name| name.to_string_lossy());
        name.map(|name| vec![name.to_string(), format!("{name}-*")]).unwrap_or_default()
    }

    /// `hub.store` of a site without one.
    pub const OFF: &'static str = "off";
    /// `hub.store` of one that ends with the server.
    pub const MEMORY: &'static str = ":memory:";
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            engine: HubEngine::Local,
            store: "data/store.db".into(),
            patience: Duration::from_secs(2),
            subscriptions: 100,
            messages: 200,
            max_key: ByteSize::bytes(256),
            max_value: ByteSize::kib(64),
            max_keys: 100_000,
            max_size: ByteSize::mib(64),
        }
    }
}
