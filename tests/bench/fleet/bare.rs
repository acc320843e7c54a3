//! NATS by itself.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use hotloader_nats::{Releases, Settings, Tls};
use hotloader_test_support::nats::NatsServer;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{Fallible, median};

fn settings(nats: &NatsServer, site: &str) -> Settings {
    Settings {
        urls: vec![nats.url()],
        credentials: None,
        tls: Tls::default(),
        site: site.into(),
        has_store: false,
        replicas: 1,
        max_value: 64 << 10,
        connect: Duration::from_secs(20),
        patience: Duration::from_secs(20),
    }
}

async fn connected(nats: &NatsServer, site: &str, count: usize) -> Fallible<Vec<Releases>> {
    // The first makes the streams.
    let mut connections = vec![Releases::connect(settings(nats, site)).await?];
    let connecting = (1..count).map(|_| Releases::connect(settings(nats, site)));
    let mut connecting = futures_util::stream::iter(connecting).buffer_unordered(50);
    while let Some(connection) = connecting.next().await {
        connections.push(connection?);
    }
    Ok(connections)
}

/// From the moment a core message of each size is sent until the last of so many connections has it.
pub(crate) async fn core_message(
    nats: &NatsServer,
    receivers: usize,
    rounds: u32,
    sizes: &[usize],
) -> Fallible<Vec<Duration>> {
    let (heard, mut all_heard) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for releases in connected(nats, "bare", receivers).await? {
        let heard = heard.clone();
        tasks.spawn(async move {
            let mut announcements = releases.announcements("bare");
            while let Some(message) = announcements.recv().await {
                let _ = heard.send((message.is_some(), Instant::now()));
            }
        });
    }
    // That they listen.
    for _ in 0..receivers {
        all_heard.recv().await.ok_or("no receiver")?;
    }
    let sender = Releases::connect(settings(nats, "bare")).await?;
    let mut medians = Vec::new();
    for &size in sizes {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            // As large as a message may be, and the rest.
            let messages: Vec<Bytes> =
                vec![0; size].chunks(512 << 10).map(|part| part.to_vec().into()).collect();
            let parts = messages.len();
            sender.announce("bare", messages).await?;
            let mut last = began;
            let mut missing = receivers * parts;
            while missing > 0 {
                let (is_message, at) = all_heard.recv().await.ok_or("no receiver")?;
                missing -= usize::from(is_message);
                last = last.max(at);
            }
            times.push(last - began);
        }
        medians.push(median(times));
    }
    Ok(medians)
}

#[allow(dead_code, reason = "the measurements of topics have no use for it")]
/// Bytes a second that so many connections get, each all of these blobs, 50 at a time.
pub(crate) async fn gets(nats: &NatsServer, receivers: usize, blobs: usize, bytes: usize) -> Fallible<f64> {
    let sender = Releases::connect(settings(nats, "gets")).await?;
    for at in 0..blobs {
        sender.put(&at.to_string(), vec![0; bytes].into()).await?;
    }
    let connections = connected(nats, "gets", receivers).await?;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn(async move {
            for first in (0..blobs).step_by(50) {
                let some = (first..blobs.min(first + 50)).map(|at| at.to_string()).collect::<Vec<_>>();
                let gets = some.iter().map(|address| connection.get(address));
                for got in futures_util::future::join_all(gets).await {
                    got.map_err(|error| error.to_string())?.ok_or("it is not there")?;
                }
            }
            Ok::<_, String>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok((receivers * blobs * bytes) as f64 / began.elapsed().as_secs_f64())
}
