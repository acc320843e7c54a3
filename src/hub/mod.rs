//! What one session tells others, and what outlives it: topics and a store.
//!
//! [`Topics`] and [`Store`] are what the rest of the program sees; in here are the halves that need no
//! other program: channels, and an SQLite file. Reads are answered by a [`Replica`] in memory and wait for
//! nobody. A session reaches both through its [`Port`]; what comes for it waits in its [`Inbox`].

mod counters;
mod error;
mod inbox;
mod limits;
#[cfg(feature = "nats")]
mod nats;
mod operator;
mod pattern;
mod port;
mod replica;
mod sqlite;
mod store;
#[cfg(test)]
mod tests;
mod topics;
mod writes;

use std::{path::Path, sync::Arc};

pub use counters::{Counters, Latencies, StoreResult};
pub use error::{HubError, StoreError};
pub use inbox::{Delivery, Handle, Inbox, Wake};
pub use operator::{Stored, check_stored};
pub use pattern::Pattern;
pub use port::{Listening, Port};
pub use replica::{Interest, Replica};
pub use sqlite::SqliteStore;
pub use store::{Done, Entry, Store, StoreSize, Write};
pub use topics::{Link, LocalTopics, TopicCount, Topics};

use crate::config::{HubConfig, HubEngine, NatsConfig};

/// What keys of the server's own begin with, which no site can name and none is shown.
pub(crate) const OWN: char = '\u{1}';

/// Topics and store of a site; cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {
    topics: Arc<dyn Topics>,
    store: Option<Arc<dyn Store>>,
    config: Arc<HubConfig>,
    counters: Arc<Counters>,
}

impl Hub {
    /// Of the site in that directory, with the engine that `hub.engine` names. Has to be called in a runtime of
    /// tokio, which lives as long.
    ///
    /// # Errors
    /// If there is a store that can't be used, or the engine can't: see [`HubError`].
    pub async fn connect(site: &Path, config: &HubConfig, nats: &NatsConfig) -> Result<Self, HubError> {
        match config.engine {
            HubEngine::Local => Self::start(site, config),
            #[cfg(feature = "nats")]
            HubEngine::Nats => {
                let engine = Arc::new(nats::NatsHub::connect(site, config, nats).await?);
                let store = (config.store != HubConfig::OFF).then(|| engine.clone() as Arc<dyn Store>);
                let counters = Arc::new(Counters::default());
                Ok(Self { topics: engine, store, config: Arc::new(config.clone()), counters })
            }
            #[cfg(not(feature = "nats"))]
            HubEngine::Nats => {
                let _ = nats;
                Err(HubError::NoNats)
            }
        }
    }

    /// Of the site in that directory, and of this server alone.
    ///
    /// # Errors
    /// If there is a store that can't be used: see [`HubError`].
    pub fn start(site: &Path, config: &HubConfig) -> Result<Self, HubError> {
        let counters = Arc::new(Counters::default());
        let store: Option<Arc<dyn Store>> = match config.store.as_str() {
            HubConfig::OFF => None,
            HubConfig::MEMORY => Some(Arc::new(SqliteStore::in_memory(config)?)),
            path => Some(Arc::new(SqliteStore::open(&site.join(path), config)?)),
        };
        Ok(Self {
            topics: Arc::new(LocalTopics::default()),
            store,
            config: Arc::new(config.clone()),
            counters,
        })
    }

    /// What a session has of it. `wake` is told when something has come.
    pub fn port(&self, wake: Arc<dyn Wake>) -> Port {
        Port::new(self.clone(), Arc::new(Inbox::new(wake, self.config.messages, self.counters.clone())))
    }

    /// `[hub]`
    pub fn config(&self) -> &HubConfig {
        &self.config
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The topics.
    pub fn topics(&self) -> &dyn Topics {
        self.topics.as_ref()
    }

    /// The store, unless it is off.
    pub fn store(&self) -> Option<&dyn Store> {
        self.store.as_deref()
    }
}
