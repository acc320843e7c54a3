//! The names of trees whose contents are told only when they change.
//!
//! There may be a hundred thousand of them, which nobody may want to see one by one: they are kept as they
//! were listed, by directory, and are put together for whoever asks.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    RootId,
    listing::{Listing, join},
    names::Node,
    tree::DirName,
};

/// The files that are there at the start.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    dirs: Vec<ListedDir>,
}

/// A file that is there at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// The tree it is in.
    pub root: RootId,
    /// Its name below the root, links not resolved: `sub/x.lua`.
    pub name: PathBuf,
    /// The real file behind it.
    pub path: PathBuf,
}

#[derive(Debug, Clone)]
pub(super) struct ListedDir {
    name: DirName,
    real: Arc<Path>,
    listing: Arc<Listing>,
    /// Which entries of the listing are files of ours.
    entries: Box<[u32]>,
    /// Those of them that are links, and where they lead.
    links: Box<[(u32, Arc<Path>)]>,
}

impl Listed {
    pub(super) fn new(dirs: Vec<ListedDir>) -> Self {
        Self { dirs }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.dirs.iter().map(|dir| dir.entries.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, directory by directory.
    pub fn iter(&self) -> impl Iterator<Item = ListedFile> {
        self.dirs.iter().flat_map(|dir| dir.entries.iter().map(|entry| dir.file(*entry)))
    }
}

impl ListedDir {
    pub(super) fn new(name: &DirName, node: &Node) -> Self {
        Self {
            name: name.clone(),
            real: node.real.clone(),
            listing: node.listing.clone(),
            entries: node.slots.iter().map(|slot| slot.entry).collect(),
            links: node.links.clone(),
        }
    }

    fn file(&self, entry: u32) -> ListedFile {
        let (root, dir) = &self.name;
        let name = self.listing.name(entry);
        let link = self.links.binary_search_by_key(&entry, |(link, _)| *link).ok();
        let real = link.and_then(|at| self.links.get(at)).map(|(_, real)| real.to_path_buf());
        ListedFile {
            root: *root,
            name: join(dir, name),
            path: real.unwrap_or_else(|| join(&self.real, name)),
        }
    }
}
