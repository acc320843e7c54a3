//! From a file system that changes to a [`ChangeSet`]: settle, reconcile, and what has to be watched.
//!
//! This layer knows no Lua: it works on roots, names and bytes. What file systems are, and what tells one state of a
//! file from another, it shares with backends: `hotloader_disk`.
//!
//! - `start`: [`start`] and [`scan_once`]. `watcher`: the task that leads a change through all this; `looking`: its looks at the disk.
//! - `handle`: the other end of that task, [`WatchHandle`].
//! - `registry`: which backends there are ([`Registry`]).
//! - `supervisor`: the backend made of backends. `handover`: how it brings directories from one of them to
//!   another. `lane`: one of them at work. `targets`: who shall watch what. `questions`: the barriers. `patience`: how long is waited.
//! - `choice`: which backends a directory may have.
//! - `health`: how all of them are ([`Health`]).
//! - `settle`: when it is quiet enough to look.
//! - `reconcile`: what really changed, by content; what is not believed at first sight. `contents`: which files
//!   have to be read, and what they say. `outcome`: what a look came to.
//! - `upkeep`: what it does when nothing is hinted: what nobody hints, and whether anything was missed.
//! - `stall`: when a look does not come to an end. `answers`: whether a file system can be looked at at all.
//! - `tree` and `walk`: what was seen of the disk, which logical directories that makes, and what has to
//!   be watched. `listing` and `prefetch`: real directories, one and many.
//! - `names`: what was told of each logical name.
//! - `links`: where a path really leads. `ignore`: names nobody wants. `read`: reading what may be
//!   written meanwhile. `unfinished`: files that somebody is at work on still; `writers`: who has one
//!   open. `vcs`: whether a checkout is under way.
//! - `change`: what comes out.

mod answers;
mod change;
mod choice;
mod contents;
mod handle;
mod handover;
mod health;
mod ignore;
mod lane;
mod links;
mod listing;
mod looking;
mod names;
mod outcome;
mod patience;
mod prefetch;
mod questions;
mod read;
mod reconcile;
mod registry;
mod settle;
mod stall;
mod start;
mod supervisor;
mod survey;
mod targets;
#[cfg(test)]
mod tests;
mod tree;
mod unfinished;
mod upkeep;
mod vcs;
mod walk;
mod watcher;
mod writers;

pub use change::{Change, ChangeKind, ChangeSet, Content, ContentHash, Root, RootId, Timing, Unreadable};
pub use choice::{Choice, automatic, watchman_config_above};
pub use handle::{WatchError, WatchHandle};
pub use health::{BackendHealth, BackendState, Health};
pub use hotloader_disk::{FileSystem, MountTable};
pub use outcome::LinkView;
pub use registry::{Registry, UnknownBackend};
pub use start::{scan_once, start};
