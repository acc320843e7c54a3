//! What a browser, or somebody who is none, can ask of the server.

use std::time::Duration;

use futures_util::StreamExt;
use hotloader_test_support::{
    client::{Browser, begin, connect},
    http,
    server::Server,
    site::{MAIN, Site},
    until,
};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, protocol::frame::coding::CloseCode};

use crate::SETUP;

const NOBODY: &str = "0123456789abcdef0123456789abcdef";

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> u16 {
    match result {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_session_has_a_page_a_cookie_and_deeper_paths() {
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    let session = begin(server.addr()).await;
    assert_eq!(session.len(), 32);
    for path in [format!("/{session}"), format!("/{session}/any/path")] {
        let page = http::get(server.addr(), &path).await;
        assert_eq!(page.status, 200);
        let cookie = page.header("set-cookie").unwrap();
        assert_eq!(cookie, format!("ui-session={session}; Path=/; SameSite=Lax"));
        assert!(page.body.contains("_client/main.js"), "{}", page.body);
    }
    let variables = http::get(server.addr(), &format!("/{session}/variables.json")).await;
    assert_eq!(variables.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&variables.body).is_ok(), "{}", variables.body);
}

#[tokio::test]
async fn an_unknown_session_is_told_from_a_known_one() {
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    let page = http::get(server.addr(), &format!("/{NOBODY}")).await;
    assert_eq!(page.status, 404);
    assert!(page.body.contains("href=\"/\""), "a new one is offered: {}", page.body);
    assert_eq!(refusal(connect(server.addr(), NOBODY, &[]).await), 404);
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused() {
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    let session = begin(server.addr()).await;
    assert_eq!(http::get_with(server.addr(), "/", &[("Host", "evil.example")]).await.status, 403);
    assert_eq!(refusal(connect(server.addr(), &session, &[("origin", "http://evil.example")]).await), 403);
    assert_eq!(refusal(connect(server.addr(), &session, &[("host", "evil.example")]).await), 403);
    let own = server.url();
    assert!(connect(server.addr(), &session, &[("origin", &own)]).await.is_ok());
}

#[tokio::test]
async fn operators_see_that_it_lives_is_ready_and_what_it_counts() {
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    site.edit("lua/main.lua", "first", "second");
    browser.sees("label()", "second").await;
    server.logged("[hot] reloaded").await;
    assert_eq!(http::get(server.addr(), "/healthz").await.status, 200);
    let ready = http::get(server.addr(), "/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(ready.body.starts_with("watching by inotify ("), "{}", ready.body);
    let metrics = until("the reload to be counted", async || {
        let metrics = http::get(server.addr(), "/metrics").await.body;
        metrics.contains("status=\"ok\"").then_some(metrics)
    });
    let metrics = metrics.await;
    for line in ["sessions 1", "sockets 1", "watch_covered 1", "watch_failures{backend=\"inotify\"} 0"] {
        assert!(metrics.lines().any(|found| found.ends_with(line)), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn files_of_the_site_are_served_fresh_and_nothing_outside_of_it() {
    let site = Site::new(SETUP);
    site.save("html/style.css", "p { color: red }\n");
    site.save_outside("secret.txt", "secret\n");
    let server = Server::start(SETUP, &site.dir()).await;
    let style = http::get(server.addr(), "/style.css").await;
    assert_eq!((style.status, style.body.as_str()), (200, "p { color: red }\n"));
    assert!(style.header("content-type").unwrap().starts_with("text/css"));
    let etag = style.header("etag").unwrap();
    assert_eq!(http::get_with(server.addr(), "/style.css", &[("If-None-Match", etag)]).await.status, 304);
    site.save("html/style.css", "p { color: tan }\n");
    let style = http::get_with(server.addr(), "/style.css", &[("If-None-Match", etag)]).await;
    assert_eq!((style.status, style.body.as_str()), (200, "p { color: tan }\n"));
    for path in ["/../lua/main.lua", "/%2e%2e/lua/main.lua", "/..%2f..%2foutside/secret.txt", "/lua/main.lua"]
    {
        let answer = http::get(server.addr(), path).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
    }
    let session = begin(server.addr()).await;
    site.save("html/index.html", "<title>the site's own</title>");
    assert!(http::get(server.addr(), &format!("/{session}")).await.body.contains("the site's own"));
}

#[tokio::test]
async fn beyond_the_maximum_newcomers_are_turned_away_and_the_others_go_on() {
    let site = Site::configured(SETUP, "[session]\nmax = 2\n");
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    let unopened = begin(server.addr()).await;
    let _second = Browser::open_app(&server).await;
    assert_eq!(http::get(server.addr(), &format!("/{unopened}")).await.status, 404, "it made room");
    let answer = http::get(server.addr(), "/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert!(answer.body.contains("session.max"), "{}", answer.body);
    browser.counts(1).await;
}

#[tokio::test]
async fn a_browser_that_comes_back_finds_its_state() {
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.counts(1).await;
    let session = browser.session.clone();
    drop(browser);
    // What happens while it is away counts, too.
    site.edit("lua/main.lua", "first", "second");
    server.logged("[hot] reloaded").await;
    let mut again = Browser::tab(&server, &session).await;
    again.show(&["count", "label()"]).await;
    again.sees("count", 1).await;
    again.sees("label()", "second").await;
    again.counts(2).await;
}

#[tokio::test]
async fn malformed_frames_are_answered_and_leave_the_socket_open() {
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    let label = browser.id("label()");
    let bad = [
        "",
        "{",
        "null",
        "7",
        "\"text\"",
        "{\"messages\": 7}",
        "[[]]",
        "[{\"type\": \"nonsense\", \"data\": {}}]",
        "[{\"type\": \"create\"}]",
        "[{\"type\": \"create\", \"data\": {\"id\": \"x\"}}]",
        "[{\"type\": \"create\", \"data\": {\"id\": 99, \"parentId\": 12345}}]",
        "[{\"type\": \"create\", \"data\": {\"id\": 1e300}}]",
        "[{\"type\": \"update\", \"data\": {\"varId\": 4711, \"value\": 1}}]",
        "[{\"type\": \"watch\", \"data\": {\"varId\": -1}}]",
        "[{\"type\": \"destroy\", \"data\": {}}]",
    ];
    for text in bad {
        browser.frames.clear();
        browser.send_text(text).await;
        let error = browser.told("error", |_| true).await;
        assert!(error["code"].is_string() && error["description"].is_string(), "{text}: {error}");
    }
    let taken = json!([{ "type": "create", "data": { "id": label, "parentId": 1, "properties": { "path": "count" } } }]);
    browser.frames.clear();
    browser.send(taken).await;
    browser.told("error", |error| error["varId"] == label).await;
    // What is deep is refused, not followed.
    browser.frames.clear();
    browser.send_text(&"[".repeat(100_000)).await;
    browser.told("error", |_| true).await;
    // The rest of a batch goes on.
    browser.send(json!([{ "type": "nonsense" }, 7, { "type": "update", "data": { "varId": browser.id("count"), "value": 5 } }])).await;
    browser.counts(6).await;
}

#[tokio::test]
async fn no_path_reaches_what_is_private() {
    let site = Site::new(SETUP);
    let hidden = "App._secret = 'x'\nApp.plain = function() return 1 end\n";
    site.save("lua/main.lua", &MAIN.replace("if not", &format!("{hidden}if not")));
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    let paths = ["_secret", "plain", "__index", "click", "label().x.y", "_G", "new.x"];
    browser.show(&paths).await;
    for path in paths {
        let id = browser.id(path);
        browser.told("error", |error| error["varId"] == id).await;
        assert!(browser.value(path).is_null(), "{path}: {}", browser.value(path));
    }
    browser.counts(1).await;
}

#[tokio::test]
async fn a_frame_that_is_too_large_closes_its_socket_and_not_the_session() {
    let site = Site::configured(SETUP, "[server]\nmax_frame = \"10KiB\"\n");
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.counts(1).await;
    browser.send_text(&format!("\"{}\"", "x".repeat(20_000))).await;
    assert_eq!(browser.close_code().await, CloseCode::Size);
    let mut again = Browser::tab(&server, &browser.session).await;
    again.show(&["count"]).await;
    again.sees("count", 1).await;
}

#[tokio::test]
async fn a_socket_that_takes_nothing_is_dropped_and_hurts_nobody() {
    let site = Site::configured(SETUP, "[server]\nsend_timeout = \"1s\"\n");
    // More than the kernel's buffers hold, new at every click.
    let large = "function App:large() return tostring(self.count) .. (\"x\"):rep(1000000) end\nif not";
    site.save("lua/main.lua", &MAIN.replace("if not", large));
    site.bind(&["large()"]);
    let server = Server::start(SETUP, &site.dir()).await;
    let mut stalled = Browser::open(&server).await;
    stalled.show(&["large()"]).await;
    let mut tab = Browser::tab(&server, &stalled.session).await;
    tab.show(&["count"]).await;
    let mut other = Browser::open_app(&server).await;

    let mut count = 0;
    let dropped = async || {
        let metrics = http::get(server.addr(), "/metrics").await.body;
        metrics.lines().any(|line| line.contains("dropped") && line.ends_with(" 1")).then_some(())
    };
    let start = std::time::Instant::now();
    while dropped().await.is_none() {
        count += 1;
        let clicked = std::time::Instant::now();
        tab.counts(count).await;
        other.counts(count).await;
        assert!(clicked.elapsed() < Duration::from_secs(1), "clicks took {:?}", clicked.elapsed());
        assert!(start.elapsed() < hotloader_test_support::DEADLINE, "it is not dropped");
    }
    server.logged("a WebSocket was given up").await;
    site.edit("lua/main.lua", "first", "second");
    other.sees("label()", "second").await;
    tab.counts(count + 1).await;
    drop(stalled);
}

#[tokio::test]
async fn a_socket_that_is_cut_off_leaves_its_session_as_it_was() {
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    let session = begin(server.addr()).await;
    for _ in 0..20 {
        // Dropped in the middle of everything.
        let mut socket = connect(server.addr(), &session, &[]).await.unwrap();
        futures_util::SinkExt::send(&mut socket, r#"{"type":"watch","data":{"varId":1}}"#.into())
            .await
            .unwrap();
        let _ = futures_util::future::poll_immediate(socket.next()).await;
    }
    let mut browser = Browser::tab(&server, &session).await;
    browser.show(&["count"]).await;
    browser.counts(1).await;
    until("the others to be gone", async || {
        let metrics = http::get(server.addr(), "/metrics").await.body;
        metrics.lines().any(|line| line.ends_with("sockets 1")).then_some(())
    })
    .await;
}
