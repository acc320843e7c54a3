//! Reads the last message of each subject of a stream.

use std::time::Duration;

use async_nats::jetstream::{
    Message,
    consumer::{AckPolicy, DeliverPolicy, pull},
    message,
    stream::{Info, Stream},
};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::{names, settings::text};

/// Messages that are read at once.
const BATCH: usize = 256;
/// After so long NATS forgets a reader that has gone without a word.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Gives the last message of each subject that the filter lets through.
///
/// # Errors
/// What does not answer within the patience, or is refused.
pub(crate) async fn last_of_each(
    stream: &Stream<Info>,
    filter: String,
    patience: Duration,
    mut take: impl FnMut(&Message, &message::Info<'_>),
) -> Result<(), String> {
    let consumer = pull::Config {
        name: Some(names::random()),
        deliver_policy: DeliverPolicy::LastPerSubject,
        filter_subject: filter,
        ack_policy: AckPolicy::None,
        inactive_threshold: FORGOTTEN,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(consumer).await.map_err(|error| text(&error))?;
    let read = async {
        let mut pending = consumer.cached_info().num_pending;
        while pending > 0 {
            let batch = consumer.fetch().max_messages(BATCH).expires(patience).messages().await;
            let mut batch = batch.map_err(|error| text(&error))?;
            let mut came = 0;
            let silent = |_| "the stream does not answer".to_owned();
            while let Some(message) = timeout(2 * patience, batch.next()).await.map_err(silent)? {
                let message = message.map_err(|error| error.to_string())?;
                let info = message.info().map_err(|error| error.to_string())?;
                (pending, came) = (info.pending, came + 1);
                take(&message, &info);
            }
            if came == 0 {
                return Err("the stream does not answer".to_owned());
            }
        }
        Ok(())
    };
    let read = read.await;
    let _ = stream.delete_consumer(&consumer.cached_info().name).await;
    read
}
