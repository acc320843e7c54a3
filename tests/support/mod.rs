//! What tests of the whole program stand on: a site on disk, and the real server on it.

pub(crate) mod http;
pub(crate) mod server;
pub(crate) mod setup;
pub(crate) mod site;

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Long, since the machine may be busy; nothing waits
/// for it to pass.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Looks again and again until `check` gives something, or the deadline is over.
pub(crate) async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
