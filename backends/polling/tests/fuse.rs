//! A real file system that changes from behind, dies and hangs: bindfs. Where it is missing or mounting
//! is not allowed there is nothing to test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hotloader_backend::{BackendHandle, ReportStream, Scope, WatchPlan, spawn};
use hotloader_polling::PollingBackend;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(20);

/// `back`, which is seen at `front` by way of bindfs.
struct Mount {
    keep: TempDir,
    bindfs: Option<Child>,
}

impl Mount {
    fn new() -> Option<Self> {
        let keep = tempfile::tempdir().unwrap();
        let mut mount = Self { keep, bindfs: None };
        fs::create_dir(mount.back()).unwrap();
        fs::create_dir(mount.front()).unwrap();
        fs::write(mount.back().join("x"), "1").unwrap();
        mount.mount().then_some(mount)
    }

    fn back(&self) -> PathBuf {
        self.keep.path().join("back")
    }

    fn front(&self) -> PathBuf {
        fs::canonicalize(self.keep.path()).unwrap().join("front")
    }

    fn mount(&mut self) -> bool {
        let mut command = Command::new("bindfs");
        command.args(["-f", "-o", "attr_timeout=0,entry_timeout=0"]).arg(self.back()).arg(self.front());
        let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else { return false };
        let bindfs = self.bindfs.insert(child);
        let start = Instant::now();
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let before = device(self.keep.path());
        let front = self.keep.path().join("front");
        while device(&front) == before {
            if bindfs.try_wait().unwrap().is_some() || start.elapsed() > DEADLINE {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.bindfs.as_ref().unwrap()), signal).unwrap();
    }

    fn kill(&mut self) {
        let mut bindfs = self.bindfs.take().unwrap();
        bindfs.kill().unwrap();
        bindfs.wait().unwrap();
    }

    fn unmount(&self) {
        // It may not be mounted any more.
        let _ = Command::new("fusermount3").args(["-q", "-u", "-z"]).arg(self.front()).status();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(mut bindfs) = self.bindfs.take() {
            // A stopped one dies of this as well.
            let _ = bindfs.kill();
            let _ = bindfs.wait();
        }
        self.unmount();
    }
}

async fn watched(mount: &Mount) -> (BackendHandle, ReportStream) {
    let options = BTreeMap::from([("interval".to_owned(), "1h".into())]);
    let (handle, mut stream) = spawn(Box::new(PollingBackend::from_options(&options).unwrap()));
    let dirs = BTreeSet::from([mount.front(), mount.front().parent().unwrap().to_owned()]);
    handle.set_plan(WatchPlan::new(1, dirs));
    while stream.next().await.unwrap().armed.is_none() {}
    // What is young is looked at again until it no longer is.
    let start = Instant::now();
    loop {
        handle.barrier().await.unwrap();
        if stream.take().is_none() {
            break;
        }
        assert!(start.elapsed() < DEADLINE, "it does not come to rest");
    }
    (handle, stream)
}

#[tokio::test]
async fn f1_a_change_from_behind_is_seen() {
    let Some(mount) = Mount::new() else { return };
    let (handle, mut stream) = watched(&mount).await;
    fs::write(mount.back().join("x"), "2").unwrap();
    handle.barrier().await.unwrap();
    let hints = stream.take().unwrap().hints;
    assert!(hints.covers(&mount.front().join("x")) && !hints.covers(&mount.front()));
    handle.stop().await;
}

#[tokio::test]
async fn f6_a_mount_that_died_is_no_deletion_and_is_looked_at_when_it_is_back() {
    let Some(mut mount) = Mount::new() else { return };
    let (handle, mut stream) = watched(&mount).await;
    mount.kill();
    assert!(fs::read_dir(mount.front()).is_err(), "not connected");
    handle.barrier().await.unwrap();
    assert!(stream.take().is_none(), "nothing is said to have changed");
    mount.unmount();
    assert!(mount.mount());
    handle.barrier().await.unwrap();
    let back = stream.take().unwrap();
    assert!(back.hints.covers(&mount.front().join("x")));
    assert!(back.lost.iter().any(|lost| lost.scope == Scope::Below(mount.front())), "{:?}", back.lost);
    handle.stop().await;
}

#[tokio::test]
async fn p7_a_mount_that_hangs_holds_up_neither_the_runtime_nor_the_stop() {
    let Some(mount) = Mount::new() else { return };
    let (handle, _stream) = watched(&mount).await;
    mount.signal(Signal::STOP);
    let barrier = tokio::time::timeout(Duration::from_millis(200), handle.barrier()).await;
    assert!(barrier.is_err(), "nothing is proved while it hangs");
    let start = Instant::now();
    handle.stop().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
