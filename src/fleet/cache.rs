//! [`Cache`]: what a server keeps of releases, so that it starts without the depot and fetches nothing twice.
//!
//! ```text
//! state.json     what must not be forgotten: the newest generation seen, the release that runs, what was refused
//! tag            what tells the server from others
//! blobs/ab/cd…   by address; checked whenever they are read, which those of the release that runs are once
//! trees/ROOT/    html/ of a release; files that are the same in two of them are links to one
//! current        a link to one of them: browsers get their files through it, so all of them change at once
//! lock           one server uses it
//! ```

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;
use thiserror::Error;

use super::{
    Digest, Memory, PIECE, Unpacked,
    kept::{Sweep, Waste},
};

/// What browsers load by address.
const HTML: &str = "html/";

/// What a server keeps of releases.
#[derive(Debug)]
pub struct Cache {
    /// Absolute.
    dir: PathBuf,
    /// Held as long as this lives.
    _lock: File,
}

/// Why it cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CacheError {
    /// Another server has it.
    #[error("{}: another server uses this cache; give each one its own (fleet.cache)", .0.display())]
    Taken(PathBuf),
    /// It is not what was written.
    #[error(
        "{path}: damaged ({why}); put back a copy, or delete it: the server then believes whatever generation it is \
         shown first (fleet.cache)",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No room.
    #[error("{}: the disk is full; free some space, or move fleet.cache to another", .0.display())]
    Full(PathBuf),
    /// It cannot be read or written.
    #[error("{}: cannot be used by the user that the server runs as: {source} (fleet.cache)", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn failed(path: &Path) -> impl Fn(io::Error) -> CacheError {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CacheError::Full(path.to_owned()),
        _ => CacheError::Io { path: path.to_owned(), source },
    }
}

impl Cache {
    /// The cache in a directory, which is made.
    ///
    /// # Errors
    /// If another server uses it, or it cannot be written.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let dir = dir.canonicalize().map_err(failed(dir))?;
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(failed(&path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| CacheError::Taken(dir.clone()))?;
        Ok(Self { dir, _lock: lock })
    }

    /// What was not to be forgotten.
    ///
    /// # Errors
    /// If it is damaged: a server that has forgotten what it has seen could be turned back.
    pub fn memory(&self) -> Result<Memory, CacheError> {
        let path = self.dir.join("state.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| CacheError::Damaged { path, why: error.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Memory::default()),
            Err(error) => Err(failed(&path)(error)),
        }
    }

