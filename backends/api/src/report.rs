//! From a backend to whoever looks at the disk: one bounded place where reports fold together.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{HintSet, Phase};

/// Time stamps of files are behind the clock by up to a tick of the kernel's timer, which comes at least so
/// often.
const TICK: Duration = Duration::from_millis(10);

/// What a backend says.
#[derive(Debug, Clone)]
pub enum Report {
    /// At this path, or below it, something may have changed.
    Hint {
        /// Where to look. Absolute.
        path: PathBuf,
        /// Whether a writer may still be at it.
        phase: Phase,
    },
    /// Changes may have gone unnoticed.
    LostSync {
        /// Where.
        scope: Scope,
        /// Why.
        cause: LostCause,
    },
    /// The watches are what a plan says.
    Armed(Armed),
}

/// Each change from now on, in any directory of this plan that was not skipped, will be hinted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armed {
    /// Of the plan.
    pub revision: u64,
    /// What could not be watched.
    pub skipped: Vec<Skipped>,
}

/// A directory of the plan that is not watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Which.
    pub dir: PathBuf,
    /// Whether another backend could do better.
    pub cause: SkipCause,
    /// Why, for people: what happened, and what helps.
    pub reason: String,
}

/// Whether another backend could do better with a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipCause {
    /// None could: it is not there, or not ours to look into. When that changes, it is hinted.
    Unreachable,
    /// Another may: a limit of this one is reached.
    Limit,
}

/// Where sync was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Everything,
    /// At this path and below.
    Below(PathBuf),
}

/// Why sync was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostCause {
    /// The kernel's or the daemon's queue was full.
    Overflow,
    /// The watcher began anew and does not know what was before.
    FreshInstance,
    /// The connection was gone for a while.
    Reconnected,
    /// The daemon went through the whole tree again.
    Recrawl,
    /// Another backend took over.
    Handover,
}

/// A loss of sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Where.
    pub scope: Scope,
    /// Why.
    pub cause: LostCause,
}

/// Everything that was reported since the last look.
#[derive(Debug, Clone)]
pub struct Collected {
    /// Where to look; what was lost is in it too.
    pub hints: HintSet,
    /// The newest confirmation, if there was any.
    pub armed: Option<Armed>,
    /// Losses of sync, for the log: the first few.
    pub lost: Vec<Lost>,
    /// When the first of these reports came in.
    pub first: Instant,
    /// When the last one did. What was written until then is among the hints.
    pub last: Instant,
}

impl Collected {
    const MAX_LOST: usize = 16;

    fn new(now: Instant) -> Self {
        Self { hints: HintSet::new(), armed: None, lost: Vec::new(), first: now, last: now }
    }

    fn add(&mut self, report: Report) {
        match report {
            Report::Hint { path, phase } => self.hints.insert(path, phase),
            Report::LostSync { scope, cause } => {
                match &scope {
                    Scope::Everything => self.hints.insert_everywhere(Phase::Complete),
                    Scope::Below(path) => self.hints.insert(path, Phase::Complete),
                }
                self.note_lost(Lost { scope, cause });
            }
            Report::Armed(armed) => self.armed = Some(armed),
        }
    }

    fn note_lost(&mut self, lost: Lost) {
        if self.lost.len() < Self::MAX_LOST && !self.lost.contains(&lost) {
            self.lost.push(lost);
        }
    }
}

#[derive(Debug, Default)]
struct Pending {
    collected: Option<Collected>,
    closed: bool,
}

// A lock and not a channel: the kernel's queue must never wait for us, a bounded channel would drop
// or block, and an unbounded one grows. Folding under a lock held for a microsecond does neither.
#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    arrived: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct LastSink(Arc<Shared>);

impl Drop for LastSink {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.arrived.notify_one();
    }
}

/// Where a backend puts its reports, from any thread. Never blocks, never drops, and is bounded, since
/// reports fold into each other.
#[derive(Debug, Clone)]
pub struct ReportSink {
    shared: Arc<LastSink>,
}

/// Where the reports come out.
#[derive(Debug)]
pub struct ReportStream {
    shared: Arc<Shared>,
}

impl ReportSink {
    /// A sink and the stream it flows into. [`spawn`](crate::spawn) makes one for each backend.
    pub fn new() -> (Self, ReportStream) {
        let shared = Arc::new(Shared::default());
        (Self { shared: Arc::new(LastSink(shared.clone())) }, ReportStream { shared })
    }

