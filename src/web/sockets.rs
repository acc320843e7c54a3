//! Who gets a WebSocket: of a session, or of the status page.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use warp::{
    http::{HeaderMap, Method, StatusCode},
    reply::Response,
};

use super::{
    replies::{not_found, text},
    secret,
    session_pages::status_of,
    state::WebState,
    upgrade,
    visitor::Visitor,
};
use crate::session::SessionId;

/// `GET /ws/{session}`
pub(super) async fn open_socket(
    id: SessionId,
    visitor: Visitor,
    state: Arc<WebState>,
    method: Method,
    headers: HeaderMap,
    upgrade: Option<OnUpgrade>,
) -> Response {
    let (response, upgrade) = match handshake(&state, &method, &headers, upgrade) {
        Ok(accepted) => accepted,
        Err(refused) => return *refused,
    };
    match secret::find(state.endpoint.sessions(), id, &headers, visitor.is_tls).await {
        Ok(session) => {
            state.endpoint.adopt(upgrade, session);
            response
        }
        Err(error) => text(status_of(error), format!("{error}\n")),
    }
}

/// `GET /_hot/ws`
pub(super) fn open_status_socket(
    state: Arc<WebState>,
    method: Method,
    headers: HeaderMap,
    upgrade: Option<OnUpgrade>,
) -> Response {
    if !state.debug_pages {
        return not_found();
    }
    let (response, upgrade) = match handshake(&state, &method, &headers, upgrade) {
        Ok(accepted) => accepted,
        Err(refused) => return *refused,
    };
    match state.status.admit() {
        Some(viewer) => {
            state.endpoint.serve(upgrade, |stream, limits, stop| viewer.serve(stream, limits, stop));
            response
        }
        None => text(StatusCode::SERVICE_UNAVAILABLE, "Too many browsers look at this page.\n"),
    }
}

/// The answer to a handshake and the way to its stream, or the answer that refuses it. Every socket is
/// granted here, and only to an allowed Host and Origin.
fn handshake(
    state: &WebState,
    method: &Method,
    headers: &HeaderMap,
    upgrade: Option<OnUpgrade>,
) -> Result<(Response, OnUpgrade), Box<Response>> {
    let admitted = state.policy.admit(headers).map_err(|refusal| {
        tracing::warn!(limited_by = "", %refusal, "a WebSocket was refused");
        Box::new(text(StatusCode::FORBIDDEN, format!("{refusal}\n")))
    })?;
    let response = upgrade::accept(method, headers, &admitted).map_err(|error| {
        let mut response = text(error.status(), format!("{error}\n"));
        response.headers_mut().extend(error.remedy());
        Box::new(response)
    })?;
    let refuse = |status, why| Err(Box::new(text(status, why)));
    let Some(upgrade) = upgrade else {
        return refuse(StatusCode::UPGRADE_REQUIRED, "This connection cannot be upgraded.\n");
    };
    if state.endpoint.is_closed() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "The server is stopping.\n");
    }
    Ok((response, upgrade))
}
