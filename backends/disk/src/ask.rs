//! Who answers what a file looks like: the kernel from memory, or whoever serves the file system.

use rustix::{
    fd::AsFd,
    ffi::CStr,
    fs::{AtFlags, fstat, statat},
    io::Errno,
};

use crate::fingerprint::Fingerprint;

/// Who is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// The kernel, which may remember what it was told some time ago.
    Kernel,
    /// Whoever serves the file system, if another machine or a program does. On others it makes no difference.
    Server,
}

impl Fingerprint {
    /// Of an entry of a directory, links not followed and nothing mounted.
    ///
    /// # Errors
    ///
    /// When it cannot be seen.
    pub fn of_entry(dir: impl AsFd, name: &CStr, ask: Ask) -> Result<Self, Errno> {
        stat_entry(dir, name, ask)
    }

    /// Of an open file or directory.
    ///
    /// # Errors
    ///
    /// When its file system does not answer.
    pub fn of_open(file: impl AsFd, ask: Ask) -> Result<Self, Errno> {
        stat_open(file, ask)
    }
}

#[cfg(all(target_os = "linux", not(portable)))]
fn stat_entry(dir: impl AsFd, name: &CStr, ask: Ask) -> Result<Fingerprint, Errno> {
    let how = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match ask {
        Ask::Kernel => Ok(Fingerprint::of(&statat(dir, name, how)?)),
        Ask::Server => stat_at_server(dir, name, how),
    }
}

#[cfg(all(target_os = "linux", not(portable)))]
fn stat_open(file: impl AsFd, ask: Ask) -> Result<Fingerprint, Errno> {
    match ask {
        Ask::Kernel => Ok(Fingerprint::of(&fstat(file)?)),
        Ask::Server => stat_at_server(file, c"", AtFlags::EMPTY_PATH),
    }
}

#[cfg(all(target_os = "linux", not(portable)))]
fn stat_at_server(at: impl AsFd, name: &CStr, how: AtFlags) -> Result<Fingerprint, Errno> {
    use rustix::fs::{StatxFlags, makedev, statx};

    let stat = statx(at, name, how | AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS)?;
    let nanoseconds = |seconds: i64, rest: u32| seconds.wrapping_mul(1_000_000_000).wrapping_add(rest.into());
    Ok(Fingerprint {
        dev: makedev(stat.stx_dev_major, stat.stx_dev_minor),
        ino: stat.stx_ino,
        size: stat.stx_size,
        mtime: nanoseconds(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        ctime: nanoseconds(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        links: stat.stx_nlink,
        mode: stat.stx_mode.into(),
    })
}

// Others have no way to ask the server.

#[cfg(any(not(target_os = "linux"), portable))]
fn stat_entry(dir: impl AsFd, name: &CStr, _: Ask) -> Result<Fingerprint, Errno> {
    Ok(Fingerprint::of(&statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

#[cfg(any(not(target_os = "linux"), portable))]
fn stat_open(file: impl AsFd, _: Ask) -> Result<Fingerprint, Errno> {
    Ok(Fingerprint::of(&fstat(file)?))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn both_say_the_same_where_nobody_remembers_anything() {
        let keep = tempfile::tempdir().unwrap();
        std::fs::write(keep.path().join("x"), "text").unwrap();
        std::os::unix::fs::symlink("nowhere", keep.path().join("link")).unwrap();
        let dir = File::open(keep.path()).unwrap();
        for name in [c"x", c"link"] {
            let of = |ask| Fingerprint::of_entry(&dir, name, ask).unwrap();
            assert_eq!(of(Ask::Kernel), of(Ask::Server));
        }
        let of = |ask| Fingerprint::of_open(&dir, ask).unwrap();
        assert_eq!(of(Ask::Kernel), of(Ask::Server));
        assert_eq!(of(Ask::Kernel), Fingerprint::at(keep.path()).unwrap());
        assert_eq!(Fingerprint::of_entry(&dir, c"gone", Ask::Server), Err(Errno::NOENT));
    }
}
