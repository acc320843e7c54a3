//! The whole program on a FUSE mount that is edited behind it. Nothing tells it to poll.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

#[allow(dead_code, reason = "the other end-to-end tests use the rest")]
#[path = "e2e/client.rs"]
mod client;
#[path = "../backends/watchman/tests/harness/mod.rs"]
mod daemon;
#[path = "e2e/links.rs"]
mod links;
#[allow(dead_code, reason = "the tests of the backend use the rest")]
#[path = "../backends/polling/tests/real/mounts.rs"]
mod mounts;
#[path = "e2e/roots.rs"]
mod roots;
#[path = "e2e/saves.rs"]
mod saves;
#[allow(dead_code, reason = "the other end-to-end tests use the rest")]
mod support;

use support::{DEADLINE, setup::Setup};

const SETUP: Setup = Setup::Bindfs;
