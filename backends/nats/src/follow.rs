//! Brings what is in the bucket to this server, and each change.
//!
//! What NATS repeats of the writes comes without a gap in its numbers, or all is read again: after a gap, after
//! the connection was lost, and when the bucket says that there is more than what has come. A subscription alone
//! is trusted in nothing.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_nats::{HeaderMap, Message, Subscriber, jetstream::stream::Info};
use futures_util::StreamExt as _;
use tokio::{task::AbortHandle, time::Instant};

use crate::{
    ConnectError, Entry, Shared,
    expiry::{Ending, Expiry},
    names::{self, jitter},
    read::last_of_each,
    settings::text,
};

/// How often it is looked whether anything has not come.
const LOOK: Duration = Duration::from_secs(4);
/// After a failure.
const AGAIN: Duration = Duration::from_millis(250);
/// Before all is read again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long something that stands for nothing is left to the server that has written it.
const LEFT: Duration = Duration::from_secs(60);
/// Of keys that have ended: other servers may think a moment longer that they are there.
const SOON: Duration = Duration::from_secs(2);

/// Reads everything, then follows.
pub(crate) async fn start(shared: Arc<Shared>) -> Result<AbortHandle, ConnectError> {
    let failed = |problem| ConnectError::Store { url: shared.settings.shown(), problem };
    let changes = shared.client.subscribe(shared.settings.names().changes()).await;
    let changes = changes.map_err(|error| failed(text(&error)))?;
    let mut follower = Follower { shared: shared.clone(), changes, expiry: Expiry::default(), position: 0 };
    match follower.read_all().await {
        Ok(()) => {}
        Err(Trouble::Bucket(error)) => return Err(error),
        Err(Trouble::Other(problem)) => return Err(failed(problem)),
    }
    Ok(tokio::spawn(follower.run()).abort_handle())
}

/// Why the bucket could not be read.
enum Trouble {
    Bucket(ConnectError),
    Other(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bucket(error) => error.fmt(f),
            Self::Other(problem) => f.write_str(problem),
        }
    }
}

/// Why all has to be read again.
enum Lost {
    /// The connection was.
    Connection,
    /// It does not answer.
    Answer(String),
    /// Something has not come.
    Changes,
    /// There is no runtime any more.
    End,
}

struct Follower {
    shared: Arc<Shared>,
    changes: Subscriber,
    expiry: Expiry,
    /// The sequence of the last change that the copy has.
    position: u64,
}

/// What is in the bucket, while it is read.
type Table = HashMap<Arc<str>, (Entry, Option<Ending>)>;

impl Follower {
    async fn run(mut self) {
        loop {
            match self.follow().await {
                Lost::Connection => self.shared.is_away("the connection is lost"),
                Lost::Answer(problem) => self.shared.is_away(&problem),
                // Whatever makes that happen all the time leaves room for others.
                Lost::Changes => tokio::time::sleep(PAUSE).await,
                Lost::End => return,
            }
            while let Err(trouble) = self.read_again().await {
                tracing::debug!(target: "hub", "what is on NATS can't be read: {trouble}");
                self.shared.is_away(&trouble.to_string());
                tokio::time::sleep(AGAIN + jitter(AGAIN)).await;
            }
            self.shared.is_back();
        }
    }

    async fn read_again(&mut self) -> Result<(), Trouble> {
        let mut connection = self.shared.connection.clone();
        let there = connection.wait_for(|connection| !connection.is_lost).await;
        let losses = there.map(|connection| connection.losses);
        let losses = losses.map_err(|_| Trouble::Other("the client has ended".into()))?;
        // Whoever is asked while the connection goes may be waited for for ever.
        let lost = connection.wait_for(|connection| connection.losses != losses);
        tokio::select! {
            read = self.read_all() => read,
            _ = lost => Err(Trouble::Other("the connection is lost".into())),
        }
    }

