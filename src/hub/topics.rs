//! [`Topics`], and those of one process.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::SystemTime,
};

use super::{Delivery, Handle, Inbox, Pattern};

/// A word from one session to all that want to hear it; at most once, to those who are there.
pub trait Topics: fmt::Debug + Send + Sync {
    /// Tells all that have subscribed to it. The value is JSON.
    ///
    /// # Errors
    /// If nobody has been told, and why.
    fn publish(&self, topic: &str, value: Arc<str>) -> Result<(), String>;
    /// From now on messages go into the inbox, for `handle`.
    fn subscribe(&self, pattern: Pattern, inbox: &Arc<Inbox>, handle: Handle);
    /// No longer. Unknown is fine.
    fn unsubscribe(&self, pattern: &Pattern, inbox: &Inbox, handle: Handle);
    /// What there is to show of them.
    fn counts(&self) -> Vec<TopicCount>;
    /// How what carries them to other servers is; `None`: nothing does.
    fn link(&self) -> Option<Link> {
        None
    }
}

/// How the connection to other servers is.
#[derive(Debug, Clone)]
pub struct Link {
    /// By which program.
    pub engine: &'static str,
    /// Where it is, without passwords.
    pub url: String,
    /// It is away: since when, and why.
    pub away: Option<(SystemTime, String)>,
}

/// How a topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCount {
    /// The topic, or the pattern.
    pub pattern: String,
    /// Who listens.
    pub subscriptions: usize,
    /// Messages since somebody does.
    pub messages: u64,
}

/// Topics of one process.
#[derive(Debug, Default)]
pub struct LocalTopics(RwLock<Table>);

#[derive(Debug, Default)]
struct Table {
    exact: HashMap<Box<str>, Listeners>,
    wild: HashMap<Pattern, Listeners>,
}

/// In the order in which they came.
#[derive(Debug, Default)]
struct Listeners {
    all: BTreeMap<(u64, Handle), Arc<Inbox>>,
    messages: std::sync::atomic::AtomicU64,
}

impl Listeners {
    fn tell(&self, topic: &Arc<str>, value: &Arc<str>) {
        self.messages.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        for ((_, handle), inbox) in &self.all {
            let (name, value) = (topic.clone(), Some(value.clone()));
            inbox.message(Delivery { handle: *handle, name, value });
        }
    }

    fn count(&self, pattern: &str) -> TopicCount {
        let messages = self.messages.load(std::sync::atomic::Ordering::Relaxed);
        TopicCount { pattern: pattern.to_owned(), subscriptions: self.all.len(), messages }
    }
}

impl LocalTopics {
    /// Tells those that have subscribed with that pattern, and nobody else.
    #[cfg(feature = "nats")]
    pub(super) fn tell(&self, pattern: &Pattern, topic: &str, value: &Arc<str>) {
        let table = self.read();
        let listeners =
            if pattern.is_exact() { table.exact.get(pattern.as_str()) } else { table.wild.get(pattern) };
        if let Some(listeners) = listeners {
            listeners.tell(&topic.into(), value);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topics for LocalTopics {
    fn publish(&self, topic: &str, value: Arc<str>) -> Result<(), String> {
        let (table, topic) = (self.read(), Arc::<str>::from(topic));
        if let Some(listeners) = table.exact.get(&*topic) {
            listeners.tell(&topic, &value);
        }
        for (_, listeners) in table.wild.iter().filter(|(pattern, _)| pattern.matches(&topic)) {
            listeners.tell(&topic, &value);
        }
        Ok(())
    }

    fn subscribe(&self, pattern: Pattern, inbox: &Arc<Inbox>, handle: Handle) {
        let mut table = self.write();
        let listeners = if pattern.is_exact() {
            table.exact.entry(pattern.as_str().into()).or_default()
        } else {
            table.wild.entry(pattern).or_default()
        };
        listeners.all.insert((inbox.id(), handle), inbox.clone());
    }

    fn unsubscribe(&self, pattern: &Pattern, inbox: &Inbox, handle: Handle) {
        let mut table = self.write();
        let listeners = if pattern.is_exact() {
            table.exact.get_mut(pattern.as_str())
        } else {
            table.wild.get_mut(pattern)
        };
        let Some(listeners) = listeners else { return };
        listeners.all.remove(&(inbox.id(), handle));
        if !listeners.all.is_empty() {
            return;
        }
        if pattern.is_exact() {
            table.exact.remove(pattern.as_str());
        } else {
            table.wild.remove(pattern);
        }
    }

    fn counts(&self) -> Vec<TopicCount> {
        let table = self.read();
        let exact = table.exact.iter().map(|(topic, listeners)| listeners.count(topic));
        let wild = table.wild.iter().map(|(pattern, listeners)| listeners.count(pattern.as_str()));
        let mut counts: Vec<_> = exact.chain(wild).collect();
        counts.sort_by(|a, b| a.pattern.cmp(&b.pattern));
        counts
    }
}
