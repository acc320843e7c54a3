//! Answers that a browser keeps, and asks for again by their ETag: files of the client and of the status page.

use bytes::Bytes;
use include_dir::Dir;
use warp::{
    Rejection,
    http::{
        HeaderMap,
        header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY},
    },
    path::Tail,
    reply::Response,
};

use super::{
    client_files, files,
    replies::{self, not_modified, with},
};

/// `GET /_client/{file}`
pub(super) async fn client_file(name: Tail, headers: HeaderMap) -> Result<Response, Rejection> {
    let file = client_files::get(name.as_str()).ok_or_else(warp::reject::not_found)?;
    let (body, is_zipped) = if takes_gzip(&headers) { (&file.zipped, true) } else { (&file.plain, false) };
    let response = unless_cached(body.bytes.clone(), &file.kind, &body.etag, &headers);
    let response = with(response, VARY, "Accept-Encoding");
    Ok(if is_zipped { with(response, CONTENT_ENCODING, "gzip") } else { response })
}

/// The icon of the client, for pages that name none: without it, each would have an error in its console.
pub(super) fn icon(headers: HeaderMap) -> Response {
    let file = client_files::get("icon.svg");
    let icon =
        file.map(|file| unless_cached(file.plain.bytes.clone(), &file.kind, &file.plain.etag, &headers));
    icon.unwrap_or_else(replies::not_found)
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

/// May be kept, but not used without asking; text is UTF-8.
pub(super) fn cacheable(response: Response, etag: &str) -> Response {
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
