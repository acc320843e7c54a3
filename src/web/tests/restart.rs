//! `/_hot/restart`: who may, and what comes of it.

use tokio::sync::oneshot;

use super::{Running, running};
use crate::{config::ServerConfig, session::SessionId};

async fn debugging() -> Running {
    running(ServerConfig { debug_pages: true, ..ServerConfig::default() }).await
}

/// What the session's global `mark` is, after `code` has run.
async fn mark(running: &Running, id: SessionId, code: &'static str) -> Option<i64> {
    let (sender, receiver) = oneshot::channel();
    let session = running.endpoint.sessions().get(id).expect("the session");
    let work = session.execute(move |session| {
        let marked = session.with_lua(|lua| lua.load(format!("{code} return mark")).eval::<Option<i64>>());
        sender.send(marked.expect("it runs")).expect("somebody waits");
    });
    work.expect("queued");
    receiver.await.expect("an answer")
}

#[tokio::test]
async fn one_session_or_all_begin_anew_under_their_ids() {
    let running = debugging().await;
    let (one, other) = (running.session().await, running.session().await);
    for id in [one, other] {
        assert_eq!(mark(&running, id, "mark = 1").await, Some(1));
    }
    let answer = running.ask("POST", &format!("/_hot/restart/{}", one.short()), &[]).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"restarted":1}"#));
    assert_eq!((mark(&running, one, "").await, mark(&running, other, "").await), (None, Some(1)));
    assert_eq!(running.ask("POST", "/_hot/restart", &[]).await.body, r#"{"restarted":2}"#);
    assert_eq!(mark(&running, other, "").await, None);
}

#[tokio::test]
async fn nobody_else_and_nothing_else_is_answered() {
    let running = debugging().await;
    let id = running.session().await;
    assert_eq!(mark(&running, id, "mark = 1").await, Some(1));
    for (method, path, header, status) in [
        ("POST", "/_hot/restart", Some(("X-Forwarded-For", "192.0.2.1")), 403),
        ("POST", "/_hot/restart", Some(("Origin", "http://evil.example")), 403),
        ("POST", "/_hot/restart", Some(("Host", "evil.example")), 403),
        ("POST", "/_hot/restart", Some(("Sec-Fetch-Site", "cross-site")), 403),
        ("POST", "/_hot/restart", Some(("Sec-Fetch-Site", "same-site")), 403),
        ("POST", "/_hot/restart/", Some(("Sec-Fetch-Site", "cross-site")), 403),
        ("POST", "/_hot/restart/ffffffffffffffffffffffffffffffff", None, 404),
        ("POST", "/_hot/restart/f", None, 404),
        ("GET", "/_hot/restart", None, 405),
    ] {
        let answer = running.ask(method, path, header.as_slice()).await;
        assert_eq!(answer.status, status, "{method} {path} {header:?}: {}", answer.body);
    }
    assert_eq!(mark(&running, id, "").await, Some(1));
    let plain = super::running(ServerConfig::default()).await;
    assert_eq!(plain.ask("POST", "/_hot/restart", &[]).await.status, 404);
}
