//! Sessions that go from one server to another, by way of the store.
//!
//! A server that is drained parks its sessions: each is asked for its snapshot, answers nothing any more, and what it
//! gave is put into the store. The next server that is asked for the id makes it its own, by compare-and-set, and
//! makes the session again. A proxy may come to lead a session to another server than the one that has it; that
//! one says so in the store, and the owner parks it. An owner that does not is overruled, and gives its own copy up
//! when it sees that.

mod record;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    handle::SessionHandle, id::SessionId, lua_session::LuaSession, outbox::Outbox, registry::LuaSessions,
    secret::Secret,
};
use crate::{
    config::HubEngine,
    hub::{Hub, StoreError, Write},
    lua::Snapshot,
};
use record::{Record, key, read, revision};

/// How often it is looked at sessions of ours that have ended, and at how long another server may still take. What
/// is written in the store is heard of.
const LOOK: Duration = Duration::from_millis(200);
/// What another server has written is there after this long.
const LAG: Duration = Duration::from_secs(1);
/// How long an owner may take to park what another server wants.
const PATIENCE: Duration = Duration::from_secs(3);
/// Another server may write between reading and writing; that it does so again and again is a bug.
const TRIES: usize = 5;

/// What a server does about sessions that come and go.
#[derive(Debug)]
pub(super) struct Handover {
    /// This run of this server.
    me: String,
    draining: AtomicBool,
    /// Sessions of which the store says that they are ours.
    owned: Mutex<HashMap<SessionId, u64>>,
}

/// What a session leaves.
pub(super) struct Parked {
    /// `None`: the site keeps nothing of it.
    snapshot: Option<Snapshot>,
    /// Its browsers. Their sockets close when these are dropped.
    outboxes: Vec<Outbox>,
}

/// What came of asking for a session that is not here.
#[derive(Debug)]
pub enum Found {
    /// It has come.
    Session(SessionHandle),
    /// It is another browser's.
    SomebodyElses,
    /// Not now: the server is drained, or has no room.
    NotNow,
    /// Nobody has it.
    Nowhere,
}

/// What was drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Sessions that ran code.
    pub sessions: usize,
    /// Those of which the store has a snapshot.
    pub stored: usize,
}

impl Handover {
    pub(super) fn new() -> Self {
        // Two runs with the same name would be one owner; where there is no randomness, no session begins either.
        let me = SessionId::random().map(|id| id.to_string()).unwrap_or_default();
        Self { me, draining: AtomicBool::new(false), owned: Mutex::default() }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    fn owned(&self) -> MutexGuard<'_, HashMap<SessionId, u64>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LuaSession {
    /// What is to go on elsewhere. The session is of no use any more.
    pub(super) fn park(&mut self) -> Parked {
        let max = self.settings.hub.as_ref().map_or(0, |hub| hub.config().max_value.as_usize());
        let snapshot = if self.start_error.is_some() {
            // It goes on as it came.
            self.arrived.take()
        } else {
            self.vm.take_snapshot(max).unwrap_or_else(|failure| {
                self.tell_failed("session:snapshot", Err(failure));
                None
            })
        };
        Parked { snapshot, outboxes: self.clients.drain(..).map(|client| client.outbox).collect() }
    }

    /// It has lived elsewhere.
    pub(super) fn arrive(&mut self, snapshot: Snapshot) {
        self.arrived = Some(snapshot);
        self.restore_arrived();
    }

    /// If `main.lua` has run well.
    pub(super) fn restore_arrived(&mut self) {
        if self.start_error.is_some() {
            return;
        }
        let Some(snapshot) = self.arrived.take() else { return };
        if let Err(failure) = self.vm.restore_snapshot(&snapshot) {
            self.tell_failed("session:restore", Err(failure));
        }
    }
}

impl LuaSessions {
    /// Whether it takes no more sessions.
    pub fn is_draining(&self) -> bool {
        self.handover().is_draining()
    }

