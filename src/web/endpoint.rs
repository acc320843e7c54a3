//! All WebSockets of the server: what connects them to sessions, counts them and ends them.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::upgrade::OnUpgrade;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    socket::{self, Left, SocketLimits},
    upgrade,
};
use crate::{
    config::ServerConfig,
    session::{ClientId, Line, LuaSession, LuaSessions, Outbox, SessionHandle, SessionId},
    wire::Account,
};

/// Frames that may wait for one socket; the session lets go of one that has no room.
const OUTBOX: usize = 64;
/// How long [`WebSocketEndpoint::close_all`] waits; a farewell is bounded at one second by itself.
const CLOSE_ALL: Duration = Duration::from_millis(1500);

/// Where browsers and sessions meet.
///
/// Cheap to clone; all clones are one endpoint.
#[derive(Clone)]
pub struct WebSocketEndpoint {
    sessions: LuaSessions,
    limits: SocketLimits,
    counters: Arc<SocketCounters>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why work did not reach a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// No session has this id.
    #[error("there is no session {0}")]
    Unknown(SessionId),
    /// It ended before the work could be queued.
    #[error("session {0} has ended")]
    Gone(SessionId),
}

/// What happened to sockets since the start, for `/metrics`.
#[derive(Debug, Default)]
pub struct SocketCounters {
    opened: AtomicU64,
    closed: AtomicU64,
    stalled: AtomicU64,
    violations: AtomicU64,
    over: AtomicU64,
    refused: AtomicU64,
    unread: AtomicU64,
}

impl SocketCounters {
    /// Sockets that are open now.
    pub fn open(&self) -> u64 {
        // `closed` first: read the other way round, it could be ahead.
        let closed = self.closed.load(Ordering::Acquire);
        self.opened.load(Ordering::Acquire).saturating_sub(closed)
    }

    /// Sockets that were opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Acquire)
    }

    /// Sockets given up because the browser took nothing for longer than `server.send_timeout`.
    pub fn stalled(&self) -> u64 {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Sockets closed because the browser broke a rule, or sent more than `server.max_frame`.
    pub fn violations(&self) -> u64 {
        self.violations.load(Ordering::Relaxed)
    }

    /// Sockets closed because they took more than a session may for its browsers.
    pub fn over(&self) -> u64 {
        self.over.load(Ordering::Relaxed)
    }

    /// Connections that were turned away at once: `server.connections_per_address`, `server.max_connections`.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// HTTP connections let go because an answer was not read for longer than `server.send_timeout`.
    pub fn unread(&self) -> u64 {
        self.unread.load(Ordering::Relaxed)
    }

    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn let_go(&self) {
        self.unread.fetch_add(1, Ordering::Relaxed);
    }

    fn leave(&self, left: Left) {
        match left {
            Left::Stalled => self.stalled.fetch_add(1, Ordering::Relaxed),
            Left::Violation(_) => self.violations.fetch_add(1, Ordering::Relaxed),
            Left::Over(_) => self.over.fetch_add(1, Ordering::Relaxed),
            Left::ClosedByBrowser | Left::Lost | Left::Silent | Left::SessionEnded | Left::Stopped => 0,
        };
        self.closed.fetch_add(1, Ordering::AcqRel);
    }
}

impl WebSocketEndpoint {
    /// Connects browsers to `sessions`, within the limits of `[server]`.
    pub fn new(sessions: LuaSessions, config: &ServerConfig) -> Self {
        let (counters, stop) = (Arc::default(), CancellationToken::new());
        let limits =
            SocketLimits { max_frame: config.max_frame.as_usize(), send_timeout: config.send_timeout };
        Self { sessions, limits, counters, stop, tasks: TaskTracker::new() }
    }

    /// Cancelled when its sockets shall leave; the server that serves them stops with it.
    pub(super) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(super) fn send_timeout(&self) -> Duration {
        self.limits.send_timeout
    }

    pub(super) fn shared_counters(&self) -> Arc<SocketCounters> {
        self.counters.clone()
    }

