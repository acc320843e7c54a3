//! From files to blobs: what a publisher does.

use std::{collections::BTreeMap, sync::Arc};

use super::{Digest, MAX_DEPTH, MAX_ENTRIES, PIECE, ReleaseError, tree};

/// The files of a site by their paths, with "/" between names: `lua/app.lua`.
pub type Files = BTreeMap<String, Arc<[u8]>>;

/// A release as it is kept: its root, and every blob by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The address of the directory of the site.
    pub root: Digest,
    /// All that it leads to.
    pub blobs: BTreeMap<Digest, Arc<[u8]>>,
}

enum Branch<'a> {
    Dir(BTreeMap<&'a str, Branch<'a>>),
    File(&'a Arc<[u8]>),
}

/// Writes files as a release; equal files have an equal root.
///
/// # Errors
/// A name that no server takes, too many files, too many bytes.
pub fn pack(files: &Files, max_size: u64) -> Result<Packed, ReleaseError> {
    let mut top = BTreeMap::new();
    let (mut size, mut entries) = (0, 0);
    for (path, bytes) in files {
        size += bytes.len() as u64;
        if size > max_size {
            return Err(ReleaseError::TooLarge { path: path.clone(), size, max: max_size });
        }
        plant(&mut top, path, bytes, &mut entries)?;
    }
    let mut blobs = BTreeMap::new();
    let root = write_dir("", &top, &mut blobs)?;
    Ok(Packed { root, blobs })
}

fn plant<'a>(
    top: &mut BTreeMap<&'a str, Branch<'a>>,
    path: &'a str,
    bytes: &'a Arc<[u8]>,
    entries: &mut usize,
) -> Result<(), ReleaseError> {
    let names: Vec<&str> = path.split('/').collect();
    if let Some(what) = names.iter().find_map(|name| tree::wrong_name(name)) {
        return Err(ReleaseError::Name { path: path.to_owned(), what });
    }
    if names.len() > MAX_DEPTH {
        return Err(ReleaseError::TooDeep { path: path.to_owned(), max: MAX_DEPTH });
    }
    let mut dir = top;
    let twice = || ReleaseError::Twice { path: path.to_owned() };
    for (at, name) in names.iter().enumerate() {
        let is_new = !dir.contains_key(name);
        *entries += usize::from(is_new);
        if *entries > MAX_ENTRIES {
            return Err(ReleaseError::TooMany { path: path.to_owned(), max: MAX_ENTRIES });
        }
        if at + 1 == names.len() {
            return if dir.insert(name, Branch::File(bytes)).is_none() { Ok(()) } else { Err(twice()) };
        }
        match dir.entry(name).or_insert_with(|| Branch::Dir(BTreeMap::new())) {
            Branch::Dir(inner) => dir = inner,
            Branch::File(_) => return Err(twice()),
        }
    }
    Ok(())
}

fn write_dir(
    path: &str,
    dir: &BTreeMap<&str, Branch<'_>>,
    blobs: &mut BTreeMap<Digest, Arc<[u8]>>,
) -> Result<Digest, ReleaseError> {
    let mut entries = Vec::new();
    for (name, branch) in dir {
        let node = match branch {
            Branch::Dir(inner) => tree::Node::Dir(write_dir(&tree::below(path, name), inner, blobs)?),
            Branch::File(bytes) => write_file(bytes, blobs),
        };
        entries.push((*name, node));
    }
    let list = tree::encode(entries);
    if list.len() > PIECE {
        return Err(ReleaseError::TooWide { path: path.to_owned() });
    }
    Ok(keep(list.into(), blobs))
}

fn write_file(bytes: &Arc<[u8]>, blobs: &mut BTreeMap<Digest, Arc<[u8]>>) -> tree::Node {
    let size = bytes.len() as u64;
    if bytes.len() <= PIECE {
        return tree::Node::File { content: keep(bytes.clone(), blobs), size };
    }
    let pieces: Vec<Digest> = bytes.chunks(PIECE).map(|piece| keep(piece.into(), blobs)).collect();
    tree::Node::Pieces { list: keep(tree::encode_pieces(pieces).into(), blobs), size }
}

fn keep(bytes: Arc<[u8]>, blobs: &mut BTreeMap<Digest, Arc<[u8]>>) -> Digest {
    let address = Digest::of(&bytes);
    blobs.entry(address).or_insert(bytes);
    address
}
