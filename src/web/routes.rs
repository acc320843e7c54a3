//! What the server answers to which request: the map of addresses.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use include_dir::Dir;
use serde_json::Value;
use tokio::sync::watch;
use warp::{
    Filter, Rejection, Reply,
    filters::BoxedFilter,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED, LINK,
            REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    path::{FullPath, Peek, Tail},
    reply::Response,
};

use super::{
    MetricsText, Readiness, client_files,
    endpoint::WebSocketEndpoint,
    files::{self, SiteFiles},
    origin::{self, OriginPolicy, Refusal},
    pages, policy,
    replies::{also, html, json, not_modified, redirect, text, with},
    restart,
    secret::{self, NotYours},
    site_page::SitePage,
    status::StatusPage,
    upgrade,
    visitor::{Peer, TrustedProxies, Visitor},
};
use crate::{
    config::{Base, SessionPer},
    reload::{Diagnostic, Telling},
    session::{CreateError, SessionGone, SessionId},
};

/// What the answers are made of.
pub(super) struct WebState {
    pub(super) endpoint: WebSocketEndpoint,
    pub(super) policy: OriginPolicy,
    pub(super) base: Base,
    /// `server.content_security_policy`
    pub(super) page_policy: String,
    pub(super) proxies: TrustedProxies,
    pub(super) files: SiteFiles,
    pub(super) debug_pages: bool,
    pub(super) readiness: watch::Receiver<Readiness>,
    pub(super) metrics: MetricsText,
    pub(super) status: StatusPage,
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
        .map(open_socket);
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

fn not_found() -> Response {
    html(StatusCode::NOT_FOUND, pages::plain("Not found", "There is nothing at this address."))
}

/// `GET /ws/{session}`
fn open_socket(
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
    match secret::open(state.endpoint.sessions(), id, &headers, visitor.is_tls) {
        Ok(session) => {
            state.endpoint.adopt(upgrade, session);
            response
        }
        Err(error) => text(status_of(error), format!("{error}\n")),
    }
}

fn status_of(error: NotYours) -> StatusCode {
    match error {
        NotYours::Unknown(_) => StatusCode::NOT_FOUND,
        NotYours::SomebodyElses(_) => StatusCode::FORBIDDEN,
    }
}

/// The page in place of a session's.
fn not_yours(error: NotYours, base: &Base) -> Response {
    let page = match error {
        NotYours::Unknown(id) => pages::unknown_session(id, base),
        NotYours::SomebodyElses(id) => pages::somebody_elses(id, base),
    };
    html(status_of(error), page)
}

/// `GET /_hot/ws`
fn open_status_socket(
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

/// `GET /`
async fn begin_session(visitor: Visitor, state: Arc<WebState>, headers: HeaderMap) -> Response {
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
        CreateError::TooMany { .. } => (StatusCode::SERVICE_UNAVAILABLE, Some(10)),
        CreateError::Crowded { after, .. } => (StatusCode::TOO_MANY_REQUESTS, Some(after.as_secs().max(1))),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
    };
    if !matches!(error, CreateError::Crowded { is_news: false, .. }) {
        tracing::warn!(limited_by = "", %error, address = ?visitor.address, "no session for a new visitor");
    }
    let why = match error {
        _ if !telling.is_concealing => error.to_string(),
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

/// What follows the `?` of an address, with it.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone + Send + Sync + 'static {
    let there = warp::query::raw().map(|query| format!("?{query}"));
    there.or_else(|_| async { Ok::<_, Infallible>((String::new(),)) })
}

/// `GET /{session}` and deeper: clients use paths below a session as they like, and find the path in the
/// property `url` of variable 1.
async fn session_page(
    id: SessionId,
    deeper: Tail,
    query: String,
    visitor: Visitor,
    headers: HeaderMap,
    state: Arc<WebState>,
) -> Response {
    let session = match secret::open(state.endpoint.sessions(), id, &headers, visitor.is_tls) {
        Ok(session) => session,
        Err(error) => {
            let forgotten = secret::forgotten(id, &headers, &state.base);
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

/// Which scripts run in a page of the site is its own business, within `server.content_security_policy`.
fn as_the_sites_own(page: Response, policy: &str) -> Response {
    if policy.is_empty() { page } else { with(page, CONTENT_SECURITY_POLICY, policy) }
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
async fn send_variables(
    id: SessionId,
    visitor: Visitor,
    headers: HeaderMap,
    state: Arc<WebState>,
    form: fn(SessionId, &Value, &Base) -> Response,
) -> Response {
    if !state.debug_pages {
        return not_found();
    }
    let session = match secret::open(state.endpoint.sessions(), id, &headers, visitor.is_tls) {
        Ok(session) => session,
        Err(error) => return not_yours(error, &state.base),
    };
    match session.variables().await {
        Ok(tree) => form(id, &tree, &state.base),
        Err(SessionGone) => not_yours(NotYours::Unknown(id), &state.base),
    }
}

fn as_page(id: SessionId, tree: &Value, base: &Base) -> Response {
    html(StatusCode::OK, pages::variables(id, tree, base))
}

fn as_json(_: SessionId, tree: &Value, _: &Base) -> Response {
    json(StatusCode::OK, tree.to_string())
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
    let file = client_files::get(name.as_str()).ok_or_else(warp::reject::not_found)?;
    Ok(unless_cached(file.body.clone(), &file.kind, &file.etag, &headers))
}

/// A file inside the binary.
pub(super) fn embedded(dir: &'static Dir<'_>, name: &str, headers: &HeaderMap) -> Option<Response> {
    let body = dir.get_file(name)?.contents();
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    Some(unless_cached(body.into(), kind.as_ref(), &client_files::etag(body), headers))
}

fn unless_cached(body: Bytes, kind: &str, etag: &str, headers: &HeaderMap) -> Response {
    if files::is_cached(headers, etag) {
        return not_modified(etag);
    }
    cacheable(with(Response::new(body.into()), CONTENT_TYPE, kind), etag)
}

/// `GET /{file}` from `html/`. warp opens and sends it, in parts if asked; which one may be had, and
/// whether the browser has it, is decided here.
fn static_files(
    state: &Arc<WebState>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static {
    let (html, policy) = (state.files.html.clone(), state.page_policy.clone());
    let state = Arc::clone(state);
    warp::path::peek()
        .and_then(move |path: Peek| {
            let state = Arc::clone(&state);
            async move { state.files.find(path.as_str()).await.ok_or_else(warp::reject::not_found) }
        })
        .and(warp::header::headers_cloned())
        .and(warp::fs::dir(html))
        .map(move |found: files::SiteFile, headers: HeaderMap, file: warp::fs::File| {
            if files::is_cached(&headers, &found.etag) {
                return not_modified(&found.etag);
            }
            let mut response = file.into_response();
            // In whole seconds: a browser that went by it would miss the second edit within one.
            response.headers_mut().remove(LAST_MODIFIED);
            let response = cacheable(response, &found.etag);
            if is_a_page(&response) { as_the_sites_own(response, &policy) } else { response }
        })
}

/// Whether scripts in it run when a browser is sent there.
fn is_a_page(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    ["text/html", "application/xhtml+xml", "image/svg+xml"].iter().any(|page| kind.starts_with(page))
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
