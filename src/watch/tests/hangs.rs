//! A mount whose server stops while a file is read, or a directory is listed, and answers whatever else it is asked.

use std::{
    ffi::OsStr,
    io,
    os::unix::fs::symlink,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Instant, UNIX_EPOCH},
};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyEntry, ReplyOpen, Request,
};

use super::*;

/// The only file is `x.lua`.
const X: INodeNo = INodeNo(2);

#[derive(Debug, Default)]
struct Says {
    content: &'static str,
    hangs: bool,
    /// How often somebody has begun to read.
    reads: u64,
    listing_hangs: bool,
    /// How often somebody has begun to list the directory.
    listings: u64,
}

struct Stopping {
    says: Arc<Mutex<Says>>,
    session: Option<BackgroundSession>,
    keep: tempfile::TempDir,
}

impl Stopping {
    fn new() -> Option<Self> {
        let keep = tempfile::tempdir().unwrap();
        let says = Arc::new(Mutex::new(Says { content: "1", ..Says::default() }));
        let mut config = Config::default();
        // More than there may be of those that wait.
        config.n_threads = Some(16);
        config.mount_options = vec![MountOption::RO, MountOption::FSName("stopping".into())];
        let session = fuser::spawn_mount(Server(says.clone()), keep.path(), &config).ok();
        if session.is_none() {
            eprintln!("skipped: no FUSE file system can be mounted here");
        }
        session.map(|session| Self { says, session: Some(session), keep })
    }

    /// Waits until somebody is being kept waiting.
    async fn is_asked(&self, asked: impl Fn(&Says) -> bool) {
        let begun = Instant::now();
        while !asked(&self.says()) {
            assert!(begun.elapsed() < DEADLINE, "nobody looks at the mount");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap()
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        let mut says = self.says();
        (says.hangs, says.listing_hangs) = (false, false);
        drop(says);
        let _ = self.session.take().map(BackgroundSession::umount_and_join);
    }
}

struct Server(Arc<Mutex<Says>>);

impl Server {
    fn attributes(&self, ino: INodeNo) -> FileAttr {
        let is_x = ino == X;
        let size = self.0.lock().unwrap().content.len() as u64;
        // Each content has another size, so no time is needed.
        let at = UNIX_EPOCH + Duration::new(1_000_000_000, 5);
        FileAttr {
            ino,
            size,
            blocks: 1,
            atime: at,
            mtime: at,
            ctime: at,
            crtime: at,
            kind: if is_x { FileType::RegularFile } else { FileType::Directory },
            perm: 0o755,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // As most servers have it: what is in a directory can be asked for while it is listed.
        config
            .add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS)
            .map_err(|_| io::ErrorKind::Unsupported.into())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == "x.lua" {
            reply.entry(&Duration::ZERO, &self.attributes(X), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&Duration::ZERO, &self.attributes(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        _: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.0.lock().unwrap().reads += 1;
        while self.0.lock().unwrap().hangs {
            thread::sleep(Duration::from_millis(1));
        }
        let content = self.0.lock().unwrap().content.as_bytes();
        reply.data(content.get(offset as usize..).unwrap_or_default());
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        self.0.lock().unwrap().listings += 1;
        while self.0.lock().unwrap().listing_hangs {
            thread::sleep(Duration::from_millis(1));
        }
        if offset == 0 {
            let _ = reply.add(X, 1, FileType::RegularFile, "x.lua");
        }
        reply.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_stops_while_a_file_is_read_holds_up_no_save_elsewhere_and_loses_none() {
    let Some(mount) = Stopping::new() else { return };
    let mut site = Site::with(|base| {
        write(&base.join("lua/y.lua"), "1");
        symlink(mount.keep.path(), base.join("lua/far")).unwrap();
    })
    .await;
    site.check(&[("far/x.lua", "1"), ("y.lua", "1")]).await;
    let reads = {
        let mut says = mount.says();
        (says.content, says.hangs) = ("22", true);
        says.reads
    };
    mount.is_asked(|says| says.reads > reads).await;
    saves_are_seen(&mut site, &[("far/x.lua", "1")]).await;
    mount.says().hangs = false;
    site.wait_for(&[("far/x.lua", "22"), ("y.lua", "4444")]).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_stops_while_it_is_listed_holds_up_no_save_elsewhere_and_nothing_of_it_is_deleted() {
    let Some(mount) = Stopping::new() else { return };
    let mut site = Site::with(|base| write(&base.join("lua/y.lua"), "1")).await;
    mount.says().listing_hangs = true;
    symlink(mount.keep.path(), site.root.join("far")).unwrap();
    mount.is_asked(|says| says.listings > 0).await;
    saves_are_seen(&mut site, &[]).await;
    mount.says().listing_hangs = false;
    site.wait_for(&[("far/x.lua", "1"), ("y.lua", "4444")]).await;

    // It is known now, and all is to be looked at again.
    mount.says().listing_hangs = true;
    site.handle.rescan().await.unwrap();
    saves_are_seen(&mut site, &[("far/x.lua", "1")]).await;
    {
        let mut says = mount.says();
        (says.content, says.listing_hangs) = ("22", false);
    }
    site.wait_for(&[("far/x.lua", "22"), ("y.lua", "4444")]).await;
    site.stop().await;
}

async fn saves_are_seen(site: &mut Site, others: &[(&str, &str)]) {
    for text in ["22", "333", "4444"] {
        write(&site.root.join("y.lua"), text);
        let written = Instant::now();
        site.wait_for(&[others, &[("y.lua", text)]].concat()).await;
        // Longer than any patience, and far shorter than for ever.
        assert!(written.elapsed() < Duration::from_secs(5), "{:?}", written.elapsed());
    }
}
