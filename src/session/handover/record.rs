//! What the store has of a session that goes from one server to another.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::{id::SessionId, secret::Secret};
use crate::{
    hub::{Entry, Hub, OWN},
    lua::Snapshot,
};

/// What is kept of a session. Each step is written only over the one that was read, so of two servers that want
/// the same session one has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The run of a server in which it lives; `None`: in none, whoever is asked for it may take it.
    pub(super) owner: Option<String>,
    /// Grows with each step.
    pub(super) epoch: u64,
    /// Another server is asked for it.
    pub(super) wanted: bool,
    /// SHA-256 of what opens it.
    secret: String,
    data: String,
    version: String,
}

impl Record {
    pub(super) fn parked(secret: String, snapshot: &Snapshot, epoch: u64) -> Self {
        let Snapshot { data, version } = snapshot.clone();
        Self { owner: None, epoch, wanted: false, secret, data, version }
    }

    pub(super) fn owned_by(self, owner: &str) -> Self {
        Self { owner: Some(owner.to_owned()), wanted: false, epoch: self.epoch + 1, ..self }
    }

    pub(super) fn wanted(self) -> Self {
        Self { wanted: true, epoch: self.epoch + 1, ..self }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { data: self.data.clone(), version: self.version.clone() }
    }

    /// Which of these texts opens it.
    pub(super) fn opened_by(&self, secrets: &[String]) -> Option<Secret> {
        let own = secrets.iter().find(|secret| Secret::digest(secret) == self.secret)?;
        Secret::parse(own)
    }
}

pub(super) fn key(id: SessionId) -> Arc<str> {
    format!("{OWN}session/{id}").into()
}

/// The revision of what is there.
pub(super) fn revision(hub: &Hub, id: SessionId) -> Option<u64> {
    Some(hub.store()?.get(&key(id))?.revision)
}

/// What is there, and its revision.
pub(super) fn read(hub: &Hub, id: SessionId) -> Option<(Record, u64)> {
    let Entry { value, revision, .. } = hub.store()?.get(&key(id))?;
    let record = serde_json::from_str(&value);
    let record = record.inspect_err(|error| tracing::error!(session = %id.short(), %error, "what the store has of a session cannot be read"));
    Some((record.ok()?, revision))
}
