//! Reading a file that somebody may be writing, or that is no file at all.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use hotloader_disk::{Ask, Fingerprint};
use rustix::{
    fs::{FileType, Mode, OFlags, open},
    io::Errno,
};

use super::parallel::in_parallel;
use crate::watch::change::Content;

/// How often a file may change under the reader before it is left for later.
const TRIES: usize = 3;

/// Fewer files than this for each thread are read by one.
const FEW: usize = 32;

/// What reading a path came to.
#[derive(Debug)]
pub(crate) enum Read {
    /// The whole file, as it was at one moment.
    Content(Content, Fingerprint),
    /// There is nothing, or something that is not on the way to a file.
    Gone,
    /// A pipe, a device, a directory: never read.
    NotAFile,
    /// It has so many bytes, which is more than was asked for.
    TooLarge(u64),
    /// It kept changing.
    Unstable,
    /// Anything else: what was known still counts, and one looks again.
    Failed(io::Error),
}

/// Reads a regular file of at most so many bytes whole. Never waits for a pipe's other end, never takes a
/// terminal.
pub(crate) fn read_stable(path: &Path, most: usize) -> Read {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mut file = match open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Read::Gone,
        // A socket, or a device without a driver.
        Err(Errno::NXIO | Errno::NODEV) => return Read::NotAFile,
        Err(error) => return Read::Failed(error.into()),
    };
    for _ in 0..TRIES {
        match read_once(&mut file, most) {
            Ok(Read::Unstable) => {}
            Ok(read) => return read,
            Err(error) => return Read::Failed(error),
        }
        if let Err(error) = io::Seek::rewind(&mut file) {
            return Read::Failed(error);
        }
    }
    Read::Unstable
}

fn read_once(file: &mut File, most: usize) -> io::Result<Read> {
    // What the kernel remembers of its size would cut it off: on a network file system another machine has written it.
    let before = Fingerprint::of_open(&*file, Ask::Server)?;
    if FileType::from_raw_mode(before.mode) != FileType::RegularFile {
        return Ok(Read::NotAFile);
    }
    // The size is a guess: some file systems lie. Only the end of the file tells.
    let guess = usize::try_from(before.size).unwrap_or(0);
    if guess > most {
        return Ok(Read::TooLarge(guess as u64));
    }
    let mut bytes = Vec::with_capacity(guess + 1);
    file.by_ref().take((most as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Ok(Read::TooLarge(bytes.len() as u64));
    }
    let after = Fingerprint::of_open(&*file, Ask::Server)?;
    Ok(if before == after { Read::Content(Content::new(bytes), after) } else { Read::Unstable })
}

/// Reads many files, on several threads if that pays. The results are in the order of the paths.
pub(crate) fn read_all<P: AsRef<Path> + Sync>(paths: &[P], most: usize) -> Vec<Read> {
    in_parallel(paths, FEW, |paths| paths.iter().map(|path| read_stable(path.as_ref(), most)).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_stable(path: &Path) -> Read {
        super::read_stable(path, 8 << 20)
    }

    #[test]
    fn a_file_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "text").unwrap();
        assert!(matches!(read_stable(&path), Read::Content(content, _) if &*content.bytes == b"text"));
        fs::write(&path, "").unwrap();
        assert!(matches!(read_stable(&path), Read::Content(content, _) if content.bytes.is_empty()));
    }

    #[test]
    fn what_is_no_file_is_told_apart_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(matches!(read_stable(&pipe), Read::NotAFile));
        assert!(matches!(read_stable(dir.path()), Read::NotAFile));
        assert!(matches!(read_stable(Path::new("/dev/zero")), Read::NotAFile));
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        assert!(matches!(read_stable(&dir.path().join("socket")), Read::NotAFile));
        assert!(matches!(read_stable(&dir.path().join("nothing")), Read::Gone));
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(matches!(read_stable(&dir.path().join("file/below")), Read::Gone));
    }

    #[test]
    fn a_huge_file_is_refused_whatever_size_it_claims() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(read_stable(&path), Read::TooLarge(size) if size == 1 << 40));
        // Says 0 bytes, has some.
        assert!(
            matches!(read_stable(Path::new("/proc/self/limits")), Read::Content(content, _) if !content.bytes.is_empty())
        );
    }

    /// A writer goes through the file again and again, with another byte each time: at any moment there is
    /// one border in it, between the new byte and the one before. Two borders were never on the disk.
    #[test]
    fn n5_what_changes_while_it_is_read_is_taken_only_as_it_was_at_one_moment() {
        const CHUNK: usize = 4096;
        const CHUNKS: usize = 512;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, vec![0; CHUNK * CHUNKS]).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        let is_done = || done.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let file = File::options().write(true).open(&path).unwrap();
                for round in 1.. {
                    for chunk in 0..CHUNKS {
                        let offset = (chunk * CHUNK) as u64;
                        std::os::unix::fs::FileExt::write_all_at(&file, &[round as u8; CHUNK], offset)
                            .unwrap();
                        if is_done() {
                            return;
                        }
                    }
                }
            });
            let mut unstable = 0;
            for _ in 0..2000 {
                match read_stable(&path) {
                    Read::Content(content, _) => {
                        let borders = content.bytes.windows(2).filter(|pair| pair[0] != pair[1]).count();
                        if borders > 1 {
                            done.store(true, std::sync::atomic::Ordering::Relaxed);
                        }
                        assert!(borders <= 1, "torn in {borders} places");
                    }
                    Read::Unstable => unstable += 1,
                    other => {
                        done.store(true, std::sync::atomic::Ordering::Relaxed);
                        panic!("{other:?}");
                    }
                }
                if unstable >= 20 {
                    break;
                }
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(unstable > 0, "it was never written to while it was read");
        });
        let Read::Content(last, _) = read_stable(&path) else { panic!("nobody writes to it any more") };
        assert_eq!(&*last.bytes, fs::read(&path).unwrap());
    }
}
