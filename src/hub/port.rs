//! [`Port`]: what one session has of the hub.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Delivery, Entry, Handle, Hub, Inbox, Interest, Pattern, Store, StoreError, Write,
    limits::{check_key, check_prefix, check_value},
};
use crate::config::HubConfig;

/// What `hub.messages` bounds.
const SECOND: Duration = Duration::from_secs(1);
/// Keys and prefixes of which a session remembers that it has read them. Beyond it, it remembers none of
/// the earlier ones but reads them again.
const REMEMBERED: usize = 10_000;

/// What one session has of the hub. When it is dropped, nothing comes any more.
#[derive(Debug)]
pub struct Port {
    hub: Hub,
    inbox: Arc<Inbox>,
    subscriptions: HashMap<Handle, Listening>,
    remembered: HashSet<Interest>,
    second: Option<(Instant, u32)>,
    /// Messages of its own that were too many.
    dropped: u64,
    /// Of the last write.
    number: u64,
}

/// What a function of the session listens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listening {
    /// Messages.
    Topic(Pattern),
    /// Changes of keys that begin so.
    Keys(Arc<str>),
}

impl Port {
    pub(super) fn new(hub: Hub, inbox: Arc<Inbox>) -> Self {
        let (subscriptions, remembered) = Default::default();
        Self { hub, inbox, subscriptions, remembered, second: None, dropped: 0, number: 0 }
    }

    /// `[hub]`
    pub fn config(&self) -> &HubConfig {
        &self.hub.config
    }

    /// Tells all that have subscribed to it. What is too much in a second is dropped, and counted.
    ///
    /// # Errors
    /// If that is no topic, the value is too long, or who carries it to other servers is away.
    pub fn publish(&mut self, topic: &str, value: Arc<str>) -> Result<(), String> {
        self.check_message(topic, &value)?;
        let now = Instant::now();
        let (began, count) = self.second.filter(|(began, _)| now < *began + SECOND).unwrap_or((now, 0));
        self.second = Some((began, count.saturating_add(1)));
        if count >= self.config().messages {
            self.dropped += 1;
            self.hub.counters.drop_one();
            return Ok(());
        }
        self.hub.topics.publish(topic, value)?;
        self.hub.counters.publish();
        Ok(())
    }

    /// Whether that can be published.
    ///
    /// # Errors
    /// If that is no topic, or the value is too long.
    pub fn check_message(&self, topic: &str, value: &str) -> Result<(), String> {
        Pattern::check_topic(topic)?;
        check_value(value, self.config()).map_err(|error| error.to_string())
    }

    /// A topic to listen to.
    ///
    /// # Errors
    /// If there are too many subscriptions, or that is no pattern.
    pub fn subscribe(&mut self, handle: Handle, pattern: &str) -> Result<(), String> {
        let pattern = Pattern::parse(pattern)?;
        self.listen(handle, Listening::Topic(pattern))
    }

    /// Keys to listen to.
    ///
    /// # Errors
    /// If there are too many subscriptions, no store, or the prefix is too long.
    pub fn watch(&mut self, handle: Handle, prefix: &str) -> Result<(), String> {
        self.store().map_err(|error| error.to_string())?;
        check_prefix(prefix, self.config()).map_err(|error| error.to_string())?;
        self.listen(handle, Listening::Keys(prefix.into()))
    }

    /// Listens.
    ///
    /// # Errors
    /// If that would be too many.
    fn listen(&mut self, handle: Handle, what: Listening) -> Result<(), String> {
        let max = self.config().subscriptions;
        if self.subscriptions.len() >= max {
            return Err(format!("too many subscriptions and watches: hub.subscriptions is {max}"));
        }
        self.begin(handle, what);
        Ok(())
    }

    fn begin(&mut self, handle: Handle, what: Listening) {
        match &what {
            Listening::Topic(pattern) => self.hub.topics.subscribe(pattern.clone(), &self.inbox, handle),
            Listening::Keys(prefix) => {
                if let Some(store) = &self.hub.store {
                    store.observe(Interest::Watch(prefix.clone(), handle), &self.inbox);
                }
            }
        }
        self.subscriptions.insert(handle, what);
    }

    /// The one no longer: the other listens to the same in its place, and gets what has come for it meanwhile.
    pub fn hand_on(&mut self, old: Handle, new: Handle) {
        self.end(old);
        self.inbox.hand_on(old, new);
    }

    /// No longer. Unknown is fine.
    pub fn end(&mut self, handle: Handle) {
        self.inbox.end(handle);
        match self.subscriptions.remove(&handle) {
            Some(Listening::Topic(pattern)) => self.hub.topics.unsubscribe(&pattern, &self.inbox, handle),
            Some(Listening::Keys(_)) => {
                if let Some(store) = &self.hub.store {
                    store.unwatch(&self.inbox, handle);
                }
            }
            None => {}
        }
    }

