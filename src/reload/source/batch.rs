//! All files of two generations: edits across files, and who has to run again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Source,
    compare::{Edits, ReadLines, Strength},
};

/// What a change of files means for all of them.
#[derive(Debug, Default)]
pub struct BatchEdits {
    /// By the name of the file below the Lua directory; files in which nothing is edited are left out.
    pub files: BTreeMap<PathBuf, Arc<Edits>>,
    /// Files that were not saved and that copied something edited when they were loaded.
    pub ran_again: Vec<RanAgain>,
}

/// That a file has to run again, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RanAgain {
    /// The file.
    pub file: PathBuf,
    /// What it took, as a path in what the module exports; empty if the whole.
    pub took: String,
    /// The file of that module.
    pub of: PathBuf,
}

/// The versions of files that somebody runs.
pub type Versions = BTreeMap<PathBuf, Arc<Source>>;

/// By the name of a file, where it read what is not as it was.
pub type ReadBy = BTreeMap<PathBuf, ReadLines>;

impl BatchEdits {
    /// From what somebody runs to what is to be run. Files that were not there, or are no more, are no edits.
    ///
    /// Files in `appeared` were required before they existed: a file that requires one makes its values anew.
    /// What a file in `read` made of what it read, it makes anew, too.
    pub fn between(old: &Versions, new: &Versions, appeared: &BTreeSet<PathBuf>, read: &ReadBy) -> Self {
        let nothing = ReadLines::new();
        let mut this = Self::default();
        // An edit goes on from file to file, at most through all of them.
        for _ in 0..=new.len() {
            let mut grown = false;
            for (file, after) in new {
                let Some(before) = old.get(file) else { continue };
                let saved = !Arc::ptr_eq(before, after);
                let looked_for = |module: &str| candidates(module).iter().any(|file| appeared.contains(file));
                let concerned = saved
                    || !appeared.is_empty()
                    || read.contains_key(file)
                    || after.requires().iter().any(|module| this.edited(module, new));
                if !concerned {
                    continue;
                }
                let lines = read.get(file).unwrap_or(&nothing);
                let edits = Edits::beside(before, after, lines, &|module, keys, call| {
                    if looked_for(module) {
                        return Strength::Edited;
                    }
                    let Some(other) = find(module, new) else { return Strength::Kept };
                    let (Some(edits), Some(before), Some(after)) =
                        (this.files.get(other), old.get(other), new.get(other))
                    else {
                        return Strength::Kept;
                    };
                    edits.export(before, after, keys, call)
                });
                if !saved
                    && let Some((module, took)) = edits.taken().cloned()
                    && this.ran_again.iter().all(|known| known.file != *file)
                {
                    let of = find(&module, new).unwrap_or(Path::new(&module)).to_owned();
                    this.ran_again.push(RanAgain { file: file.clone(), took, of });
                }
                if !edits.is_empty() {
                    let known = this.files.get(file).map(|edits| edits.count());
                    grown |= known != Some(edits.count());
                    this.files.insert(file.clone(), Arc::new(edits));
                }
            }
            if !grown {
                break;
            }
        }
        this
    }

    fn edited(&self, module: &str, versions: &Versions) -> bool {
        find(module, versions).is_some_and(|file| self.files.contains_key(file))
    }
}

/// The file of a module.
fn find<'a>(module: &str, versions: &'a Versions) -> Option<&'a Path> {
    let known = |name: &PathBuf| versions.get_key_value(name).map(|(name, _)| name.as_path());
    candidates(module).iter().find_map(known)
}

fn candidates(module: &str) -> [PathBuf; 2] {
    let path = module.replace('.', "/");
    [format!("{path}.lua"), format!("{path}/init.lua")].map(PathBuf::from)
}
