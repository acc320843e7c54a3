//! The engine on real nats-servers of its own: what Debian has, and the current one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its helpers cannot go on"
)]

mod connect;
mod faults;
mod harness;
mod model;
mod permissions;
mod proxy;
mod releases;
mod store;
mod topics;
