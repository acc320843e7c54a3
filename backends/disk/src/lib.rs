//! What the disk says, for the watcher and for backends that look at it.
//!
//! - `kinds`: kinds of file systems, and what can be expected of each.
//! - `mounts`: the mount table, and on which mount a path is.
//! - `ask`: who answers what a file looks like, the kernel or the server.
//! - `entries`: what is in a directory.
//! - `fingerprint`: what of a file one system call tells, to compare with later.

mod ask;
mod entries;
mod fingerprint;
mod kinds;
mod mounts;

pub use ask::Ask;
pub use entries::{each_entry, each_inode};
pub use fingerprint::{Fingerprint, racy_for};
pub use kinds::{Kind, Magic};
pub use mounts::{FileSystem, Mount, MountTable};
