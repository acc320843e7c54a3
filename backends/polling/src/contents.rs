//! What files contain, for file systems whose attributes lie (`verify = "content"`).

use std::os::fd::BorrowedFd;

use rustix::{
    ffi::CStr,
    fs::{FileType, Mode, OFlags, fstat, openat},
    io::{Errno, read, retry_on_intr},
};
use xxhash_rust::xxh3::Xxh3;

/// Of a larger file only so much is read at each pass: the rest shows by its attributes, or not at all.
const LIMIT: usize = 1024 * 1024;

/// Reads files, always into the same buffer.
#[derive(Debug)]
pub(crate) struct Contents {
    buffer: Box<[u8]>,
}

impl Contents {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; 64 * 1024].into() }
    }

    /// Of a regular file. Its size is not asked for: that may lie as well (`/proc`).
    pub(crate) fn hash(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> Result<u64, Errno> {
        // Another kind of file may stand there by now: a FIFO must not block, a terminal not be ours.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = retry_on_intr(|| openat(dir, name, flags, Mode::empty()))?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Ok(0);
        }
        let mut hasher = Xxh3::new();
        let mut left = LIMIT;
        while left > 0 {
            let wanted = left.min(self.buffer.len());
            let count = retry_on_intr(|| read(&file, &mut self.buffer[..wanted]))?;
            if count == 0 {
                break;
            }
            hasher.update(&self.buffer[..count]);
            left -= count;
        }
        Ok(hasher.digest())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::fd::AsFd};

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[test]
    fn n1_neither_a_fifo_nor_what_is_beyond_the_limit_is_read() {
        let dir = tempfile::tempdir().unwrap();
        mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let fd = fs::File::open(dir.path()).unwrap();
        let mut contents = Contents::new();
        assert_eq!(contents.hash(fd.as_fd(), c"fifo"), Ok(0));

        let mut large = vec![b'x'; LIMIT + 1];
        let mut hash_of = |bytes: &[u8]| {
            fs::write(dir.path().join("large"), bytes).unwrap();
            contents.hash(fd.as_fd(), c"large").unwrap()
        };
        let first = hash_of(&large);
        large[LIMIT] = b'y';
        assert_eq!(hash_of(&large), first);
        large[LIMIT - 1] = b'y';
        assert_ne!(hash_of(&large), first);
    }

    #[test]
    fn n3_a_file_whose_size_is_said_to_be_zero_is_read_all_the_same() {
        let proc = fs::File::open("/proc/self").unwrap();
        let mut contents = Contents::new();
        let maps = contents.hash(proc.as_fd(), c"comm").unwrap();
        assert_ne!(maps, Xxh3::new().digest(), "not empty");
    }
}
