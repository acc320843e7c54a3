//! Looks at a few files, whatever the backends say: some changes no event tells of, such as a write through `mmap`
//! while Watchman watches, one under a name that the file got meanwhile, or something mounted over a directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use hotloader_backend::{HintSet, Phase};
use hotloader_disk::Fingerprint;

use super::{contents::Contents, names::Told, tree::Tree};
use crate::watch::disk::{Answers, is_absence};

/// What was seen of a file, and of the directory it is in.
struct Seen {
    file: PathBuf,
    found: io::Result<Fingerprint>,
    dir: Option<(u64, u64)>,
}

/// Those of these files that do not look as they did when they were read, and the directories of these that are
/// others than those that were listed.
pub(super) fn changed(
    files: &BTreeSet<PathBuf>,
    tree: &Tree,
    contents: &mut Contents,
    answers: &mut Answers,
    now: Instant,
) -> HintSet {
    let mut here = Vec::new();
    let mut elsewhere: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let names = tree.names_of(file);
        let Some(node) = names.first().and_then(|(dir, _)| contents.names.nodes.get(dir)) else { continue };
        if contents.unfinished.holds(file) || tree.is_silent(file) {
            continue;
        }
        if node.listing.may_hang {
            elsewhere.entry(node.listing.identity.0).or_default().push(file.clone());
        } else {
            here.push(file.clone());
        }
    }
    let mut seen = look(here);
    // A server may stop in the middle of it, or take long for each file. Saves elsewhere do not wait for that.
    let looks =
        elsewhere.into_iter().filter_map(|(device, files)| answers.answer(device, move || look(files)));
    seen.extend(looks.flatten());
    let mut found = HintSet::new();
    for seen in seen {
        seen.judge(tree, contents, &mut found, now);
    }
    found
}

fn look(files: Vec<PathBuf>) -> Vec<Seen> {
    let mut dirs: BTreeMap<PathBuf, Option<(u64, u64)>> = BTreeMap::new();
    let mut see = |file: PathBuf| {
        let identity = |dir: &Path| Fingerprint::at(dir).ok().map(|dir| dir.identity());
        let dir = file.parent().and_then(|dir| match dirs.get(dir) {
            Some(known) => *known,
            None => *dirs.entry(dir.to_owned()).or_insert(identity(dir)),
        });
        Seen { found: Fingerprint::at(&file), file, dir }
    };
    files.into_iter().map(&mut see).collect()
}

impl Seen {
    fn judge(self, tree: &Tree, contents: &mut Contents, found: &mut HintSet, now: Instant) {
        let Self { file, found: key, dir } = self;
        if let (Some(parent), Some(dir)) = (file.parent(), dir)
            && tree.listed(parent).is_some_and(|listed| listed != dir)
        {
            found.insert(parent, Phase::Complete);
            return;
        }
        match key {
            Ok(key) => {
                let names = tree.names_of(&file);
                let slots = names.iter().filter_map(|at| contents.names.slot(at));
                let mut told = slots.filter(|slot| slot.told == Told::Content);
                if told.any(|slot| slot.key != key) {
                    contents.hard_links.note(&key, &file, now);
                    found.insert(file, Phase::Complete);
                }
            }
            Err(error) if is_absence(&error) => found.insert(file, Phase::Complete),
            // Nobody can say.
            Err(_) => {}
        }
    }
}
