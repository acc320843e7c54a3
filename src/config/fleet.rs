//! `[fleet]`: many servers, one site.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ByteSize;

/// `[fleet]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetConfig {
    /// The site of the fleet that this server runs, or that is published; empty: no fleet.
    pub site: String,
    /// Where releases are: `dir:PATH`, or `nats`.
    pub depot: String,
    /// Who may publish: public keys, as `lua-hotloader keys new` prints them.
    pub trust: Vec<String>,
    /// Where a server keeps releases, relative to the site.
    pub cache: PathBuf,
    /// Four hexadecimal digits that tell this server from others; empty: it chooses some and keeps them.
    pub tag: String,
    /// Bytes of all files of a release.
    pub max_size: ByteSize,
}

impl FleetConfig {
    /// What `fleet.depot` begins with if it is a directory.
    pub const DIR: &'static str = "dir:";

    /// What `fleet.depot` is if `[nats]` says where.
    pub const NATS: &'static str = "nats";

    /// Whether the depot is in NATS.
    pub fn is_in_nats(&self) -> bool {
        self.depot == Self::NATS
    }

    /// The directory of the depot, if it is one.
    pub fn depot_dir(&self) -> Option<PathBuf> {
        self.depot.strip_prefix(Self::DIR).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// Whether a site may be called so: the name stands in addresses of an engine and in names of directories.
    pub(super) fn is_name(name: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !name.is_empty() && name.len() <= 63 && name.bytes().all(is_plain) && !name.starts_with('-')
    }

    /// Whether it has the form of a public key.
    pub(super) fn is_key(text: &str) -> bool {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        text.strip_prefix("ed25519:").is_some_and(|key| key.len() == 43 && key.bytes().all(is_letter))
    }

    pub(super) fn is_tag(text: &str) -> bool {
        text.len() == 4 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            site: String::new(),
            depot: String::new(),
            trust: Vec::new(),
            cache: "cache".into(),
            tag: String::new(),
            max_size: ByteSize::mib(256),
        }
    }
}
