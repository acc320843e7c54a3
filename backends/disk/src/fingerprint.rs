//! What of a file one system call tells, to compare with later.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::{FileType, RawMode, Stat, lstat};

/// Two writes this close may leave the same time stamp on a file system that counts nanoseconds: they
/// are taken from a clock that ticks with the kernel's timer.
const TICK: Duration = Duration::from_millis(20);

/// The same where the stamps are whole seconds (or even ones, on FAT): ext2, sftp.
const WHOLE_SECONDS: Duration = Duration::from_secs(2);

/// What was not touched for so long was not written within the tick in which it is looked at.
const OLD: Duration = Duration::from_secs(4);

const SECOND: i64 = 1_000_000_000;

/// What in a mode says the kind, and that of a file. The same on every system.
const KIND: u32 = 0o170_000;
const REGULAR_FILE: u32 = 0o100_000;

/// What tells one state of a file from another. Only ever compared for equality: times may go backwards, and
/// the clock that made them may be another machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// The number of the file system.
    pub dev: u64,
    /// The number of the file on it.
    pub ino: u64,
    /// In bytes.
    pub size: u64,
    /// When the content changed last, in nanoseconds since 1970.
    pub mtime: i64,
    /// When anything of it did.
    pub ctime: i64,
    /// How many names it has.
    pub links: u32,
    /// Kind and permissions.
    pub mode: u32,
}

impl Fingerprint {
    /// Of what stat(2) said.
    #[allow(clippy::unnecessary_cast, reason = "the fields have other types on other systems")]
    pub fn of(stat: &Stat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.wrapping_mul(SECOND).wrapping_add(rest);
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            mode: stat.st_mode as u32,
        }
    }

    /// Of what is at a path, links not followed.
    ///
    /// # Errors
    ///
    /// When it cannot be seen.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&lstat(path)?))
    }

    /// Device and inode.
    pub fn identity(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    /// When the content changed last, and when anything of it did.
    pub fn times(&self) -> (i64, i64) {
        (self.mtime, self.ctime)
    }

    /// What kind of file it is.
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_possible_truncation,
        reason = "a mode has 16 bits on other systems"
    )]
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode as RawMode)
    }

    /// Whether the same file has other names, which may be anywhere.
    pub fn is_hard_linked(&self) -> bool {
        self.links > 1 && self.mode & KIND == REGULAR_FILE
    }

    /// For how long after it was first seen another write could leave the very same fingerprint.
    pub fn racy_for(&self) -> Duration {
        racy_for(self.times())
    }

    /// How long ago anything of it changed; nothing where the clocks do not agree.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let changed = Duration::from_nanos(u64::try_from(self.mtime.max(self.ctime)).ok()?);
        now.duration_since(UNIX_EPOCH + changed).ok()
    }

    /// Whether the last write was so long ago that no other can have the same stamps. A clock that
    /// cannot be right is taken for a recent one.
    pub fn is_old(&self, now: SystemTime) -> bool {
        is_old(self.mtime, now) && is_old(self.ctime, now)
    }
}

fn is_old(stamp: i64, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(stamp).is_ok_and(|stamp| Duration::from_nanos(stamp) + OLD < now)
}

/// For how long after they were first seen another write could leave the very same times.
pub fn racy_for((mtime, ctime): (i64, i64)) -> Duration {
    if mtime % SECOND == 0 && ctime % SECOND == 0 { WHOLE_SECONDS } else { TICK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_past_is_old() {
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        let key = Fingerprint { mtime: 100 * SECOND, ctime: 100 * SECOND, ..Fingerprint::default() };
        assert!(
            key.is_old(at(105)) && !key.is_old(at(103)) && !key.is_old(at(50)),
            "also if the clock was set back"
        );
        assert!(!Fingerprint { ctime: 104 * SECOND, ..key }.is_old(at(105)), "its ctime is young");
        assert!(!Fingerprint { mtime: -1, ..key }.is_old(at(105)));
    }

    #[test]
    fn stamps_of_whole_seconds_are_doubted_for_longer() {
        assert_eq!(racy_for((4 * SECOND, 5 * SECOND)), WHOLE_SECONDS);
        assert_eq!(racy_for((4 * SECOND + 1, 5 * SECOND + 1)), TICK);
        assert_eq!(racy_for((4 * SECOND, 5 * SECOND + 1)), TICK, "an mtime set by hand");
    }

    #[test]
    fn a_file_with_two_names_is_hard_linked_and_a_directory_is_not() {
        let keep = tempfile::tempdir().unwrap();
        let (x, y) = (keep.path().join("x"), keep.path().join("y"));
        std::fs::write(&x, "1").unwrap();
        let of = |path| Fingerprint::of(&rustix::fs::lstat(path).unwrap());
        let alone = of(&x);
        assert!(!alone.is_hard_linked());
        std::fs::hard_link(&x, &y).unwrap();
        assert!(of(&x).is_hard_linked() && of(&x) == of(&y) && of(&x) != alone);
        std::fs::create_dir(keep.path().join("dir")).unwrap();
        let dir = of(&keep.path().to_owned());
        assert!(dir.links != 1 || !dir.is_hard_linked());
        assert!(!dir.is_hard_linked());
    }
}
