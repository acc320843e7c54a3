//! What tests of the whole program and of its backends stand on.
//!
//! | module | what it has |
//! |---|---|
//! | [`setup`] | the program, with a watch backend or a file system that is changed from behind |
//! | [`site`] | a directory with Lua files and viewdefs, and the ways in which people save |
//! | [`server`] | the running program, with its log |
//! | [`client`] | a browser without a browser: a session, a WebSocket, variables |
//! | [`http`] | single requests |
//! | [`chromium`] | a real browser |
//! | [`daemon`] | a Watchman of the test's own |
//! | [`nats`] | a nats-server of the test's own |
//! | [`mounts`] | file systems made of installed programs |
//!
//! If a program is missing, the test says so and is skipped; with `CI=true` it fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its helpers cannot go on"
)]

pub mod chromium;
pub mod client;
pub mod daemon;
pub mod http;
pub mod mounts;
pub mod nats;
pub mod server;
pub mod setup;
pub mod site;

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Long, since the machine may be busy; nothing waits
/// for it to pass.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Looks again and again until `check` gives something.
///
/// # Panics
///
/// After [`DEADLINE`].
pub async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
