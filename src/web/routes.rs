//! What the server answers to which request: the map of addresses.

use std::{convert::Infallible, sync::Arc};

use hyper::upgrade::OnUpgrade;
use warp::{
    Filter, Rejection,
    filters::BoxedFilter,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
    },
    path::{FullPath, Tail},
    reply::Response,
};

use super::{
    Readiness,
    kept::{client_file, icon},
    origin::Refusal,
    pages,
    replies::{html, not_found, redirect, text, with},
    restart,
    session_pages::{as_json, as_page, begin_session, send_variables, session_page},
    site_files::static_files,
    sockets::{open_socket, open_status_socket},
    state::WebState,
    status::StatusPage,
    upgrade,
    visitor::{Peer, Visitor},
};
use crate::{config::Base, session::SessionId};

/// Why a request is refused before any route looks at it.
#[derive(Debug)]
struct Refused(Refusal);

impl warp::reject::Reject for Refused {}

/// All routes. The guard comes first, so that no route can forget it.
pub(super) fn routes(
    state: Arc<WebState>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let files = static_files(&state);
    let base = base(&state.base);
    let at_base = warp::path::full().and(query()).and(warp::any().map({
        let base = state.base.path("");
        move || base.clone()
    }));
    let (itself, outside) = (at_base.clone().and_then(lead_below), at_base.and_then(say_where_it_is));
    let state = warp::any().map(move || Arc::clone(&state));
    let guard = visitor(state.clone())
        .and(state.clone())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and_then(guard)
        .untuple_one();

    let socket = warp::path!("ws" / SessionId)
        .and(visitor(state.clone()))
        .and(state.clone())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .then(open_socket);
    let status_socket = warp::path!("_hot" / "ws")
        .and(state.clone())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .map(open_status_socket);

    let home = warp::path::end()
        .and(visitor(state.clone()))
        .and(state.clone())
        .and(warp::header::headers_cloned())
        .then(begin_session);
    let of_session = visitor(state.clone()).and(warp::header::headers_cloned()).and(state.clone());
    let variables = warp::path!(SessionId / "variables")
        .and(of_session.clone())
        .then(|id, visitor, headers, state| send_variables(id, visitor, headers, state, as_page));
    let variables_json = warp::path!(SessionId / "variables.json")
        .and(of_session.clone())
        .then(|id, visitor, headers, state| send_variables(id, visitor, headers, state, as_json));
    let page = warp::path::param().and(warp::path::tail()).and(query()).and(of_session).then(session_page);

    let healthz = warp::path!("healthz").map(|| text(StatusCode::OK, "ok\n"));
    let readyz = warp::path!("readyz").and(state.clone()).map(readiness);
    let metrics = warp::path!("metrics").and(state.clone()).map(metrics);
    let client = warp::path("_client")
        .and(warp::path::tail())
        .and(warp::header::headers_cloned())
        .and_then(client_file);
    // Browsers ask for it whatever a page says.
    let icon = warp::path!("favicon.ico").and(warp::header::headers_cloned()).map(icon);
    let status = warp::path("_hot")
        .and(warp::path::full())
        .and(warp::path::tail())
        .and(state.clone())
        .and(warp::header::headers_cloned())
        .and_then(status_file);

    let restart = restart::route(state.clone());

    let to_read = home
        .or(variables)
        .unify()
        .or(variables_json)
        .unify()
        .or(page)
        .unify()
        .or(healthz)
        .unify()
        .or(readyz)
        .unify()
        .or(metrics)
        .unify()
        .or(client)
        .unify()
        .or(status)
        .unify()
        .or(files)
        .unify()
        .or(icon)
        .unify()
        .boxed();
    let reading = warp::get().or(warp::head()).unify();
    let below =
        base.and(socket.or(status_socket).unify().or(restart).unify().or(reading.and(to_read)).unify());
    guard
        .and(reading.and(itself).or(below).unify().or(outside).unify())
        .recover(explain)
        .unify()
        .map(|response: Response| with_security_headers(response))
}

