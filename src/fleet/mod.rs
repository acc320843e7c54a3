//! Many servers, one site: releases, and how they reach every server.
//!
//! | file | what it does |
//! |---|---|
//! | `digest` | [`Digest`]: the address of content |
//! | `tree` | how directories are written |
//! | `pack`, `unpack` | files to blobs, and back; what comes from others is checked and bounded |
//! | `keys` | who may publish |
//! | `pointer` | [`Pointer`]: which release is to run, signed |
//! | `error` | what is wrong with a release |
//!
//! What decides is pure: it has no clock and no network.

mod digest;
mod error;
mod keys;
mod pack;
mod pointer;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;

pub use digest::{Digest, NoDigest};
pub use error::ReleaseError;
pub use keys::{KeyError, PublicKey, SecretKey};
pub use pack::{Files, Packed, pack};
pub use pointer::{MAX_POINTER, PATIENCE, Plan, Pointer, PointerError, Position, Stage, Wave};
pub use tree::PIECE;
pub use unpack::{Unpacked, Unpacking};

/// How many directories may lie in each other.
pub const MAX_DEPTH: usize = 32;
/// Files and directories of a release.
pub const MAX_ENTRIES: usize = 100_000;
