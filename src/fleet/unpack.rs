//! From blobs to files: what a server does with what others have sent it. Nothing is believed: each blob is checked
//! against its address, and what a directory says is bounded before more is asked for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{Digest, Files, Listing, MAX_DEPTH, MAX_ENTRIES, PIECE, ReleaseError, listing::Listed, tree};

/// What a blob is needed for.
#[derive(Debug, Clone)]
enum Use {
    Dir { path: String, depth: usize },
    File { path: String, size: u64 },
    List { path: String, size: u64 },
    Piece { path: String, size: u64 },
}

/// A release on its way in. It says which blobs it [`needs`](Self::needs), [`take`](Self::take)s them in any order,
/// and then is [`done`](Self::done).
#[derive(Debug)]
pub struct Unpacking {
    root: Digest,
    max_size: u64,
    size: u64,
    entries: usize,
    needed: BTreeMap<Digest, Vec<Use>>,
    have: HashMap<Digest, Arc<[u8]>>,
    listing: Listing,
    /// The release that is here already.
    before: Arc<Listing>,
}

impl Unpacking {
    /// Begins with the root; `max_size` is how many bytes all files may have together.
    pub fn new(root: Digest, max_size: u64) -> Self {
        let first = Use::Dir { path: String::new(), depth: 0 };
        let needed = BTreeMap::from([(root, vec![first])]);
        Self {
            root,
            max_size,
            size: 0,
            entries: 0,
            needed,
            have: HashMap::new(),
            listing: Listing::default(),
            before: Arc::default(),
        }
    }

    /// Needs no content of files that are the same in a release that is here, and was checked.
    #[must_use]
    pub fn after(self, before: Arc<Listing>) -> Self {
        Self { before, ..self }
    }

    /// Addresses of blobs that are needed and were not taken yet, at most so many.
    pub fn needs(&self, most: usize) -> Vec<Digest> {
        self.needed.keys().take(most).copied().collect()
    }

    /// Takes a blob. Takes nothing of one that is not needed.
    ///
    /// # Errors
    /// If it is not what its address says, or what is in it is not taken.
    pub fn take(&mut self, address: Digest, bytes: Arc<[u8]>) -> Result<(), ReleaseError> {
        let Some(uses) = self.needed.get(&address) else { return Ok(()) };
        let found = Digest::of(&bytes);
        if found != address {
            let path = uses.first().map(|one| one.path().to_owned()).unwrap_or_default();
            return Err(ReleaseError::Address { path, expected: address, found });
        }
        self.take_checked(address, bytes)
    }

    /// Takes a blob that is known to be what its address says.
    pub(super) fn take_checked(&mut self, address: Digest, bytes: Arc<[u8]>) -> Result<(), ReleaseError> {
        let mut uses: Vec<(Digest, Use)> =
            self.needed.remove(&address).unwrap_or_default().into_iter().map(|one| (address, one)).collect();
        if uses.is_empty() {
            return Ok(());
        }
        self.have.insert(address, bytes);
        while let Some((address, one)) = uses.pop() {
            let Some(bytes) = self.have.get(&address).cloned() else {
                self.needed.entry(address).or_default().push(one);
                continue;
            };
            self.follow(address, one, &bytes, &mut uses)?;
        }
        Ok(())
    }

    fn follow(
        &mut self,
        address: Digest,
        one: Use,
        bytes: &[u8],
        more: &mut Vec<(Digest, Use)>,
    ) -> Result<(), ReleaseError> {
        match one {
            Use::Dir { path, .. } | Use::List { path, .. } if bytes.len() > PIECE => {
                Err(ReleaseError::Malformed { path, what: "its list has more than 900 KiB" })
            }
            Use::Dir { path, depth } => self.follow_dir(&path, depth, bytes, more),
            Use::File { path, size } => {
                check_size(&path, size, bytes)?;
                let node = tree::Node::File { content: address, size };
                self.listing.insert(path, Listed { node, pieces: Vec::new() });
                Ok(())
            }
            Use::Piece { path, size } => check_size(&path, size, bytes),
            Use::List { path, size } => {
                let pieces = tree::decode_pieces(&path, size, bytes)?;
                let needed =
                    |&(piece, size): &(Digest, u64)| (piece, Use::Piece { path: path.clone(), size });
                more.extend(pieces.iter().map(needed));
                let node = tree::Node::Pieces { list: address, size };
                let pieces = pieces.into_iter().map(|(piece, _)| piece).collect();
                self.listing.insert(path, Listed { node, pieces });
                Ok(())
            }
        }
    }

