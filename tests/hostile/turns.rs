//! What others notice of those who want the processors for themselves.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    bystander::Bystander,
    harness::Small,
    raw::{TEXT, Visitor, head},
};
use hotloader_test_support::until;

const ATTACKERS: usize = 100;
/// Frames that they get rid of before it is enough.
const FRAMES: u64 = 3000;
/// What the server may take for them, in MiB.
const MOST: u64 = 400;

const BUTTON: &str =
    r#"[{"type":"create","data":{"id":3,"parentId":1,"properties":{"path":"click()","access":"action"}}}]"#;

#[tokio::test]
async fn a_hundred_browsers_with_a_thousand_clicks_a_frame_make_nobody_wait() {
    let small = Small::start().await;
    let addr = small.server.addr();
    let bystander = thread::spawn(move || Bystander::new(addr)).join().unwrap();
    let crowd = Crowd::new(addr);
    // The first frames of all of them come at once, and then it is as it stays.
    let watch = bystander.watch_for(2000);
    let crowd = crowd.attack();
    crowd.until(FRAMES).await;
    let _ = watch.noticed_nothing();
    println!("{} MiB at most", small.peak());
    assert!(small.peak() < MOST, "{} MiB", small.peak());
    crowd.stop();
}

/// A hundred browsers, each with a session of its own.
pub(crate) struct Crowd(Vec<Attacker>);

/// A crowd that clicks a thousand times a frame, without pause.
pub(crate) struct Clicking {
    stop: Arc<AtomicBool>,
    frames: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Crowd {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let open = move |_| {
            let mut socket = Visitor::new(addr).socket();
            socket.send(BUTTON).unwrap();
            Attacker { stream: socket.into_stream(), sent: 0 }
        };
        Self(thread::spawn(move || (0..ATTACKERS).map(open).collect()).join().unwrap())
    }

    pub(crate) fn attack(self) -> Clicking {
        let (stop, frames) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = thread::spawn({
            let (stop, frames) = (stop.clone(), frames.clone());
            move || attack(self.0, &stop, &frames)
        });
        Clicking { stop, frames, thread }
    }
}

impl Clicking {
    /// Waits until the server has taken so many frames.
    pub(crate) async fn until(&self, frames: u64) {
        let taken = async || (self.frames.load(Relaxed) >= frames).then_some(());
        until("the server to take the attackers' frames", taken).await;
    }

    pub(crate) fn stop(self) {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap();
    }
}

/// A socket, and how much of the present frame it has sent.
struct Attacker {
    stream: TcpStream,
    sent: usize,
}

/// Keeps all sockets full, from one thread: many would take the processors from the server, and it is the
/// server's turns that are tried.
fn attack(mut attackers: Vec<Attacker>, stop: &AtomicBool, frames: &AtomicU64) {
    let clicks = vec![r#"{"type":"update","data":{"varId":3,"value":null}}"#; 1000].join(",");
    let text = format!(r#"{{"userEvent":true,"messages":[{clicks}]}}"#);
    let frame = [head(TEXT, text.len()), text.into_bytes()].concat();
    for attacker in &attackers {
        attacker.stream.set_nonblocking(true).unwrap();
    }
    let mut scrap = vec![0; 64 << 10];
    while !stop.load(Relaxed) {
        for Attacker { stream, sent } in &mut attackers {
            match stream.write(&frame[*sent..]) {
                Ok(some) => *sent += some,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "an attacker is given up"),
            }
            if *sent == frame.len() {
                (*sent, _) = (0, frames.fetch_add(1, Relaxed));
            }
            while matches!(stream.read(&mut scrap), Ok(1..)) {}
        }
        // Their sockets are full again long after that.
        thread::sleep(Duration::from_millis(2));
    }
}