/// Takes the base off the front of the path, so that no route knows of it.
fn base(base: &Base) -> BoxedFilter<()> {
    base.segments().fold(warp::any().boxed(), |before, name| before.and(warp::path(name.to_owned())).boxed())
}

/// `GET /app` for `/app/`: what is below could not have relative addresses otherwise.
async fn lead_below(path: FullPath, query: String, base: String) -> Result<Response, Rejection> {
    if base.is_empty() || path.as_str() != base {
        return Err(warp::reject::not_found());
    }
    Ok(redirect(&format!("{base}/{query}")))
}

/// The answer outside of the base.
async fn say_where_it_is(path: FullPath, _: String, base: String) -> Result<Response, Rejection> {
    let below = path.as_str().strip_prefix(&base);
    if below.is_some_and(|below| below.is_empty() || below.starts_with('/')) {
        return Err(warp::reject::not_found());
    }
    let text = format!(
        "All addresses of this server begin with {base}/ (server.base). A proxy in front of it has to pass \
         the path on as it is."
    );
    Ok(html(StatusCode::NOT_FOUND, pages::plain("Not found", &text)))
}

/// Who asks, and how.
fn visitor(
    state: impl Filter<Extract = (Arc<WebState>,), Error = Infallible> + Clone + Send + Sync + 'static,
) -> impl Filter<Extract = (Visitor,), Error = Infallible> + Clone + Send + Sync + 'static {
    let see = |state: Arc<WebState>, peer, headers| state.proxies.visitor(peer, &headers);
    state.and(warp::ext::optional::<Peer>()).and(warp::header::headers_cloned()).map(see)
}

/// Looks at the request and not at its path: an address can be spelt in more ways than a guard thinks of.
async fn guard(
    visitor: Visitor,
    state: Arc<WebState>,
    method: Method,
    headers: HeaderMap,
) -> Result<(), Rejection> {
    let reject = |refusal| reject(refusal, visitor);
    state.policy.check_host(&headers).map_err(reject)?;
    if !matches!(method, Method::GET | Method::HEAD) || upgrade::is_asked_for(&headers) {
        state.policy.admit(&headers).map_err(reject)?;
    }
    Ok(())
}

fn reject(refusal: Refusal, visitor: Visitor) -> Rejection {
    let address = visitor.address.map(|address| address.to_string()).unwrap_or_default();
    tracing::warn!(limited_by = address, address, %refusal, "a request was refused");
    warp::reject::custom(Refused(refusal))
}

/// The answer to what no route took.
async fn explain(rejection: Rejection) -> Result<Response, Infallible> {
    Ok(if let Some(Refused(refusal)) = rejection.find() {
        text(StatusCode::FORBIDDEN, format!("{refusal}\n"))
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        let response = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n");
        with(response, ALLOW, "GET, HEAD")
    } else {
        not_found()
    })
}

/// `GET /_hot/` and its files.
async fn status_file(
    path: FullPath,
    name: Tail,
    state: Arc<WebState>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    if !state.debug_pages {
        return Err(warp::reject::not_found());
    }
    if path.as_str() == state.base.path("/_hot") {
        return Ok(redirect(&state.base.path("/_hot/")));
    }
    StatusPage::file(name.as_str(), &headers).ok_or_else(warp::reject::not_found)
}

/// What follows the `?` of an address, with it.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone + Send + Sync + 'static {
    let there = warp::query::raw().map(|query| format!("?{query}"));
    there.or_else(|_| async { Ok::<_, Infallible>((String::new(),)) })
}

fn readiness(state: Arc<WebState>) -> Response {
    let Readiness { ready, detail } = state.readiness.borrow().clone();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, format!("{detail}\n"))
}

fn metrics(state: Arc<WebState>) -> Response {
    let response = text(StatusCode::OK, (state.metrics)());
    with(response, CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")
}

/// On every answer: no guessing of types, no session id in a Referer, no framing by other sites. A page
/// with a stricter policy of its own keeps it.
fn with_security_headers(mut response: Response) -> Response {
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "SAMEORIGIN"),
        (CONTENT_SECURITY_POLICY, "frame-ancestors 'self'"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
