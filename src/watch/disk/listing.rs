//! What is in a real directory, in as little memory as it takes.

use std::{
    cmp::Ordering,
    ffi::OsStr,
    fs::FileType,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use hotloader_disk::{Fingerprint, Magic, each_entry};
use rustix::{
    fd::AsFd,
    fs::{AtFlags, Mode, OFlags, fstat, lstat, open, statat},
    io::Errno,
};

use super::links::Identity;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Dir,
    Link,
    Other,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        if kind.is_symlink() {
            Self::Link
        } else if kind.is_dir() {
            Self::Dir
        } else if kind.is_file() {
            Self::File
        } else {
            Self::Other
        }
    }
}

impl From<rustix::fs::FileType> for Kind {
    fn from(kind: rustix::fs::FileType) -> Self {
        match kind {
            rustix::fs::FileType::Symlink => Self::Link,
            rustix::fs::FileType::Directory => Self::Dir,
            rustix::fs::FileType::RegularFile => Self::File,
            _ => Self::Other,
        }
    }
}

/// The entries of a real directory, ordered by the bytes of their names: eight bytes each, and the name.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) identity: Identity,
    /// Whether a call into it may not return, since it waits for another machine or program.
    pub(crate) may_hang: bool,
    /// The directory itself, if that tells whether anything in it came or went since.
    stamp: Option<(i64, i64)>,
    names: Box<[u8]>,
    entries: Box<[Entry]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// Where its name ends; it begins where the one before ends.
    end: u32,
    kind: Kind,
}

impl Listing {
    /// Lists a directory. What vanishes meanwhile is not in it.
    pub(crate) fn read(dir: &Path) -> io::Result<Self> {
        Self::read_with(dir, &mut FileSystemMemo::default())
    }

    /// Lists one of many directories.
    pub(crate) fn read_with(dir: &Path, memo: &mut FileSystemMemo) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = open(dir, flags, Mode::empty()).map_err(|errno| match errno {
            // A link took its place.
            Errno::LOOP => io::Error::from(Errno::NOTDIR),
            errno => io::Error::from(errno),
        })?;
        let key = Fingerprint::of(&fstat(&fd)?);
        // Elsewhere a directory may change behind its time stamps, or they come from a cache.
        let kind = memo.kind(&fd, key.identity());
        let stamp = (kind.is_local() && key.is_old(SystemTime::now())).then_some(key.times());
        // In the order of the disk, each name where it begins and ends.
        // With room for what nearly all directories have, as growing takes longer than reading.
        let (mut bytes, mut found) = (Vec::with_capacity(512), Vec::with_capacity(32));
        each_entry(&fd, |name, kind| {
            let kind = match kind {
                rustix::fs::FileType::Unknown => match statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => rustix::fs::FileType::from_raw_mode(stat.st_mode).into(),
                    Err(Errno::NOENT) => return Ok(()),
                    Err(errno) => return Err(errno),
                },
                kind => Kind::from(kind),
            };
            let start = bytes.len();
            bytes.extend_from_slice(name.to_bytes());
            found.push((start..bytes.len(), kind));
            Ok(())
        })?;
        found.sort_unstable_by(|(a, _), (b, _)| bytes[a.clone()].cmp(&bytes[b.clone()]));
        let mut names = Vec::with_capacity(bytes.len());
        let mut entries = Vec::with_capacity(found.len());
        for (name, kind) in found {
            names.extend_from_slice(&bytes[name]);
            let end = u32::try_from(names.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
            entries.push(Entry { end, kind });
        }
        Ok(Self {
            identity: key.identity(),
            may_hang: kind.may_hang(),
            stamp,
            names: names.into(),
            entries: entries.into(),
        })
    }

    /// Whether nothing can have come or gone in the directory since it was listed. False if that is not
    /// known.
    pub(crate) fn is_current(&self, dir: &Path) -> bool {
        self.stamp.is_some_and(|stamp| {
            lstat(dir).is_ok_and(|now| {
                let now = Fingerprint::of(&now);
                now.times() == stamp && now.identity() == self.identity
            })
        })
    }

    pub(crate) fn name(&self, entry: u32) -> &OsStr {
        let end = |entry: u32| self.entries.get(entry as usize).map_or(0, |entry| entry.end as usize);
        let begin = if entry == 0 { 0 } else { end(entry - 1) };
        OsStr::from_bytes(self.names.get(begin..end(entry)).unwrap_or_default())
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &OsStr, Kind)> {
        (0..).zip(&self.entries).map(|(entry, what)| (entry, self.name(entry), what.kind))
    }

    pub(crate) fn find(&self, name: &OsStr) -> Option<(u32, Kind)> {
        let (mut low, mut high) = (0, self.entries.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.name(middle).as_bytes().cmp(name.as_bytes()) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some((middle, self.entries.get(middle as usize)?.kind)),
            }
        }
        None
    }

    /// Whether the two have the same in them.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity && self.names == other.names && self.entries == other.entries
    }

    /// Whether the two differ in files only: then nothing leads elsewhere.
    pub(crate) fn differs_in_files_only(&self, other: &Self) -> bool {
        let not_files = |listing| Self::iter(listing).filter(|(_, _, kind)| *kind != Kind::File);
        self.identity == other.identity
            && not_files(self)
                .map(|(_, name, kind)| (name, kind))
                .eq(not_files(other).map(|(_, name, kind)| (name, kind)))
    }

    /// The names that only one of the two has, or has as something else.
    pub(crate) fn difference<'a>(&'a self, other: &'a Self) -> Vec<&'a OsStr> {
        let mine =
            self.iter().filter(|(_, name, kind)| other.find(name).map(|(_, kind)| kind) != Some(*kind));
        let theirs = other.iter().filter(|(_, name, _)| self.find(name).is_none());
        mine.chain(theirs).map(|(_, name, _)| name).collect()
    }
}

