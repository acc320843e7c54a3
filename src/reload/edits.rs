//! What was edited between the versions that a session runs and a generation. Sessions that run the same
//! versions share the comparison.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use xxhash_rust::xxh3::Xxh3Default;

use super::{
    Generation, SourceFile,
    source::{BatchEdits, ReadBy, Versions},
};

/// How many starting points are remembered. Most sessions have the same one; those that missed a save, or
/// began later, have others.
const REMEMBERED: usize = 64;

/// The comparisons of a generation that were asked for. A session that asks while another compares waits:
/// comparing again would take as long.
#[derive(Debug, Default)]
pub struct EditsFrom(Mutex<Vec<(u128, Arc<BatchEdits>)>>);

impl Generation {
    /// What was edited in this generation for a session that runs these versions, by name below the Lua
    /// directory, that tried to load files which have appeared since, and that read others which are not as they
    /// were.
    pub fn edits_from(
        &self,
        running: &BTreeMap<&Path, &Arc<SourceFile>>,
        appeared: &BTreeSet<PathBuf>,
        read: &ReadBy,
    ) -> Arc<BatchEdits> {
        let mut hash = Xxh3Default::new();
        for (name, source) in running {
            hash.update(name.as_os_str().as_bytes());
            hash.update(source.hash.as_bytes());
        }
        for name in appeared {
            hash.update(name.as_os_str().as_bytes());
        }
        for (name, lines) in read {
            hash.update(name.as_os_str().as_bytes());
            lines.keys().for_each(|line| hash.update(&line.to_le_bytes()));
        }
        let key = hash.digest128();
        let mut known = self.edits.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, edits)) = known.iter().find(|(other, _)| *other == key) {
            return edits.clone();
        }
        let old: Versions =
            running.iter().map(|(name, file)| (name.to_path_buf(), file.says.clone())).collect();
        let new: Versions = running
            .keys()
            .filter_map(|name| Some((name.to_path_buf(), self.file(name)?.says.clone())))
            .collect();
        let edits = Arc::new(BatchEdits::between(&old, &new, appeared, read));
        if known.len() == REMEMBERED {
            known.remove(0);
        }
        known.push((key, edits.clone()));
        edits
    }
}
