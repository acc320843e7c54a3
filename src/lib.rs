//! # lua-hotloader
//!
//! Stub: the map of the crate comes with its parts.

pub mod config;
pub mod watch;
