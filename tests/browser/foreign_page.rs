//! A page of another port of this machine, in a real browser: it gets nothing of the server.

use std::io::{BufRead, BufReader, Write};

use serde_json::{Value, json};

use crate::{CLICK, COUNT, chromium::Chromium, sample, support::server::Server};

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
    let server = Server::start(&site.dir()).await;
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
