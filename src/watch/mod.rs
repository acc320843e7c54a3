//! From a file system that changes to a [`ChangeSet`]: settle, reconcile, and what has to be watched.
//!
//! This layer knows no Lua: it works on roots, names and bytes.

mod change;

pub use change::{Change, ChangeKind, ChangeSet, Content, ContentHash, Root, RootId, Timing};
