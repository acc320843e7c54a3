//! What is asked of the disk, and how, without knowing what it is for.
//!
//! What stands here may be called from any thread that may wait for a disk; none of it keeps a task, a thread or
//! a watch. What file systems are, and what tells one state of a file from another, is in `hotloader_disk`, which
//! backends use as well.
//!
//! - `listing`: what is in a directory. `prefetch`: many directories at once. `parallel`: on several threads.
//! - `read`: a file that may be written meanwhile. `unfinished`: files that somebody is still writing, and how long
//!   each is waited for. `writers`: who has one open.
//! - `links`: where a path really leads. `ignore`: names that nobody wants.
//! - `answers`: whether a file system answers at all.

mod answers;
mod ignore;
mod links;
mod listing;
mod parallel;
mod prefetch;
mod read;
mod unfinished;
mod writers;

pub(super) use answers::Answers;
pub(super) use ignore::Ignore;
pub(super) use links::{End, Identity, Resolved, is_absence, resolve_symlinks};
pub(super) use listing::{Kind, Listing, by_components, is_on_local_file_system, join};
pub(super) use parallel::{FEW_DIRS, in_parallel};
pub(super) use prefetch::{Prefetched, list_again, list_below, subdirectories};
pub(super) use read::{Read, read_all, read_stable};
pub(super) use unfinished::{Signs, Unfinished};
pub(super) use writers::open_for_writing;