    /// No more sessions from now on; each is put into the store, and then its sockets are closed, one after the other
    /// in the second half of the time.
    pub async fn drain(&self, within: Duration) -> Drained {
        self.handover().draining.store(true, Ordering::Release);
        let until = Instant::now() + within;
        let owned: Vec<SessionId> = self.handover().owned().keys().copied().collect();
        let all =
            self.handles().into_iter().filter(|session| session.has_begun() || owned.contains(&session.id()));
        let parking: Vec<_> = all
            .map(|session| {
                let sessions = self.clone();
                tokio::spawn(async move { sessions.park(&session).await })
            })
            .collect();
        let (mut drained, mut outboxes) = (Drained { sessions: parking.len(), stored: 0 }, Vec::new());
        for parked in parking {
            // What takes longer ends with the server.
            if let Ok(Ok((is_stored, left))) = timeout_at(until, parked).await {
                drained.stored += usize::from(is_stored);
                outboxes.push(left);
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        let pause =
            (left / 2).checked_div(u32::try_from(outboxes.len()).unwrap_or(u32::MAX)).unwrap_or_default();
        for outboxes in outboxes {
            drop(outboxes);
            sleep(pause.min(Duration::from_millis(20))).await;
        }
        drained
    }

    /// Whether the store has it now, and its browsers.
    async fn park(&self, session: &SessionHandle) -> (bool, Vec<Outbox>) {
        let (id, secret) = (session.id(), session.secret_digest());
        // From here on nobody else looks after it.
        let known = self.handover().owned().remove(&id);
        let Ok(Parked { snapshot, outboxes }) = session.park().await else {
            if let (Some(known), Some(_)) = (known, self.get(id)) {
                self.handover().owned().insert(id, known);
            }
            return (false, Vec::new());
        };
        let stored = match (self.hub(), snapshot) {
            (Some(hub), Some(snapshot)) => self.store(hub, id, &secret, &snapshot).await,
            (Some(hub), None) if known.is_some() => self.forget_record(hub, id).await.map(|()| false),
            _ => Ok(false),
        };
        let stored = stored.unwrap_or_else(|error| {
            tracing::error!(session = %id.short(), %error, "the session begins anew elsewhere: its snapshot could not be stored");
            false
        });
        (stored, outboxes)
    }

    async fn store(
        &self,
        hub: &Hub,
        id: SessionId,
        secret: &str,
        snapshot: &Snapshot,
    ) -> Result<bool, StoreError> {
        for _ in 0..TRIES {
            let mut changes = follow(hub);
            let there = read(hub, id);
            let (epoch, revision) = match &there {
                // Another has taken it from us.
                Some((record, _)) if record.owner.as_deref() != Some(&self.handover().me) => {
                    return Ok(false);
                }
                Some((record, revision)) => (record.epoch + 1, *revision),
                None => (1, 0),
            };
            match self
                .write_record(hub, id, &Record::parked(secret.to_owned(), snapshot, epoch), revision)
                .await
            {
                // What the other has written is on its way here.
                Err(StoreError::Conflict) => heard(&mut changes).await,
                done => return done.map(|_| true),
            }
        }
        Err(StoreError::Conflict)
    }

    async fn write_record(
        &self,
        hub: &Hub,
        id: SessionId,
        record: &Record,
        expected: u64,
    ) -> Result<u64, StoreError> {
        let text = serde_json::to_string(record).map_err(|error| StoreError::Failed(error.to_string()))?;
        let ttl = Some(self.config().timeout).filter(|timeout| !timeout.is_zero());
        hub.write_own(Write { key: key(id), value: Some(text.into()), ttl, expected: Some(expected) }).await
    }

    /// Of a session of ours that has ended.
    async fn forget_record(&self, hub: &Hub, id: SessionId) -> Result<(), StoreError> {
        match read(hub, id) {
            Some((record, revision)) if record.owner.as_deref() == Some(&self.handover().me) => {
                let write = Write { expected: Some(revision), ..Write::delete(&key(id)) };
                hub.write_own(write).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// A session that is not here. `secrets` are those that the browser brings.
    pub async fn fetch(&self, id: SessionId, secrets: &[String]) -> Found {
        let Some(hub) = self.hub().filter(|hub| hub.store().is_some()) else {
            return if self.is_draining() { Found::NotNow } else { Found::Nowhere };
        };
        // What this server alone writes is there at once.
        let lag = if hub.config().engine == HubEngine::Nats { LAG } else { Duration::ZERO };
        let (began, me) = (Instant::now(), &self.handover().me);
        let mut changes = follow(hub);
        loop {
            if self.is_draining() {
                return Found::NotNow;
            }
            // Another request may have brought it.
            if let Some(session) = self.get(id) {
                let opens = self.config().share || secrets.iter().any(|secret| session.opens_with(secret));
                return if opens { Found::Session(session) } else { Found::SomebodyElses };
            }
            let waited = began.elapsed();
            match read(hub, id) {
                None if secrets.is_empty() || waited >= lag => return Found::Nowhere,
                None => {}
                Some((record, revision)) => {
                    let own = record.opened_by(secrets);
                    let anybodys = || Secret::random().ok().filter(|_| self.config().share);
                    let Some(secret) = own.or_else(anybodys) else { return Found::SomebodyElses };
                    let is_free = match record.owner.as_deref() {
                        None => true,
                        // Ours, which is being made, or has ended.
                        Some(owner) if owner == me && waited >= LAG => return Found::Nowhere,
                        Some(owner) => owner != me && waited >= PATIENCE,
                    };
                    if is_free && self.len() >= self.config().max {
                        return Found::NotNow;
                    }
                    let next = match is_free {
                        true => Some(record.clone().owned_by(me)),
                        false if record.owner.as_deref() != Some(me) && !record.wanted => {
                            Some(record.clone().wanted())
                        }
                        false => None,
                    };
                    if let Some(next) = next {
                        match self.write_record(hub, id, &next, revision).await {
                            Ok(revision) if is_free => {
                                let session = self.settle(id, secret, record.snapshot());
                                self.handover().owned().insert(id, revision);
                                tracing::info!(session = %id.short(), "a session has come from another run of a server");
                                return Found::Session(session);
                            }
                            Ok(_) | Err(StoreError::Conflict) => {}
                            Err(error) => {
                                tracing::error!(session = %id.short(), %error, "a session that is in the store could not be taken");
                                return Found::NotNow;
                            }
                        }
                    }
                }
            }
            heard(&mut changes).await;
        }
    }

    /// Gives up what other servers want or have taken, for as long as it is polled.
    pub async fn give_up_what_others_want(self) {
        let Some(hub) = self.hub().cloned() else { return };
        let mut changes = follow(&hub);
        loop {
            heard(&mut changes).await;
            let owned: Vec<(SessionId, u64)> =
                self.handover().owned().iter().map(|(id, revision)| (*id, *revision)).collect();
            for (id, revision) in owned {
                self.look_after(&hub, id, revision).await;
            }
        }
    }

    async fn look_after(&self, hub: &Hub, id: SessionId, known: u64) {
        let Some(session) = self.get(id) else {
            if self.handover().owned().remove(&id).is_some()
                && let Err(error) = self.forget_record(hub, id).await
            {
                tracing::debug!(session = %id.short(), %error, "what the store has of a session that has ended stays there until session.timeout");
            }
            return;
        };
        if revision(hub, id).is_none_or(|revision| revision <= known) {
            return;
        }
        let Some((record, _)) = read(hub, id) else { return };
        if record.owner.as_deref() != Some(&self.handover().me) {
            self.handover().owned().remove(&id);
            tracing::warn!(session = %id.short(), "another server has taken the session, as this one did not answer; it ends here");
            self.end(id);
        } else if record.wanted {
            self.park(&session).await;
        }
    }
}

/// Hears of what is written of sessions, from here on.
fn follow(hub: &Hub) -> Option<watch::Receiver<()>> {
    hub.store().map(|store| store.follow_own())
}

/// Something was written, or it is time to look.
async fn heard(changes: &mut Option<watch::Receiver<()>>) {
    let change = async {
        match changes {
            Some(changes) => drop(changes.changed().await),
            None => std::future::pending().await,
        }
    };
    let _ = timeout(LOOK, change).await;
}
