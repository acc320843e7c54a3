//! [`Settings`]: where NATS is, and as whom to speak to it.

use std::{path::PathBuf, time::Duration};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, ServerAddr};
use thiserror::Error;

use crate::{
    link::Events,
    names::{Names, jitter},
};

/// A connection on which nothing comes back is given up after three of them.
const PING: Duration = Duration::from_secs(1);
/// How long after an attempt to connect the next one is made.
const AGAIN: Duration = Duration::from_millis(250);
/// The longest such time.
const LATER: Duration = Duration::from_secs(2);

/// How to use NATS.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses, such as `nats://127.0.0.1:4222`; several are servers of one cluster.
    pub urls: Vec<String>,
    /// A file with a JWT and its key, as `nsc` makes it.
    pub credentials: Option<PathBuf>,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// What the names of this site begin with. Letters, digits, `-` and `_`.
    pub site: String,
    /// Whether there is a store.
    pub has_store: bool,
    /// On how many servers of a cluster the store is kept, if it has to be made.
    pub replicas: usize,
    /// Bytes of a message or a value that is taken.
    pub max_value: usize,
    /// How long it may take to connect at first.
    pub connect: Duration,
    /// How long a call may take.
    pub patience: Duration,
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Also where NATS does not ask for it.
    pub required: bool,
    /// A file with the certificate of an authority to trust beside those of the system.
    pub authority: Option<PathBuf>,
    /// Files with a certificate of our own and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Why NATS can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// That is no address.
    #[error("{url:?} is no address of NATS; one is \"nats://127.0.0.1:4222\" (nats.url)")]
    Address {
        /// Without passwords.
        url: String,
    },
    /// A file can't be read.
    #[error("{path:?} can't be read: {source} ({key})")]
    File {
        /// The file.
        path: PathBuf,
        /// The key that names it.
        key: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody answers.
    #[error(
        "NATS at {url} can't be reached: {problem}; start it, or set hub.engine = \"local\", which needs none \
         (nats.url, nats.connect)"
    )]
    Unreachable {
        /// Without passwords.
        url: String,
        /// What the last attempt came to.
        problem: String,
    },
    /// It wants to know who we are.
    #[error(
        "NATS at {url} refuses this server: {problem} (nats.credentials, or a name and password in nats.url)"
    )]
    Refused {
        /// Without passwords.
        url: String,
        /// What it said.
        problem: String,
    },
    /// The connection can't be encrypted.
    #[error("no encrypted connection to NATS at {url}: {problem} (nats.tls, nats.ca, nats.cert, nats.key)")]
    Tls {
        /// Without passwords.
        url: String,
        /// Why not.
        problem: String,
    },
    /// There is no place for the store.
    #[error("the store on NATS at {url} can't be used: {problem} (hub.store = \"off\" does without)")]
    Store {
        /// Without passwords.
        url: String,
        /// Why not, and what helps.
        problem: String,
    },
    /// There is no place for releases.
    #[error(
        "releases cannot be kept on NATS at {url}: {problem}; it has to run with JetStream (nats-server -js)"
    )]
    Releases {
        /// Without passwords.
        url: String,
        /// Why not.
        problem: String,
    },
}

impl Settings {
    pub(crate) fn names(&self) -> Names {
        Names::new(&self.site)
    }

    /// Where NATS is, without passwords.
    pub(crate) fn shown(&self) -> String {
        self.urls.iter().map(|url| shown(url)).collect::<Vec<_>>().join(", ")
    }

    /// Tries until it is connected, or it is certain that it can't be.
    pub(crate) async fn client(&self, events: Events) -> Result<Client, ConnectError> {
        let address =
            |url: &String| url.parse::<ServerAddr>().map_err(|_| ConnectError::Address { url: shown(url) });
        let addresses = self.urls.iter().map(address).collect::<Result<Vec<_>, _>>()?;
        // The client leaves it to us to take them out of an address.
        let user = addresses
            .iter()
            .find_map(|address| Some((plain(address.username()?), address.password().map(plain))));
        let deadline = tokio::time::Instant::now() + self.connect;
        loop {
            let options = match user.clone() {
                Some((user, Some(password))) => {
                    self.options(events.clone()).await?.user_and_password(user, password)
                }
                Some((token, None)) => self.options(events.clone()).await?.token(token),
                None => self.options(events.clone()).await?,
            };
            let error = match options.connect(addresses.as_slice()).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            let (url, problem) = (self.shown(), text(&error));
            match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    return Err(ConnectError::Refused { url, problem });
                }
                ConnectErrorKind::Tls => return Err(ConnectError::Tls { url, problem }),
                _ if tokio::time::Instant::now() + AGAIN >= deadline => {
                    return Err(ConnectError::Unreachable { url, problem });
                }
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    async fn options(&self, events: Events) -> Result<ConnectOptions, ConnectError> {
        let mut options = ConnectOptions::new()
            .name("lua-hotloader")
            // Sessions of this server have heard it already.
            .no_echo()
            .ping_interval(PING)
            .connection_timeout(self.patience)
            .request_timeout(Some(self.patience))
            .reconnect_delay_callback(|attempt| {
                let wait = AGAIN.saturating_mul(u32::try_from(attempt).unwrap_or(u32::MAX)).min(LATER);
                wait / 2 + jitter(wait / 2)
            })
            .event_callback(move |event| {
                events.take(&event);
                std::future::ready(())
            })
            .require_tls(self.tls.required);
        if let Some(path) = &self.credentials {
            let file = |source| ConnectError::File { path: path.clone(), key: "nats.credentials", source };
            options = options.credentials_file(path).await.map_err(file)?;
        }
        if let Some(path) = &self.tls.authority {
            readable(path, "nats.ca")?;
            options = options.add_root_certificates(path.clone());
        }
        if let Some((certificate, key)) = &self.tls.certificate {
            readable(certificate, "nats.cert")?;
            readable(key, "nats.key")?;
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        Ok(options)
    }
}

fn readable(path: &PathBuf, key: &'static str) -> Result<(), ConnectError> {
    let opened = std::fs::File::open(path);
    opened.map(drop).map_err(|source| ConnectError::File { path: path.clone(), key, source })
}

/// What may not stand in an address as it is, as `%40`, stands for itself again.
fn plain(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// An error with what led to it.
pub(crate) fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// An address without the name and the password that may stand in it.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert_eq!(shown("nats://anna:se@cret@host:4222"), "nats://host:4222");
        assert_eq!(shown("tls://token@host"), "tls://host");
        assert_eq!(shown("anna:secret@host"), "host");
        assert_eq!(shown("host:1"), "host:1");
    }
}
