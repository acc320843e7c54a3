//! Topics: what sessions of other servers are told, and what they say.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::de::IgnoredAny;
use thiserror::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::AbortHandle,
};

use crate::Shared;

/// Messages that wait to be sent.
const MOST: usize = 4096;
/// Bytes of them, together.
const MOST_BYTES: usize = 16 << 20;

/// Why nobody on another server has been told.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// NATS is away.
    #[error("not published: {0}")]
    Away(String),
    /// It takes less than there is.
    #[error("not published: {0} messages wait for NATS, which does not take more")]
    Full(usize),
}

/// A message that waits to be sent.
#[derive(Debug)]
struct Outgoing {
    subject: String,
    value: Arc<str>,
    at: Instant,
    /// Its part of [`MOST_BYTES`].
    _room: OwnedSemaphorePermit,
}

/// What waits to be sent.
pub(crate) struct Publishing {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
}

impl Publishing {
    /// Sends until it is dropped.
    pub(crate) fn start(shared: Arc<Shared>) -> Self {
        let (sender, outgoing) = mpsc::channel(MOST);
        tokio::spawn(publish_all(shared.clone(), outgoing));
        Self { shared, sender, room: Arc::new(Semaphore::new(MOST_BYTES)) }
    }

    pub(crate) fn publish(&self, topic: &str, value: Arc<str>) -> Result<(), PublishError> {
        let Shared { settings, link, .. } = &*self.shared;
        if link.borrow().away.as_ref().is_some_and(|away| away.duration() > settings.patience) {
            return Err(PublishError::Away(self.shared.since()));
        }
        let full = || PublishError::Full(MOST - self.sender.capacity());
        let bytes = u32::try_from(value.len()).map_err(|_| full())?;
        let room = self.room.clone().try_acquire_many_owned(bytes).map_err(|_| full())?;
        let subject = settings.names().topic(topic);
        let outgoing = Outgoing { subject, value, at: Instant::now(), _room: room };
        self.sender.try_send(outgoing).map_err(|_| full())
    }
}

/// Sends one after the other, so that they stay in order.
async fn publish_all(shared: Arc<Shared>, mut outgoing: mpsc::Receiver<Outgoing>) {
    let mut connection = shared.connection.clone();
    let patience = shared.settings.patience;
    while let Some(Outgoing { subject, value, at, _room }) = outgoing.recv().await {
        if connection.wait_for(|connection| !connection.is_lost).await.is_err() {
            return;
        }
        // What was said so long ago is said no longer.
        if at.elapsed() > patience {
            tracing::warn!(target: "hub", limited_by = "late", "messages dropped: NATS took none for longer than hub.patience");
            continue;
        }
        if let Err(error) = shared.client.publish(subject, Bytes::from(value.as_bytes().to_vec())).await {
            tracing::warn!(target: "hub", limited_by = "publish", "a message was not published: {error}");
        }
    }
    let _ = shared.client.flush().await;
}

/// One subscription for each pattern, however many sessions have it.
pub(crate) struct Subscriptions {
    shared: Arc<Shared>,
    /// Guards the counts only.
    by_pattern: Mutex<HashMap<Box<str>, (usize, AbortHandle)>>,
}

impl Subscriptions {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, by_pattern: Mutex::default() }
    }

    pub(crate) fn add(&self, pattern: &str) {
        let mut all = self.all();
        if let Some((count, _)) = all.get_mut(pattern) {
            *count += 1;
            return;
        }
        let task = self.shared.runtime.spawn(hear(self.shared.clone(), pattern.to_owned()));
        all.insert(pattern.into(), (1, task.abort_handle()));
    }

    pub(crate) fn remove(&self, pattern: &str) {
        let mut all = self.all();
        let Some((count, _)) = all.get_mut(pattern) else { return };
        *count -= 1;
        if *count == 0
            && let Some((_, task)) = all.remove(pattern)
        {
            task.abort();
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Box<str>, (usize, AbortHandle)>> {
        self.by_pattern.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.all().values().for_each(|(_, task)| task.abort());
    }
}

/// Hears what is published to a pattern. The client subscribes again by itself when it is connected again.
async fn hear(shared: Arc<Shared>, pattern: String) {
    let names = shared.settings.names();
    let mut messages = match shared.client.subscribe(names.topic(&pattern)).await {
        Ok(messages) => messages,
        Err(error) => {
            tracing::error!(target: "hub", "nothing is heard of {pattern:?}: {error}");
            return;
        }
    };
    while let Some(message) = messages.next().await {
        let Some(topic) = names.topic_of(&message.subject) else { continue };
        match json(&message.payload, shared.settings.max_value) {
            Ok(value) => shared.copy.heard(&pattern, topic, value),
            Err(problem) => {
                tracing::warn!(target: "hub", limited_by = "foreign", "a message to {topic:?} is passed over: {problem}");
            }
        }
    }
}

/// What comes from outside is JSON, and not too long, or it is nothing.
pub(crate) fn json(bytes: &[u8], max: usize) -> Result<Arc<str>, String> {
    if bytes.len() > max {
        return Err(format!("it has {} bytes, and hub.max_value allows {max}", bytes.len()));
    }
    serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| format!("it is not JSON: {error}"))?;
    let text = std::str::from_utf8(bytes).map_err(|error| format!("it is not JSON: {error}"))?;
    Ok(text.into())
}
