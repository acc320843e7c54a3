//! # lua-hotloader
//!
//! Stub: the map of the crate comes with its parts.

pub mod cli;
pub mod config;
pub mod reload;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod variables;
mod vm;
pub mod watch;
pub mod web;
