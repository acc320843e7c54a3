//! What really changed: hints say where to look, the disk says what is true.
//!
//! The [`Reconciler`] is all that others may touch: it takes hints and gives [`Findings`]. It has no task, no
//! channel and no clock; who calls it says what time it is.
//!
//! - `reconciler`: one look, from the hints to the changes; and the upkeep while nothing is hinted.
//! - `scope`: what is asked for. `cache`: what was seen of the disk. `walk`: from there to all logical directories.
//!   `tree`: those, and what a hint touches of them.
//! - `name`, `names`: logical names, and what was told of each. `contents`: which files have to be read, and what
//!   they say. `jobs`: reading them. `survey`: files that look different. `hard_links`: those that have several names.
//! - `audit`: whether a hint was missing. `recheck`: whether files in use have changed without any. `vcs`: whether a checkout is under way.
//! - `findings`: what a look came to.

mod audit;
mod cache;
mod contents;
mod findings;
mod hard_links;
mod jobs;
mod name;
mod names;
mod recheck;
mod reconciler;
mod scope;
mod survey;
mod tree;
mod vcs;
mod walk;

pub use findings::LinkView;
pub(super) use findings::{Findings, Look, Unwatched};
pub(super) use reconciler::{Reconciler, scan};
