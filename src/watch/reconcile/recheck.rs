//! Looks at a few files, whatever the backends say: some changes no event tells of, such as a write through `mmap`
//! while Watchman watches, one under a name that the file got meanwhile, or something mounted over a directory.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Instant,
};

use hotloader_backend::{HintSet, Phase};
use hotloader_disk::Fingerprint;

use super::{audit::may_look_into, contents::Contents, names::Told, tree::Tree};
use crate::watch::disk::{Answers, is_absence};

/// Those of these files that do not look as they did when they were read, and the directories of these that are
/// others than those that were listed.
pub(super) fn changed(
    files: &BTreeSet<PathBuf>,
    tree: &Tree,
    contents: &mut Contents,
    answers: &mut Answers,
    now: Instant,
) -> HintSet {
    let mut found = HintSet::new();
    let mut dirs: BTreeSet<&Path> = BTreeSet::new();
    for file in files {
        let names = tree.names_of(file);
        let Some((dir, _)) = names.first() else { continue };
        if contents.unfinished.holds(file)
            || tree.is_silent(file)
            || !may_look_into(dir, &contents.names, answers)
        {
            continue;
        }
        if let Some(parent) = file.parent()
            && dirs.insert(parent)
            && let Some(listed) = tree.listed(parent)
            && Fingerprint::at(parent).is_ok_and(|dir| dir.identity() != listed)
        {
            found.insert(parent, Phase::Complete);
            continue;
        }
        match Fingerprint::at(file) {
            Ok(key) => {
                let slots = names.iter().filter_map(|at| contents.names.slot(at));
                let mut told = slots.filter(|slot| slot.told == Told::Content);
                if told.any(|slot| slot.key != key) {
                    contents.hard_links.note(&key, file, now);
                    found.insert(file, Phase::Complete);
                }
            }
            Err(error) if is_absence(&error) => found.insert(file, Phase::Complete),
            // Nobody can say.
            Err(_) => {}
        }
    }
    found
}
