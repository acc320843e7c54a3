//! [`Releases`]: where the releases of a fleet are. What they mean is none of this crate's business: it keeps bytes
//! under addresses, a short history of pointers for each site, and the last report of each server.
//!
//! | stream | subject | keeps |
//! |---|---|---|
//! | `hotloader-PREFIX-blobs` | `hotloader.PREFIX.blob.ADDRESS` | the last message |
//! | `hotloader-PREFIX-pointers` | `hotloader.PREFIX.pointer.SITE` | the last 64 |
//! | `hotloader-PREFIX-reports` | `hotloader.PREFIX.report.SITE.SERVER` | the last message, for a day, in memory |
//!
//! Whoever writes a report publishes to the subject, so a plain subscription to it is the hint: what is read is the
//! stream. A pointer may come to nothing when it is written, so who has written one says so on a subject of its own,
//! `hotloader.PREFIX.announce.SITE`, which no stream keeps.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    time::Duration,
};

use async_nats::{
    Client, Subscriber,
    jetstream::{
        self, ErrorCode,
        context::{GetStreamErrorKind, PublishError as AckError},
        message::PublishMessage,
        stream::{Config, Info, StorageType, Stream},
    },
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::{
    ConnectError, Settings,
    bucket::{is_conflict, is_missing},
    link::{self, Connection},
    names::{Names, key, token},
    read::last_of_each,
    settings::text,
};

/// So many pointers of a site are kept.
const POINTERS: i64 = 64;
/// How long the report of a server that has gone is kept.
const REPORTS: Duration = Duration::from_secs(24 * 60 * 60);
/// The number of a pointer among those of its site.
const REVISION: &str = "Hotloader-Revision";

/// Where releases are.
pub struct Releases {
    settings: Settings,
    client: Client,
    jetstream: jetstream::Context,
    connection: watch::Receiver<Connection>,
}

/// A pointer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// Grows by one with each pointer of its site.
    pub revision: u64,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// Why a request came to nothing.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ReleasesError {
    /// Another has written a pointer.
    #[error("another has published meanwhile")]
    Overtaken,
    /// No answer, or a refusal.
    #[error("NATS at {url}: {problem}")]
    Failed {
        /// Without passwords.
        url: String,
        /// What is wrong.
        problem: String,
    },
}

impl Releases {
    /// Connects, and makes the streams that are not there.
    ///
    /// # Errors
    /// If NATS can't be reached within [`Settings::connect`], or can't be used.
    pub async fn connect(settings: Settings) -> Result<Self, ConnectError> {
        let (_, connection, events) = link::new(&settings);
        let client = settings.client(events).await?;
        let jetstream = jetstream::ContextBuilder::new().timeout(settings.patience).build(client.clone());
        let releases = Self { settings, client, jetstream, connection };
        for wanted in releases.streams() {
            releases.make(wanted).await?;
        }
        Ok(releases)
    }

    fn names(&self) -> Names {
        self.settings.names()
    }

    fn streams(&self) -> [Config; 3] {
        let stream = |kind: &str, subjects: &str| Config {
            name: self.names().stream_of(kind),
            subjects: vec![self.names().subject(subjects)],
            max_messages_per_subject: 1,
            num_replicas: self.settings.replicas,
            allow_direct: true,
            ..Config::default()
        };
        [
            stream("blobs", "blob.*"),
            Config { max_messages_per_subject: POINTERS, ..stream("pointers", "pointer.*") },
            Config { max_age: REPORTS, storage: StorageType::Memory, ..stream("reports", "report.*.*") },
        ]
    }

