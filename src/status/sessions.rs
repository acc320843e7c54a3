//! How each session is.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Calendar;
use crate::reload::Diagnostic;
use crate::session::{LuaSessions, SessionHandle, SessionSummary};

/// So many are asked.
const SHOWN: usize = 100;
/// One that has not answered by then is busy.
const ANSWER: Duration = Duration::from_millis(100);

/// All sessions in a few words, up to [`SHOWN`] of them one by one. Their ids lead to
/// them, so they are known by their short names here.
pub(super) async fn describe(sessions: &LuaSessions, calendar: &Calendar) -> Value {
    let total = sessions.len();
    let mut handles = sessions.running();
    let connected = handles.iter().filter(|session| session.has_browser()).count();
    handles.sort_by_key(SessionHandle::id);
    handles.truncate(SHOWN);
    let asked = handles.iter().map(|handle| async {
        if let Some(why) = handle.stuck() {
            return Some(json!({ "name": handle.id().short(), "stuck": place(&why, sessions) }));
        }
        let summary = timeout(ANSWER, handle.summary()).await;
        match summary {
            Ok(Ok(summary)) => Some(one(handle, &summary, sessions, calendar)),
            // It has ended meanwhile.
            Ok(Err(_)) => None,
            Err(_) => Some(json!({ "name": handle.id().short(), "busy": true })),
        }
    });
    let shown: Vec<Value> = join_all(asked).await.into_iter().flatten().collect();
    let pool = sessions.pool();
    json!({ "total": total, "connected": connected, "shown": shown, "threads": pool.threads, "stuck": pool.stuck })
}

/// What is wrong, where, and what opens that place.
fn place(why: &Diagnostic, sessions: &LuaSessions) -> Value {
    let editor = sessions.telling().editor.as_ref().and_then(|editor| editor.to(why));
    json!({ "file": why.file, "line": why.line, "message": why.message, "editor": editor })
}

fn one(
    handle: &SessionHandle,
    summary: &SessionSummary,
    sessions: &LuaSessions,
    calendar: &Calendar,
) -> Value {
    let error = summary.last_error.as_ref().map(|(at, error)| {
        let mut told = place(error, sessions);
        told["at"] = calendar.at(*at).into();
        told
    });
    json!({
        "name": handle.id().short(),
        "began": calendar.at(summary.began),
        "sockets": summary.sockets,
        // In whole KiB: what a timer allocates is no news.
        "memory": summary.memory.div_ceil(1024),
        "generation": summary.generation,
        "error": error,
    })
}

/// Begins the session of that short name anew.
pub(super) fn restart(sessions: &LuaSessions, name: &str) {
    if let Some(session) = named(sessions, name, "not restarted") {
        tracing::info!(session = name, "restarted from the status page");
        // One that has ended meanwhile needs no restart.
        let _ = session.restart("the status page asked for it");
    }
}

/// Ends the session of that short name. A page that shows it begins a new one.
pub(super) fn end(sessions: &LuaSessions, name: &str) {
    if let Some(session) = named(sessions, name, "not ended") {
        tracing::info!(session = name, "ended from the status page");
        sessions.end(session.id());
    }
}

/// `None` if two have that name: one would be the wrong one.
fn named(sessions: &LuaSessions, name: &str, otherwise: &str) -> Option<SessionHandle> {
    let mut named = sessions.handles().into_iter().filter(|handle| handle.id().short() == name);
    match (named.next(), named.next()) {
        (Some(session), None) => Some(session),
        _ => {
            tracing::warn!(session = name, "{otherwise}: no session has this name, or more than one");
            None
        }
    }
}
