//! The status page and its socket.

use futures_util::{SinkExt, StreamExt};
use tokio::time::{Duration, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::running;
use crate::config::ServerConfig;

const LONG: Duration = Duration::from_secs(10);

fn with_debug_pages() -> ServerConfig {
    ServerConfig { debug_pages: true, ..ServerConfig::default() }
}

#[tokio::test]
async fn the_status_page_is_there_only_with_debug_pages() {
    let web = running(ServerConfig::default()).await;
    for path in ["/_hot", "/_hot/", "/_hot/status.js"] {
        assert_eq!(web.get(path).await.status, 404, "{path}");
    }
    let refused = web.connect_to("/_hot/ws", &[]).await;
    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 404));

    let web = running(with_debug_pages()).await;
    assert_eq!(web.get("/_hot").await.header("location"), Some("/_hot/"));
    for path in ["/_hot/", "/_hot/status.js", "/_hot/parts.js", "/_hot/status.css"] {
        let answer = web.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'self';"), "{path}: {policy}");
    }
    assert_eq!(web.get("/_hot/../Cargo.toml").await.status, 404);
}

#[tokio::test]
async fn its_socket_tells_what_is_and_restarts_and_ends_sessions_but_not_for_strangers() {
    let web = running(with_debug_pages()).await;
    for headers in [("origin", "http://evil.example"), ("host", "evil.example")] {
        let refused = web.connect_to("/_hot/ws", &[headers]).await;
        assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 403), "{headers:?}");
    }
    let mut socket = web.connect_to("/_hot/ws", &[]).await.expect("connected");
    let first = timeout(LONG, socket.next()).await.expect("in time").expect("a frame").expect("unbroken");
    assert_eq!(first.to_text().ok(), Some(r#"{"part":"server","value":{"ready":true}}"#));
    // What nobody understands is passed over.
    for text in ["{", r#"{"explode": 1}"#, r#"{"restart": "0123abcd"}"#, r#"{"end": "4567cdef"}"#] {
        socket.send(Message::text(text)).await.expect("sent");
    }
    let ended = || web.status.ended.lock().expect("unharmed").clone();
    let told = async {
        while ended().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, told).await.expect("in time");
    assert_eq!(ended(), ["4567cdef"]);
    assert_eq!(*web.status.restarted.lock().expect("unharmed"), ["0123abcd"]);
}
