//! [`NatsDepot`]: releases in NATS.
//!
//! It connects when something is asked for, and tries again with the next request: a server of a fleet starts from its
//! cache while NATS is away.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use hotloader_nats::{Releases, ReleasesError, Settings};
use tokio::{
    sync::{OnceCell, mpsc, watch},
    time::sleep,
};

use super::{Announcement, Announcing, Answered, Depot, DepotError, Digest, News, Record};

/// After so long it is tried again to hear of hints. Pointers are read now and then without any.
const AGAIN: Duration = Duration::from_secs(2);

/// Releases in NATS.
pub(super) struct NatsDepot(Arc<Shared>);

struct Shared {
    settings: Settings,
    connected: OnceCell<Releases>,
}

impl NatsDepot {
    /// Does not connect yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self(Arc::new(Shared { settings, connected: OnceCell::new() }))
    }
}

impl Shared {
    async fn releases(&self) -> Result<&Releases, DepotError> {
        let connect = || Releases::connect(self.settings.clone());
        self.connected.get_or_try_init(connect).await.map_err(|error| DepotError::Away(error.to_string()))
    }

    /// Hands news on until there is nobody to hear them, or NATS cannot be reached.
    async fn tell_news(&self, site: &str, sender: &mpsc::Sender<News>) {
        let Ok(releases) = self.releases().await else { return };
        let (mut messages, mut announcing) = (releases.announcements(site), Announcing::default());
        while let Some(message) = messages.recv().await {
            let news = match message {
                None => Some(News::Look),
                Some(message) => announcing.take(&message).map(News::Announced),
            };
            if let Some(news) = news
                && sender.send(news).await.is_err()
            {
                return;
            }
        }
    }

    async fn tell_hints(&self, site: &str, sender: &watch::Sender<u64>) {
        let Ok(releases) = self.releases().await else { return };
        let mut hints = releases.hints(site);
        while hints.changed().await.is_ok() {
            sender.send_modify(|count| *count += 1);
        }
    }
}

fn failed(error: ReleasesError) -> DepotError {
    match error {
        ReleasesError::Overtaken => DepotError::Overtaken,
        other => DepotError::Away(other.to_string()),
    }
}

fn record(pointer: hotloader_nats::Pointer) -> Record {
    Record { revision: pointer.revision, bytes: pointer.bytes }
}

impl fmt::Debug for NatsDepot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the settings: a password may stand in them.
        f.debug_struct("NatsDepot").finish_non_exhaustive()
    }
}

impl Depot for NatsDepot {
    fn get(&self, address: Digest) -> Answered<'_, Option<Arc<[u8]>>> {
        async move {
            let found = self.0.releases().await?.get(&address.to_string()).await.map_err(failed)?;
            Ok(found.map(|bytes| Arc::from(&*bytes)))
        }
        .boxed()
    }

    fn put(&self, address: Digest, bytes: Arc<[u8]>) -> Answered<'_, ()> {
        async move {
            let releases = self.0.releases().await?;
            releases.put(&address.to_string(), Bytes::from_owner(bytes)).await.map_err(failed)
        }
        .boxed()
    }

    fn missing(&self, addresses: Vec<Digest>) -> Answered<'_, Vec<Digest>> {
        async move {
            let there = self.0.releases().await?.addresses().await.map_err(failed)?;
            Ok(addresses.into_iter().filter(|address| !there.contains(&address.to_string())).collect())
        }
        .boxed()
    }

    fn pointer<'a>(&'a self, site: &'a str) -> Answered<'a, Option<Record>> {
        async move {
            let found = self.0.releases().await?.pointer(site).await.map_err(failed)?;
            Ok(found.map(record))
        }
        .boxed()
    }

    fn point<'a>(&'a self, site: &'a str, after: u64, bytes: Vec<u8>) -> Answered<'a, u64> {
        async move { self.0.releases().await?.point(site, after, bytes.into()).await.map_err(failed) }.boxed()
    }

    fn pointers<'a>(&'a self, site: &'a str) -> Answered<'a, Vec<Record>> {
        async move {
            let found = self.0.releases().await?.pointers(site).await.map_err(failed)?;
            Ok(found.into_iter().map(record).collect())
        }
        .boxed()
    }

    fn report<'a>(&'a self, site: &'a str, server: &'a str, report: Vec<u8>) -> Answered<'a, ()> {
        async move { self.0.releases().await?.report(site, server, report.into()).await.map_err(failed) }
            .boxed()
    }

    fn reports<'a>(&'a self, site: &'a str) -> Answered<'a, BTreeMap<String, Vec<u8>>> {
        async move {
            let found = self.0.releases().await?.reports(site).await.map_err(failed)?;
            Ok(found.into_iter().map(|(server, report)| (server, report.to_vec())).collect())
        }
        .boxed()
    }

    fn announce<'a>(&'a self, site: &'a str, announcement: Announcement) -> Answered<'a, ()> {
        async move {
            let releases = self.0.releases().await?;
            let messages = announcement.messages().into_iter().map(Bytes::from).collect();
            releases.announce(site, messages).await.map_err(failed)
        }
        .boxed()
    }

    fn news(&self, site: &str) -> mpsc::Receiver<News> {
        let (sender, receiver) = mpsc::channel(1);
        let (shared, site) = (self.0.clone(), site.to_owned());
        tokio::spawn(async move {
            let hand_on = async {
                loop {
                    shared.tell_news(&site, &sender).await;
                    sleep(AGAIN).await;
                }
            };
            tokio::select! {
                () = hand_on => {}
                () = sender.closed() => {}
            }
        });
        receiver
    }

    fn hints(&self, site: &str) -> watch::Receiver<u64> {
        let (sender, receiver) = watch::channel(0);
        let (shared, site) = (self.0.clone(), site.to_owned());
        tokio::spawn(async move {
            let hand_on = async {
                loop {
                    shared.tell_hints(&site, &sender).await;
                    sleep(AGAIN).await;
                }
            };
            tokio::select! {
                () = hand_on => {}
                () = sender.closed() => {}
            }
        });
        receiver
    }
}
