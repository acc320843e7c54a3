//! Files of the site: sent as they are on disk, with the policy of the site.

use std::sync::Arc;

use warp::{
    Filter, Rejection, Reply,
    http::{
        HeaderMap,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LAST_MODIFIED},
    },
    path::Peek,
    reply::Response,
};

use super::{
    files,
    kept::cacheable,
    replies::{not_modified, with},
    state::WebState,
};

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
