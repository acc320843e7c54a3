//! What the status page `/_hot/` shows: the watcher, the reloads, the sessions, the log.
//!
//! | file | the part |
//! |---|---|
//! | `watching` | backends and their health; what is watched, and the links |
//! | `reloads` | what the last reloads did, and where their time went |
//! | `shared` | topics, and how large the store is |
//! | `fleet` | what is published to the fleet, and what each of its servers does |
//! | `sessions` | how each session is |
//!
//! Each part is a JSON value that stays the same while nothing happens: times are points in time and
//! not ages, so that the page is sent nothing while it shows what is true.

mod fleet;
mod reloads;
mod sessions;
mod shared;
mod watching;

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use tokio::sync::watch;

pub use fleet::OfFleet;
pub use reloads::ReloadLog;

use crate::{
    config::BackendChoice,
    hub::Hub,
    session::LuaSessions,
    telemetry::log_tail,
    watch::{Health, LinkView},
    web::{Readiness, StatusPart, StatusSource},
};

/// What the status page shows of a server.
#[derive(Debug)]
pub struct Status {
    /// The site's directory: paths in it are shown from there.
    pub site: PathBuf,
    /// Whether the server is ready.
    pub readiness: watch::Receiver<Readiness>,
    /// How the watcher is, with hot loading on.
    pub health: Option<watch::Receiver<Health>>,
    /// The part in a fleet, where there is one; then nothing is watched.
    pub fleet: Option<OfFleet>,
    /// What is watched, with hot loading on.
    pub links: Option<watch::Receiver<Arc<LinkView>>>,
    /// The last reloads.
    pub reloads: Arc<ReloadLog>,
    /// Topics and the store.
    pub hub: Hub,
    /// All sessions.
    pub sessions: LuaSessions,
    /// `watch.backend`
    pub backend: watch::Receiver<BackendChoice>,
    /// Tells the points in time of an [`Instant`].
    pub calendar: Calendar,
}

impl StatusSource for Status {
    fn parts(&self) -> Pin<Box<dyn Future<Output = Vec<StatusPart>> + Send + '_>> {
        Box::pin(async {
            let source = match &self.fleet {
                Some(fleet) => ("fleet", fleet::describe(fleet, &self.calendar)),
                None => ("backends", self.backends()),
            };
            vec![
                ("server", self.server()),
                source,
                ("places", self.places()),
                ("reloads", self.reloads.to_json()),
                ("shared", shared::describe(&self.hub)),
                ("sessions", sessions::describe(&self.sessions, &self.calendar).await),
                ("log", json!(log_tail())),
            ]
        })
    }

    fn restart(&self, session: &str) {
        sessions::restart(&self.sessions, session);
    }

    fn end(&self, session: &str) {
        sessions::end(&self.sessions, session);
    }
}

impl Status {
    fn server(&self) -> serde_json::Value {
        let readiness = self.readiness.borrow();
        json!({
            "site": self.site,
            "version": env!("CARGO_PKG_VERSION"),
            "started": self.calendar.start(),
            "ready": readiness.ready,
            "detail": readiness.detail,
        })
    }
}

/// Turns an [`Instant`] into wall time. Two conversions of one instant agree to the millisecond, even if the
/// clock was set in between.
#[derive(Debug, Clone, Copy)]
pub struct Calendar {
    instant: Instant,
    time: u64,
}

impl Calendar {
    /// One that begins now.
    pub fn new() -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self { instant: Instant::now(), time: u64::try_from(time).unwrap_or(u64::MAX) }
    }

    /// When it was made, in milliseconds since 1970.
    fn start(&self) -> u64 {
        self.time
    }

    /// In milliseconds since 1970.
    fn at(&self, instant: Instant) -> u64 {
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match instant.checked_duration_since(self.instant) {
            Some(later) => self.time.saturating_add(ms(later)),
            None => self.time.saturating_sub(ms(self.instant.saturating_duration_since(instant))),
        }
    }
}

impl Default for Calendar {
    fn default() -> Self {
        Self::new()
    }
}
