//! Writes: compare-and-set at NATS, answered once what was written can be read here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::jetstream::{context::PublishErrorKind, message::PublishMessage};
use bytes::Bytes;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use crate::{
    Shared,
    bucket::{self, is_conflict, is_missing},
    settings::text,
};

/// How often it is looked whether the copy has another revision, in the one case in which nothing tells.
const RETRY: Duration = Duration::from_millis(10);

/// Writes on their way at once.
pub(crate) const MOST: usize = 4096;

/// One write.
#[derive(Debug, Clone)]
pub struct Write {
    /// Of which key.
    pub key: Arc<str>,
    /// JSON; `None` deletes it.
    pub value: Option<Arc<str>>,
    /// After so long the key is gone by itself.
    pub ttl: Option<Duration>,
    /// Only if that is its revision; 0: only if it is not there.
    pub expected: Option<u64>,
}

/// Called once, with the new revision of the key (0: it is deleted); must not block.
pub type Done = Box<dyn FnOnce(Result<u64, WriteError>) + Send>;

/// Why a write came to nothing.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Another wrote in between.
    #[error("another has written it meanwhile")]
    Conflict,
    /// It has not been sent.
    #[error("{0}; nothing was written (hub.patience)")]
    Away(String),
    /// It has been sent, and nothing came back.
    #[error("NATS does not answer within hub.patience: whether it is written is not known")]
    Unanswered,
    /// NATS does not want it.
    #[error("NATS refuses it: {0}")]
    Refused(String),
}

/// Writes that have begun.
pub(crate) struct Writes {
    shared: Arc<Shared>,
    /// Those that wait until an earlier one of their key is done. Guards the lists only.
    waiting: Arc<Mutex<Waiting>>,
}

type Waiting = HashMap<Arc<str>, VecDeque<Pending>>;

struct Pending {
    write: Write,
    done: Done,
    deadline: Instant,
    /// NATS takes it once, however often it is sent.
    id: String,
}

impl Writes {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, waiting: Arc::default() }
    }

    /// One after the other for each key: of many that expect the same, one is sent.
    pub(crate) fn begin(&self, write: Write, done: Done) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = format!("{}-{}", self.shared.run, NEXT.fetch_add(1, Relaxed));
        let deadline = Instant::now() + self.shared.settings.patience;
        let key = write.key.clone();
        let pending = Pending { write, done, deadline, id };
        let mut waiting = lock(&self.waiting);
        if let Some(queue) = waiting.get_mut(&key) {
            queue.push_back(pending);
            return;
        }
        waiting.insert(key.clone(), VecDeque::new());
        drop(waiting);
        self.shared.runtime.spawn(run(self.shared.clone(), self.waiting.clone(), key, pending));
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All writes of a key that wait.
async fn run(shared: Arc<Shared>, waiting: Arc<Mutex<Waiting>>, key: Arc<str>, first: Pending) {
    let mut next = Some(first);
    while let Some(Pending { write, done, deadline, id }) = next {
        done(shared.write(&write, deadline, &id).await);
        let mut waiting = lock(&waiting);
        next = waiting.get_mut(&key).and_then(VecDeque::pop_front);
        if next.is_none() {
            waiting.remove(&key);
        }
    }
}

/// What came of one attempt.
enum Attempt {
    Written(u64),
    /// Another sequence stands there.
    Other,
    /// The connection was lost before the answer came.
    Lost,
}

impl Shared {
    async fn write(self: &Arc<Self>, write: &Write, deadline: Instant, id: &str) -> Result<u64, WriteError> {
        let is_there = |revision: u64| revision != 0;
        let known = self.copy.revision(&write.key);
        if write.expected.is_some_and(|expected| expected != known) {
            return Err(WriteError::Conflict);
        }
        if write.value.is_none() && !is_there(known) {
            return Ok(0);
        }
        let (mut expected, mut is_uncertain) = (write.expected, false);
        loop {
            match self.attempt(write, expected, deadline, id).await? {
                Attempt::Lost => is_uncertain = true,
                Attempt::Written(sequence) => return self.written(write, sequence, deadline).await,
                Attempt::Other => {
                    let (stands, is_it) = self.stands(&write.key, id, deadline).await?;
                    if is_it {
                        return self.written(write, stands, deadline).await;
                    }
                    // It may have been written, and another after it.
                    if is_uncertain {
                        return Err(WriteError::Unanswered);
                    }
                    self.wait_for(stands, deadline).await?;
                    let known = self.copy.revision(&write.key);
                    // The end of a value, or one whose time is over, is nothing to us but something to NATS.
                    if write.expected == Some(0) && !is_there(known) {
                        expected = Some(stands);
                        continue;
                    }
                    // It has gone without a word: its time was over earlier elsewhere, or somebody has purged it.
                    if stands == 0 && is_there(known) {
                        self.doubt.notify_one();
                        self.wait_for_other(&write.key, known, deadline).await;
                    }
                    return Err(WriteError::Conflict);
                }
            }
        }
    }

