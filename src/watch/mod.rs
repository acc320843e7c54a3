//! From a file system that changes to a [`ChangeSet`]: debounce, reconcile, and what has to be watched.
//!
//! This layer knows no Lua: it works on roots, names and bytes. Here is only what a change passes through; what it
//! is done with stands in three wings, each of which says on its first page what others may touch.
//!
//! - `start`: [`start`] and [`scan_once`]. `handle`: the other end of a running watcher, [`WatchHandle`].
//! - `task`: leads a change through all this. `state`: what it is doing. `looking`: its looks at the disk.
//!   `watches`: the backends, and what they were told. `exact`: its clock.
//! - `settle`: the debounce. `change`: what comes out.
//! - `backends`: which there are, who watches what, and how they are.
//! - `disk`: what is asked of the disk, and how.
//! - `reconcile`: what really changed, and under which names.

mod backends;
mod change;
mod disk;
mod exact;
mod handle;
mod in_use;
mod looking;
mod reconcile;
mod settle;
mod start;
mod state;
mod task;
#[cfg(test)]
mod tests;
mod watches;

pub use backends::{
    BackendHealth, BackendState, Choice, Health, KERNEL, POLLING, Registry, UnknownBackend, WATCHMAN,
    automatic, is_asked_for, watchman_options,
};
pub use change::{Change, ChangeKind, ChangeSet, Content, ContentHash, Root, RootId, Timing, Unreadable};
pub use handle::{InUse, WatchError, WatchHandle};
pub use hotloader_disk::{FileSystem, MountTable};
pub use reconcile::LinkView;
pub use start::{Survey, scan_once, start, survey_once};
