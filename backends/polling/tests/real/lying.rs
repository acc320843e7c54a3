//! A file system of our own with files in its root, which says of them what it is told to say.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen,
    Request,
};
use hotloader_test_support::mounts::told;
use tempfile::TempDir;

/// What a file is said to be.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Beside `size`, which may be another.
    pub(crate) content: &'static str,
    pub(crate) size: u64,
    /// Since 1970; ctime is the same.
    pub(crate) mtime: Duration,
    pub(crate) ino: u64,
}

/// Everything it says.
#[derive(Debug, Default)]
pub(crate) struct Says {
    pub(crate) files: BTreeMap<&'static str, File>,
    /// To each question about a file.
    pub(crate) file_error: Option<i32>,
    /// To a listing.
    pub(crate) dir_error: Option<i32>,
    /// Before it answers a question about a file.
    pub(crate) delay: Duration,
    /// Questions about the file of this number are not answered, and others are.
    pub(crate) hangs: Option<u64>,
    /// How often it was asked about a file.
    pub(crate) asked: u64,
}

/// Mounted, until it is dropped.
pub(crate) struct Lying {
    says: Arc<Mutex<Says>>,
    session: Option<BackgroundSession>,
    keep: TempDir,
}

impl Lying {
    /// With one file `x` of long ago.
    pub(crate) fn new() -> Option<Self> {
        let keep = tempfile::tempdir().unwrap();
        let x = File { content: "one", size: 3, mtime: Duration::new(1_000_000_000, 5), ino: 7 };
        let says = Says { files: BTreeMap::from([("x", x)]), ..Says::default() };
        let says = Arc::new(Mutex::new(says));
        let mut config = Config::default();
        // One that hangs must not keep others from being answered.
        config.n_threads = Some(4);
        config.mount_options = vec![MountOption::RO, MountOption::FSName("lying".into())];
        let session = fuser::spawn_mount(Server(says.clone()), keep.path(), &config);
        told(session.is_ok(), "a FUSE file system").then(|| Self { says, session: session.ok(), keep })
    }

    pub(crate) fn dir(&self) -> PathBuf {
        fs::canonicalize(self.keep.path()).unwrap()
    }

    pub(crate) fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap()
    }

    pub(crate) fn x(&self, change: impl FnOnce(&mut File)) {
        change(self.says().files.get_mut("x").unwrap());
    }
}

impl Drop for Lying {
    fn drop(&mut self) {
        // Who asks at the end must have an answer: this process could not end otherwise.
        let mut says = self.says();
        (says.hangs, says.delay) = (None, Duration::ZERO);
        drop(says);
        if let Some(session) = self.session.take() {
            // Whoever hangs in a call to it is let go. Those who ask just now get their answers first, or this
            // process could not end. If it cannot be awaited, the mount goes all the same.
            let _ = session.umount_and_join();
        }
    }
}

struct Server(Arc<Mutex<Says>>);

/// The inode that the kernel is told, which must not change as long as it is in use; `ino` does.
const NODE: u64 = 1000;

impl Server {
    fn about_file(&self, find: impl FnOnce(&Says) -> Option<File>) -> Result<FileAttr, Errno> {
        let (file, error, delay) = {
            let mut says = self.0.lock().unwrap();
            says.asked += 1;
            (find(&says), says.file_error, says.delay)
        };
        while file.as_ref().is_some_and(|file| self.0.lock().unwrap().hangs == Some(file.ino)) {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(delay);
        if let Some(error) = error {
            return Err(Errno::from_i32(error));
        }
        let file = file.ok_or(Errno::ENOENT)?;
        Ok(attributes(file.ino, FileType::RegularFile, file.size, UNIX_EPOCH + file.mtime))
    }

    fn by_number(&self, ino: u64) -> impl FnOnce(&Says) -> Option<File> {
        move |says| says.files.values().find(|file| file.ino == ino).cloned()
    }
}

fn attributes(ino: u64, kind: FileType, size: u64, at: SystemTime) -> FileAttr {
    FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: 1,
        atime: at,
        mtime: at,
        ctime: at,
        crtime: at,
        kind,
        perm: 0o755,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Server {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let file = |says: &Says| name.to_str().and_then(|name| says.files.get(name)).cloned();
        match self.about_file(file) {
            Ok(attributes) => reply.entry(&Duration::ZERO, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        if ino == INodeNo::ROOT {
            let root = attributes(1, FileType::Directory, 0, UNIX_EPOCH);
            return reply.attr(&Duration::ZERO, &root);
        }
        match self.about_file(self.by_number(ino.into())) {
            Ok(attributes) => reply.attr(&Duration::ZERO, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        _: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let content = self.by_number(ino.into())(&self.0.lock().unwrap()).map(|file| file.content);
        let content = content.unwrap_or_default().as_bytes();
        reply.data(content.get(offset as usize..).unwrap_or_default());
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let (names, error): (Vec<_>, _) = {
            let says = self.0.lock().unwrap();
            (says.files.keys().copied().collect(), says.dir_error)
        };
        if let Some(error) = error {
            return reply.error(Errno::from_i32(error));
        }
        for (at, name) in names.iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(NODE), at as u64 + 1, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }
}
