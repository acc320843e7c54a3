//! Pages of a session: where it begins, what it shows, and its variables.

use std::sync::Arc;

use serde_json::Value;
use warp::{
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_SECURITY_POLICY, LINK, RETRY_AFTER, SET_COOKIE},
    },
    path::Tail,
    reply::Response,
};

use super::{
    client_files, origin, pages, policy,
    replies::{also, html, json, not_found, redirect, text, with},
    secret::{self, NotYours},
    site_files::as_the_sites_own,
    site_page::SitePage,
    state::WebState,
    visitor::Visitor,
};
use crate::{
    config::{Base, SessionPer},
    reload::{Diagnostic, Telling},
    session::{CreateError, SessionGone, SessionId},
};

/// `GET /`
pub(super) async fn begin_session(visitor: Visitor, state: Arc<WebState>, headers: HeaderMap) -> Response {
    if let Err(refusal) = origin::check_is_visit(&headers) {
        return text(StatusCode::FORBIDDEN, format!("{refusal}\n"));
    }
    let sessions = state.endpoint.sessions();
    if sessions.config().per == SessionPer::Browser
        && let Some(own) = secret::last_visited(sessions, &headers)
    {
        return redirect(&state.base.path(&format!("/{own}")));
    }
    match sessions.begin(visitor.address) {
        Ok(session) => {
            let cookies = secret::cookies(&session, visitor.is_tls, &state.base);
            let response = redirect(&state.base.path(&format!("/{}", session.id())));
            cookies.iter().fold(response, |response, cookie| also(response, SET_COOKIE, cookie))
        }
        Err(error) => no_session(visitor, &error, state.endpoint.sessions().telling()),
    }
}

fn no_session(visitor: Visitor, error: &CreateError, telling: &Telling) -> Response {
    let (status, retry) = match error {
        CreateError::Draining => (StatusCode::SERVICE_UNAVAILABLE, Some(1)),
        CreateError::TooMany { .. } => (StatusCode::SERVICE_UNAVAILABLE, Some(10)),
        CreateError::Crowded { after, .. } => (StatusCode::TOO_MANY_REQUESTS, Some(after.as_secs().max(1))),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
    };
    if !matches!(error, CreateError::Crowded { is_news: false, .. }) {
        tracing::warn!(limited_by = "", %error, address = ?visitor.address, "no session for a new visitor");
    }
    let why = match error {
        _ if !telling.is_concealing => error.to_string(),
        CreateError::Draining => "This server is about to end; try again in a moment.".into(),
        CreateError::TooMany { .. } | CreateError::Crowded { .. } => {
            "Too many people are here just now; try again in a moment.".into()
        }
        error => telling.told(&Diagnostic::about("", None, error.to_string())).message,
    };
    let response = html(status, pages::plain("No session could be made", &why));
    match retry {
        Some(seconds) => with(response, RETRY_AFTER, &seconds.to_string()),
        None => response,
    }
}

/// `GET /{session}` and deeper: clients use paths below a session as they like, and find the path in the
/// property `url` of variable 1.
pub(super) async fn session_page(
    id: SessionId,
    deeper: Tail,
    query: String,
    visitor: Visitor,
    headers: HeaderMap,
    state: Arc<WebState>,
) -> Response {
    let session = match secret::find(state.endpoint.sessions(), id, &headers, visitor.is_tls).await {
        Ok(session) => session,
        Err(error) => {
            let is_gone = !matches!(error, NotYours::NotNow(_));
            let forgotten = secret::forgotten(id, &headers, &state.base).filter(|_| is_gone);
            let response = not_yours(error, &state.base);
            return forgotten.iter().fold(response, |response, cookie| with(response, SET_COOKIE, cookie));
        }
    };
    if origin::is_page(&headers) {
        let url = format!("/{}{query}", deeper.as_str());
        // That the session has ended is found out below.
        let _ = session.execute(move |session| session.visit(&url));
    }
    let response = match session.start_error().await {
        Some(error) if state.endpoint.sessions().telling().is_concealing => {
            let page = pages::plain("The application could not start", &error.message);
            html(StatusCode::INTERNAL_SERVER_ERROR, page)
        }
        Some(error) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            with_scripts(status, |nonce| pages::start_error(&error, nonce, &state.base))
        }
        None => match SitePage::open(&state.files).await {
            Some(page) => {
                let runs_the_client = page.runs_the_client();
                let response = as_the_sites_own(page.into_response(), &state.page_policy);
                if runs_the_client { with_preload(response, &state.base) } else { response }
            }
            None => {
                let page = with_scripts(StatusCode::OK, |nonce| client_files::index(nonce, &state.base));
                with_preload(page, &state.base)
            }
        },
    };
    with(response, SET_COOKIE, &secret::visited(id, &state.base))
}

fn with_preload(page: Response, base: &Base) -> Response {
    with(page, LINK, &client_files::preload(base))
}

/// A page of the server's own in which scripts run: those that show its nonce.
fn with_scripts(status: StatusCode, write: impl FnOnce(&str) -> String) -> Response {
    match policy::nonce() {
        Ok(nonce) => {
            let policy = policy::content_security_policy(&nonce);
            with(html(status, write(&nonce)), CONTENT_SECURITY_POLICY, &policy)
        }
        Err(error) => {
            tracing::error!(%error, "no randomness for the nonce of a page");
            text(StatusCode::INTERNAL_SERVER_ERROR, "The operating system gave no random bytes.\n")
        }
    }
}

/// `GET /{session}/variables` and `GET /{session}/variables.json`
pub(super) async fn send_variables(
    id: SessionId,
    visitor: Visitor,
    headers: HeaderMap,
    state: Arc<WebState>,
    form: fn(SessionId, &Value, &Base) -> Response,
) -> Response {
    if !state.debug_pages {
        return not_found();
    }
    let session = match secret::find(state.endpoint.sessions(), id, &headers, visitor.is_tls).await {
        Ok(session) => session,
        Err(error) => return not_yours(error, &state.base),
    };
    match session.variables().await {
        Ok(tree) => form(id, &tree, &state.base),
        Err(SessionGone) => not_yours(NotYours::Unknown(id), &state.base),
    }
}

pub(super) fn as_page(id: SessionId, tree: &Value, base: &Base) -> Response {
    html(StatusCode::OK, pages::variables(id, tree, base))
}

pub(super) fn as_json(_: SessionId, tree: &Value, _: &Base) -> Response {
    json(StatusCode::OK, tree.to_string())
}

/// The page in place of a session's.
fn not_yours(error: NotYours, base: &Base) -> Response {
    let page = match error {
        NotYours::Unknown(id) => pages::unknown_session(id, base),
        NotYours::SomebodyElses(id) => pages::somebody_elses(id, base),
        NotYours::NotNow(_) => pages::plain("Just a moment", &error.to_string()),
    };
    html(status_of(error), page)
}

pub(super) fn status_of(error: NotYours) -> StatusCode {
    match error {
        NotYours::Unknown(_) => StatusCode::NOT_FOUND,
        NotYours::SomebodyElses(_) => StatusCode::FORBIDDEN,
        NotYours::NotNow(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
