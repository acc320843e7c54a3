//! A directory seen through a FUSE file system whose every answer takes a while, as over a network, and whose answers
//! the kernel remembers for a minute. What is changed behind it, no event tells of.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs,
    io::ErrorKind,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, UNIX_EPOCH},
};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen,
    Request,
};

use crate::Fallible;

/// How long the kernel may remember an answer.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Requests that are answered at the same time.
const AT_ONCE: usize = 32;

/// Mounted until it is dropped.
pub(crate) struct SlowMount {
    pub(crate) front: PathBuf,
    _session: BackgroundSession,
    _keep: tempfile::TempDir,
}

impl SlowMount {
    /// Shows `back`; each answer takes that much longer.
    pub(crate) fn over(back: &Path, delay: Duration) -> Fallible<Self> {
        let keep = tempfile::tempdir()?;
        let front = fs::canonicalize(keep.path())?;
        let nodes = Nodes {
            paths: vec![back.to_owned()],
            numbers: HashMap::from([(back.to_owned(), INodeNo::ROOT.into())]),
        };
        let mut config = Config::default();
        config.mount_options = vec![MountOption::RO, MountOption::FSName("slow".into())];
        config.n_threads = Some(AT_ONCE);
        let session = fuser::spawn_mount(Server { delay, nodes: Mutex::new(nodes) }, &front, &config)?;
        Ok(Self { front, _session: session, _keep: keep })
    }
}

struct Server {
    delay: Duration,
    nodes: Mutex<Nodes>,
}

/// Paths by the numbers that the kernel has for them, from 1.
struct Nodes {
    paths: Vec<PathBuf>,
    numbers: HashMap<PathBuf, u64>,
}

impl Nodes {
    fn path(&self, node: INodeNo) -> Result<PathBuf, Errno> {
        let at = u64::from(node).checked_sub(1).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.paths.get(at)).cloned().ok_or(Errno::ENOENT)
    }

    fn number(&mut self, path: PathBuf) -> u64 {
        if let Some(&number) = self.numbers.get(&path) {
            return number;
        }
        self.paths.push(path.clone());
        let number = self.paths.len() as u64;
        self.numbers.insert(path, number);
        number
    }
}

impl Server {
    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attributes(&self, path: PathBuf) -> Result<FileAttr, Errno> {
        let meta = fs::symlink_metadata(&path).map_err(number)?;
        let ino = INodeNo(self.nodes().number(path));
        let kind = if meta.is_dir() { FileType::Directory } else { FileType::RegularFile };
        let time = |seconds: i64, rest: i64| {
            UNIX_EPOCH + Duration::new(seconds.unsigned_abs(), u32::try_from(rest).unwrap_or(0))
        };
        let modified = time(meta.mtime(), meta.mtime_nsec());
        Ok(FileAttr {
            ino,
            size: meta.len(),
            blocks: meta.blocks(),
            atime: modified,
            mtime: modified,
            ctime: time(meta.ctime(), meta.ctime_nsec()),
            crtime: UNIX_EPOCH,
            kind,
            perm: 0o755,
            nlink: 1,
            uid: meta.uid(),
            gid: meta.gid(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

fn number(error: std::io::Error) -> Errno {
    if error.kind() == ErrorKind::NotFound { Errno::ENOENT } else { Errno::EIO }
}

impl Filesystem for Server {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        thread::sleep(self.delay);
        let path = self.nodes().path(parent).map(|dir| dir.join(name));
        match path.and_then(|path| self.attributes(path)) {
            Ok(attributes) => reply.entry(&REMEMBERED, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        thread::sleep(self.delay);
        let path = self.nodes().path(node);
        match path.and_then(|path| self.attributes(path)) {
            Ok(attributes) => reply.attr(&REMEMBERED, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        thread::sleep(self.delay);
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        thread::sleep(self.delay);
        let mut buffer = vec![0; size as usize];
        let path = self.nodes().path(node);
        let read = path.and_then(|path| {
            let file = fs::File::open(path).map_err(number)?;
            file.read_at(&mut buffer, offset).map_err(number)
        });
        match read {
            Ok(count) => reply.data(buffer.get(..count).unwrap_or_default()),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        thread::sleep(self.delay);
        let dir = self.nodes().path(node);
        let entries = dir.and_then(|dir| fs::read_dir(dir).map_err(number));
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return reply.error(error),
        };
        for (at, entry) in entries.flatten().enumerate().skip(usize::try_from(offset).unwrap_or(0)) {
            let kind = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let kind = if kind { FileType::Directory } else { FileType::RegularFile };
            let number = self.nodes().number(entry.path());
            if reply.add(INodeNo(number), at as u64 + 1, kind, entry.file_name()) {
                break;
            }
        }
        reply.ok();
    }
}
