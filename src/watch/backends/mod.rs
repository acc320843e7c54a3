//! The backends: which there are, which of them watches a directory, and one backend made of all of them.
//!
//! To the watcher the supervisor is a backend like any other, with one addition, its [`Standing`], and [`SupervisorMaker`] starts it. What a
//! backend is, and what it promises, is in the crate `hotloader_backend`. Beside the supervisor, others may use the
//! [`Registry`], the rule of `auto` ([`automatic`]) and what is told of how backends are ([`Health`]).
//!
//! - `registry`: which backends there are. `choice`: which of them a directory may have.
//! - `supervisor`: starts lanes, tries them again, asks them for barriers. `lane`: one backend at work.
//! - `targets`: which lane is to have each directory. `handover`: which has it, and when all are watched.
//! - `questions`: barriers that lanes were asked for. `patience`: how long each is waited for.
//! - `health`: how they are.

mod choice;
mod handover;
mod health;
mod lane;
mod patience;
mod questions;
mod registry;
mod supervisor;
mod targets;

pub use choice::{Choice, automatic, is_asked_for};
pub(super) use health::Standing;
pub use health::{BackendHealth, BackendState, Health};
pub(super) use patience::Patience;
pub use registry::{KERNEL, POLLING, Registry, UnknownBackend, WATCHMAN, watchman_options};
#[cfg(test)]
pub(super) use supervisor::Supervisor;
pub(super) use supervisor::SupervisorMaker;
