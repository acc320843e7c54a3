//! What one browser can make the server hold.

use std::{
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use hotloader_test_support::DEADLINE;
use serde_json::{Value, json};

use crate::{
    bystander::{Bystander, CLICK},
    harness::Small,
    raw::{End, PING, Raw, Visitor},
};

/// What a session may make the process take, at most, in MiB: its Lua state (64), its account (16), and what
/// is in hand for a moment. The table of attacks began at 2400.
const MOST: u64 = 250;
/// What may be left of it when the browser is gone.
const LEFT: u64 = 100;

const LARGE: usize = 900_000;
const WATCH: &str = r#"[{"type":"watch","data":{"varId":1}}]"#;

fn create(id: usize, properties: Value) -> Value {
    json!({ "type": "create", "data": { "id": id, "parentId": 1, "properties": properties } })
}

fn write(id: usize, value: impl Into<Value>) -> Value {
    json!({ "type": "update", "data": { "varId": id, "value": value.into() } })
}

/// Watches what an attack takes; a bystander clicks meanwhile.
async fn withstands(attack: impl FnOnce(&Visitor) + Send + 'static) {
    let small = Small::start().await;
    let addr = small.server.addr();
    let bystander = thread::spawn(move || Bystander::new(addr)).join().unwrap();
    let before = small.resident();
    let watch = bystander.watch();
    let attacking = thread::spawn(move || attack(&Visitor::new(addr)));
    while !attacking.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    attacking.join().unwrap();
    let peak = small.peak();
    let mut bystander = watch.noticed_nothing();
    let start = Instant::now();
    while small.resident() > before + LEFT && start.elapsed() < DEADLINE {
        bystander.click();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after = small.resident();
    println!("{before} MiB before, {peak} at most, {after} afterwards");
    assert!(peak < before + MOST, "{peak} MiB, {before} before");
    assert!(after <= before + LEFT, "{after} MiB are left, {before} before");
}

/// Sends as long as the server takes it, and reads beside. Says how the socket ended, if it did before the
/// last of it was done.
fn pour(socket: &mut Raw, texts: impl Iterator<Item = String>) -> Option<End> {
    const LAST: usize = 987_654_321;
    let mut reader = socket.reader();
    let reading =
        thread::spawn(move || reader.hear("the last answer", |message| message["data"]["varId"] == LAST));
    for text in texts {
        if socket.send(&text).is_err() {
            break;
        }
    }
    // There is no such variable, so it is answered, when all that came before is done.
    let _ = socket.send(&json!([{ "type": "destroy", "data": { "varId": LAST } }]).to_string());
    reading.join().unwrap().err()
}

/// Writes one large text, and shows it in 1500 variables.
pub(crate) fn show_one_text_often(visitor: &Visitor) {
    let mut socket = visitor.socket();
    socket.send(WATCH).unwrap();
    socket
        .send(&json!([create(2, json!({ "path": "text" })), write(2, "x".repeat(LARGE))]).to_string())
        .unwrap();
    let shown = (0..15).map(|part| {
        let some = (0..100).map(|n| create(10 + part * 100 + n, json!({ "path": "text" })));
        json!(some.collect::<Vec<_>>())
    });
    let written = (0..10).map(|round| json!([write(2, format!("{round}{}", "y".repeat(LARGE)))]));
    let end = pour(&mut socket, shown.chain(written).map(|batch| batch.to_string()));
    assert!(!matches!(end, Some(End::Closed(code)) if code != 1013), "{end:?}");
}

#[tokio::test]
async fn one_large_text_in_1500_variables_is_held_once() {
    withstands(show_one_text_often).await;
}

/// Forty sockets that do not read, and one that writes a large text 80 times.
pub(crate) fn read_nothing(visitor: &Visitor) {
    let idle: Vec<_> = (0..40)
        .map(|n| {
            let mut socket = visitor.socket();
            // Each with an id of its own, so that no two frames are the same.
            socket.send(&json!([create(100 + n, json!({ "path": "text" }))]).to_string()).unwrap();
            socket
        })
        .collect();
    let mut writer = visitor.socket();
    writer.send(&json!([create(2, json!({ "path": "text" }))]).to_string()).unwrap();
    let written = (0..80).map(|round| {
        let text = format!("{round} {}", "z".repeat(LARGE));
        json!({ "userEvent": true, "messages": [write(2, text)] }).to_string()
    });
    let end = pour(&mut writer, written);
    // Who reads is served, unless it is faster than the others are let go of.
    assert!(matches!(end, None | Some(End::Closed(1008 | 1013))), "{end:?}");
    drop(idle);
}

#[tokio::test]
async fn sockets_of_one_session_that_do_not_read_are_let_go_of() {
    withstands(read_nothing).await;
}

/// Paths of 450,000 steps, properties of a megabyte.
pub(crate) fn ask_at_length(visitor: &Visitor) {
    let mut socket = visitor.socket();
    let long = "a.".repeat(LARGE / 2) + "a";
    let many: serde_json::Map<String, Value> = (0..60_000).map(|n| (n.to_string(), "x".into())).collect();
    let refused = [
        json!({ "path": long }),
        json!({ "path": format!("text?{}", "a=b&".repeat(LARGE / 4)) }),
        json!({ "path": format!("text?{}", "x".repeat(LARGE)) }),
        json!({ "path": "..".repeat(LARGE / 2) }),
        json!({ "path": "text", "note": "x".repeat(LARGE) }),
        json!({ "path": "text", "x".repeat(LARGE): "x" }),
        Value::Object(many),
    ];
    for (id, properties) in (2..).zip(refused.iter().cycle().take(60)) {
        socket.send(&json!([create(id, properties.clone())]).to_string()).unwrap();
        let answer = socket.hear("the refusal", |message| message["data"]["varId"] == id).unwrap();
        let code = answer["data"]["code"].as_str().unwrap();
        assert!(["limit", "unauthorized"].contains(&code), "{answer}");
        assert!(answer.to_string().len() < 5000, "and says so in short");
    }
}

#[tokio::test]
async fn long_paths_and_large_properties_are_refused_on_the_variable_and_the_socket_stays() {
    withstands(ask_at_length).await;
}

/// Messages that each make the server hold a little, by the id of a variable, with properties to use.
pub(crate) const SMALL_PARTS: [fn(usize, &Value) -> Value; 4] = [
    // Properties, on watched and unwatched variables.
    |id, properties| create(id, properties.clone()),
    |id, properties| json!({ "type": "create", "data": { "id": id, "parentId": 1, "properties": properties, "nowatch": true } }),
    // Written values.
    |id, _| {
        let value: Vec<_> = (0..500).map(|n| json!({ "a": n })).collect();
        json!({ "type": "create", "data": { "id": id, "value": value, "unbound": true } })
    },
    // Variables below each other.
    |id, _| {
        let parent = if id == 2 { 1 } else { id - 1 };
        json!({ "type": "create", "data": { "id": id, "parentId": parent, "nowatch": true, "properties": {} } })
    },
];

/// Sends one of the [`SMALL_PARTS`] with one id after the other.
pub(crate) fn hold_in_small_parts(at: usize, visitor: &Visitor) {
    let properties = (0..60).map(|n| (format!("{n}{}", "n".repeat(400)), "v".repeat(400).into())).collect();
    let properties = Value::Object(properties);
    let mut socket = visitor.socket();
    let (each, frames) = if at == 3 { (500, 80) } else { (10, 200) };
    let texts = (2..).step_by(each).take(frames).map(|from| {
        let some = (from..from + each).map(|id| SMALL_PARTS[at](id, &properties));
        json!(some.collect::<Vec<_>>()).to_string()
    });
    let end = pour(&mut socket, texts);
    assert!(matches!(end, Some(End::Closed(1008) | End::Broken)), "attack {at}: {end:?}");
}

#[tokio::test]
async fn what_is_held_in_small_parts_closes_the_socket_in_the_end() {
    for at in 0..SMALL_PARTS.len() {
        withstands(move |visitor| hold_in_small_parts(at, visitor)).await;
    }
}

/// Frames of small values.
pub(crate) fn send_what_grows_when_it_is_read(visitor: &Visitor) {
    let whole = |part: &str| format!("[{}7]", part.repeat(1_000_000 / part.len()));
    let nested = r#"{"type":"create","data":{"id":2,"value":[REST]}}"#;
    let frames = [
        whole("7,"),
        whole("[],"),
        whole(r#"{"":{}},"#),
        whole(r#"{"type":"zap"},"#),
        nested.replace("REST", &[r#"{"":0}"#; 140_000].join(",")),
        nested.replace("REST", &("[".repeat(100_000) + &"]".repeat(100_000))),
    ];
    for frame in frames.iter().cycle().take(24) {
        let mut socket = visitor.socket();
        // Either it is closed, or the errors are told.
        let end = pour(&mut socket, std::iter::repeat_n(frame.clone(), 3));
        assert!(!matches!(end, Some(End::Closed(code)) if code != 1008), "{end:?}");
    }
}

#[tokio::test]
async fn a_frame_is_charged_for_what_reading_it_takes() {
    withstands(send_what_grows_when_it_is_read).await;
}

/// Begins sixty frames of a megabyte, and ends none.
pub(crate) fn announce_and_never_end(visitor: &Visitor) {
    let mut sockets: Vec<_> = (0..60).map(|_| visitor.socket()).collect();
    for socket in &mut sockets {
        // One of the last may have got the room that another has left.
        socket.patience(Duration::from_secs(1));
        let _ = socket.head(1, 1_000_000).and_then(|()| socket.bytes(&[b'x'; 600_000]));
    }
    let closed = sockets.iter_mut().rev().take(30).map(Raw::end);
    for end in closed {
        assert!(matches!(end, End::Closed(1008) | End::Broken), "{end:?}");
    }
}

#[tokio::test]
async fn frames_that_are_announced_and_never_end_are_charged() {
    withstands(announce_and_never_end).await;
}

/// A million pings, whose answers nobody reads.
pub(crate) fn ping_and_read_nothing(visitor: &Visitor) {
    let mut socket = visitor.socket();
    socket.patience(Duration::from_secs(5));
    let mut ping = Vec::new();
    ping.extend([0x80 | PING, 0x80 | 125, 0, 0, 0, 0]);
    ping.extend([b'p'; 125]);
    let many = ping.repeat(1000);
    for _ in 0..1000 {
        if socket.bytes(&many).is_err() {
            break;
        }
    }
}

#[tokio::test]
async fn answers_to_pings_that_nobody_reads_are_not_kept() {
    withstands(ping_and_read_nothing).await;
}

/// Has everything told again and again.
pub(crate) fn watch_and_forget(visitor: &Visitor) {
    let mut socket = visitor.socket();
    let made: Vec<_> =
        (2..500).map(|id| create(id, json!({ "path": "text", "note": "n".repeat(2000) }))).collect();
    socket.send(&json!(made).to_string()).unwrap();
    let mut storm = String::from("[");
    for id in (2..500).cycle().take(2500) {
        let _ = write!(
            storm,
            r#"{{"type":"unwatch","data":{{"varId":{id}}}}},{{"type":"watch","data":{{"varId":{id}}}}},"#
        );
    }
    storm.pop();
    storm.push(']');
    for _ in 0..20 {
        let end = pour(&mut socket, std::iter::once(storm.clone()));
        assert!(!matches!(end, Some(End::Closed(code)) if code != 1008), "{end:?}");
    }
}

#[tokio::test]
async fn watching_and_forgetting_again_and_again_costs_a_frame_and_no_more() {
    withstands(watch_and_forget).await;
}

/// Makes and destroys large variables.
pub(crate) fn come_and_go(visitor: &Visitor) {
    let mut socket = visitor.socket();
    let round = json!([
        create(2, json!({ "path": "text", "note": "n".repeat(60_000) })),
        json!({ "type": "create", "data": { "id": 3, "parentId": 2, "properties": { "path": "x" } } }),
        json!({ "type": "destroy", "data": { "varId": 2 } }),
        write(3, "to one that is gone"),
    ]);
    let end = pour(&mut socket, std::iter::repeat_n(round.to_string(), 2000));
    assert_eq!(end, None, "what has ended is given back");
}

#[tokio::test]
async fn variables_come_and_go_without_an_end() {
    withstands(come_and_go).await;
}

/// A list that has one text of 8 MB 600 times, and 400 variables with such a one.
pub(crate) fn have_a_script_show_too_much(visitor: &Visitor) {
    let mut socket = visitor.socket();
    socket.send(WATCH).unwrap();
    socket.send(&json!([create(2, json!({ "path": "wall()", "access": "r" }))]).to_string()).unwrap();
    let error = socket.hear("the error", |message| message["type"] == "error").unwrap();
    assert_eq!((&error["data"]["varId"], &error["data"]["code"]), (&json!(2), &json!("limit")), "{error}");
    let carve = create(4, json!({ "path": "carve()", "access": "action" }));
    socket.send(&json!([carve, write(4, Value::Null)]).to_string()).unwrap();
    let error =
        socket.hear("the error", |message| message["type"] == "error" && message["data"]["varId"] != 2);
    assert_eq!(error.as_ref().unwrap()["data"]["code"], "limit", "{error:?}");
    // The page lives on.
    let page = [
        create(5, json!({ "path": "count", "access": "r" })),
        create(3, json!({ "path": "click()", "access": "action" })),
    ];
    socket.send(&json!(page).to_string()).unwrap();
    socket.send(CLICK).unwrap();
    socket
        .hear("the count", |message| message["data"]["varId"] == 5 && message["data"]["value"] == 1)
        .unwrap();
}

#[tokio::test]
async fn a_script_that_shows_too_much_gets_an_error_on_the_variable() {
    withstands(have_a_script_show_too_much).await;
}

#[tokio::test]
async fn a_session_has_so_many_sockets_and_no_more() {
    let small = Small::start().await;
    let addr = small.server.addr();
    let refused = thread::spawn(move || {
        let visitor = Visitor::new(addr);
        let mut sockets: Vec<_> = (0..64)
            .map(|_| {
                let mut socket = visitor.socket();
                socket.send(WATCH).unwrap();
                socket.text().unwrap();
                socket
            })
            .collect();
        let refused = visitor.socket().end();
        sockets[0].send(&json!([create(2, json!({ "path": "count" }))]).to_string()).unwrap();
        sockets[0].text().unwrap();
        refused
    });
    while !refused.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(refused.join().unwrap(), End::Closed(1013));
    small.server.logged("session.sockets").await;
}
