//! `[nats]`: where NATS is, and as whom to speak to it.

#[cfg(feature = "nats")]
use std::path::Path;
use std::{path::PathBuf, time::Duration};

#[cfg(feature = "nats")]
use hotloader_nats::{Settings, Tls};
use serde::{Deserialize, Serialize};

#[cfg(feature = "nats")]
use super::HubConfig;
use super::units;

/// `[nats]`
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// Where it is: `nats://127.0.0.1:4222`; several addresses of one cluster with commas between them.
    pub url: String,
    /// What the names of this site's topics and store begin with.
    pub prefix: String,
    /// A file with a JWT and its key, relative to the site; empty: none.
    pub credentials: PathBuf,
    /// Whether the connection has to be encrypted.
    pub tls: bool,
    /// A file with the certificate of an authority to trust beside those of the system; empty: none.
    pub ca: PathBuf,
    /// A file with a certificate of our own; empty: none.
    pub cert: PathBuf,
    /// A file with its key.
    pub key: PathBuf,
    /// On how many servers of a cluster the store is kept.
    pub replicas: usize,
    /// How long the start waits for it.
    #[serde(with = "units::duration")]
    pub connect: Duration,
}

impl NatsConfig {
    /// For what connects. Files are relative to the site.
    #[cfg(feature = "nats")]
    pub fn settings(&self, site: &Path, hub: &HubConfig) -> Settings {
        let file = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| site.join(path));
        Settings {
            urls: self.url.split(',').map(|url| url.trim().to_owned()).collect(),
            credentials: file(&self.credentials),
            tls: Tls {
                required: self.tls,
                authority: file(&self.ca),
                certificate: file(&self.cert).zip(file(&self.key)),
            },
            site: self.prefix.clone(),
            has_store: hub.store != HubConfig::OFF,
            replicas: self.replicas,
            max_value: hub.max_value.as_usize(),
            connect: self.connect,
            patience: hub.patience,
        }
    }

    /// What may stand in the name of a stream and of a subject.
    pub(super) fn is_name(text: &str) -> bool {
        const LONGEST: usize = 64;
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !text.is_empty() && text.len() <= LONGEST && text.bytes().all(is_fine)
    }
}

/// Without the address, in which a password may stand.
impl std::fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".into(),
            prefix: String::new(),
            credentials: PathBuf::new(),
            tls: false,
            ca: PathBuf::new(),
            cert: PathBuf::new(),
            key: PathBuf::new(),
            replicas: 1,
            connect: Duration::from_secs(10),
        }
    }
}