    /// Until something is lost.
    async fn follow(&mut self) -> Lost {
        let mut connection = self.shared.connection.clone();
        let losses = connection.borrow_and_update().losses;
        let shared = self.shared.clone();
        let mut look = Box::pin(look(shared.clone(), LOOK));
        // What the bucket had when it was looked at the last time.
        let mut expected = self.position;
        loop {
            let ends = self.expiry.next();
            let next_end = async {
                match ends {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                change = self.changes.next() => {
                    let Some(change) = change else { return Lost::End };
                    if !self.take(change) {
                        return Lost::Changes;
                    }
                }
                () = next_end => self.end(),
                () = shared.doubt.notified() => return Lost::Changes,
                changed = connection.changed() => {
                    let now = *connection.borrow();
                    if changed.is_err() || now.losses != losses || now.is_lost {
                        return Lost::Connection;
                    }
                }
                last = &mut look => {
                    let last = match last {
                        Ok(last) => last,
                        Err(problem) => return Lost::Answer(problem),
                    };
                    // What was there the last time has had time to come; a bucket that has less is another one.
                    if self.position < expected || last < self.position {
                        return Lost::Changes;
                    }
                    expected = last;
                    let soon = if last > self.position { LOOK / 4 } else { LOOK };
                    look.set(self::look(shared.clone(), soon));
                }
            }
        }
    }

    /// One change. `false`: one before it has not come.
    fn take(&mut self, change: Message) -> bool {
        let Some(change) = Change::of(change) else { return true };
        if change.sequence <= self.position {
            return true;
        }
        if change.sequence != self.position + 1 {
            return false;
        }
        self.position = change.sequence;
        if let Some(key) = change.key() {
            let (entry, ending) = self.entry(&change).unzip();
            self.expiry.set(&key, ending.flatten());
            self.shared.copy.changed(&key, entry);
        }
        self.shared.position.send_replace(self.position);
        true
    }

    /// What stands there, if it is a value.
    fn entry(&self, change: &Change) -> Option<(Entry, Option<Ending>)> {
        let record = self.shared.record(change.headers.as_ref(), &change.payload)?;
        let left = record.ttl.map(|ttl| ttl.saturating_sub(change.age));
        let expires = left.and_then(|left| SystemTime::now().checked_add(left));
        let entry = Entry { value: record.value?, revision: change.sequence, expires };
        let at = left.and_then(|left| Instant::now().checked_add(left));
        let ending = at.map(|at| Ending { at, revision: change.sequence, is_ours: record.is_ours });
        Some((entry, ending))
    }

    /// Keys whose time is over.
    fn end(&mut self) {
        while let Some((key, ending)) = self.expiry.take(Instant::now()) {
            if self.shared.copy.revision(&key) == ending.revision {
                self.shared.copy.changed(&key, None);
            }
            if ending.is_ours {
                self.shared.remove(ending.revision, SOON);
            }
        }
    }

    /// Everything that is in the bucket, and what comes meanwhile; the copy gets it when it is complete.
    async fn read_all(&mut self) -> Result<(), Trouble> {
        let other = |error: &dyn std::error::Error| Trouble::Other(text(error));
        let stream = self.shared.bucket().await.map_err(Trouble::Bucket)?;
        let info: Info = stream.cached_info().clone();
        let mut table = Table::new();
        let mut position = info.state.last_sequence;
        if info.state.messages > 0 {
            let (patience, filter) = (self.shared.settings.patience, self.shared.settings.names().entries());
            let read = last_of_each(&stream, filter, patience, |message, info| {
                let age = SystemTime::now().duration_since(info.published.into());
                let change = Change {
                    subject: message.subject.to_string(),
                    sequence: info.stream_sequence,
                    age: age.unwrap_or_default(),
                    headers: message.headers.clone(),
                    payload: message.payload.clone(),
                };
                // What is newer comes as a change.
                if change.sequence <= position {
                    self.put(&change, &mut table);
                }
            });
            read.await.map_err(Trouble::Other)?;
        }
        // What was written while it was read has been repeated, too.
        let last = stream.get_info().await.map_err(|error| other(&error))?.state.last_sequence;
        let deadline = Instant::now() + self.shared.settings.patience;
        while position < last {
            let change = tokio::time::timeout_at(deadline, self.changes.next()).await;
            let change = change.map_err(|_| Trouble::Other("changes of the bucket do not come".into()))?;
            let change = change.ok_or_else(|| Trouble::Other("the client has ended".into()))?;
            let Some(change) = Change::of(change).filter(|change| change.sequence > position) else {
                continue;
            };
            if change.sequence != position + 1 {
                return Err(Trouble::Other("a change of the bucket has not come".into()));
            }
            position = change.sequence;
            self.put(&change, &mut table);
        }
        self.position = position;
        self.expiry = Expiry::default();
        let mut entries = HashMap::with_capacity(table.len());
        for (key, (entry, ending)) in table {
            self.expiry.set(&key, ending);
            entries.insert(key, entry);
        }
        self.shared.copy.all(entries);
        self.end();
        self.shared.position.send_replace(position);
        Ok(())
    }

    fn put(&self, change: &Change, table: &mut Table) {
        let Some(key) = change.key() else { return };
        match self.entry(change) {
            Some(entry) => table.insert(key, entry),
            None => table.remove(&key),
        };
        // Whoever should have removed it has not.
        let record = self.shared.record(change.headers.as_ref(), &change.payload);
        let is_over = |record: crate::bucket::Record| match record.ttl {
            _ if record.value.is_none() => change.age > LEFT,
            Some(ttl) => change.age > ttl + LEFT,
            None => false,
        };
        if record.is_some_and(is_over) {
            self.shared.remove(change.sequence, jitter(LEFT));
        }
    }
}

/// A message of the bucket.
struct Change {
    subject: String,
    sequence: u64,
    /// How long ago it was written.
    age: Duration,
    headers: Option<HeaderMap>,
    payload: bytes::Bytes,
}

impl Change {
    /// As NATS repeats it. `None`: somebody else has sent that.
    fn of(message: Message) -> Option<Self> {
        let headers = message.headers.as_ref()?;
        let sequence = headers.get("Nats-Sequence")?.as_str().parse().ok()?;
        let Message { subject, headers, payload, .. } = message;
        Some(Self { subject: subject.to_string(), sequence, age: Duration::ZERO, headers, payload })
    }

    fn key(&self) -> Option<Arc<str>> {
        names::key(self.subject.rsplit('.').next()?).map(Arc::from)
    }
}

/// The last sequence of the bucket, after a while.
async fn look(shared: Arc<Shared>, after: Duration) -> Result<u64, String> {
    tokio::time::sleep(after + jitter(after / 4)).await;
    let stream = shared.jetstream.get_stream_no_info(shared.stream()).await.map_err(|error| text(&error))?;
    let info =
        stream.get_info().await.map_err(|error| format!("its store does not answer: {}", text(&error)))?;
    Ok(info.state.last_sequence)
}
