//! [`Link`]: whether NATS is there, and since when not. The log says so once for each time.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use async_nats::Event;
use tokio::sync::watch;

use crate::{Settings, Shared};

/// How the connection is, as those see it who use it.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// `None`: NATS is there, and what is in its store has been read.
    pub away: Option<Away>,
}

/// NATS is away.
#[derive(Debug, Clone)]
pub struct Away {
    /// For people.
    pub since: SystemTime,
    /// For durations.
    pub began: Instant,
    /// Why.
    pub problem: String,
}

impl Away {
    /// For how long.
    pub fn duration(&self) -> Duration {
        self.began.elapsed()
    }
}

/// What the client says of its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Connection {
    /// Grows each time it is lost.
    pub(crate) losses: u64,
    pub(crate) is_lost: bool,
}

/// Takes what the client has to say.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    connection: Arc<watch::Sender<Connection>>,
    url: String,
}

pub(crate) fn new(settings: &Settings) -> (watch::Sender<Link>, watch::Receiver<Connection>, Events) {
    let (sender, connection) = watch::channel(Connection::default());
    (watch::Sender::default(), connection, Events { connection: Arc::new(sender), url: settings.shown() })
}

impl Events {
    pub(crate) fn take(&self, event: &Event) {
        let url = &self.url;
        match event {
            Event::Connected => self.connection.send_modify(|connection| connection.is_lost = false),
            Event::Disconnected | Event::Closed => self.connection.send_modify(|connection| {
                connection.losses += 1;
                connection.is_lost = true;
            }),
            Event::LameDuckMode | Event::Draining => {
                tracing::info!(target: "hub", "NATS at {url} is about to stop");
            }
            Event::SlowConsumer(_) => {
                tracing::warn!(target: "hub", limited_by = "slow", "messages of other servers were dropped: more came from NATS than this server could take");
            }
            Event::ServerError(error) => {
                tracing::warn!(target: "hub", limited_by = "nats", "NATS at {url} says: {error}");
            }
            // Each attempt to connect again that fails.
            Event::ClientError(error) => tracing::debug!(target: "hub", "NATS at {url}: {error}"),
        }
    }
}

impl Shared {
    /// Unless it is known already.
    pub(crate) fn is_away(&self, problem: &str) {
        let url = self.settings.shown();
        self.link.send_if_modified(|link| {
            if link.away.is_some() {
                return false;
            }
            tracing::warn!(
                target: "hub",
                "NATS at {url} is away: {problem}; what is stored can be read, writing and publishing fail until it \
                 is back"
            );
            let problem = problem.to_owned();
            link.away = Some(Away { since: SystemTime::now(), began: Instant::now(), problem });
            true
        });
    }

    /// Unless it has been there.
    pub(crate) fn is_back(&self) {
        let url = self.settings.shown();
        self.link.send_if_modified(|link| {
            let Some(away) = link.away.take() else { return false };
            let took = humantime::format_duration(Duration::from_millis(
                u64::try_from(away.duration().as_millis()).unwrap_or(u64::MAX),
            ));
            tracing::info!(target: "hub", "NATS at {url} is back after {took}");
            true
        });
    }

    /// Since when it is away, for an error.
    pub(crate) fn since(&self) -> String {
        let url = self.settings.shown();
        match &self.link.borrow().away {
            Some(Away { since, problem, .. }) => {
                let since = humantime::format_rfc3339_seconds(*since);
                format!("NATS at {url} is away since {since}: {problem}")
            }
            None => format!("NATS at {url} is away"),
        }
    }
}

/// Where there is no store to read again, being connected is all.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut connection = shared.connection.clone();
    loop {
        let is_lost = connection.borrow_and_update().is_lost;
        if is_lost {
            shared.is_away("the connection is lost");
        } else {
            shared.is_back();
        }
        if connection.changed().await.is_err() {
            return;
        }
    }
}
