//! All attacks at the same time, against one server of one gigabyte.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    bystander::Bystander,
    harness::Small,
    memory,
    raw::{Raw, Visitor},
    turns::Crowd,
};

/// The crowd gets rid of so many frames, and then leaves the others to themselves.
const FRAMES: u64 = 300;
/// Bytes that all of it may leave in the log.
const LOG: usize = 200_000;

/// What one of them does, with a session of its own.
const ATTACKS: [fn(&Visitor); 18] = [
    memory::show_one_text_often,
    memory::read_nothing,
    memory::ask_at_length,
    memory::send_what_grows_when_it_is_read,
    memory::announce_and_never_end,
    memory::ping_and_read_nothing,
    memory::watch_and_forget,
    memory::come_and_go,
    memory::have_a_script_show_too_much,
    |visitor| memory::hold_in_small_parts(0, visitor),
    |visitor| memory::hold_in_small_parts(1, visitor),
    |visitor| memory::hold_in_small_parts(2, visitor),
    |visitor| memory::hold_in_small_parts(3, visitor),
    have_a_pattern_run,
    have_a_script_run,
    have_timers_fail,
    report_errors,
    come_from_elsewhere,
];

fn call(path: &str) -> String {
    json!([
        { "type": "create", "data": { "id": 2, "parentId": 1, "properties": { "path": "text" } } },
        { "type": "create", "data": { "id": 3, "parentId": 1, "properties": { "path": path, "access": "action" } } },
    ])
    .to_string()
}

fn press() -> String {
    json!({ "userEvent": true, "messages": [{ "type": "update", "data": { "varId": 3, "value": null } }] })
        .to_string()
}

fn fails(socket: &mut Raw, code: &str) {
    let failed = |message: &Value| message["type"] == "error" && message["data"]["varId"] == 3;
    let error = socket.hear("the error", failed).unwrap();
    assert_eq!(error["data"]["code"], code, "{error}");
}

/// Until all is done that was sent.
fn hear_out(socket: &mut Raw) {
    // There is no such variable, so it is answered.
    socket.send(r#"[{"type":"destroy","data":{"varId":77777}}]"#).unwrap();
    socket.hear("the last answer", |message| message["data"]["varId"] == 77777).unwrap();
}

/// A pattern that takes the square of the text's length.
fn have_a_pattern_run(visitor: &Visitor) {
    let mut socket = visitor.socket();
    socket.send(&call("trim()")).unwrap();
    let text = " ".repeat(900_000) + "x";
    socket.send(&json!([{ "type": "update", "data": { "varId": 2, "value": text } }]).to_string()).unwrap();
    socket.send(&press()).unwrap();
    fails(&mut socket, "timeout");
}

fn have_a_script_run(visitor: &Visitor) {
    let mut socket = visitor.socket();
    socket.send(&call("spin()")).unwrap();
    for _ in 0..3 {
        socket.send(&press()).unwrap();
    }
    fails(&mut socket, "timeout");
}

/// They go on when the socket is gone.
fn have_timers_fail(visitor: &Visitor) {
    let mut socket = visitor.socket();
    socket.send(&call("fail()")).unwrap();
    socket.send(&press()).unwrap();
    hear_out(&mut socket);
}

/// With a line in each that is none of ours.
fn report_errors(visitor: &Visitor) {
    let mut socket = visitor.socket();
    for round in 0..200 {
        let report = |n| {
            let description =
                format!("{round} {n}\n2026-01-01T00:00:00Z ERROR lua: all is lost {}", "x".repeat(500));
            json!({ "type": "error", "data": { "varId": n, "description": description } })
        };
        socket.send(&json!((0..100).map(report).collect::<Vec<_>>()).to_string()).unwrap();
    }
    hear_out(&mut socket);
}

/// Hosts and origins that are none of the server's, at length.
fn come_from_elsewhere(visitor: &Visitor) {
    let addr: SocketAddr = visitor.addr();
    for n in 0..300 {
        let mut stream = TcpStream::connect(addr).unwrap();
        let host = format!("{n}{}.example", "a".repeat(10_000));
        // Whether it is heard to the end is the server's matter.
        let _ = stream
            .write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes());
    }
}

#[tokio::test]
async fn all_of_them_together_leave_a_bystander_and_the_server_alone() {
    let small = Small::start().await;
    let addr = small.server.addr();
    let bystander = thread::spawn(move || Bystander::new(addr)).join().unwrap();
    let crowd = Crowd::new(addr);
    let watch = bystander.watch_for(2000);
    let crowd = crowd.attack();
    let attackers = ATTACKS.map(|attack| thread::spawn(move || attack(&Visitor::new(addr))));
    crowd.until(FRAMES).await;
    crowd.stop();
    while !attackers.iter().all(JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // How they end when they are alone is said by tests of their own. Here they may be let go of sooner.
    let _ = attackers.map(JoinHandle::join);
    let mut bystander = watch.noticed_nothing();
    bystander.click();
    let (peak, log) = (small.peak(), small.server.log());
    println!("{peak} MiB at most, {} bytes of log", log.len());
    assert!(log.len() < LOG, "{} bytes of log", log.len());
    assert!(
        !log.lines().any(|line| line.starts_with("2026-01-01T")),
        "a browser has begun a line of the log"
    );
}
