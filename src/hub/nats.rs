//! [`NatsHub`]: topics and the store of many servers. The engine is `hotloader_nats`; here is what it brings to
//! the sessions of this server, and their limits.

use std::{collections::HashMap, path::Path, sync::Arc};

use hotloader_nats::{ConnectError, Copy, Nats, WriteError};
use tokio::sync::watch;

use super::{
    Done, Entry, Handle, Inbox, Interest, Link, LocalTopics, Pattern, Replica, Store, StoreError, StoreSize,
    TopicCount, Topics, Write, limits::limit,
};
use crate::config::{HubConfig, NatsConfig};

/// Topics and the store of many servers.
#[derive(Debug)]
pub(super) struct NatsHub {
    nats: Nats,
    here: Arc<Here>,
    config: HubConfig,
}

/// What this server has of it.
#[derive(Debug, Default)]
struct Here {
    topics: LocalTopics,
    replica: Replica,
}

impl NatsHub {
    pub(super) async fn connect(
        site: &Path,
        config: &HubConfig,
        nats: &NatsConfig,
    ) -> Result<Self, ConnectError> {
        let here = Arc::new(Here::default());
        let nats = Nats::connect(nats.settings(site, config), here.clone()).await?;
        Ok(Self { nats, here, config: config.clone() })
    }

    /// Other servers may write at the same time, so there may be a little more in the end.
    fn check_room(&self, write: &Write) -> Result<(), StoreError> {
        let bytes = |value: &str| write.key.len() + value.len();
        let before = self.here.replica.get(&write.key).map_or(0, |entry| bytes(&entry.value));
        let after = write.value.as_deref().map_or(0, bytes);
        // What makes it smaller is always allowed.
        if after <= before {
            return Ok(());
        }
        let StoreSize { keys, bytes } = self.here.replica.size();
        let (max_keys, max_size) = (self.config.max_keys, self.config.max_size.as_usize());
        limit("the number of keys", keys + usize::from(before == 0), max_keys, "hub.max_keys")?;
        limit("the size of the store in bytes", bytes - before + after, max_size, "hub.max_size")
    }
}

impl Copy for Here {
    fn heard(&self, pattern: &str, topic: &str, value: Arc<str>) {
        if let Ok(pattern) = Pattern::parse(pattern) {
            self.topics.tell(&pattern, topic, &value);
        }
    }

    fn revision(&self, key: &str) -> u64 {
        self.replica.get(key).map_or(0, |entry| entry.revision)
    }

    fn changed(&self, key: &Arc<str>, entry: Option<hotloader_nats::Entry>) {
        self.replica.apply(key, entry.map(Entry::from));
    }

    fn all(&self, entries: HashMap<Arc<str>, hotloader_nats::Entry>) {
        for (key, _) in self.replica.list("") {
            if !entries.contains_key(&key) {
                self.replica.apply(&key, None);
            }
        }
        for (key, entry) in entries {
            if self.revision(&key) != entry.revision {
                self.replica.apply(&key, Some(entry.into()));
            }
        }
    }
}

impl From<hotloader_nats::Entry> for Entry {
    fn from(entry: hotloader_nats::Entry) -> Self {
        let hotloader_nats::Entry { value, revision, expires } = entry;
        Self { value, revision, expires }
    }
}

impl From<WriteError> for StoreError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Conflict => Self::Conflict,
            other => Self::Failed(other.to_string()),
        }
    }
}

impl Topics for NatsHub {
    fn publish(&self, topic: &str, value: Arc<str>) -> Result<(), String> {
        self.nats.publish(topic, value.clone()).map_err(|error| error.to_string())?;
        self.here.topics.publish(topic, value)
    }

    fn subscribe(&self, pattern: Pattern, inbox: &Arc<Inbox>, handle: Handle) {
        self.nats.subscribe(pattern.as_str());
        self.here.topics.subscribe(pattern, inbox, handle);
    }

    fn unsubscribe(&self, pattern: &Pattern, inbox: &Inbox, handle: Handle) {
        self.here.topics.unsubscribe(pattern, inbox, handle);
        self.nats.unsubscribe(pattern.as_str());
    }

    fn counts(&self) -> Vec<TopicCount> {
        self.here.topics.counts()
    }

    fn link(&self) -> Option<Link> {
        let away = self.nats.link().away.map(|away| (away.since, away.problem));
        Some(Link { engine: "nats", url: self.nats.url(), away })
    }
}

impl Store for NatsHub {
    fn get(&self, key: &str) -> Option<Entry> {
        self.here.replica.get(key)
    }

    fn list(&self, prefix: &str) -> Vec<(Arc<str>, Entry)> {
        self.here.replica.list(prefix)
    }

    fn write(&self, write: Write, done: Done) {
        if let Err(error) = self.check_room(&write) {
            return done(Err(error));
        }
        let Write { key, value, ttl, expected } = write;
        let write = hotloader_nats::Write { key, value, ttl, expected };
        self.nats.write(write, Box::new(|result| done(result.map_err(StoreError::from))));
    }

    fn observe(&self, interest: Interest, inbox: &Arc<Inbox>) {
        self.here.replica.observe(interest, inbox);
    }

    fn unwatch(&self, inbox: &Inbox, handle: Handle) {
        self.here.replica.unwatch(inbox, handle);
    }

    fn forget(&self, inbox: &Inbox) {
        self.here.replica.forget(inbox);
    }

    fn follow_own(&self) -> watch::Receiver<()> {
        self.here.replica.follow_own()
    }

    fn size(&self) -> StoreSize {
        self.here.replica.size()
    }
}
