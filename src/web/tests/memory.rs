//! What an idle socket costs. `cargo test --lib idle_socket -- --ignored --nocapture` says it.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use super::*;

const SOCKETS: u64 = 1000;

pub(super) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("a number") * 1024
}

/// The browser's side is a bare TCP stream: all memory it takes is the kernel's.
fn bare_browser(addr: SocketAddr, id: SessionId, secret: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("connected");
    let request = format!(
        "GET /ws/{id} HTTP/1.1\r\nHost: {addr}\r\nCookie: hot-session={secret}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("asked");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("answered");
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures the whole process, so it has to run alone"]
async fn an_idle_socket_costs_at_most_8_kib() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    let addr = web.addr;
    let secret = web.endpoint.sessions().get(id).expect("there").secret();
    let open = move |count: u64| {
        let secret = secret.clone();
        let browsers = move || (0..count).map(|_| bare_browser(addr, id, &secret)).collect::<Vec<_>>();
        tokio::task::spawn_blocking(browsers)
    };
    let warm = open(50).await.expect("joined");
    let before = resident_bytes();
    let sockets = open(SOCKETS).await.expect("joined");
    let each = resident_bytes().saturating_sub(before) / SOCKETS;
    println!("{each} bytes of resident memory for each of {SOCKETS} idle sockets");
    assert!(each <= 8 << 10, "{each} bytes");
    drop((warm, sockets));
}
