//! What a watch backend is, for those who write one and for the server that runs it.
//!
//! A backend says *where to look*; it never says what happened. That is all that inotify, a poll and
//! Watchman have in common, and it makes duplicates, reordering and overlap harmless.
//!
//! - `backend`: [`FileWatchBackend`], the trait, and what a backend is given ([`BackendInputs`]).
//! - `dirs`: [`DirSet`], the directories of a plan.
//! - `report`: what it says ([`Report`]), through a [`ReportSink`] that never blocks and never drops.
//! - `hints`: [`HintSet`], the places to look at, folded so that they stay few.
//! - `failure`: [`BackendFailure`], in the classes the server reacts to.
//! - `handle`: [`spawn`] runs a backend as a task; [`BackendHandle`] is its other end.

mod backend;
mod dirs;
mod failure;
mod handle;
mod hints;
mod report;

pub use backend::{BackendInputs, BarrierRequest, FileWatchBackend, Vitals, WatchPlan};
pub use dirs::DirSet;
pub use failure::{BackendFailure, FailureClass};
pub use handle::{BackendHandle, BarrierError, spawn};
pub use hints::{HintSet, Phase};
pub use report::{
    Armed, Collected, Lost, LostCause, Report, ReportSink, ReportStream, Scope, SkipCause, Skipped,
};
