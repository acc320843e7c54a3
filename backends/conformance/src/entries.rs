//! What is at a path, as far as a view cares.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_128;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Dir,
    /// A regular file that can be read, by the hash of its content.
    File(u128),
}

impl Entry {
    pub(crate) fn file(content: &[u8]) -> Self {
        Self::File(xxh3_128(content))
    }
}

/// A tree, by path.
pub(crate) type Entries = BTreeMap<PathBuf, Entry>;

/// Everything at and below a path; what vanishes meanwhile, what is closed to us and what is neither
/// file nor directory is not there. Git's own directory is nobody's site.
pub(crate) fn entries_at(path: &Path) -> Entries {
    let mut entries = Entries::new();
    let mut todo = vec![path.to_owned()];
    while let Some(path) = todo.pop() {
        if path.file_name().is_some_and(|name| name == ".git") {
            continue;
        }
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
            entries.insert(path, Entry::Dir);
        } else if metadata.is_file()
            && let Ok(content) = fs::read(&path)
        {
            entries.insert(path, Entry::file(&content));
        }
    }
    entries
}