    fn follow_dir(
        &mut self,
        dir: &str,
        depth: usize,
        bytes: &[u8],
        more: &mut Vec<(Digest, Use)>,
    ) -> Result<(), ReleaseError> {
        for (name, node) in tree::decode(dir, bytes)? {
            let path = tree::below(dir, &name);
            // An entry of a directory at the last level would be beyond it.
            if depth >= MAX_DEPTH {
                return Err(ReleaseError::TooDeep { path, max: MAX_DEPTH });
            }
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(ReleaseError::TooMany { path, max: MAX_ENTRIES });
            }
            if let tree::Node::File { size, .. } | tree::Node::Pieces { size, .. } = node {
                self.add(&path, size)?;
            }
            if let Some(same) = self.before.get(&path).filter(|before| before.node == node) {
                self.listing.insert(path, same.clone());
                continue;
            }
            let (address, one) = match node {
                tree::Node::Dir(list) => (list, Use::Dir { path, depth: depth + 1 }),
                tree::Node::File { content, size } => (content, Use::File { path, size }),
                tree::Node::Pieces { list, size } => (list, Use::List { path, size }),
            };
            more.push((address, one));
        }
        Ok(())
    }

    /// Counts a file by what its directory says, before it is fetched.
    fn add(&mut self, path: &str, size: u64) -> Result<(), ReleaseError> {
        self.size = self.size.saturating_add(size);
        if self.size > self.max_size {
            return Err(ReleaseError::TooLarge {
                path: path.to_owned(),
                size: self.size,
                max: self.max_size,
            });
        }
        Ok(())
    }

    /// What was taken, once nothing more is needed; before, `None`.
    pub fn done(self) -> Option<Unpacked> {
        if !self.needed.is_empty() {
            return None;
        }
        let mut files = Files::new();
        let mut blobs: BTreeSet<Digest> = self.have.keys().copied().collect();
        for (path, listed) in self.listing.iter() {
            if self.before.get(path) == Some(listed) {
                blobs.extend(listed.addresses());
                continue;
            }
            let bytes = match listed.node {
                tree::Node::Pieces { .. } => {
                    let mut whole = Vec::new();
                    for piece in &listed.pieces {
                        whole.extend_from_slice(self.have.get(piece)?);
                    }
                    whole.into()
                }
                tree::Node::File { content: address, .. } | tree::Node::Dir(address) => {
                    self.have.get(&address)?.clone()
                }
            };
            files.insert(path.to_owned(), bytes);
        }
        Some(Unpacked { root: self.root, listing: self.listing, files, blobs })
    }
}

/// A release that is whole, and every blob of it what its address says.
#[derive(Debug)]
pub struct Unpacked {
    /// Its root.
    pub root: Digest,
    /// All of its files.
    pub listing: Listing,
    /// The content of those that are not the same in the release that was here before.
    pub files: Files,
    /// The addresses of all it is made of.
    pub blobs: BTreeSet<Digest>,
}

impl Use {
    fn path(&self) -> &str {
        match self {
            Self::Dir { path, .. } | Self::File { path, .. } | Self::List { path, .. } => path,
            Self::Piece { path, .. } => path,
        }
    }
}

fn check_size(path: &str, says: u64, bytes: &[u8]) -> Result<(), ReleaseError> {
    let is = bytes.len() as u64;
    if is == says { Ok(()) } else { Err(ReleaseError::Size { path: path.to_owned(), is, says }) }
}