    /// Writes down what must not be forgotten. It is on the disk when this returns.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn remember(&self, memory: &Memory) -> Result<(), CacheError> {
        let path = self.dir.join("state.json");
        self.write(&path, &serde_json::to_vec_pretty(memory).unwrap_or_default(), true)
    }

    /// Four digits that tell the server from others: the same ones whenever it starts.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn tag(&self) -> Result<String, CacheError> {
        let path = self.dir.join("tag");
        let is_tag = |text: &String| text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(tag) = fs::read_to_string(&path).ok().filter(is_tag) {
            return Ok(tag);
        }
        let mut random = [0; 2];
        getrandom::fill(&mut random).map_err(|error| failed(&path)(io::Error::other(error)))?;
        let tag = format!("{:04x}", u16::from_le_bytes(random));
        self.write(&path, tag.as_bytes(), true)?;
        Ok(tag)
    }

    fn blob(&self, address: Digest) -> PathBuf {
        let digits = address.to_string();
        let (first, rest) = digits.split_at(2);
        self.dir.join("blobs").join(first).join(rest)
    }

    /// A blob that is there and is what its address says.
    pub fn get(&self, address: Digest) -> Option<Arc<[u8]>> {
        let path = self.blob(address);
        let is_plain =
            fs::symlink_metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= PIECE as u64);
        let bytes = is_plain.then(|| fs::read(&path).ok()).flatten()?;
        (Digest::of(&bytes) == address).then(|| bytes.into())
    }

    /// Keeps a blob that is what its address says.
    ///
    /// # Errors
    /// If the disk is full, or does not take it.
    pub fn put(&self, address: Digest, bytes: &[u8]) -> Result<(), CacheError> {
        self.write(&self.blob(address), bytes, false)
    }

    /// Writes the files that browsers load, beside those that they load now. Those without content in `release` are
    /// taken from [`current`](Self::current).
    ///
    /// # Errors
    /// If the disk is full, or does not take it.
    pub fn lay_out(&self, release: &Unpacked) -> Result<(), CacheError> {
        let tree = self.tree(release.root);
        let html = || release.listing.paths().filter(|path| path.starts_with(HTML));
        // It may have been written by a server that the machine has ended with.
        let is_whole = html().all(|path| {
            let there = release.files.get(path).zip(fs::read(tree.join(path)).ok());
            there.is_some_and(|(bytes, there)| bytes[..] == there[..])
        });
        if tree.is_dir() && is_whole {
            return Ok(());
        }
        let trees = self.dir.join("trees");
        fs::create_dir_all(&trees).map_err(failed(&trees))?;
        let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(&trees).map_err(failed(&trees))?;
        for path in html() {
            let place = fresh.path().join(path);
            let dir = place.parent().unwrap_or(fresh.path());
            fs::create_dir_all(dir).map_err(failed(dir))?;
            if let Some(bytes) = release.files.get(path) {
                fs::write(&place, bytes).map_err(failed(&place))?;
            } else {
                let same = self.current().join(path);
                // Not every file system has links.
                let linked = fs::hard_link(&same, &place).or_else(|_| fs::copy(&same, &place).map(drop));
                linked.map_err(failed(&same))?;
            }
        }
        if tree.is_dir() {
            fs::remove_dir_all(&tree).map_err(failed(&tree))?;
        }
        fs::rename(fresh.keep(), &tree).map_err(failed(&tree))
    }

    /// From now on browsers get the files of that release.
    ///
    /// # Errors
    /// If the link cannot be made.
    pub fn show(&self, root: Digest) -> Result<(), CacheError> {
        let (current, fresh) = (self.current(), self.dir.join(".current"));
        let _ = fs::remove_file(&fresh);
        symlink(Path::new("trees").join(root.to_string()), &fresh).map_err(failed(&fresh))?;
        fs::rename(&fresh, &current).map_err(failed(&current))
    }

    /// The directory that stands for the site: the same one for every release.
    pub fn current(&self) -> PathBuf {
        self.dir.join("current")
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn tree(&self, root: Digest) -> PathBuf {
        self.dir.join("trees").join(root.to_string())
    }

    /// Deletes what no release needs.
    pub(super) fn sweep(&self, sweep: &Sweep) {
        match sweep {
            Sweep::Only(waste) => {
                for root in &waste.trees {
                    let _ = fs::remove_dir_all(self.tree(*root));
                }
                for address in &waste.blobs {
                    let _ = fs::remove_file(self.blob(*address));
                }
            }
            Sweep::AllBut(needed) => self.delete_all_but(needed),
        }
    }

    fn delete_all_but(&self, Waste { blobs, trees }: &Waste) {
        for (name, path) in entries(&self.dir.join("trees")) {
            if !name.parse().is_ok_and(|root| trees.contains(&root)) {
                let _ = fs::remove_dir_all(path);
            }
        }
        for (first, dir) in entries(&self.dir.join("blobs")) {
            for (rest, path) in entries(&dir) {
                if !format!("{first}{rest}").parse().is_ok_and(|address| blobs.contains(&address)) {
                    let _ = fs::remove_file(path);
                }
            }
        }
    }

    fn write(&self, path: &Path, bytes: &[u8], is_precious: bool) -> Result<(), CacheError> {
        let dir = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let mut file = NamedTempFile::new_in(dir).map_err(failed(dir))?;
        file.write_all(bytes).map_err(failed(path))?;
        if is_precious {
            file.as_file().sync_all().map_err(failed(path))?;
        }
        file.persist(path).map_err(|error| failed(path)(error.error))?;
        Ok(())
    }
}

fn entries(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect()
}
