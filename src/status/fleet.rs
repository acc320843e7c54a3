//! The part in a fleet: what this server does, and what all of them do.

use serde_json::{Value, json};
use tokio::sync::watch;

use super::Calendar;
use crate::fleet::{FleetStatus, Link, Roster, Seen};

/// At most this many servers are shown.
const SHOWN: usize = 500;

/// A server of a fleet.
#[derive(Debug)]
pub struct OfFleet {
    /// How this one is.
    pub status: watch::Receiver<FleetStatus>,
    /// How all are.
    pub roster: Roster,
}

/// As the page shows it.
pub(super) fn describe(fleet: &OfFleet, calendar: &Calendar) -> Value {
    let Seen { pointer, servers, problem } = fleet.roster.look();
    let status = fleet.status.borrow();
    let away = match &status.link {
        Link::Away { why } => Some(json!({ "since": calendar.at(status.since), "problem": why })),
        Link::Connected | Link::Unknown => None,
    };
    let shown: Vec<_> =
        servers.iter().take(SHOWN).map(|(text, is_well)| json!({ "text": text, "well": is_well })).collect();
    json!({
        "server": status.server,
        "summary": status.summary(),
        "ready": status.is_ready(),
        "away": away,
        "pointer": pointer,
        "problem": problem,
        "servers": shown,
        "all": servers.len(),
    })
}
