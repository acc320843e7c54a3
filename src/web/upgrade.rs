//! The WebSocket handshake, by hand.
//!
//! warp's own `ws()` gives no way to set the size of tungstenite's read buffer, which is allocated at once:
//! 128 KiB for every idle socket. Taking the upgrade out of the request and answering it here costs 6 KiB.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};
use warp::{
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
        },
    },
    reply::Response,
};

use super::{meter::Metered, origin::Admitted};
use crate::wire::Account;

/// The version of RFC 6455; there is no other.
const VERSION: &str = "13";

/// A browser's side of the stream, once upgraded.
pub(super) type BrowserStream = WebSocketStream<Metered<TokioIo<hyper::upgrade::Upgraded>>>;

/// Why a request is not a WebSocket handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("This address is a WebSocket: ask with GET.")]
    Method,
    #[error("This address is a WebSocket: ask for an upgrade.")]
    NoUpgrade,
    #[error("This server speaks version 13 of the WebSocket protocol.")]
    Version,
    #[error("The Sec-WebSocket-Key is not 16 bytes in base64.")]
    Key,
}

/// Whether a request asks for an upgrade, in whatever form.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE) || has_token(headers, &CONNECTION, "upgrade")
}

/// The answer that completes a handshake: 101 with the accept key.
///
/// # Errors
/// What is wrong with the request; [`HandshakeError::status`] and its text are the answer then.
pub(super) fn accept(method: &Method, headers: &HeaderMap, _: &Admitted) -> Result<Response, HandshakeError> {
    if method != Method::GET {
        return Err(HandshakeError::Method);
    }
    if !has_token(headers, &CONNECTION, "upgrade") || !has_token(headers, &UPGRADE, "websocket") {
        return Err(HandshakeError::NoUpgrade);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(HandshakeError::Version);
    }
    let key =
        headers.get(SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes())).ok_or(HandshakeError::Key)?;
    let accept = derive_accept_key(key.as_bytes());
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    // Base64 is always a valid header value.
    headers.extend(HeaderValue::try_from(accept).ok().map(|accept| (SEC_WEBSOCKET_ACCEPT, accept)));
    Ok(response)
}

impl HandshakeError {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key => StatusCode::BAD_REQUEST,
        }
    }

    /// The header that says what would have been right.
    pub(super) fn remedy(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Method => Some((warp::http::header::ALLOW, HeaderValue::from_static("GET"))),
            Self::NoUpgrade => Some((UPGRADE, HeaderValue::from_static("websocket"))),
            Self::Version => Some((SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION))),
            Self::Key => None,
        }
    }
}

/// Waits until the 101 has been sent, and takes over the connection.
///
/// # Errors
/// The browser went away meanwhile.
pub(super) async fn complete(
    upgrade: OnUpgrade,
    account: &Account,
    config: WebSocketConfig,
) -> Result<BrowserStream, hyper::Error> {
    let stream = Metered::new(TokioIo::new(upgrade.await?), account);
    Ok(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await)
}

/// Whether a header that is a list has the token, in any case: `Connection: keep-alive, Upgrade`.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|found| found.trim().eq_ignore_ascii_case(token))
}

fn is_key(key: &[u8]) -> bool {
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn request(changed: &[(&HeaderName, Option<&'static str>)]) -> Result<Response, HandshakeError> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (&CONNECTION, "keep-alive, Upgrade"),
            (&UPGRADE, "WebSocket"),
            (&SEC_WEBSOCKET_VERSION, "13"),
            (&SEC_WEBSOCKET_KEY, KEY),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in changed {
            headers.remove(*name);
            headers.extend(value.map(|value| ((*name).clone(), HeaderValue::from_static(value))));
        }
        accept(&Method::GET, &headers, &Admitted::in_a_test())
    }

    #[test]
    fn a_handshake_is_answered_with_the_key_of_the_standards_example() {
        let response = request(&[]).expect("accepted");
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()[UPGRADE], "websocket");
    }

    #[test]
    fn each_missing_or_wrong_header_is_refused_for_its_own_reason() {
        for (name, value, error) in [
            (&CONNECTION, None, HandshakeError::NoUpgrade),
            (&CONNECTION, Some("keep-alive"), HandshakeError::NoUpgrade),
            (&UPGRADE, None, HandshakeError::NoUpgrade),
            (&UPGRADE, Some("h2c"), HandshakeError::NoUpgrade),
            (&SEC_WEBSOCKET_VERSION, None, HandshakeError::Version),
            (&SEC_WEBSOCKET_VERSION, Some("8"), HandshakeError::Version),
            (&SEC_WEBSOCKET_KEY, None, HandshakeError::Key),
            (&SEC_WEBSOCKET_KEY, Some("dGhlIHNhbXBsZSBub25jZQ"), HandshakeError::Key),
            (&SEC_WEBSOCKET_KEY, Some("dGhlIHNhbXBsZSBub25jZ!=="), HandshakeError::Key),
        ] {
            assert_eq!(request(&[(name, value)]).err(), Some(error), "{name} {value:?}");
        }
        assert_eq!(
            accept(&Method::HEAD, &HeaderMap::new(), &Admitted::in_a_test()).err(),
            Some(HandshakeError::Method)
        );
    }

    #[test]
    fn a_wrong_version_is_told_the_right_one() {
        assert_eq!(HandshakeError::Version.status(), StatusCode::UPGRADE_REQUIRED);
        let remedy = HandshakeError::Version.remedy();
        assert_eq!(remedy, Some((SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))));
    }
}
