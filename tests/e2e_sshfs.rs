//! The whole program on a mount of a network protocol, edited on the other side. Nothing tells it to poll.
//! Without the tests of links: sshfs that is not given a connection by ssh cannot read them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

#[allow(dead_code, reason = "the other end-to-end tests use the rest")]
#[path = "e2e/client.rs"]
mod client;
#[path = "../backends/watchman/tests/harness/mod.rs"]
mod daemon;
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

const SETUP: Setup = Setup::Sshfs;