    /// Takes in a report.
    pub fn report(&self, report: Report) {
        let shared = &self.shared.0;
        let now = Instant::now();
        let mut pending = shared.lock();
        let collected = pending.collected.get_or_insert_with(|| Collected::new(now));
        collected.last = now;
        collected.add(report);
        drop(pending);
        shared.arrived.notify_one();
    }

    /// Takes in what came out of another backend's stream, but for what it says about a plan of its own.
    pub fn forward(&self, later: Collected) {
        let shared = &self.shared.0;
        let Collected { hints, armed: _, lost, first, last } = later;
        let mut pending = shared.lock();
        let collected = pending.collected.get_or_insert_with(|| Collected::new(first));
        collected.last = collected.last.max(last);
        collected.hints.merge(hints);
        lost.into_iter().for_each(|lost| collected.note_lost(lost));
        drop(pending);
        shared.arrived.notify_one();
    }

    /// Short for [`Report::Hint`].
    pub fn hint(&self, path: impl Into<PathBuf>, phase: Phase) {
        self.report(Report::Hint { path: path.into(), phase });
    }

    /// Takes in several hints at once: who looks for reports finds all of them, or none.
    pub fn hints(&self, hints: HintSet) {
        let now = Instant::now();
        self.forward(Collected { hints, ..Collected::new(now) });
    }

    /// Hints a place that looks as it did, for caution: it may have changed without that showing. No news:
    /// it does not say that what was written until now is hinted, and puts nothing off.
    pub fn remind(&self, path: impl Into<PathBuf>) {
        let shared = &self.shared.0;
        let now = Instant::now();
        let mut pending = shared.lock();
        let new = || Collected::new(now.checked_sub(TICK).unwrap_or(now));
        pending.collected.get_or_insert_with(new).hints.insert(path.into(), Phase::Complete);
        drop(pending);
        shared.arrived.notify_one();
    }
}

impl ReportStream {
    /// Waits until something was reported and takes all of it; `None` when the backend has gone and
    /// nothing is left. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Collected> {
        loop {
            {
                let mut pending = self.shared.lock();
                if let Some(collected) = pending.collected.take() {
                    return Some(collected);
                }
                if pending.closed {
                    return None;
                }
            }
            // A report between the look and this line has left a permit behind.
            self.shared.arrived.notified().await;
        }
    }

    /// Takes what was reported up to now without waiting for more.
    pub fn take(&mut self) -> Option<Collected> {
        self.shared.lock().collected.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reminder_is_no_word_of_what_was_written_meanwhile() {
        let (sink, mut stream) = ReportSink::new();
        sink.remind("/a");
        let alone = stream.take().unwrap();
        assert!(alone.hints.covers("/a".as_ref()) && alone.last + TICK <= Instant::now());
        sink.hint("/b", Phase::Complete);
        let hinted = Instant::now();
        sink.remind("/a");
        let both = stream.take().unwrap();
        assert!(both.hints.len() == 2 && both.last <= hinted);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_report_is_lost_between_threads_and_the_stream_ends_after_the_last() {
        let (sink, mut stream) = ReportSink::new();
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let sink = sink.clone();
                std::thread::spawn(move || {
                    for i in 0..500 {
                        sink.hint(format!("/{thread}/{i}"), Phase::Complete);
                    }
                })
            })
            .collect();
        drop(sink);
        let mut seen = 0;
        while let Some(collected) = stream.next().await {
            seen += collected.hints.len();
        }
        assert_eq!(seen, 2000);
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_not_taken_folds() {
        let (sink, mut stream) = ReportSink::new();
        for revision in 0..3 {
            sink.report(Report::Armed(Armed { revision, skipped: Vec::new() }));
        }
        for _ in 0..100_000 {
            sink.report(Report::LostSync { scope: Scope::Everything, cause: LostCause::Overflow });
            sink.hint("/x", Phase::Complete);
        }
        let collected = stream.next().await.unwrap();
        assert_eq!(collected.armed.unwrap().revision, 2);
        assert_eq!(collected.lost.len(), 1);
        assert!(collected.hints.is_everywhere());
        assert!(collected.first <= collected.last);
        assert!(stream.take().is_none());
    }
}
