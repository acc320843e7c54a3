//! The server's sessions, as the hot loader sees them.

use std::{sync::Arc, time::Duration};

use crate::{
    reload::{Generation, OutcomeSender, PageFiles, Refreshing, ReloadReport, SessionHost},
    session::{Frame, SessionHandle, SessionId},
    status::ReloadLog,
    telemetry::Metrics,
    web::WebSocketEndpoint,
    wire::Outgoing,
};

/// The server's sessions, as the hot loader sees them.
pub(super) struct ServerSessions {
    pub(super) endpoint: WebSocketEndpoint,
    pub(super) metrics: Arc<Metrics>,
    pub(super) reloads: Arc<ReloadLog>,
}

impl SessionHost for ServerSessions {
    type Session = SessionHandle;
    type Id = SessionId;

    fn lua_sessions(&self) -> Vec<SessionHandle> {
        // Sessions that have not begun take the newest good code when they do.
        self.endpoint.sessions().running()
    }

    fn id(&self, session: &SessionHandle) -> SessionId {
        session.id()
    }

    fn is_idle(&self, session: &SessionHandle) -> bool {
        session.is_idle()
    }

    fn reload(&self, session: &SessionHandle, target: &Arc<Generation>, outcomes: &OutcomeSender) {
        // A session that has ended has no outcome: the sender is dropped, and nobody waits for it.
        let _ = session.reload(target.clone(), outcomes.clone());
    }

    fn refresh(&self, session: &SessionHandle, done: Refreshing) {
        // A session that has ended shows nothing.
        let _ = self.endpoint.execute_in_session(session.id(), |session| session.refresh_until(done));
    }

    fn announce(&self, report: &ReloadReport) {
        let frame = Frame::from(Outgoing::Reload(Box::new(report.clone())));
        for session in self.endpoint.sessions().running() {
            let frame = frame.clone();
            let _ = session.execute(move |session| session.broadcast(&frame));
        }
    }

    fn page_files(&self, saved: &PageFiles) {
        let frame = Frame::from(Outgoing::Files(saved.clone()));
        for session in self.endpoint.sessions().running() {
            let frame = frame.clone();
            let _ = session.execute(move |session| session.broadcast(&frame));
        }
    }

    fn reloaded(&self, report: &ReloadReport) {
        self.metrics.reload(report);
        self.reloads.add(report);
    }

    fn refreshed(&self, generation: u64, took: Duration) {
        self.reloads.refreshed(generation, took);
    }
}
