//! Answers that a browser may keep: files of the site, of the client, and of the status page.

use std::sync::Arc;

use bytes::Bytes;
use include_dir::Dir;
use warp::{
    Filter, Rejection, Reply,
    http::{
        HeaderMap,
        header::{
            ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
            LAST_MODIFIED, VARY,
        },
    },
    path::{Peek, Tail},
    reply::Response,
};

use super::{
    client_files, files,
    replies::{not_modified, with},
    state::WebState,
};

/// `GET /_client/{file}`
pub(super) async fn client_file(name: Tail, headers: HeaderMap) -> Result<Response, Rejection> {
    let file = client_files::get(name.as_str()).ok_or_else(warp::reject::not_found)?;
    let (body, is_zipped) = if takes_gzip(&headers) { (&file.zipped, true) } else { (&file.plain, false) };
    let response = unless_cached(body.bytes.clone(), &file.kind, &body.etag, &headers);
    let response = with(response, VARY, "Accept-Encoding");
    Ok(if is_zipped { with(response, CONTENT_ENCODING, "gzip") } else { response })
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    let mut codings = lists.flat_map(|list| list.split(','));
    // With a weight it is `gzip;q=0.5`, and `q=0` says no.
    codings.any(|coding| match coding.split_once(';') {
        None => coding.trim() == "gzip",
        Some((name, weight)) => name.trim() == "gzip" && weight.contains(|c| ('1'..='9').contains(&c)),
    })
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
pub(super) fn static_files(
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

/// Which scripts run in a page of the site is its own business, within `server.content_security_policy`.
pub(super) fn as_the_sites_own(page: Response, policy: &str) -> Response {
    if policy.is_empty() { page } else { with(page, CONTENT_SECURITY_POLICY, policy) }
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
