//! [`Roster`]: what the status page of a server shows of the whole fleet. It is read while somebody looks, and not more
//! often than once in two seconds.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{Overview, Report, fetch::PATIENCE, rollout::GONE};

/// Between two reads.
const AGAIN: Duration = Duration::from_secs(2);

/// All servers of a fleet, as one of them sees them.
#[derive(Debug)]
pub struct Roster {
    asked: Arc<Notify>,
    seen: watch::Receiver<Seen>,
}

/// What was read last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// What is published.
    pub pointer: String,
    /// Each server, and whether all is well with it.
    pub servers: Vec<(String, bool)>,
    /// Why it could not be read.
    pub problem: Option<String>,
}

/// When the heartbeat of a server was another than before.
type Beats = BTreeMap<String, (u64, u64, Instant)>;

impl Roster {
    /// Reads nothing until it is asked. Has to be called in a runtime of tokio, and ends when it is dropped.
    pub fn new(overview: Overview) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let asked = Arc::new(Notify::new());
        let asking = asked.clone();
        tokio::spawn(async move {
            let mut beats = Beats::new();
            loop {
                tokio::select! {
                    () = asking.notified() => {}
                    () = sender.closed() => return,
                }
                let read = timeout(PATIENCE, read(&overview, &mut beats)).await;
                let seen = read.unwrap_or_else(|_| problem("no answer within 10 s"));
                sender.send_if_modified(|before| std::mem::replace(before, seen.clone()) != seen);
                sleep(AGAIN).await;
            }
        });
        Self { asked, seen }
    }

    /// What was read last. It is read again, in a moment.
    pub fn look(&self) -> Seen {
        self.asked.notify_one();
        self.seen.borrow().clone()
    }
}

fn problem(what: impl ToString) -> Seen {
    Seen { problem: Some(what.to_string()), ..Seen::default() }
}

async fn read(overview: &Overview, beats: &mut Beats) -> Seen {
    let (newest, reports) = match (overview.newest().await, overview.reports().await) {
        (Ok(newest), Ok(reports)) => (newest, reports),
        (Err(error), _) | (_, Err(error)) => return problem(error),
    };
    let now = Instant::now();
    let mut line = |report: Report| {
        let beat = (report.boot, report.beat);
        let known =
            beats.get(&report.server).filter(|(boot, beat, _)| (*boot, *beat) == (report.boot, report.beat));
        let heard = known.map_or(now, |(_, _, heard)| *heard);
        beats.insert(report.server.clone(), (beat.0, beat.1, heard));
        let is_there = !report.leaving && now.saturating_duration_since(heard) < GONE;
        (report.in_words(is_there), is_there && report.is_well())
    };
    Seen {
        pointer: newest.map_or_else(|| "nothing is published yet".into(), |(_, pointer)| pointer.in_words()),
        servers: reports.into_iter().map(&mut line).collect(),
        problem: None,
    }
}
