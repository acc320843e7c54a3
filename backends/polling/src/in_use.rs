//! What is in use, by directories.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use hotloader_backend::DirSet;

/// Files by the directories they are in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct InUse(BTreeMap<Arc<Path>, Vec<CString>>);

impl InUse {
    /// Those of these files that are in one of these directories itself.
    pub(crate) fn within(files: &BTreeSet<PathBuf>, dirs: &DirSet) -> Self {
        let mut found: BTreeMap<Arc<Path>, Vec<CString>> = BTreeMap::new();
        for file in files {
            let (Some(dir), Some(name)) = (file.parent(), file.file_name()) else { continue };
            let dir = dirs.position(dir).and_then(|at| dirs.as_slice().get(at));
            if let (Some(dir), Ok(name)) = (dir, CString::new(name.as_bytes())) {
                found.entry(dir.clone()).or_default().push(name);
            }
        }
        Self(found)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn dirs(&self) -> impl Iterator<Item = (&Arc<Path>, &[CString])> {
        self.0.iter().map(|(dir, names)| (dir, names.as_slice()))
    }

    /// How many files there are.
    pub(crate) fn files(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// What a look at all of it asks: of each file, and of each directory.
    pub(crate) fn questions(&self) -> u32 {
        u32::try_from(self.files() + self.0.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_a_planned_directory_itself_is_looked_at() {
        let dirs: DirSet = ["/a", "/a/b"].map(PathBuf::from).into_iter().collect();
        let files = ["/a/x", "/a/b/y", "/a/b/z", "/a/c/x", "/", "/elsewhere/x"].map(PathBuf::from).into();
        let in_use = InUse::within(&files, &dirs);
        let found: Vec<(&str, usize)> =
            in_use.dirs().map(|(dir, names)| (dir.to_str().unwrap(), names.len())).collect();
        assert_eq!(found, [("/a", 1), ("/a/b", 2)]);
        assert_eq!((in_use.files(), in_use.questions()), (3, 5));
    }
}
