//! Reads the files that a look has to read, and waits for none that takes long.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::{name::At, tree::Tree};
use crate::watch::disk::{Answers, Read, read_all, read_stable};

/// Files to read, each for all its names.
#[derive(Debug, Default)]
pub(super) struct Jobs(BTreeMap<PathBuf, BTreeSet<At>>);

impl Jobs {
    pub(super) fn add(&mut self, file: PathBuf, name: At) {
        self.0.entry(file).or_default().insert(name);
    }

    /// Reads each file once. Those on file systems that may hang are left out if they take too long, and named.
    pub(super) fn read(
        self,
        tree: &Tree,
        answers: &mut Answers,
        most: usize,
    ) -> (Vec<ReadFile>, Vec<PathBuf>) {
        let mut on: BTreeMap<Option<u64>, Vec<(PathBuf, BTreeSet<At>)>> = BTreeMap::new();
        for (path, names) in self.0 {
            on.entry(tree.device_that_may_hang(&path)).or_default().push((path, names));
        }
        let (mut files, mut late) = (Vec::new(), Vec::new());
        for (device, jobs) in on {
            let (paths, names): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
            let read: Vec<Option<Read>> = match device {
                None => read_all(&paths, most).into_iter().map(Some).collect(),
                Some(device) => answers.answer_each(device, &paths, move |path| read_stable(path, most)),
            };
            for ((path, names), read) in paths.into_iter().zip(names).zip(read) {
                match read {
                    Some(read) => files.push(ReadFile { path, names, read }),
                    None => late.push(path),
                }
            }
        }
        (files, late)
    }
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct ReadFile {
    pub(super) path: PathBuf,
    pub(super) names: BTreeSet<At>,
    pub(super) read: Read,
}
