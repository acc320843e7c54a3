//! A page of another port of this machine, in a real browser: it gets nothing of the server.

use std::io::{BufRead, BufReader, Write};

use hotloader_test_support::{chromium::Chromium, http, server::Server, until};
use serde_json::{Value, json};

use crate::{CLICK, COUNT, SETUP, sample};

/// Serves an empty page at every address, on a port of its own, as long as the test lives.
fn elsewhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let page = "<!doctype html><title>elsewhere</title>";
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
            let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len());
        }
    });
    url
}

/// What a script of the page is told when it opens this socket: `opened`, or `refused`.
async fn socket(page: &Chromium, url: &str) -> Value {
    page.run(&format!(
        "window.told = null;
        const socket = new WebSocket({url:?});
        socket.onopen = () => {{ window.told = 'opened'; }};
        socket.onerror = () => {{ window.told ??= 'refused'; }};"
    ))
    .await;
    page.gives("return window.told !== null", true).await;
    page.run("return window.told").await
}

#[tokio::test]
async fn a_page_of_another_port_opens_no_socket_and_restarts_nothing() {
    let (Some(browser), Some(victim)) = (Chromium::start().await, Chromium::start().await) else { return };
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    let addr = server.addr();
    victim.open(&server).await;
    victim.click(CLICK).await;
    victim.shows(COUNT, "Clicked 1 time").await;

    // The server's own page may: without this, a broken address would pass for a refusal.
    browser.open_at(&format!("{}/_hot/", server.url())).await;
    assert_eq!(socket(&browser, &format!("ws://{addr}/_hot/ws")).await, "opened");
    assert_eq!(socket(&browser, &format!("ws://{addr}/_hot/ws/")).await, "opened");

    browser.open_at(&elsewhere()).await;
    for path in ["/_hot/ws", "/_hot/ws/", "/_hot/ws/?x", "//_hot//ws", "/_hot/w%73"] {
        assert_eq!(socket(&browser, &format!("ws://{addr}{path}")).await, "refused", "{path}");
    }
    // No answer can be read, but the request is sent. Had it been heard, the count would begin anew.
    browser
        .run(&format!(
            "window.sent = 0;
            for (const path of ['/_hot/restart', '/_hot/restart/']) {{
                fetch('http://{addr}' + path, {{ method: 'POST', mode: 'no-cors' }}).finally(() => {{ window.sent += 1; }});
            }}"
        ))
        .await;
    browser.gives("return window.sent", json!(2)).await;
    victim.click(CLICK).await;
    victim.shows(COUNT, "Clicked 2 times").await;
    victim.ends_well().await;
    browser.end().await;
}

#[tokio::test]
async fn a_page_of_another_port_gets_nothing_of_a_session_whose_id_it_knows() {
    let (Some(browser), Some(stranger)) = (Chromium::start().await, Chromium::start().await) else { return };
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    let addr = server.addr();
    browser.open(&server).await;
    browser.click(CLICK).await;
    browser.shows(COUNT, "Clicked 1 time").await;
    let path = browser.run("return location.pathname").await.as_str().unwrap().to_owned();

    // In the very browser that began it, so that its cookies are there.
    browser.open_at(&elsewhere()).await;
    let cookies = browser.run("return document.cookie").await.as_str().unwrap().to_owned();
    assert!(cookies.contains(&path[1..]), "the id is known there: {cookies}");
    assert!(!cookies.contains("hot-session"), "{cookies}");
    assert_eq!(socket(&browser, &format!("ws://{addr}/ws{path}")).await, "refused");
    browser
        .run(&format!(
            "window.read = [];
            for (const path of ['{path}', '{path}/variables.json']) {{
                fetch('http://{addr}' + path, {{ credentials: 'include' }})
                    .then((answer) => answer.text()).catch(() => 'refused').then((text) => window.read.push(text));
            }}
            const frame = document.createElement('iframe');
            frame.onload = () => {{ window.framed = true; }};
            frame.src = 'http://{addr}{path}';
            document.documentElement.append(frame);"
        ))
        .await;
    browser.gives("return window.read", json!(["refused", "refused"])).await;
    browser.gives("return window.framed === true", true).await;
    until("no socket, not even of the frame", async || {
        let metrics = http::get(addr, "/metrics").await.body;
        metrics.lines().any(|line| line == "hotloader_sockets 0").then_some(())
    })
    .await;

    // Its own browser gets in again, and no other.
    browser.open_at(&format!("{}{path}", server.url())).await;
    browser.shows(COUNT, "Clicked 1 time").await;
    stranger.open_at(&format!("{}{path}", server.url())).await;
    stranger.gives("return document.title", "This is somebody else's session").await;
    stranger.end().await;
    browser.end().await;
}
