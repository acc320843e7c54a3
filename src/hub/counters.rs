//! [`Counters`]: what went through, for the metrics and the status page.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Counts since the start. Counting never blocks.
#[derive(Debug, Default)]
pub struct Counters {
    published: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    results: [AtomicU64; 3],
    nanoseconds: AtomicU64,
}

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreResult {
    /// It is written.
    Ok,
    /// Another was faster; `store.update` tries again.
    Conflict,
    /// It is not.
    Failed,
}

impl StoreResult {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Conflict, Self::Failed];

    /// For a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
        }
    }
}

impl Counters {
    pub(super) fn publish(&self) {
        self.published.fetch_add(1, Relaxed);
    }

    pub(super) fn deliver(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(super) fn write(&self, result: StoreResult, took: Duration) {
        self.results[result as usize].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Messages that sessions published.
    pub fn published(&self) -> u64 {
        self.published.load(Relaxed)
    }

    /// Messages that came to a session; one that goes to ten counts ten times.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// Messages beyond `hub.messages`, either way.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Writes that came to that.
    pub fn writes(&self, result: StoreResult) -> u64 {
        self.results[result as usize].load(Relaxed)
    }

    /// How long all writes together took until they were answered.
    pub fn writing(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Relaxed))
    }
}