    async fn make(&self, wanted: Config) -> Result<(), ConnectError> {
        let failed = |error: &dyn std::error::Error| ConnectError::Releases {
            url: self.settings.shown(),
            problem: text(error),
        };
        match self.jetstream.get_stream(&wanted.name).await {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    self.jetstream.create_stream(wanted).await.map(drop).map_err(|error| failed(&error))
                }
                _ => Err(failed(&error)),
            },
        }
    }

    fn failed(&self, problem: String) -> ReleasesError {
        ReleasesError::Failed { url: self.settings.shown(), problem }
    }

    async fn stream(&self, kind: &str) -> Result<Stream<Info>, ReleasesError> {
        let stream = self.jetstream.get_stream(self.names().stream_of(kind)).await;
        stream.map_err(|error| self.failed(text(&error)))
    }

    async fn publish(&self, subject: String, message: PublishMessage) -> Result<(), AckError> {
        self.jetstream.send_publish(subject, message).await?.await.map(drop)
    }

    /// The bytes of an address, if they are there. Whoever asks has to check them.
    ///
    /// # Errors
    /// If NATS does not answer.
    pub async fn get(&self, address: &str) -> Result<Option<Bytes>, ReleasesError> {
        use jetstream::stream::DirectGetErrorKind::NotFound;
        let stream = self.jetstream.get_stream_no_info(self.names().stream_of("blobs")).await;
        let stream = stream.map_err(|error| self.failed(text(&error)))?;
        match stream.direct_get_last_for_subject(self.blob(address)).await {
            Ok(message) => Ok(Some(message.payload)),
            Err(error) if error.kind() == NotFound => Ok(None),
            Err(error) => Err(self.failed(text(&error))),
        }
    }

    /// Keeps bytes under an address, in the place of what was there.
    ///
    /// # Errors
    /// If NATS does not answer, or does not take them.
    pub async fn put(&self, address: &str, bytes: Bytes) -> Result<(), ReleasesError> {
        let message = PublishMessage::build().payload(bytes);
        self.publish(self.blob(address), message).await.map_err(|error| self.failed(text(&error)))
    }

    /// All addresses at which bytes are kept.
    ///
    /// # Errors
    /// If NATS does not answer.
    pub async fn addresses(&self) -> Result<HashSet<String>, ReleasesError> {
        let stream = self.stream("blobs").await?;
        let subjects = stream.info_with_subjects(self.names().subject("blob.*")).await;
        let subjects = subjects.map_err(|error| self.failed(text(&error)))?;
        let address = async |(subject, _): (String, usize)| Ok(subject.rsplit('.').next().and_then(key));
        subjects.try_filter_map(address).try_collect().await.map_err(|error| self.failed(text(&error)))
    }

    fn blob(&self, address: &str) -> String {
        self.names().subject(&format!("blob.{}", token(address)))
    }

    fn pointer_of(&self, site: &str) -> String {
        self.names().subject(&format!("pointer.{}", token(site)))
    }

    /// The newest pointer of a site.
    ///
    /// # Errors
    /// If NATS does not answer.
    pub async fn pointer(&self, site: &str) -> Result<Option<Pointer>, ReleasesError> {
        Ok(self.last(site).await?.map(|(_, pointer)| pointer))
    }

    /// With its number in the stream. Asked of the one who decides: others may be late.
    async fn last(&self, site: &str) -> Result<Option<(u64, Pointer)>, ReleasesError> {
        let stream = self.stream("pointers").await?;
        match stream.get_last_raw_message_by_subject(&self.pointer_of(site)).await {
            Ok(message) => Ok(Some((message.sequence, pointer(&message)))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.failed(text(&error))),
        }
    }

    /// Writes the pointer that follows that revision (0: the first); returns its revision.
    ///
    /// # Errors
    /// If another has written one since, or NATS does not answer: then it may be written.
    pub async fn point(&self, site: &str, after: u64, bytes: Bytes) -> Result<u64, ReleasesError> {
        let (sequence, revision) =
            self.last(site).await?.map_or((0, 0), |(sequence, pointer)| (sequence, pointer.revision));
        if revision != after {
            return Err(ReleasesError::Overtaken);
        }
        let message = PublishMessage::build()
            .payload(bytes)
            .header(REVISION, (after + 1).to_string())
            .expected_last_subject_sequence(sequence);
        match self.publish(self.pointer_of(site), message).await {
            Ok(()) => Ok(after + 1),
            Err(error) if is_conflict(&error) => Err(ReleasesError::Overtaken),
            Err(error) => Err(self.failed(text(&error))),
        }
    }

    fn announcements_of(&self, site: &str) -> String {
        self.names().subject(&format!("announce.{}", token(site)))
    }

    /// Tells all who listen to the [`announcements`](Self::announcements) of a site. They are sent when this returns,
    /// and may be lost.
    ///
    /// # Errors
    /// If there is no connection, or one is too large.
    pub async fn announce(&self, site: &str, messages: Vec<Bytes>) -> Result<(), ReleasesError> {
        for message in messages {
            let sent = self.client.publish(self.announcements_of(site), message).await;
            sent.map_err(|error| self.failed(text(&error)))?;
        }
        self.client.flush().await.map_err(|error| self.failed(text(&error)))
    }

    /// What is announced, in the order in which it was sent. `None`: some may have been missed, as it has just begun
    /// to listen, or the connection was lost and is back. Has to be called in a runtime of tokio.
    pub fn announcements(&self, site: &str) -> mpsc::Receiver<Option<Bytes>> {
        let (sender, receiver) = mpsc::channel(1);
        let (subject, client, mut connection) =
            (self.announcements_of(site), self.client.clone(), self.connection.clone());
        tokio::spawn(async move {
            let Some(mut messages) = subscribed(&client, subject).await else { return };
            // At first for what was published before: whoever reads now asks on the same connection, after the
            // subscription.
            let mut message = None;
            while sender.send(message).await.is_ok() {
                message = tokio::select! {
                    next = messages.next() => match next {
                        Some(next) => Some(next.payload),
                        None => return,
                    },
                    changed = connection.changed() => match changed {
                        Ok(()) => None,
                        Err(_) => return,
                    },
                    () = sender.closed() => return,
                };
            }
        });
        receiver
    }

    /// The pointers that are kept, the newest last.
    ///
    /// # Errors
    /// If NATS does not answer.
    pub async fn pointers(&self, site: &str) -> Result<Vec<Pointer>, ReleasesError> {
        let (stream, subject) = (self.stream("pointers").await?, self.pointer_of(site));
        let (mut pointers, mut from) = (Vec::new(), 1);
        loop {
            let next = stream.raw_message_builder().sequence(from).next_by_subject(&subject);
            match next.send().await {
                Ok(message) => {
                    from = message.sequence + 1;
                    pointers.push(pointer(&message));
                }
                Err(error) if is_missing(&error) => return Ok(pointers),
                Err(error) => return Err(self.failed(text(&error))),
            }
        }
    }

    /// Writes the report of a server over the one before.
    ///
    /// # Errors
    /// If NATS does not answer, or does not take it.
    pub async fn report(&self, site: &str, server: &str, report: Bytes) -> Result<(), ReleasesError> {
        let subject = self.names().subject(&format!("report.{}.{}", token(site), token(server)));
        let message = PublishMessage::build().payload(report);
        self.publish(subject, message).await.map_err(|error| self.failed(text(&error)))
    }

    /// The newest report of each server.
    ///
    /// # Errors
    /// If NATS does not answer.
    pub async fn reports(&self, site: &str) -> Result<BTreeMap<String, Bytes>, ReleasesError> {
        let (stream, filter) = (self.stream("reports").await?, self.reports_of(site));
        let mut reports = BTreeMap::new();
        let read = last_of_each(&stream, filter, self.settings.patience, |message, _| {
            if let Some(server) = message.subject.rsplit('.').next().and_then(key) {
                reports.insert(server, message.payload.clone());
            }
        });
        read.await.map_err(|problem| self.failed(problem))?;
        Ok(reports)
    }

    fn reports_of(&self, site: &str) -> String {
        self.names().subject(&format!("report.{}.*", token(site)))
    }

    /// Changes when there may be another report: when it has begun to listen, when one is written, and when the
    /// connection was lost and is back. Has to be called in a runtime of tokio.
    pub fn hints(&self, site: &str) -> watch::Receiver<u64> {
        let (sender, receiver) = watch::channel(0);
        let (subject, client, mut connection) =
            (self.reports_of(site), self.client.clone(), self.connection.clone());
        tokio::spawn(async move {
            let Some(mut hints) = subscribed(&client, subject).await else { return };
            loop {
                sender.send_modify(|count| *count += 1);
                tokio::select! {
                    hint = hints.next() => if hint.is_none() { return },
                    changed = connection.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        });
        receiver
    }
}

async fn subscribed(client: &Client, subject: String) -> Option<Subscriber> {
    let subscribed = client.subscribe(subject).await;
    subscribed
        .inspect_err(|error| tracing::warn!(target: "hub", "nothing is heard of releases: {error}"))
        .ok()
}

impl fmt::Debug for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Releases").field("url", &self.settings.shown()).finish_non_exhaustive()
    }
}

fn pointer(message: &jetstream::message::StreamMessage) -> Pointer {
    let revision = message.headers.get(REVISION).and_then(|text| text.as_str().parse().ok());
    Pointer { revision: revision.unwrap_or_default(), bytes: message.payload.to_vec() }
}
