//! [`Counters`]: what went through, for the metrics and the status page.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use prometheus_client::metrics::{family::Family, histogram::Histogram};

/// How long writes took, by the label `result`.
pub type Latencies = Family<[(&'static str, &'static str); 1], Histogram>;

/// Counts since the start. Counting never blocks.
#[derive(Debug)]
pub struct Counters {
    published: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    results: [AtomicU64; 3],
    latencies: Latencies,
}

impl Default for Counters {
    fn default() -> Self {
        let latencies = Latencies::new_with_constructor(latency_histogram as fn() -> Histogram);
        // What never happened is 0 and not absent.
        for result in StoreResult::ALL {
            drop(latencies.get_or_create(&[("result", result.name())]));
        }
        let (published, delivered, dropped, results) = Default::default();
        Self { published, delivered, dropped, results, latencies }
    }
}

/// From a write into memory to one that waited for `hub.patience`.
fn latency_histogram() -> Histogram {
    Histogram::new([
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    ])
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
        self.latencies.get_or_create(&[("result", result.name())]).observe(took.as_secs_f64());
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

    /// How long writes took until they were answered, to be registered.
    pub fn latencies(&self) -> Latencies {
        self.latencies.clone()
    }
}
