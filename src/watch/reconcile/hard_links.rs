//! Files that have several names: a write through another name of the file is seen by no backend that watches
//! directories, so they are looked at now and then.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hotloader_backend::{HintSet, Phase};
use hotloader_disk::Fingerprint;

use super::{name::DirName, names::Names, tree::Tree};
use crate::watch::disk::Identity;

/// How often they are looked at, and how many at a time.
const EVERY: (Duration, usize) = (Duration::from_millis(1500), 500);

/// The files that have other names, by device and inode.
#[derive(Debug, Default)]
pub(super) struct HardLinks {
    files: BTreeMap<Identity, BTreeSet<PathBuf>>,
    /// Where to go on looking.
    at: Identity,
    due: Option<Instant>,
}

impl HardLinks {
    /// Notes a file if it has other names.
    pub(super) fn note(&mut self, key: &Fingerprint, file: &Path, now: Instant) {
        if !key.is_hard_linked() {
            return;
        }
        let files = self.files.entry(key.identity()).or_default();
        if !files.contains(file) {
            files.insert(file.to_owned());
            self.due.get_or_insert(now + EVERY.0);
        }
    }

    /// The other names of a file, as far as they are known.
    pub(super) fn others(&self, identity: Identity, file: &Path) -> impl Iterator<Item = &PathBuf> {
        self.files.get(&identity).into_iter().flatten().filter(move |other| *other != file)
    }

    /// When they are to be looked at, if there are any.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Looks at some of them. Returns those that do not look as they did when they were read.
    pub(super) fn look(
        &mut self,
        tree: &Tree,
        names: &Names,
        mut may_look_into: impl FnMut(&DirName) -> bool,
        now: Instant,
    ) -> HintSet {
        let (interval, most) = EVERY;
        let mut changed = HintSet::new();
        for (identity, file) in self.next(most) {
            let slots = tree.names_of(&file);
            if !slots.first().is_none_or(|(dir, _)| may_look_into(dir)) {
                continue;
            }
            let known = slots.iter().find_map(|at| names.slot(at)).map(|slot| slot.key);
            let now = Fingerprint::at(&file).ok();
            if known.is_some() && now != known {
                changed.insert(file.clone(), Phase::Complete);
            }
            // One that was replaced is noted again when it is read.
            if known.is_none() || now.is_none_or(|now| !now.is_hard_linked() || now.identity() != identity) {
                self.forget(identity, &file);
            }
        }
        self.due = (!self.files.is_empty()).then_some(now + interval);
        changed
    }

    fn forget(&mut self, identity: Identity, file: &Path) {
        if let Some(files) = self.files.get_mut(&identity) {
            files.remove(file);
            if files.is_empty() {
                self.files.remove(&identity);
            }
        }
    }

    /// The next ones to look at, going round.
    fn next(&mut self, most: usize) -> Vec<(Identity, PathBuf)> {
        let behind = self.files.range((Bound::Excluded(self.at), Bound::Unbounded));
        let before = self.files.range(..=self.at);
        let mut next = Vec::new();
        for (identity, files) in behind.chain(before) {
            next.extend(files.iter().map(|file| (*identity, file.clone())));
            self.at = *identity;
            if next.len() >= most {
                break;
            }
        }
        next
    }
}
