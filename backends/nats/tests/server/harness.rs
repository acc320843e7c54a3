//! Servers without sessions: each has a connection of its own, and what comes to it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use hotloader_nats::{Copy, Entry, Nats, Settings, Tls, Write, WriteError};
use tokio::sync::oneshot;

/// How long a call may take in tests that do not wait for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// What one server has.
#[derive(Default)]
pub(crate) struct Kept {
    entries: Mutex<BTreeMap<Arc<str>, Entry>>,
    heard: Mutex<Vec<(String, String, String)>>,
}

impl Copy for Kept {
    fn heard(&self, pattern: &str, topic: &str, value: Arc<str>) {
        self.heard.lock().unwrap().push((pattern.into(), topic.into(), value.to_string()));
    }

    fn revision(&self, key: &str) -> u64 {
        self.entries.lock().unwrap().get(key).map_or(0, |entry| entry.revision)
    }

    fn changed(&self, key: &Arc<str>, entry: Option<Entry>) {
        let mut entries = self.entries.lock().unwrap();
        let before = match &entry {
            Some(entry) => entries.insert(key.clone(), entry.clone()),
            None => entries.remove(key),
        };
        if let (Some(before), Some(entry)) = (before, entry) {
            assert!(before.revision < entry.revision, "{key} went back from {before:?} to {entry:?}");
        }
    }

    fn all(&self, entries: HashMap<Arc<str>, Entry>) {
        *self.entries.lock().unwrap() = entries.into_iter().collect();
    }
}

/// One server.
pub(crate) struct Server {
    pub(crate) nats: Nats,
    pub(crate) kept: Arc<Kept>,
}

pub(crate) fn settings(url: &str) -> Settings {
    Settings {
        urls: vec![url.to_owned()],
        credentials: None,
        tls: Tls::default(),
        site: "site".into(),
        has_store: true,
        replicas: 1,
        max_value: 64 << 10,
        connect: Duration::from_secs(10),
        patience: PATIENCE,
    }
}

impl Server {
    pub(crate) async fn on(url: &str) -> Self {
        Self::with(settings(url)).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let kept = Arc::new(Kept::default());
        Self { nats: Nats::connect(settings, kept.clone()).await.unwrap(), kept }
    }

    pub(crate) async fn write(&self, write: Write) -> Result<u64, WriteError> {
        let (sender, answer) = oneshot::channel();
        self.nats.write(write, Box::new(move |result| drop(sender.send(result))));
        answer.await.expect("each write is answered")
    }

    pub(crate) async fn set(&self, key: &str, value: &str) -> u64 {
        self.write(put(key, value)).await.unwrap_or_else(|error| panic!("{error}; {:?}", self.nats))
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.write(Write { value: None, ..put(key, "") }).await.unwrap();
    }

    /// Adds to a number, as `store.update` does it.
    pub(crate) async fn add(&self, key: &str, more: i64) -> Result<(), WriteError> {
        loop {
            let before = self.entry(key);
            let number: i64 = before.as_ref().map_or(0, |entry| entry.value.parse().unwrap());
            let expected = Some(before.map_or(0, |entry| entry.revision));
            match self.write(Write { expected, ..put(key, &(number + more).to_string()) }).await {
                Ok(_) => return Ok(()),
                Err(WriteError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<Entry> {
        self.kept.entries.lock().unwrap().get(key).cloned()
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.entry(key).map(|entry| entry.value.to_string())
    }

    pub(crate) fn entries(&self) -> BTreeMap<Arc<str>, Entry> {
        self.kept.entries.lock().unwrap().clone()
    }

    /// Pattern, topic and value of each.
    pub(crate) fn heard(&self) -> Vec<(String, String, String)> {
        self.kept.heard.lock().unwrap().clone()
    }

    pub(crate) async fn sees(&self, key: &str, value: Option<&str>) {
        let is_so = async || (self.get(key).as_deref() == value).then_some(());
        hotloader_test_support::until(&format!("{key} to be {value:?}"), is_so).await;
    }

    /// Until what is published to the pattern arrives: to subscribe takes a moment.
    pub(crate) async fn hears(&self, pattern: &str, topic: &str, from: &Self) {
        hotloader_test_support::until(&format!("{pattern} to be heard"), async || {
            let _ = from.nats.publish(topic, "\"ready\"".into());
            self.heard().iter().any(|(of, _, _)| of == pattern).then_some(())
        })
        .await;
    }

    pub(crate) fn is_away(&self) -> bool {
        self.nats.link().away.is_some()
    }

    pub(crate) async fn until_away(&self, is_away: bool) {
        let is_so = async || (self.is_away() == is_away).then_some(());
        hotloader_test_support::until(&format!("away to be {is_away}"), is_so).await;
    }
}

pub(crate) fn put(key: &str, value: &str) -> Write {
    Write { key: key.into(), value: Some(value.into()), ttl: None, expected: None }
}
