//! What a look at the disk came to.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use hotloader_backend::DirSet;

use super::{name::At, walk::Found};
use crate::watch::change::{Change, ChangeSet, Timing};

/// What links there are and what is watched, for people and the status page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkView {
    /// Each link of the tree (the path of its directory has no link in it) and where it leads in the
    /// end; for a dangling one, where the way ends.
    pub symlink_targets: BTreeMap<PathBuf, PathBuf>,
    /// Every real directory that is watched.
    pub watched_dirs: DirSet,
    /// Those in which a tree begins: where the roots and the links to directories lead.
    pub trees: BTreeSet<PathBuf>,
}

/// What a look came to.
#[derive(Debug)]
pub(crate) enum Look {
    /// Some of the directories in [`Reconciler::links`](super::Reconciler::links) were listed before they were
    /// watched: have them watched and look again, without hints, and with what is known of them.
    Unwatched(Unwatched),
    /// Something was written too short a while ago: what is saved together with it may be on its way. Look
    /// again after that time, without hints; what is doubtful is known.
    Early(Duration),
    /// This is what changed.
    Done(Findings),
}

/// What a walk came to that was before its directories were watched.
#[derive(Debug)]
pub(crate) struct Unwatched {
    /// Listed too early.
    pub(super) dirs: DirSet,
    pub(super) found: Vec<Found>,
    /// The files to be read, if nothing differs afterwards.
    pub(super) prepared: Option<Vec<At>>,
}

/// What changed, and what remains to be seen.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Ordered by name.
    pub(crate) changes: Vec<Change>,
    /// Places to look at again, and when.
    pub(crate) rechecks: Vec<(PathBuf, Instant)>,
    /// Links, or what is to be watched, may not be as they were.
    pub(crate) walked: bool,
    /// How many names have no file any more, which is believed if it lasts.
    pub(crate) vanished: usize,
    /// Nothing was told before: it names everything there is.
    pub(crate) is_first: bool,
    /// Files that are waited for, as somebody is still writing them.
    pub(crate) unfinished: Vec<PathBuf>,
}

impl Findings {
    pub(crate) fn into_change_set(self, initial: bool, timing: Timing) -> ChangeSet {
        ChangeSet { changes: self.changes, initial, timing }
    }

    pub(crate) fn recheck(&mut self, path: impl Into<PathBuf>, at: Instant) {
        self.rechecks.push((path.into(), at));
    }
}
