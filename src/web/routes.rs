//! What the server answers to which request: the map of addresses.

use std::{convert::Infallible, sync::Arc};

use hyper::upgrade::OnUpgrade;
use include_dir::{Dir, include_dir};
use tokio::sync::watch;
use warp::{
    Filter, Rejection, Reply,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED,
            REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    path::{FullPath, Peek, Tail},
    reply::Response,
};

use super::{
    MetricsText, Readiness,
    endpoint::WebSocketEndpoint,
    files::{self, SiteFiles},
    origin::{self, OriginPolicy, Refusal},
    pages,
    replies::{html, json, not_modified, redirect, text, with},
    upgrade,
};
use crate::session::{CreateError, SessionGone, SessionHandle, SessionId};

/// The browser client, inside the binary.
static CLIENT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/web/client");

/// What the answers are made of.
pub(super) struct WebState {
    pub(super) endpoint: WebSocketEndpoint,
    pub(super) policy: OriginPolicy,
    pub(super) files: SiteFiles,
    pub(super) debug_pages: bool,
    pub(super) readiness: watch::Receiver<Readiness>,
    pub(super) metrics: MetricsText,
}

/// Why a request is refused before any route looks at it.
#[derive(Debug)]
struct Refused(Refusal);

impl warp::reject::Reject for Refused {}

/// All routes. The guard comes first, so that no route can forget it.
pub(super) fn routes(
    state: Arc<WebState>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let files = static_files(&state);
    let state = warp::any().map(move || Arc::clone(&state));
    let guard = state
        .clone()
        .and(warp::method())
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and_then(guard)
        .untuple_one();

    let socket = warp::path!("ws" / SessionId)
        .and(state.clone())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<OnUpgrade>())
        .map(open_socket);

    let home = warp::path::end().and(state.clone()).and(warp::header::headers_cloned()).then(begin_session);
    let variables = warp::path!(SessionId / "variables").and(state.clone()).then(show_variables);
    let variables_json = warp::path!(SessionId / "variables.json").and(state.clone()).then(send_variables);
    let page = warp::path::param().and(warp::path::tail()).and(state.clone()).then(session_page);

    let healthz = warp::path!("healthz").map(|| text(StatusCode::OK, "ok\n"));
    let readyz = warp::path!("readyz").and(state.clone()).map(readiness);
    let metrics = warp::path!("metrics").and(state.clone()).map(metrics);
    let client = warp::path("_client")
        .and(warp::path::tail())
        .and(warp::header::headers_cloned())
        .and_then(client_file);

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
        .or(files)
        .unify()
        .boxed();
    let reading = warp::get().or(warp::head()).unify();
    guard
        .and(socket.or(reading.and(to_read)).unify())
        .recover(explain)
        .unify()
        .map(|response: Response| with_security_headers(response))
}

async fn guard(
    state: Arc<WebState>,
    method: Method,
    path: FullPath,
    headers: HeaderMap,
) -> Result<(), Rejection> {
    state.policy.check_host(&headers).map_err(reject)?;
    let only_reads = matches!(method, Method::GET | Method::HEAD);
    if !only_reads || path.as_str().starts_with("/ws/") {
        state.policy.check_origin(&headers).map_err(reject)?;
    }
    Ok(())
}

fn reject(refusal: Refusal) -> Rejection {
    tracing::warn!(%refusal, "a request was refused");
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

fn not_found() -> Response {
    html(StatusCode::NOT_FOUND, pages::plain("Not found", "There is nothing at this address."))
}

/// `GET /ws/{session}`. Host and Origin have been checked.
fn open_socket(
    id: SessionId,
    state: Arc<WebState>,
    method: Method,
    headers: HeaderMap,
    upgrade: Option<OnUpgrade>,
) -> Response {
    let accepted = upgrade::accept(&method, &headers);
    let (response, upgrade) = match (accepted, upgrade) {
        (Ok(response), Some(upgrade)) => (response, upgrade),
        (Ok(_), None) => return text(StatusCode::UPGRADE_REQUIRED, "This connection cannot be upgraded.\n"),
        (Err(error), _) => {
            let mut response = text(error.status(), format!("{error}\n"));
            response.headers_mut().extend(error.remedy());
            return response;
        }
    };
    if state.endpoint.is_closed() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "The server is stopping.\n");
    }
    match state.endpoint.sessions().get(id) {
        Some(session) => {
            state.endpoint.adopt(upgrade, session);
            response
        }
        None => text(StatusCode::NOT_FOUND, format!("There is no session {id}.\n")),
    }
}

/// `GET /`
async fn begin_session(state: Arc<WebState>, headers: HeaderMap) -> Response {
    if let Err(refusal) = origin::check_is_visit(&headers) {
        return text(StatusCode::FORBIDDEN, format!("{refusal}\n"));
    }
    match state.endpoint.sessions().create().await {
        Ok(session) => redirect(&format!("/{}", session.id())),
        Err(error) => no_session(&error),
    }
}