    /// Whether that is a watch of keys.
    pub fn is_watch(&self, handle: Handle) -> bool {
        matches!(self.subscriptions.get(&handle), Some(Listening::Keys(_)))
    }

    /// Whether the write that was begun last has been answered.
    pub fn is_answered(&self) -> bool {
        self.inbox.is_answered(self.number)
    }

    /// What it listens to, to go back to.
    pub fn listening(&self) -> HashMap<Handle, Listening> {
        self.subscriptions.clone()
    }

    /// Listens to that, as before.
    pub fn restore(&mut self, before: HashMap<Handle, Listening>) {
        let begun: Vec<Handle> =
            self.subscriptions.keys().filter(|handle| !before.contains_key(handle)).copied().collect();
        for handle in begun {
            self.end(handle);
        }
        for (handle, what) in before {
            if !self.subscriptions.contains_key(&handle) {
                self.begin(handle, what);
            }
        }
    }

    /// Whether there is a store.
    ///
    /// # Errors
    /// If there is none.
    pub fn store(&self) -> Result<&Arc<dyn Store>, StoreError> {
        self.hub.store.as_ref().ok_or(StoreError::Off)
    }

    /// What is there; from now on the session is told when it is another.
    ///
    /// # Errors
    /// If there is no store, or that is no key.
    pub fn get(&mut self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.store()?;
        check_key(key, self.config())?;
        self.remember(Interest::Key(key.into()));
        Ok(self.store()?.get(key))
    }

    /// All whose key begins so, by their keys; from now on the session is told when they are others.
    ///
    /// # Errors
    /// If there is no store, or the prefix is too long.
    pub fn list(&mut self, prefix: &str) -> Result<Vec<(Arc<str>, Entry)>, StoreError> {
        self.store()?;
        check_prefix(prefix, self.config())?;
        self.remember(Interest::Prefix(prefix.into()));
        Ok(self.store()?.list(prefix))
    }

    fn remember(&mut self, interest: Interest) {
        if self.remembered.contains(&interest) {
            return;
        }
        if self.remembered.len() >= REMEMBERED {
            self.forget_reads();
        }
        if let Some(store) = &self.hub.store {
            store.observe(interest.clone(), &self.inbox);
            self.remembered.insert(interest);
        }
    }

    fn forget_reads(&mut self) {
        self.remembered.clear();
        let Some(store) = &self.hub.store else { return };
        store.forget(&self.inbox);
        for (handle, what) in &self.subscriptions {
            if let Listening::Keys(prefix) = what {
                store.observe(Interest::Watch(prefix.clone(), *handle), &self.inbox);
            }
        }
        // What is shown is read again, and so remembered again.
        self.inbox.has_changed();
    }

    /// Whether that can be written.
    ///
    /// # Errors
    /// If there is no store, that is no key, or the value is too long.
    pub fn check_write(&self, key: &str, value: Option<&str>) -> Result<(), StoreError> {
        self.hub.check_write(key, value)
    }

    /// Begins to write; [`take_answer`](Self::take_answer) says what came of it, when the session has been woken.
    ///
    /// # Errors
    /// See [`check_write`](Self::check_write).
    pub fn write(&mut self, write: Write) -> Result<(), StoreError> {
        let (number, inbox) = (self.number + 1, self.inbox.clone());
        self.hub.write(write, Box::new(move |answer| inbox.answer(number, answer)))?;
        self.number = number;
        Ok(())
    }

    /// What came of the last write, once.
    pub fn take_answer(&self) -> Option<Result<u64, StoreError>> {
        self.inbox.take_answer(self.number)
    }

    /// What is to be run next, and whether something that the session has read is another now.
    pub fn take(&mut self) -> (Option<Delivery>, bool) {
        let taken = self.inbox.take();
        self.dropped += taken.dropped;
        if taken.more {
            self.inbox.wake_again();
        }
        // Of a subscription that has ended meanwhile.
        let delivery = taken.delivery.filter(|delivery| self.subscriptions.contains_key(&delivery.handle));
        (delivery, taken.has_changed)
    }

    /// How many messages were dropped since the last call, both ways.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Whether there were any.
    pub fn has_dropped(&self) -> bool {
        self.dropped > 0
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let handles: Vec<Handle> = self.subscriptions.keys().copied().collect();
        for handle in handles {
            self.end(handle);
        }
        if let Some(store) = &self.hub.store {
            store.forget(&self.inbox);
        }
    }
}
