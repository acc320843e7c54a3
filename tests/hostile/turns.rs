//! What others notice of those who want the processors for themselves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crate::{bystander::Bystander, harness::Small, raw::Visitor};

const ATTACKERS: usize = 100;
/// A hundred sessions have their states and what waits for them, and threads their stacks and heaps.
const ADDRESS_SPACE: u64 = 4 << 30;
/// What they may take of it, in MiB.
const MOST: u64 = 600;

#[tokio::test]
#[ignore = "the attackers take the processors from the server, too: run it alone, on a quiet machine"]
async fn a_hundred_browsers_with_a_thousand_clicks_a_frame_make_nobody_wait() {
    let small = Small::within(ADDRESS_SPACE).await;
    let addr = small.server.addr();
    let bystander = thread::spawn(move || Bystander::new(addr)).join().unwrap();
    let attackers = thread::spawn(move || {
        let open = |_| {
            let mut socket = Visitor::new(addr).socket();
            socket
                .send(r#"[{"type":"create","data":{"id":3,"parentId":1,"properties":{"path":"click()","access":"action"}}}]"#)
                .unwrap();
            socket
        };
        (0..ATTACKERS).map(open).collect::<Vec<_>>()
    });
    let mut sockets = attackers.join().unwrap();
    let clicks = vec![r#"{"type":"update","data":{"varId":3,"value":null}}"#; 1000].join(",");
    let frame = format!(r#"{{"userEvent":true,"messages":[{clicks}]}}"#);
    let stop = Arc::new(AtomicBool::new(false));
    // What the server does not take at once is what it has to do still.
    let attacking = thread::spawn({
        let stop = stop.clone();
        move || {
            let mut threads = Vec::new();
            for mut socket in sockets.drain(..) {
                let (stop, frame) = (stop.clone(), frame.clone());
                socket.drain();
                threads
                    .push(thread::spawn(move || while !stop.load(Relaxed) && socket.send(&frame).is_ok() {}));
            }
            threads
        }
    });
    let watch = bystander.watch();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let _ = watch.noticed_nothing();
    println!("{} MiB at most", small.peak());
    assert!(small.peak() < MOST, "{} MiB", small.peak());
    stop.store(true, Relaxed);
    drop(small);
    for thread in attacking.join().unwrap() {
        thread.join().unwrap();
    }
}