/// `dir.join(name)`, in one allocation instead of two.
pub(crate) fn join(dir: &Path, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::with_capacity(dir.as_os_str().len() + 1 + name.len());
    path.push(dir);
    path.push(name);
    path
}

/// As paths are ordered that are written in one way, and several times faster.
pub(crate) fn by_components(a: &Path, b: &Path) -> Ordering {
    let (a, b) = (a.as_os_str().as_bytes(), b.as_os_str().as_bytes());
    let slash_first = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(slash_first).cmp(b.iter().map(slash_first))
}

/// The kind of the file system that was asked last: of many directories in a row nearly all are on one. Not
/// kept for longer, as another one may be mounted under the same number later.
#[derive(Debug, Default)]
pub(crate) struct FileSystemMemo(Option<(u64, Magic)>);

impl FileSystemMemo {
    fn kind(&mut self, fd: impl AsFd, (device, _): Identity) -> Magic {
        match self.0 {
            Some((known, kind)) if known == device => kind,
            _ => self.0.insert((device, Magic::of(fd))).1,
        }
    }
}

/// Whether a file lies where its attributes and its content always agree.
pub(crate) fn is_on_local_file_system(path: &Path) -> bool {
    open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
        .is_ok_and(|file| Magic::of(file).is_local())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn entries_are_found_by_name_whatever_bytes_it_has() {
        let keep = tempfile::tempdir().unwrap();
        let names: [&[u8]; 6] = [b"\xff", b"a", b"a\nb", b"aa", b"dir", b"link"];
        for name in &names[..4] {
            fs::write(keep.path().join(OsStr::from_bytes(name)), "").unwrap();
        }
        fs::create_dir(keep.path().join("dir")).unwrap();
        symlink("nowhere", keep.path().join("link")).unwrap();
        let listing = Listing::read(keep.path()).unwrap();
        assert_eq!(listing.iter().count(), 6);
        for name in names {
            let (entry, kind) = listing.find(OsStr::from_bytes(name)).unwrap();
            assert_eq!(listing.name(entry).as_bytes(), name);
            let is = match name {
                b"dir" => Kind::Dir,
                b"link" => Kind::Link,
                _ => Kind::File,
            };
            assert_eq!(kind, is);
        }
        for name in ["", "b", "ab", "z"] {
            assert!(listing.find(OsStr::new(name)).is_none());
        }
    }

    #[test]
    fn a_directory_that_was_just_changed_is_not_taken_for_unchanged() {
        let keep = tempfile::tempdir().unwrap();
        assert!(!Listing::read(keep.path()).unwrap().is_current(keep.path()));
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_no_directory() {
        let keep = tempfile::tempdir().unwrap();
        symlink(".", keep.path().join("link")).unwrap();
        let error = Listing::read(&keep.path().join("link")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