    /// Counts its sockets.
    pub fn counters(&self) -> &SocketCounters {
        &self.counters
    }

    /// The sessions it connects browsers to.
    pub fn sessions(&self) -> &LuaSessions {
        &self.sessions
    }

    /// Queues work of the host in a session. AfterBatch follows it and sends every browser what changed,
    /// so an empty function refreshes the session.
    ///
    /// # Errors
    /// The session is not there, or has just ended.
    pub fn execute_in_session(
        &self,
        id: SessionId,
        work: impl FnOnce(&mut LuaSession) + Send + 'static,
    ) -> Result<(), ExecuteError> {
        let session = self.sessions.get(id).ok_or(ExecuteError::Unknown(id))?;
        session.execute(work).map_err(|_| ExecuteError::Gone(id))
    }

    /// Tells every socket that the server stops (Close 1001) and waits for them, 1.5 s at most. New ones
    /// are refused from then on.
    pub async fn close_all(&self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(CLOSE_ALL, self.tasks.wait()).await.is_err() {
            tracing::warn!(sockets = self.counters.open(), "sockets did not close in time");
        }
    }

    /// Whether sockets are told to leave.
    pub(super) fn is_closed(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Serves a socket of the session, from its 101 to its end.
    pub(super) fn adopt(&self, upgrade: OnUpgrade, session: SessionHandle) {
        let counters = self.counters.clone();
        let account = session.account().clone();
        self.serve_for(upgrade, account, |stream, limits, stop| {
            connect(stream, session, limits, counters, stop)
        });
    }

    /// Completes a handshake and lets `talk` have the stream.
    pub(super) fn serve<F>(
        &self,
        upgrade: OnUpgrade,
        talk: impl FnOnce(Box<upgrade::BrowserStream>, SocketLimits, CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        self.serve_for(upgrade, Account::new(self.limits.max_frame), talk);
    }

    /// Completes a handshake and charges what is read to `account`.
    fn serve_for<F>(
        &self,
        upgrade: OnUpgrade,
        account: Account,
        talk: impl FnOnce(Box<upgrade::BrowserStream>, SocketLimits, CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { limits, stop, tasks, .. } = self.clone();
        self.tasks.spawn(async move {
            let completed = tokio::select! {
                completed = upgrade::complete(upgrade, &account, limits.websocket_config()) => completed,
                () = stop.cancelled() => return,
            };
            match completed {
                // In a task of its own, so that the memory of the handshake is freed.
                Ok(stream) => drop(tasks.spawn(talk(Box::new(stream), limits, stop))),
                Err(error) => tracing::debug!(%error, "a browser left during the WebSocket handshake"),
            }
        });
    }
}

async fn connect(
    stream: Box<upgrade::BrowserStream>,
    session: SessionHandle,
    limits: SocketLimits,
    counters: Arc<SocketCounters>,
    stop: CancellationToken,
) {
    counters.opened.fetch_add(1, Ordering::AcqRel);
    let ((outbox, frames), line) = (mpsc::channel(OUTBOX), Arc::<Line>::default());
    let attached = Attached { client: session.attach(Outbox::new(outbox, line.clone())), session };
    let left = socket::run(stream, frames, line, |text| attached.receive(text), stop, limits).await;
    counters.leave(left);
    let (session, client) = (attached.session.id(), attached.client);
    match left {
        Left::Stalled | Left::Silent | Left::Violation(_) => {
            tracing::warn!(limited_by = ?session, ?session, ?client, ?left, "a WebSocket was given up");
        }
        Left::Over(over) => {
            tracing::warn!(limited_by = ?session, ?session, ?client, "a WebSocket was closed: {over}")
        }
        _ => tracing::debug!(?session, ?client, ?left, "a WebSocket was closed"),
    }
}

/// A socket known to its session; detached however its task ends.
struct Attached {
    session: SessionHandle,
    client: ClientId,
}

impl Attached {
    fn receive(&self, text: String) -> impl Future<Output = Result<(), crate::session::SessionGone>> + '_ {
        self.session.receive(self.client, text)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.session.detach(self.client);
    }
}
