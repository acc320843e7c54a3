//! Browsers that mean harm, against the real program in little memory: what they take, and what a bystander
//! notices of it.
//!
//! | module | what it has |
//! |---|---|
//! | `harness` | the site, the server under its limit, what it uses |
//! | `raw` | a WebSocket client without any manners |
//! | `bystander` | a session of somebody else, whose clicks are timed |
//! | `memory` | attacks on the memory |
//! | `turns` | attacks on the processors |
//! | `together` | all of them at the same time |

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

mod bystander;
#[path = "../../backends/watchman/tests/harness/mod.rs"]
mod daemon;
mod harness;
mod memory;
#[allow(dead_code, reason = "what the setups of the end-to-end tests need")]
#[path = "../../backends/polling/tests/real/mounts.rs"]
mod mounts;
mod raw;
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod together;
mod turns;

use support::{DEADLINE, setup::Setup};

const SETUP: Setup = Setup::Auto;
