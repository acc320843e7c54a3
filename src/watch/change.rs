//! What the watch half hands to the reload half: a set of changes by content.

use std::{
    ffi::OsStr,
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
    /// Only files with one of these extensions belong to it; none named: all files.
    pub extensions: &'static [&'static str],
    /// Whether directories below it belong to it too.
    pub recursive: bool,
    /// Files with more bytes are not read.
    pub max_file: usize,
    /// It may be missing without a word.
    pub optional: bool,
}

impl Root {
    /// What a server has for `lua.max_file` by default.
    pub const MAX_FILE: usize = 8 << 20;

    /// Whether a file of that name belongs to it.
    pub(crate) fn wants(&self, name: &OsStr) -> bool {
        let is_one = |extension: &OsStr| self.extensions.iter().any(|wanted| extension == *wanted);
        self.extensions.is_empty() || Path::new(name).extension().is_some_and(is_one)
    }
}

/// 128 bits of XXH3: identity of content, not a defence against forgery.
// Two halves, as a u128 would be aligned to 16 bytes in each of a hundred thousand places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 16]);

impl ContentHash {
    /// Its 128 bits.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn of(bytes: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(bytes).to_be_bytes())
    }

    /// Stands where there is no content yet.
    pub(crate) const NONE: Self = Self([0; 16]);
}

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
        let hash = ContentHash::of(&bytes);
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
    /// The real file behind it (for a removed one, the file that was behind it). When a link is led to a
    /// file of the same content, that is no change, and this stays as it was.
    pub path: PathBuf,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a name.
#[derive(Debug, Clone)]
pub enum ChangeKind {
    /// It was not there before.
    Added(Content),
    /// Its content is another. (Or it is the same in another real file, and the one it was in still has
    /// other names. Or it can be read again.)
    Modified(Content),
    /// It is there, and cannot be read, or not any more.
    Unreadable(Unreadable),
    /// It is gone.
    Removed,
}

impl Change {
    /// The content, if there is one.
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            ChangeKind::Added(content) | ChangeKind::Modified(content) => Some(content),
            ChangeKind::Unreadable(_) | ChangeKind::Removed => None,
        }
    }
}

/// Why a file that is there is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It has more bytes than [`Root::max_file`].
    TooLarge {
        /// So many.
        size: u64,
        /// The limit.
        limit: usize,
    },
    /// The system does not let us: its words.
    Failed(String),
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
