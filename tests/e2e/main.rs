//! The whole program: the real binary on a temporary site, real files, real WebSockets.
//!
//! One test binary, so that it is linked once. A module for each kind of scenario; `client` is a browser
//! without a browser. Nothing sleeps: whatever is waited for has a deadline.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

mod bindings;
mod client;
#[path = "../../backends/watchman/tests/harness/mod.rs"]
mod daemon;
mod failures;
mod lifecycle;
mod links;
#[allow(dead_code, reason = "the tests of the backend use the rest")]
#[path = "../../backends/polling/tests/real/mounts.rs"]
mod mounts;
mod polling;
mod roots;
mod saves;
mod semantics;
#[allow(dead_code, reason = "the browser tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod web;

use support::{DEADLINE, setup::Setup};

const SETUP: Setup = Setup::Auto;