fn no_session(error: &CreateError) -> Response {
    tracing::warn!(%error, "no session for a new visitor");
    let status = match error {
        CreateError::TooMany { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let response = html(status, pages::plain("No session could be made", &error.to_string()));
    if status == StatusCode::SERVICE_UNAVAILABLE { with(response, RETRY_AFTER, "10") } else { response }
}

/// `GET /{session}` and deeper: clients use paths below a session as they like.
async fn session_page(id: SessionId, _deeper: Tail, state: Arc<WebState>) -> Response {
    let Some(session) = state.endpoint.sessions().get(id) else {
        return html(StatusCode::NOT_FOUND, pages::unknown_session(id));
    };
    let response = match session.start_error().await {
        Some(error) => html(StatusCode::INTERNAL_SERVER_ERROR, pages::start_error(&error)),
        None => match index_page(&state.files).await {
            Some(page) => html(StatusCode::OK, page),
            None => not_found(),
        },
    };
    with(response, SET_COOKIE, &format!("ui-session={id}; Path=/; SameSite=Lax"))
}

/// The site's `html/index.html`, else the built-in page.
async fn index_page(files: &SiteFiles) -> Option<Vec<u8>> {
    if let Some(file) = files.find("index.html").await {
        match tokio::fs::read(&file.path).await {
            Ok(page) => return Some(page),
            Err(error) => tracing::warn!(path = %file.path.display(), %error, "cannot read the site's page"),
        }
    }
    CLIENT.get_file("index.html").map(|file| file.contents().to_vec())
}

/// `GET /{session}/variables`
async fn show_variables(id: SessionId, state: Arc<WebState>) -> Response {
    match variables(id, &state).await {
        Ok(tree) => html(StatusCode::OK, pages::variables(id, &tree)),
        Err(response) => response,
    }
}

/// `GET /{session}/variables.json`
async fn send_variables(id: SessionId, state: Arc<WebState>) -> Response {
    match variables(id, &state).await {
        Ok(tree) => json(StatusCode::OK, tree.to_string()),
        Err(response) => response,
    }
}

async fn variables(id: SessionId, state: &WebState) -> Result<serde_json::Value, Response> {
    if !state.debug_pages {
        return Err(not_found());
    }
    let unknown = || html(StatusCode::NOT_FOUND, pages::unknown_session(id));
    let session: SessionHandle = state.endpoint.sessions().get(id).ok_or_else(unknown)?;
    session.variables().await.map_err(|SessionGone| unknown())
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

/// `GET /_client/{file}`
async fn client_file(name: Tail, headers: HeaderMap) -> Result<Response, Rejection> {
    let file = CLIENT.get_file(name.as_str()).ok_or_else(warp::reject::not_found)?;
    let etag = format!("\"{:x}\"", xxhash_rust::xxh3::xxh3_128(file.contents()));
    if files::is_cached(&headers, &etag) {
        return Ok(not_modified(&etag));
    }
    let kind = mime_guess::from_path(name.as_str()).first_or_octet_stream();
    let response = with(Response::new(file.contents().into()), CONTENT_TYPE, kind.as_ref());
    Ok(cacheable(response, &etag))
}

/// `GET /{file}` from `html/`. warp opens and sends it, in parts if asked; which one may be had, and
/// whether the browser has it, is decided here.
fn static_files(
    state: &Arc<WebState>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static {
    let html = state.files.html.clone();
    let state = Arc::clone(state);
    warp::path::peek()
        .and_then(move |path: Peek| {
            let state = Arc::clone(&state);
            async move { state.files.find(path.as_str()).await.ok_or_else(warp::reject::not_found) }
        })
        .and(warp::header::headers_cloned())
        .and(warp::fs::dir(html))
        .map(|found: files::SiteFile, headers: HeaderMap, file: warp::fs::File| {
            if files::is_cached(&headers, &found.etag) {
                return not_modified(&found.etag);
            }
            let mut response = file.into_response();
            // In whole seconds: a browser that went by it would miss the second edit within one.
            response.headers_mut().remove(LAST_MODIFIED);
            cacheable(response, &found.etag)
        })
}

/// May be kept, but not used without asking; text is UTF-8.
fn cacheable(response: Response, etag: &str) -> Response {
    let response = with(with(response, CACHE_CONTROL, "no-cache"), ETAG, etag);
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    match kind {
        Some(kind) if kind.starts_with("text/") && !kind.contains("charset") => {
            let kind = format!("{kind}; charset=utf-8");
            with(response, CONTENT_TYPE, &kind)
        }
        _ => response,
    }
}

/// On every answer: no guessing of types, no session id in a Referer, no framing by other sites.
fn with_security_headers(mut response: Response) -> Response {
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "SAMEORIGIN"),
        (CONTENT_SECURITY_POLICY, "frame-ancestors 'self'"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
