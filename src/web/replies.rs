//! Plain answers, in the shapes the routes need.

use bytes::Bytes;
use warp::{
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION},
    },
    reply::Response,
};

use super::pages;

/// A page; never kept, since what it shows is as of now.
pub(super) fn html(status: StatusCode, page: impl Into<Bytes>) -> Response {
    reply(status, "text/html; charset=utf-8", page)
}

/// A line or two for people and programs.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    reply(status, "text/plain; charset=utf-8", text)
}

/// For programs.
pub(super) fn json(status: StatusCode, json: impl Into<Bytes>) -> Response {
    reply(status, "application/json", json)
}

/// The browser asks again there, with the same method.
pub(super) fn redirect(location: &str) -> Response {
    let response = text(StatusCode::TEMPORARY_REDIRECT, Bytes::new());
    with(response, LOCATION, location)
}

/// What the browser has is what there is.
pub(super) fn not_modified(etag: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    with(with(response, ETAG, etag), CACHE_CONTROL, "no-cache")
}

/// Of an address where nothing is.
pub(super) fn not_found() -> Response {
    html(StatusCode::NOT_FOUND, pages::plain("Not found", "There is nothing at this address."))
}

/// Sets a header, unless the value cannot be one.
pub(super) fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Adds a header beside those of its name, unless the value cannot be one.
pub(super) fn also(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().append(name, value);
    }
    response
}

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(body.into().into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
