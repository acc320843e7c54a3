//! What one browser may cost that reads nothing, asks without end, or comes a hundred times.

use std::{fs, time::Duration};

use tokio::{net::TcpSocket, time::timeout};

use super::{memory::resident_bytes, *};

/// More than the kernel takes into its buffers.
const LONG: u64 = 64 << 20;
const MIB: u64 = 1 << 20;

fn impatient() -> ServerConfig {
    ServerConfig { send_timeout: Duration::from_millis(200), ..ServerConfig::default() }
}

/// A file of zeros in `html/`, which takes no room on the disk.
fn put(web: &Running, name: &str, beginning: &str, length: u64) {
    let html = web.site.path().join("html");
    fs::create_dir_all(&html).expect("html");
    fs::write(html.join(name), beginning).expect("a file");
    let file = fs::File::options().write(true).open(html.join(name)).expect("the file");
    file.set_len(length).expect("longer");
}

async fn asking(web: &Running, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(web.addr).await.expect("connected");
    let request =
        format!("{request} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", web.addr, web.cookie(request));
    stream.write_all(request.as_bytes()).await.expect("asked");
    stream
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let polling = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), polling).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

#[tokio::test]
async fn who_does_not_read_an_answer_is_let_go_after_the_send_timeout() {
    let web = running(impatient()).await;
    put(&web, "long.bin", "", LONG);
    put(&web, "index.html", "<p>", LONG);
    let id = web.session().await;
    for (n, path) in [(1, "/long.bin".to_owned()), (2, format!("/{id}"))] {
        let stream = asking(&web, &format!("GET {path}")).await;
        until("the connection to be let go", || web.endpoint.counters().unread() == n).await;
        drop(stream);
    }
    assert_eq!(web.get("/healthz").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_but_steadily_gets_it_all() {
    let config = ServerConfig::default();
    let pause = config.send_timeout / 4;
    let web = running(config).await;
    put(&web, "long.bin", "", 4 * MIB);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("a small window");
    let mut stream = socket.connect(web.addr).await.expect("connected");
    let request = format!("GET /long.bin HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", web.addr);
    stream.write_all(request.as_bytes()).await.expect("asked");
    let (mut part, mut all) = (vec![0; 64 << 10], 0);
    loop {
        match stream.read(&mut part).await.expect("not let go") {
            0 => break,
            read => all += read as u64,
        }
        tokio::time::sleep(pause).await;
    }
    assert!(all > 4 * MIB, "{all}");
    assert_eq!(web.endpoint.counters().unread(), 0);
}

#[tokio::test]
async fn requests_whose_answers_nobody_reads_are_not_read_either() {
    let web = running(ServerConfig { send_timeout: Duration::from_secs(60), ..impatient() }).await;
    let mut stream = TcpStream::connect(web.addr).await.expect("connected");
    let request = format!("HEAD /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", web.addr);
    let many = request.repeat(1000);
    let mut sent = 0;
    while let Ok(written) = timeout(Duration::from_secs(1), stream.write(many.as_bytes())).await {
        sent += written.expect("still there") as u64;
        assert!(sent < LONG, "{sent} bytes of requests were taken");
    }
}

#[tokio::test]
async fn a_body_is_not_read() {
    let web = running(ServerConfig::default()).await;
    let mut stream = TcpStream::connect(web.addr).await.expect("connected");
    let head = format!("POST /healthz HTTP/1.1\r\nHost: {}\r\nContent-Length: 1073741824\r\n\r\n", web.addr);
    stream.write_all(head.as_bytes()).await.expect("sent");
    let (part, mut sent) = (vec![0; 64 << 10], 0);
    while let Ok(written) = stream.write(&part).await {
        sent += written as u64;
        assert!(sent < LONG, "{sent} bytes of the body were taken");
    }
}

#[tokio::test]
async fn one_address_has_256_connections_and_the_next_ones_are_told_so() {
    let web = running(ServerConfig::default()).await;
    let mut held = Vec::new();
    for _ in 0..256 {
        held.push(TcpStream::connect(web.addr).await.expect("connected"));
    }
    for _ in 0..44 {
        let mut stream = TcpStream::connect(web.addr).await.expect("connected");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered and closed");
        assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("Retry-After"), "{answer}");
    }
    assert_eq!(web.endpoint.counters().refused(), 44);
    drop(held);
    let is_served = async {
        loop {
            let mut stream = asking(&web, "GET /healthz").await;
            let mut start = [0; 12];
            if stream.read_exact(&mut start).await.is_ok() && &start == b"HTTP/1.1 200" {
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), is_served).await.expect("there is room again");
}

#[tokio::test]
async fn a_websocket_takes_no_place_of_its_address_but_one_of_all() {
    let limits = ServerConfig { connections_per_address: 2, max_connections: 12, ..ServerConfig::default() };
    let web = running(limits).await;
    let id = web.session().await;
    let mut sockets = Vec::new();
    for _ in 0..12 {
        sockets.push(web.connect(id, &[]).await.expect("opened"));
    }
    let mut stream = TcpStream::connect(web.addr).await.expect("connected");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered and closed");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    sockets.pop();
    let is_open = async { while web.connect(id, &[]).await.is_err() {} };
    timeout(Duration::from_secs(30), is_open).await.expect("its place is free again");
}

#[tokio::test]
async fn a_websocket_that_takes_nothing_is_left_to_the_rules_of_sockets() {
    let web = running(impatient()).await;
    let id = web.session().await;
    let socket = web.connect(id, &[]).await.expect("opened");
    until("the socket to be counted", || web.endpoint.counters().opened() == 1).await;
    drop(socket);
    until("the socket to be closed", || web.endpoint.counters().open() == 0).await;
    assert_eq!(web.endpoint.counters().unread(), 0);
}

#[tokio::test]
async fn twenty_who_do_not_read_a_page_of_50_mb_cost_little() {
    let web =
        running(ServerConfig { send_timeout: Duration::from_secs(60), ..ServerConfig::default() }).await;
    put(&web, "index.html", "<p>", 50 * MIB);
    let id = web.session().await;
    let before = resident_bytes();
    let mut readers = Vec::new();
    for _ in 0..20 {
        let stream = asking(&web, &format!("GET /{id}")).await;
        stream.readable().await.expect("an answer begins");
        readers.push(stream);
    }
    let taken = resident_bytes().saturating_sub(before);
    assert!(taken < 32 * MIB, "{} MiB", taken / MIB);
}

#[tokio::test]
async fn a_file_of_200_mb_is_never_in_memory_as_a_whole() {
    let web = running(ServerConfig::default()).await;
    put(&web, "long.bin", "", 200 * MIB);
    let before = resident_bytes();
    let mut stream = asking(&web, "GET /long.bin").await;
    let (mut part, mut all, mut most) = (vec![0; 256 << 10], 0, 0);
    while all < 200 * MIB {
        let read = stream.read(&mut part).await.expect("read") as u64;
        assert!(read > 0, "cut off after {all} bytes");
        all += read;
        most = most.max(resident_bytes().saturating_sub(before));
    }
    assert!(most < 32 * MIB, "{} MiB", most / MIB);
}

#[tokio::test]
async fn a_long_page_of_the_site_comes_whole_and_with_its_length() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    let html = web.site.path().join("html");
    fs::create_dir(&html).expect("html");
    for length in [1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 300_000] {
        let page: String = ('a'..='z').cycle().take(length).collect();
        fs::write(html.join("index.html"), &page).expect("a page");
        let (got, head) = (web.get(&format!("/{id}")).await, web.ask("HEAD", &format!("/{id}"), &[]).await);
        assert!(got.body == page, "{length}: {} bytes came", got.body.len());
        for answer in [&got, &head] {
            assert_eq!(answer.header("content-length"), Some(length.to_string().as_str()), "{}", answer.head);
            assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        }
    }
}
