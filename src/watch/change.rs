//! What the watch half hands to the reload half: a set of changes by content.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Which of the watched trees a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootId(pub &'static str);

/// A tree of logical names to follow.
#[derive(Debug, Clone)]
pub struct Root {
    /// What its changes are known by.
    pub id: RootId,
    /// Where it is; may itself be a link, or not exist yet.
    pub dir: PathBuf,
    /// Only files with this extension belong to it; `None`: all.
    pub extension: Option<&'static str>,
    /// Whether directories below it belong to it too.
    pub recursive: bool,
}

/// 128 bits of XXH3: identity of content, not a defence against forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(u128);

/// The bytes of a file as they were at one moment.
#[derive(Debug, Clone)]
pub struct Content {
    /// The bytes, shared by all who run them.
    pub bytes: Arc<[u8]>,
    /// Their identity.
    pub hash: ContentHash,
}

impl Content {
    /// Takes the bytes and computes their identity.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let hash = ContentHash(xxhash_rust::xxh3::xxh3_128(&bytes));
        Self { bytes, hash }
    }
}

/// One logical name that is not as it was.
#[derive(Debug, Clone)]
pub struct Change {
    /// The tree it is in.
    pub root: RootId,
    /// Its name below the root, links not resolved: `sub/x.lua`.
    pub name: PathBuf,
    /// The real file behind it (for a removed one, the file that was behind it).
    pub path: PathBuf,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a name.
#[derive(Debug, Clone)]
pub enum ChangeKind {
    /// It was not there before.
    Added(Content),
    /// Its content, or the real file behind it, is another.
    Modified(Content),
    /// It is gone.
    Removed,
}

impl Change {
    /// The new content, if there is any.
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            ChangeKind::Added(content) | ChangeKind::Modified(content) => Some(content),
            ChangeKind::Removed => None,
        }
    }
}

/// Everything that changed between two looks at the disk. Never empty, unless it is the first.
#[derive(Debug, Clone)]
pub struct ChangeSet {
    /// Ordered by root and name, each at most once.
    pub changes: Vec<Change>,
    /// True for the first one, which names everything there is.
    pub initial: bool,
    /// When and how long: for the log and the status page.
    pub timing: Timing,
}

/// Where the time of a change set went.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The first hint of it.
    pub first_hint: Instant,
    /// From the first hint to when it was quiet enough to look.
    pub settle: Duration,
    /// Looking: listing, reading and comparing.
    pub reconcile: Duration,
}

impl ChangeSet {
    /// The change of a name, if it changed.
    pub fn get(&self, root: RootId, name: &Path) -> Option<&Change> {
        self.changes.iter().find(|change| change.root == root && change.name == name)
    }
}
