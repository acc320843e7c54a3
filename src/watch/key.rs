//! What a look at a file costs one system call to see: a hint whether its content may be another.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

use super::links::Identity;

/// Two writes this close may leave the same time stamp on a file system that counts nanoseconds: they
/// are taken from a clock that ticks with the kernel's timer.
const TICK: Duration = Duration::from_millis(20);

/// The same where the stamps are whole seconds (or even ones, on FAT).
const WHOLE_SECONDS: Duration = Duration::from_secs(2);

/// What was not touched for so long was not written within the tick in which it is looked at.
const OLD: Duration = Duration::from_secs(4);

const SECOND: i64 = 1_000_000_000;

/// What in a mode says the kind, and that of a file. The same everywhere.
const KIND: u32 = 0o170_000;
const REGULAR_FILE: u32 = 0o100_000;

/// Whether it differs says whether to read, and nothing else: content alone decides what changed. Only
/// ever compared for equality, as times may go backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StatKey {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: i64,
    ctime: i64,
    links: u32,
    kind: u32,
}

/// When the content changed last, and when anything of it did.
pub(crate) type Times = (i64, i64);

impl StatKey {
    pub(crate) fn times(&self) -> Times {
        (self.mtime, self.ctime)
    }

    #[allow(clippy::unnecessary_cast, reason = "the fields have other types on other systems")]
    pub(crate) fn of(stat: &Stat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.wrapping_mul(SECOND).wrapping_add(rest);
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            kind: stat.st_mode as u32 & KIND,
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        (self.dev, self.ino)
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// That of a file with that number and so many bytes.
    #[cfg(test)]
    pub(crate) fn of_file(ino: u64, size: u64) -> Self {
        Self { ino, size, ..Self::default() }
    }

    /// Whether the same file has other names, which may be anywhere.
    pub(crate) fn is_hard_linked(&self) -> bool {
        self.links > 1 && self.kind == REGULAR_FILE
    }

    /// For how long after it was first seen another write could leave the very same key.
    pub(crate) fn racy_for(&self) -> Duration {
        if self.mtime % SECOND == 0 && self.ctime % SECOND == 0 { WHOLE_SECONDS } else { TICK }
    }

    /// How long ago anything of it changed; nothing where the clocks do not agree.
    pub(crate) fn age(&self, now: SystemTime) -> Option<Duration> {
        let changed = Duration::from_nanos(u64::try_from(self.mtime.max(self.ctime)).ok()?);
        now.duration_since(UNIX_EPOCH + changed).ok()
    }

    /// Whether the last write was so long ago that no other can have the same stamps. A clock that
    /// cannot be right is taken for a recent one.
    pub(crate) fn is_old(&self, now: SystemTime) -> bool {
        is_old(self.mtime, now) && is_old(self.ctime, now)
    }
}

fn is_old(stamp: i64, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(stamp).is_ok_and(|stamp| Duration::from_nanos(stamp) + OLD < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_past_is_old() {
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        let key = StatKey { mtime: 100 * SECOND, ctime: 100 * SECOND, ..StatKey::default() };
        assert!(
            key.is_old(at(105)) && !key.is_old(at(103)) && !key.is_old(at(50)),
            "also if the clock was set back"
        );
        assert!(!StatKey { ctime: 104 * SECOND, ..key }.is_old(at(105)), "its ctime is young");
        assert!(!StatKey { mtime: -1, ..key }.is_old(at(105)));
    }

    #[test]
    fn stamps_of_whole_seconds_are_doubted_for_longer() {
        let key = StatKey { mtime: 100 * SECOND, ctime: 100 * SECOND, ..StatKey::default() };
        assert_eq!(key.racy_for(), WHOLE_SECONDS);
        assert_eq!(StatKey { ctime: 100 * SECOND + 1, ..key }.racy_for(), TICK);
    }
}
