//! [`Bystander`]: somebody else's session, whose clicks are timed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::raw::{Raw, Visitor};

/// What its page shows: a count (2) and a button (3).
const PAGE: &str = r#"[{"type":"watch","data":{"varId":1}},
    {"type":"create","data":{"id":2,"parentId":1,"properties":{"path":"count","access":"r"}}},
    {"type":"create","data":{"id":3,"parentId":1,"properties":{"path":"click()","access":"action"}}}]"#;
pub(crate) const CLICK: &str =
    r#"{"userEvent":true,"messages":[{"type":"update","data":{"varId":3,"value":null}}]}"#;
/// A click may always take so long.
const FINE: Duration = Duration::from_millis(50);
/// On a machine that is busy with something else, so many times what it took before, or what a thread that does
/// nothing waits for a processor meanwhile: a click goes through five of them and back, and what does the harm takes processors, too.
const TIMES: u32 = 20;
/// From one click to the next.
const PAUSE: Duration = Duration::from_millis(2);

/// A page that clicks, one click after the other, and sees what comes of each.
pub(crate) struct Bystander {
    socket: Raw,
    count: u64,
    /// How long clicks took while nobody did any harm, at p99.
    usual: Duration,
}

impl Bystander {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let mut socket = Visitor::new(addr).socket();
        socket.send(PAGE).unwrap();
        socket.hear("the count", |message| message["data"]["varId"] == 2).unwrap();
        let mut bystander = Self { socket, count: 0, usual: Duration::ZERO };
        let times = (0..300).map(|_| bystander.click()).collect();
        bystander.usual = p99(times);
        bystander
    }

    /// How long it takes until the page shows it. All that came before is there still.
    pub(crate) fn click(&mut self) -> Duration {
        let began = Instant::now();
        self.socket.send(CLICK).unwrap();
        self.count += 1;
        let count = self.count;
        let shown = self.socket.hear("the next count", |message| message["data"]["varId"] == 2).unwrap();
        assert_eq!(shown["data"]["value"], count, "a click of the bystander is lost");
        began.elapsed()
    }

    /// Clicks every few milliseconds until it is told to stop.
    pub(crate) fn watch(self) -> Watch {
        // Of fewer, the slowest ones would be the p99.
        self.watch_for(300)
    }

    /// So many times at least.
    pub(crate) fn watch_for(self, clicks: usize) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, mut bystander) = (stop.clone(), self);
        let clicking = thread::spawn(move || {
            let (mut times, mut waits) = (Vec::new(), Vec::new());
            while !stopped.load(Relaxed) || times.len() < clicks {
                times.push(bystander.click());
                let began = Instant::now();
                thread::sleep(PAUSE);
                waits.push(began.elapsed().saturating_sub(PAUSE));
            }
            (bystander, times, waits)
        });
        Watch { stop, clicking }
    }
}

/// A bystander at work.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    clicking: JoinHandle<(Bystander, Vec<Duration>, Vec<Duration>)>,
}

impl Watch {
    /// What it noticed of what went on meanwhile: nothing.
    pub(crate) fn noticed_nothing(self) -> Bystander {
        self.stop.store(true, Relaxed);
        let (bystander, times, waits) = self.clicking.join().unwrap();
        let (clicks, most) = (times.len(), times.iter().max().copied().unwrap());
        let (p99, usual, waits) = (p99(times), bystander.usual, p99(waits));
        let limit = FINE.max(usual * TIMES).max(waits * TIMES);
        let told = format!(
            "{clicks} clicks: p99 {p99:?}, at most {most:?} (before: {usual:?}; an idle thread waited {waits:?})"
        );
        println!("{told}");
        assert!(p99 < limit, "{told}");
        bystander
    }
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}
