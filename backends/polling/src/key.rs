//! What is remembered of a directory entry, and what it means when that is different.

#[cfg(any(not(target_os = "linux"), portable))]
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, os::unix::fs::MetadataExt};
use std::{
    os::fd::BorrowedFd,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hotloader_disk::{Ask, Fingerprint, racy_for};
#[cfg(all(target_os = "linux", not(portable)))]
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::{
    ffi::CStr,
    fs::{FileType, readlinkat},
    io::Errno,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::contents::Contents;

/// How soon a directory whose age nobody knows may be another, with the same inode.
const UNKNOWN_AGE: Duration = Duration::from_secs(2);

const SECOND: i64 = 1_000_000_000;

/// The kind of a directory, without permissions.
const DIRECTORY: u32 = 0o040_000;

/// Neither follow a link nor mount anything.
#[cfg(all(target_os = "linux", not(portable)))]
const AS_IT_IS: AtFlags = AtFlags::SYMLINK_NOFOLLOW.union(AtFlags::NO_AUTOMOUNT);

/// What tells one state of an entry from another. Only ever compared for equality: times may go
/// backwards, and the clock that made them may be another machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// Kind and permissions.
    mode: u32,
    dev: u64,
    ino: u64,
    size: u64,
    /// In nanoseconds.
    mtime: i64,
    ctime: i64,
    /// Hash of where a link leads, or of what a file contains if that is looked at; otherwise 0.
    content: u64,
}

/// What is kept of a [`Key`]: in 100,000 entries, a third of its size counts. Two keys with one print would
/// be an edit unseen; with 128 bits that is less likely than a broken disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Print([u64; 2]);

impl Print {
    pub(crate) const UNANSWERED: Self = Self([0, 0]);
}

impl Key {
    pub(crate) fn print(&self) -> Print {
        let Self { mode, dev, ino, size, mtime, ctime, content } = *self;
        if *self == Self::UNANSWERED {
            return Print::UNANSWERED;
        }
        let mut bytes = [0; 52];
        let words = [dev, ino, size, mtime.cast_unsigned(), ctime.cast_unsigned(), content];
        for (into, word) in bytes.chunks_exact_mut(8).zip(words) {
            into.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[48..].copy_from_slice(&mode.to_ne_bytes());
        let hash = xxh3_128(&bytes);
        Print([hash as u64, (hash >> 64) as u64])
    }

    /// Of an entry that did not answer when it was first seen. No real one is like it.
    pub(crate) const UNANSWERED: Self =
        Self { mode: u32::MAX, dev: 0, ino: 0, size: 0, mtime: 0, ctime: 0, content: 0 };

    /// Of an entry that others know of better by now. No real one is like it either.
    pub(crate) const FORGOTTEN: Self = Self { mode: u32::MAX - 1, ..Self::UNANSWERED };

    /// Of a directory on which something is mounted. It is not asked for: that file system may hang.
    const MOUNT_POINT: Self = Self { mode: DIRECTORY, ..Self::UNANSWERED };

    /// Asks the file system, or the kernel for it, without following a link. `dir` is what `path` leads to, `kind` what the listing
    /// said the entry is.
    pub(crate) fn of(
        dir: BorrowedFd<'_>,
        path: &Path,
        name: &CStr,
        kind: FileType,
        is_mount_point: bool,
        ask: Ask,
        contents: Option<&mut Contents>,
    ) -> Result<Self, Errno> {
        if is_mount_point && matches!(kind, FileType::Directory | FileType::Unknown) {
            return Ok(Self::MOUNT_POINT);
        }
        if kind == FileType::Directory {
            return Self::of_directory(dir, path, name, ask);
        }
        let found = Fingerprint::of_entry(dir, name, ask)?;
        let mut key = Self::from(found);
        match (found.file_type(), contents) {
            (FileType::Directory, _) => return Self::of_directory(dir, path, name, ask),
            (FileType::Symlink, _) => key.content = xxh3_64(readlinkat(dir, name, Vec::new())?.as_bytes()),
            (FileType::RegularFile, Some(contents)) => {
                key.content = match contents.hash(dir, name) {
                    // That it is not for us to read is in its mode.
                    Err(Errno::ACCESS | Errno::PERM) => 0,
                    content => content?,
                };
            }
            _ => {}
        }
        Ok(key)
    }

    /// Which directory it is, and no more: what is in it, and who may look, shows when it is looked into
    /// itself. Inodes are used again at once, so the time that it was made is needed to tell.
    #[cfg(all(target_os = "linux", not(portable)))]
    fn of_directory(dir: BorrowedFd<'_>, _: &Path, name: &CStr, ask: Ask) -> Result<Self, Errno> {
        let how = if ask == Ask::Server { AS_IT_IS | AtFlags::STATX_FORCE_SYNC } else { AS_IT_IS };
        let stat = statx(dir, name, how, StatxFlags::TYPE | StatxFlags::INO | StatxFlags::BTIME)?;
        if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::Directory {
            // It has just been replaced.
            return Ok(Self::FORGOTTEN);
        }
        let has_birth = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
        let born =
            if has_birth { nanoseconds(stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec.into()) } else { 0 };
        let dev = u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor);
        Ok(Self { mode: DIRECTORY, dev, ino: stat.stx_ino, mtime: born, ctime: born, ..Self::UNANSWERED })
    }

    #[cfg(any(not(target_os = "linux"), portable))]
    fn of_directory(_: BorrowedFd<'_>, path: &Path, name: &CStr, _: Ask) -> Result<Self, Errno> {
        let entry = fs::symlink_metadata(path.join(OsStr::from_bytes(name.to_bytes())));
        let entry = entry.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        if !entry.is_dir() {
            return Ok(Self::FORGOTTEN);
        }
        let born = entry.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born = born.map_or(0, |born| i64::try_from(born.as_nanos()).unwrap_or(0));
        let (dev, ino) = (entry.dev(), entry.ino());
        Ok(Self { mode: DIRECTORY, dev, ino, mtime: born, ctime: born, ..Self::UNANSWERED })
    }

    /// For how long after it was first seen another write could leave the very same key.
    pub(crate) fn racy_for(&self) -> Duration {
        if self.is_timeless() {
            if self.mode == DIRECTORY { UNKNOWN_AGE } else { Duration::ZERO }
        } else {
            racy_for((self.mtime, self.ctime))
        }
    }

    /// Whether it was changed so shortly before `now`, or after it, that the same may hold for a write
    /// after it was first seen.
    pub(crate) fn is_young(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let since = now.saturating_sub(i64::try_from(self.racy_for().as_nanos()).unwrap_or(SECOND));
        !self.is_timeless() && self.mtime.max(self.ctime) >= since
    }

    fn is_timeless(&self) -> bool {
        (self.mtime, self.ctime) == (0, 0)
    }

    #[cfg(test)]
    pub(crate) fn for_test(mode: u32, content: u64) -> Self {
        Self { mode, dev: 1, ino: 2, size: 3, mtime: 4 * SECOND + 1, ctime: 5 * SECOND + 1, content }
    }
}

#[cfg(all(target_os = "linux", not(portable)))]
fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.wrapping_mul(SECOND).wrapping_add(rest)
}

