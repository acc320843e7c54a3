//! `POST /_hot/restart`: sessions begin anew. It is what `lua-hotloader restart` asks for.
//!
//! Only programs on this machine are answered, and only where the debug pages are on: a restart throws
//! away what a session has built up. Host and Origin have been checked before, and Sec-Fetch-Site is here, so
//! that no page of another site or port gets here through a browser on this machine.

use std::{convert::Infallible, sync::Arc};

use warp::{
    Filter, Rejection,
    http::{HeaderMap, StatusCode},
    reply::Response,
};

use super::{
    origin,
    replies::{json, text},
    state::WebState,
    visitor::Peer,
};
use crate::session::{LuaSessions, SessionHandle};

/// A shorter prefix of an id could match by chance.
const SHORTEST: usize = 4;

/// `POST /_hot/restart` for all sessions, `POST /_hot/restart/{id}` for one; the log's short id will do.
pub(super) fn route(
    state: impl Filter<Extract = (Arc<WebState>,), Error = Infallible> + Clone + Send + Sync + 'static,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static {
    let all = warp::path!("_hot" / "restart").map(|| None);
    let one = warp::path!("_hot" / "restart" / String).map(Some);
    all.or(one)
        .unify()
        .and(warp::post())
        .and(state)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .map(restart)
}

fn restart(which: Option<String>, state: Arc<WebState>, headers: HeaderMap, peer: Option<Peer>) -> Response {
    if !state.debug_pages {
        let why = "Restarting from outside is off: turn on server.debug_pages, or start with --hotload.\n";
        return text(StatusCode::NOT_FOUND, why);
    }
    if let Err(refusal) = origin::check_is_not_cross_site(&headers) {
        return text(StatusCode::FORBIDDEN, format!("{refusal}\n"));
    }
    // A proxy on this machine speaks for somebody elsewhere.
    let is_forwarded = ["forwarded", "x-forwarded-for"].iter().any(|name| headers.contains_key(*name));
    if is_forwarded || !peer.is_some_and(|peer| peer.is_here) {
        return text(StatusCode::FORBIDDEN, "Only programs on the server's own machine may do that.\n");
    }
    match sessions(state.endpoint.sessions(), which.as_deref()) {
        Ok(sessions) => {
            let asked =
                sessions.iter().filter(|session| session.restart("the command line asked for it").is_ok());
            json(StatusCode::OK, serde_json::json!({ "restarted": asked.count() }).to_string())
        }
        Err(why) => text(StatusCode::NOT_FOUND, why),
    }
}

fn sessions(all: &LuaSessions, which: Option<&str>) -> Result<Vec<SessionHandle>, String> {
    let Some(start) = which else { return Ok(all.handles()) };
    if start.len() < SHORTEST {
        return Err(format!("Give at least {SHORTEST} digits of the session's id.\n"));
    }
    let fits = |session: &SessionHandle| session.id().to_string().starts_with(start);
    let found: Vec<_> = all.handles().into_iter().filter(fits).collect();
    match found.len() {
        1 => Ok(found),
        0 => Err(format!("There is no session {start}.\n")),
        n => Err(format!("{n} sessions begin with {start}: give more digits.\n")),
    }
}
