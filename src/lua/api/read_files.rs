//! [`ReadFiles`]: which files modules read while they ran. When one of them is saved, the module runs again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use crate::{
    reload::{Generation, source::ReadLines},
    watch::ContentHash,
};

/// The files that a module read while it ran, by name: what was in them (`None`: nothing that could be read), and
/// on which lines of the module.
type Reads = BTreeMap<PathBuf, (Option<ContentHash>, BTreeSet<u32>)>;

/// By the real path of the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadFiles(HashMap<PathBuf, Reads>);

impl ReadFiles {
    pub(super) fn note(&mut self, module: PathBuf, file: &Path, hash: Option<ContentHash>, line: u32) {
        let reads = self.0.entry(module).or_default();
        let (_, lines) = reads.entry(file.to_owned()).or_insert_with(|| (hash, BTreeSet::new()));
        lines.insert(line);
    }

    /// The module runs anew, or has gone.
    pub(in crate::lua) fn forget(&mut self, module: &Path) {
        self.0.remove(module);
    }

    /// What a module that failed waits for, the one that required it does.
    pub(super) fn hand_over(&mut self, module: &Path, by: Option<PathBuf>) {
        if let (Some(reads), Some(by)) = (self.0.remove(module), by) {
            let wanted = self.0.entry(by).or_default();
            for (file, (hash, _)) in reads {
                wanted.entry(file).or_insert((hash, BTreeSet::new()));
            }
        }
    }

    /// Whether something that the module has read is another in that generation.
    pub(in crate::lua) fn differ(&self, module: &Path, newest: &Generation) -> bool {
        let is_another =
            |(file, (hash, _)): (&PathBuf, &(Option<ContentHash>, _))| newest.content_hash(file) != *hash;
        self.0.get(module).is_some_and(|reads| reads.iter().any(is_another))
    }

    /// The files that are others in that generation, as people know them.
    pub(in crate::lua) fn others<'a>(&'a self, newest: &'a Generation) -> BTreeSet<String> {
        let others = self.0.values().flatten().filter(|(file, (hash, _))| newest.content_hash(file) != *hash);
        others
            .map(|(file, _)| file.display().to_string())
            .filter(|file| newest.changed.contains(file))
            .collect()
    }

    /// On which lines the module has read what is another in that generation.
    pub(in crate::lua) fn lines(&self, module: &Path, newest: &Generation) -> ReadLines {
        let reads = self.0.get(module).into_iter().flatten();
        let others = reads.filter(|(file, (hash, _))| newest.content_hash(file) != *hash);
        let lines = |(file, (_, lines)): (&PathBuf, &(_, BTreeSet<u32>))| {
            lines.iter().map(|line| (*line, file.display().to_string())).collect::<Vec<_>>()
        };
        others.flat_map(lines).collect()
    }
}
