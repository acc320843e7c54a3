//! The WebSocket route, from the handshake to the farewell.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::frame::coding::CloseCode};

use super::*;

const LONG: Duration = Duration::from_secs(10);

fn refused(result: Result<WebSocketStream<TcpStream>, Error>) -> (u16, String) {
    match result {
        Err(Error::Http(response)) => {
            let version = response.headers().get("sec-websocket-version");
            (
                response.status().as_u16(),
                version.map(|v| v.to_str().expect("text").into()).unwrap_or_default(),
            )
        }
        other => panic!("not refused: {other:?}"),
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let polled = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LONG, polled).await.unwrap_or_else(|_| panic!("{what} within {LONG:?}"));
}

async fn close_code(socket: &mut WebSocketStream<TcpStream>) -> (CloseCode, String) {
    loop {
        match timeout(LONG, socket.next()).await.expect("a message in time") {
            Some(Ok(Message::Close(Some(close)))) => return (close.code, close.reason.to_string()),
            Some(Ok(_)) => {}
            other => panic!("no Close: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_browser_and_a_program_may_connect() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    let own = format!("http://{}", web.addr);
    for headers in [&[("origin", own.as_str())][..], &[]] {
        let mut socket = web.connect(id, headers).await.expect("connected");
        until("open", || web.endpoint.counters().open() == 1).await;
        socket.close(None).await.expect("closed");
        until("closed", || web.endpoint.counters().open() == 0).await;
    }
}

#[tokio::test]
async fn strangers_and_wrong_handshakes_are_refused() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    let unknown = "0123456789abcdef0123456789abcdef".parse().expect("an id");
    assert_eq!(refused(web.connect(id, &[("origin", "http://evil.example")]).await).0, 403);
    assert_eq!(refused(web.connect(id, &[("origin", "null")]).await).0, 403);
    assert_eq!(refused(web.connect(id, &[("host", "evil.example")]).await).0, 403);
    assert_eq!(refused(web.connect(unknown, &[]).await).0, 404);
    let wrong_version = refused(web.connect(id, &[("sec-websocket-version", "8")]).await);
    assert_eq!(wrong_version, (426, "13".into()));
    assert_eq!(refused(web.connect(id, &[("upgrade", "h2c")]).await).0, 426);
    assert_eq!(web.get(&format!("/ws/{id}")).await.status, 426);
    assert_eq!(web.ask("POST", &format!("/ws/{id}"), &[]).await.status, 405);
    assert_eq!(web.endpoint.counters().opened(), 0);
}

#[tokio::test]
async fn a_frame_that_is_too_large_closes_with_1009() {
    let config = ServerConfig { max_frame: crate::config::ByteSize::bytes(1000), ..ServerConfig::default() };
    let web = running(config).await;
    let mut socket = web.connect(web.session().await, &[]).await.expect("connected");
    // More than the kernel's buffers hold: were it not heard out, the reset would swallow the Close.
    let large = socket.send(Message::text("x".repeat(8 << 20)));
    timeout(LONG, large).await.expect("in time").expect("heard out");
    let (code, reason) = close_code(&mut socket).await;
    assert_eq!(code, CloseCode::Size);
    assert!(reason.contains("server.max_frame"), "{reason}");
    until("counted", || web.endpoint.counters().violations() == 1).await;
}

#[tokio::test]
async fn work_for_an_unknown_session_is_an_error() {
    let web = running(ServerConfig::default()).await;
    let unknown = "0123456789abcdef0123456789abcdef".parse().expect("an id");
    let error = web.endpoint.execute_in_session(unknown, |_| {}).expect_err("unknown");
    assert_eq!(error.to_string(), "there is no session 0123456789abcdef0123456789abcdef");
    let (ran, has_run) = std::sync::mpsc::channel();
    let id = web.session().await;
    web.endpoint.execute_in_session(id, move |_| ran.send(()).expect("a listener")).expect("queued");
    tokio::task::spawn_blocking(move || has_run.recv_timeout(LONG)).await.expect("joined").expect("ran");
}

#[tokio::test]
async fn a_stopping_server_tells_every_socket_and_ends() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(web.connect(id, &[]).await.expect("connected"));
    }
    until("open", || web.endpoint.counters().open() == 20).await;
    let idle = TcpStream::connect(web.addr).await.expect("connected");
    let farewells = tokio::spawn(async move {
        for socket in &mut sockets {
            assert_eq!(close_code(socket).await, (CloseCode::Away, "server stopping".into()));
        }
    });
    timeout(Duration::from_secs(2), web.server.shutdown()).await.expect("within 2 s");
    farewells.await.expect("all were told");
    assert_eq!(web.endpoint.counters().open(), 0);
    assert!(TcpStream::connect(web.addr).await.is_err(), "nobody listens any more");
    drop(idle);
}

#[tokio::test]
async fn browsers_that_never_answer_do_not_hold_up_the_stop() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(web.connect(id, &[]).await.expect("connected"));
    }
    until("open", || web.endpoint.counters().open() == 5).await;
    timeout(Duration::from_secs(2), web.server.shutdown()).await.expect("within 2 s");
}

#[tokio::test]
async fn a_dropped_server_lets_go_of_its_sockets() {
    let web = running(ServerConfig::default()).await;
    let mut socket = web.connect(web.session().await, &[]).await.expect("connected");
    until("open", || web.endpoint.counters().open() == 1).await;
    drop(web.server);
    assert_eq!(close_code(&mut socket).await.0, CloseCode::Away);
}