    /// Until it can be read here.
    async fn written(
        self: &Arc<Self>,
        write: &Write,
        sequence: u64,
        deadline: Instant,
    ) -> Result<u64, WriteError> {
        self.wait_for(sequence, deadline).await?;
        if write.value.is_some() {
            return Ok(sequence);
        }
        // Everybody has heard of the end, or reads all again, since a number is missing.
        self.remove(sequence, Duration::ZERO);
        Ok(0)
    }

    /// Sends it when there is a connection, and waits for the answer.
    async fn attempt(
        &self,
        write: &Write,
        expected: Option<u64>,
        deadline: Instant,
        id: &str,
    ) -> Result<Attempt, WriteError> {
        let mut connection = self.connection.clone();
        let there = timeout_at(deadline, connection.wait_for(|connection| !connection.is_lost)).await;
        let Ok(Ok(losses)) = there.map(|there| there.map(|connection| connection.losses)) else {
            return Err(WriteError::Away(self.since()));
        };
        let subject = self.settings.names().entry(&write.key);
        let sent = self.jetstream.send_publish(subject, self.message(write, expected, id));
        let sent = timeout_at(deadline, sent).await.map_err(|_| WriteError::Unanswered)?;
        let answer = async { sent?.await };
        let lost = connection.wait_for(|connection| connection.losses != losses);
        tokio::select! {
            answer = timeout_at(deadline, answer) => match answer {
                Ok(Ok(written)) => Ok(Attempt::Written(written.sequence)),
                Ok(Err(error)) if is_conflict(&error) => Ok(Attempt::Other),
                Ok(Err(error)) if error.kind() == PublishErrorKind::TimedOut => Err(WriteError::Unanswered),
                Ok(Err(error)) => Err(WriteError::Refused(text(&error))),
                Err(_) => Err(WriteError::Unanswered),
            },
            _ = lost => Ok(Attempt::Lost),
        }
    }

    fn message(&self, write: &Write, expected: Option<u64>, id: &str) -> PublishMessage {
        let message = PublishMessage::build().message_id(id);
        let message = match expected {
            Some(sequence) => message.expected_last_subject_sequence(sequence),
            None => message,
        };
        let Some(value) = &write.value else { return message.header(bucket::OPERATION, "DEL") };
        let message = message.payload(Bytes::from(value.as_bytes().to_vec()));
        match write.ttl {
            Some(ttl) => message
                .header(bucket::TTL, ttl.as_millis().to_string())
                .header(bucket::WRITER, self.run.as_str()),
            None => message,
        }
    }

    /// The sequence of what stands for a key, asked of the one who decides (0: none), and whether it is this write.
    async fn stands(&self, key: &str, id: &str, deadline: Instant) -> Result<(u64, bool), WriteError> {
        let ask = async {
            let stream =
                self.jetstream.get_stream_no_info(self.stream()).await.map_err(|error| text(&error))?;
            let subject = self.settings.names().entry(key);
            match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => {
                    let of = message.headers.get(async_nats::header::NATS_MESSAGE_ID);
                    Ok((message.sequence, of.is_some_and(|of| of.as_str() == id)))
                }
                Err(error) if is_missing(&error) => Ok((0, false)),
                Err(error) => Err(text(&error)),
            }
        };
        let stands = timeout_at(deadline, ask).await.map_err(|_| WriteError::Unanswered)?;
        stands.map_err(WriteError::Refused)
    }

    /// Until the copy has another revision.
    async fn wait_for_other(&self, key: &str, revision: u64, deadline: Instant) {
        while self.copy.revision(key) == revision && Instant::now() < deadline {
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Until it has come to this server.
    async fn wait_for(&self, sequence: u64, deadline: Instant) -> Result<(), WriteError> {
        let mut position = self.position.subscribe();
        let come = timeout_at(deadline, position.wait_for(|position| *position >= sequence)).await;
        come.map(drop).map_err(|_| WriteError::Unanswered)
    }
}
