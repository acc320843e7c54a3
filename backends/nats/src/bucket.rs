//! The bucket: a stream that keeps the last message of each subject, which is what `nats kv` calls a bucket.
//!
//! It is made by hand, since the client's own way can't read what NATS 2.9 answers. NATS repeats what is written
//! to it on other subjects: plain subscriptions, of which it takes more than the thousand watches of a bucket.

use std::{error::Error as _, sync::Arc, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        self, ErrorCode,
        context::{GetStreamErrorKind, PublishError as AckError, PublishErrorKind},
        stream::{
            Config, DiscardPolicy, Info, RawMessageError, RawMessageErrorKind, Republish, StorageType, Stream,
        },
    },
};

use crate::{ConnectError, Shared, settings::text, topics::json};

/// "DEL": what stands there is no value but the end of one.
pub(crate) const OPERATION: &str = "KV-Operation";
/// After so many milliseconds the value has ended.
pub(crate) const TTL: &str = "Hotloader-TTL";
/// Which run of a server has written it.
pub(crate) const WRITER: &str = "Hotloader-Writer";

/// What a message of the bucket stands for.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// `None`: it has been deleted.
    pub(crate) value: Option<Arc<str>>,
    /// From when it was written.
    pub(crate) ttl: Option<Duration>,
    /// We have written it.
    pub(crate) is_ours: bool,
}

impl Shared {
    pub(crate) fn stream(&self) -> String {
        self.settings.names().stream()
    }

    /// Looks after the bucket, and makes it if it is not there.
    pub(crate) async fn bucket(&self) -> Result<Stream<Info>, ConnectError> {
        let names = self.settings.names();
        let failed = |problem| ConnectError::Store { url: self.settings.shown(), problem };
        let wanted = Config {
            name: names.stream(),
            description: Some("the store of a site of lua-hotloader".into()),
            subjects: vec![names.entries()],
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            num_replicas: self.settings.replicas,
            republish: Some(Republish {
                source: names.entries(),
                destination: names.changes(),
                headers_only: false,
            }),
            ..Config::default()
        };
        let stream = match self.jetstream.get_stream(names.stream()).await {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    let made = self.jetstream.create_stream(wanted.clone()).await;
                    made.map_err(|error| failed(self.unusable(&text(&error))))?
                }
                _ => return Err(failed(self.unusable(&text(&error)))),
            },
        };
        let found = &stream.cached_info().config;
        if found.republish != wanted.republish || found.max_messages_per_subject != 1 {
            return Err(failed(format!(
                "the stream {} is there and was not made by this program; remove it, or give the site another name \
                 (nats.prefix)",
                names.stream()
            )));
        }
        Ok(stream)
    }

    fn unusable(&self, problem: &str) -> String {
        let help = match problem {
            _ if problem.contains("resource does not exist") || problem.contains("not enabled") => {
                "; NATS has to run with JetStream (nats-server -js)"
            }
            _ if problem.contains("replicas") => "; a cluster has to have nats.replicas servers",
            _ => "",
        };
        format!("{problem}{help}")
    }

    /// Reads a message of the bucket. `None`: it is none of ours.
    pub(crate) fn record(&self, headers: Option<&HeaderMap>, payload: &[u8]) -> Option<Record> {
        let header = |name: &str| headers.and_then(|headers| headers.get(name)).map(|value| value.as_str());
        // "PURGE" is what `nats kv purge` writes.
        let is_end = matches!(header(OPERATION), Some("DEL" | "PURGE"));
        let value = if is_end {
            None
        } else {
            match json(payload, self.settings.max_value) {
                Ok(value) => Some(value),
                Err(problem) => {
                    let bucket = self.settings.names().bucket();
                    tracing::warn!(target: "hub", limited_by = "foreign", "a value of {bucket} is passed over: {problem}");
                    return None;
                }
            }
        };
        let ttl = header(TTL).and_then(|text| text.parse().ok()).map(Duration::from_millis);
        Some(Record { value, ttl, is_ours: header(WRITER) == Some(self.run.as_str()) })
    }

    /// Removes a message that stands for nothing any more, which no other server has to hear of. It may be gone.
    pub(crate) fn remove(self: &Arc<Self>, sequence: u64, after: Duration) {
        let shared = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Ok(stream) = shared.jetstream.get_stream_no_info(shared.stream()).await {
                let _ = stream.delete_message(sequence).await;
            }
        });
    }
}

/// Whether another has written meanwhile.
pub(crate) fn is_conflict(error: &AckError) -> bool {
    // NATS has a second number for it where a cluster finds it out early.
    let code = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::WrongLastSequence
        || code.is_some_and(|error| error.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}

/// Whether an error says that there is no such message.
pub(crate) fn is_missing(error: &RawMessageError) -> bool {
    match error.kind() {
        RawMessageErrorKind::NoMessageFound => true,
        RawMessageErrorKind::JetStream(error) => error.error_code() == ErrorCode::NO_MESSAGE_FOUND,
        _ => false,
    }
}
