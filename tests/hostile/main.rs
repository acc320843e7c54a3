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
mod harness;
mod memory;
mod raw;
mod together;
mod turns;

use hotloader_test_support::setup::Setup;

const SETUP: Setup = Setup::auto(env!("CARGO_BIN_EXE_lua-hotloader"));
