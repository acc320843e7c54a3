//! What an operator does with the store: in a server that runs, or with that of a site that none serves.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    Entry, Hub, StoreError, Write,
    limits::{check_key, check_prefix, check_value},
};
use crate::config::HubConfig;

/// A key and its value: a line of `lua-hotloader store export`, and what goes over the control socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: serde_json::Value,
    /// Milliseconds until it is gone by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
}

impl Stored {
    fn new(key: &str, entry: &Entry) -> Result<Self, StoreError> {
        let unread = |error| StoreError::Failed(format!("the value of {key:?} is no JSON: {error}"));
        let value = serde_json::from_str(&entry.value).map_err(unread)?;
        let left = |at: SystemTime| at.duration_since(SystemTime::now()).unwrap_or_default().as_millis();
        // A key that is due is still there for a moment.
        let ttl = entry.expires.map(|at| u64::try_from(left(at)).unwrap_or(u64::MAX).max(1));
        Ok(Self { key: key.to_owned(), value, ttl })
    }
}

/// Whether that may be stored, as far as it can be said without the store.
///
/// # Errors
/// Which limit it exceeds, or what is wrong with the key, the value or the time.
pub fn check_stored(stored: &Stored, config: &HubConfig) -> Result<(), StoreError> {
    check_key(&stored.key, config)?;
    if stored.value.is_null() {
        return Err(StoreError::Failed("the value is null; `store delete` deletes a key".into()));
    }
    if stored.ttl == Some(0) {
        return Err(StoreError::Failed("ttl is a number of milliseconds, more than 0".into()));
    }
    check_value(&stored.value.to_string(), config)
}

impl From<Stored> for Write {
    fn from(stored: Stored) -> Self {
        Self {
            key: stored.key.into(),
            value: Some(stored.value.to_string().into()),
            ttl: stored.ttl.map(Duration::from_millis),
            expected: None,
        }
    }
}

impl Hub {
    /// What is there.
    ///
    /// # Errors
    /// If there is no store.
    pub fn stored(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        self.check_write(key, None)?;
        let entry = self.store().ok_or(StoreError::Off)?.get(key);
        entry.map(|entry| Stored::new(key, &entry)).transpose()
    }

    /// All whose key begins so, by their keys, as they are at one moment.
    ///
    /// # Errors
    /// If there is no store, or the prefix is too long.
    pub fn all_stored(
        &self,
        prefix: &str,
    ) -> Result<impl Iterator<Item = Result<Stored, StoreError>> + use<>, StoreError> {
        check_prefix(prefix, &self.config)?;
        let entries: Vec<(Arc<str>, Entry)> = self.store().ok_or(StoreError::Off)?.list(prefix);
        Ok(entries.into_iter().map(|(key, entry)| Stored::new(&key, &entry)))
    }

    /// Writes all of it, and waits until it is on the disk. The answers are in the order of the writes.
    pub async fn write_all(&self, writes: Vec<Write>) -> Vec<Result<(), StoreError>> {
        let begin = |write| {
            let (sender, answer) = oneshot::channel();
            let done = move |result: Result<u64, StoreError>| {
                // Who asked may be gone.
                let _ = sender.send(result);
            };
            self.write(write, Box::new(done)).map(|()| answer)
        };
        // All at once: they share a transaction.
        let begun: Vec<_> = writes.into_iter().map(begin).collect();
        let mut results = Vec::with_capacity(begun.len());
        for answer in begun {
            results.push(match answer {
                Ok(answer) => match answer.await {
                    Ok(result) => result.map(drop),
                    Err(_) => Err(StoreError::Failed("the store has ended; the log says why".into())),
                },
                Err(refused) => Err(refused),
            });
        }
        results
    }
}