/// What tells one directory from another in its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    dev: u64,
    ino: u64,
    /// Who may look into it is a part of it: others may not have been able to until now.
    mode: u32,
}

impl From<Fingerprint> for Key {
    fn from(found: Fingerprint) -> Self {
        let Fingerprint { dev, ino, size, mtime, ctime, mode, .. } = found;
        Self { mode, dev, ino, size, mtime, ctime, content: 0 }
    }
}

impl From<Fingerprint> for Identity {
    fn from(found: Fingerprint) -> Self {
        let Fingerprint { dev, ino, mode, .. } = found;
        Self { dev, ino, mode }
    }
}

/// What an error says about the place it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Nothing is there, or something else is.
    Gone,
    /// Nobody can say. A server may be away, or we may not be let in: no sign of anything deleted.
    Unknown,
}

impl From<Errno> for Absence {
    fn from(errno: Errno) -> Self {
        match errno {
            // LOOP is how some systems put it that a link stands where a directory was.
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => Self::Gone,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_key_tells_two_states_apart() {
        let base = Key::for_test(0o100_644, 0);
        let others = [
            Key { mode: 0o100_600, ..base },
            Key { dev: 9, ..base },
            Key { ino: 9, ..base },
            Key { size: 9, ..base },
            Key { mtime: 1, ..base },
            Key { ctime: 1, ..base },
            Key { content: 9, ..base },
        ];
        for other in others {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn only_what_is_not_there_is_gone() {
        for errno in [Errno::NOENT, Errno::NOTDIR] {
            assert_eq!(Absence::from(errno), Absence::Gone);
        }
        for errno in [
            Errno::STALE,
            Errno::IO,
            Errno::NOTCONN,
            Errno::ACCESS,
            Errno::PERM,
            Errno::TIMEDOUT,
            Errno::MFILE,
            Errno::HOSTDOWN,
        ] {
            assert_eq!(Absence::from(errno), Absence::Unknown, "{errno}");
        }
    }

    #[test]
    fn what_changed_within_a_tick_is_young_and_so_is_the_future() {
        let base = Key::for_test(0o100_644, 0);
        let at = |nanoseconds: i64| UNIX_EPOCH + Duration::from_nanos(nanoseconds as u64);
        assert!(base.is_young(at(base.ctime)));
        assert!(base.is_young(at(base.ctime + 19_000_000)));
        assert!(!base.is_young(at(base.ctime + 21_000_000)));
        assert!(base.is_young(at(1)), "a clock of another machine");
    }
}
