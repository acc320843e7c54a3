//! Topics and a store that many servers share, on NATS. The only crate that knows NATS.
//!
//! | file | what it has |
//! |---|---|
//! | `settings.rs` | where NATS is, and why it can't be used |
//! | `names.rs` | what subjects and buckets are called |
//! | `link.rs` | whether NATS is there, and since when not |
//! | `topics.rs` | publishes in order; one subscription for each pattern |
//! | `bucket.rs` | the stream that keeps the values |
//! | `follow.rs` | brings what is in it to this server, and what changes |
//! | `expiry.rs` | keys that end by themselves |
//! | `read.rs` | the last message of each subject of a stream |
//! | `releases.rs` | where the releases of a fleet are |
//! | `writes.rs` | writes, each answered once it can be read here |
//!
//! A server never reads from NATS when a session asks: [`Copy`] is told of all that is there, and then of each
//! change. What it has been told always is what NATS had at some moment, so whoever has read a revision can say
//! that it must still be there.

mod bucket;
mod expiry;
mod follow;
mod link;
mod names;
mod read;
mod releases;
mod settings;
mod topics;
mod writes;

use std::{collections::HashMap, fmt, sync::Arc, time::SystemTime};

use async_nats::{Client, jetstream};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::AbortHandle,
};

pub use link::{Away, Link};
pub use releases::{Pointer, Releases, ReleasesError};
pub use settings::{ConnectError, Settings, Tls};
pub use topics::PublishError;
pub use writes::{Done, Write, WriteError};

use topics::{Publishing, Subscriptions};
use writes::Writes;

/// A value and its revision, which grows with each write of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// JSON.
    pub value: Arc<str>,
    /// Never 0.
    pub revision: u64,
    /// When the key is gone by itself.
    pub expires: Option<SystemTime>,
}

/// What a server keeps of what is on NATS. Called on tokio's threads, and must not block.
pub trait Copy: Send + Sync + 'static {
    /// Another server has published to a topic of that subscription. The value is JSON.
    fn heard(&self, pattern: &str, topic: &str, value: Arc<str>);
    /// The revision that it has of a key; 0: none.
    fn revision(&self, key: &str) -> u64;
    /// A key has another value, or is gone.
    fn changed(&self, key: &Arc<str>, entry: Option<Entry>);
    /// Everything that there is. What is not among it is gone.
    fn all(&self, entries: HashMap<Arc<str>, Entry>);
}

/// What all parts have in common.
struct Shared {
    settings: Settings,
    client: Client,
    jetstream: jetstream::Context,
    copy: Arc<dyn Copy>,
    connection: watch::Receiver<link::Connection>,
    link: watch::Sender<Link>,
    /// Everything up to that sequence of the bucket is in the copy.
    position: watch::Sender<u64>,
    /// The copy may not be what the bucket has.
    doubt: Notify,
    runtime: Handle,
    /// Tells this run from all others.
    run: String,
}

/// A connection to NATS, of one server. It ends when this is dropped.
pub struct Nats {
    shared: Arc<Shared>,
    publishing: Publishing,
    subscriptions: Subscriptions,
    writes: Writes,
    following: AbortHandle,
}

impl Nats {
    /// Connects; with a store, everything that is in it has been given to `copy` when this returns.
    ///
    /// # Errors
    /// If NATS can't be reached within [`Settings::connect`], or can't be used.
    pub async fn connect(settings: Settings, copy: Arc<dyn Copy>) -> Result<Self, ConnectError> {
        let (link, connection, events) = link::new(&settings);
        let client = settings.client(events).await?;
        let jetstream = jetstream::ContextBuilder::new()
            .timeout(settings.patience)
            .max_ack_inflight(writes::MOST)
            .build(client.clone());
        let shared = Arc::new(Shared {
            client,
            jetstream,
            copy,
            connection,
            link,
            position: watch::Sender::new(0),
            doubt: Notify::new(),
            runtime: Handle::current(),
            run: names::random(),
            settings,
        });
        let following = if shared.settings.has_store {
            follow::start(shared.clone()).await?
        } else {
            tokio::spawn(link::follow(shared.clone())).abort_handle()
        };
        let publishing = Publishing::start(shared.clone());
        let subscriptions = Subscriptions::new(shared.clone());
        let writes = Writes::new(shared.clone());
        Ok(Self { shared, publishing, subscriptions, writes, following })
    }

    /// Tells all other servers. Those of this one have to be told by the caller.
    ///
    /// # Errors
    /// If NATS is away for longer than the patience, or too much waits for it.
    pub fn publish(&self, topic: &str, value: Arc<str>) -> Result<(), PublishError> {
        self.publishing.publish(topic, value)
    }

    /// From now on [`Copy::heard`] is told of these topics. Counted: as often as it is called, so often
    /// [`unsubscribe`](Self::unsubscribe) has to be.
    pub fn subscribe(&self, pattern: &str) {
        self.subscriptions.add(pattern);
    }

    /// No longer.
    pub fn unsubscribe(&self, pattern: &str) {
        self.subscriptions.remove(pattern);
    }

    /// Writes; `done` is called once, with the new revision (0: it is deleted), when the copy has it.
    pub fn write(&self, write: Write, done: Done) {
        self.writes.begin(write, done);
    }

    /// How the connection is.
    pub fn link(&self) -> Link {
        self.shared.link.borrow().clone()
    }

    /// Where NATS is, without passwords.
    pub fn url(&self) -> String {
        self.shared.settings.shown()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (position, link) = (*self.shared.position.borrow(), self.link());
        let mut nats = f.debug_struct("Nats");
        nats.field("url", &self.url())
            .field("position", &position)
            .field("link", &link)
            .finish_non_exhaustive()
    }
}
