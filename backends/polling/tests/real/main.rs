//! The backend on file systems that change from behind, lie, fail, die and hang. Each test is named after
//! the row of the catalogue that it provokes.
//!
//! - [`mounts`](hotloader_test_support::mounts): file systems made of installed programs: bindfs, sshfs, ext2
//!   on a loop device.
//! - `lying`: a file system of our own, which does what it is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

mod lying;

mod bindfs;
mod errors;
mod in_use;
mod lies;
mod proc;
mod stamps;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use hotloader_backend::{Armed, BackendHandle, Collected, ReportStream, Scope, WatchPlan, spawn};
use hotloader_polling::PollingBackend;
use hotloader_test_support::DEADLINE;
use serde_json::Value;

/// A backend at work.
struct Watched {
    handle: BackendHandle,
    stream: ReportStream,
}

impl Watched {
    /// Armed on a plan of these directories. Passes are made for barriers only.
    async fn new(dirs: &[&Path]) -> Self {
        Self::with(dirs, &[("interval", "1h")]).await.0
    }

    async fn with(dirs: &[&Path], options: &[(&str, &str)]) -> (Self, Armed) {
        let options: BTreeMap<_, _> =
            options.iter().map(|&(key, value)| (key.to_owned(), number_or_text(value))).collect();
        let (handle, stream) = spawn(Box::new(PollingBackend::from_options(&options).unwrap()));
        let mut watched = Self { handle, stream };
        watched.plan(1, dirs);
        let armed = watched.armed(|armed| armed.revision == 1).await.1;
        (watched, armed)
    }

    fn plan(&self, revision: u64, dirs: &[&Path]) {
        self.handle.set_plan(WatchPlan::new(revision, dirs.iter().map(|dir| dir.to_path_buf())));
    }

    /// Says which files are in use, under a plan of these directories.
    fn in_use(&self, revision: u64, dirs: &[&Path], files: &[PathBuf]) {
        let plan = WatchPlan::new(revision, dirs.iter().map(|dir| dir.to_path_buf()));
        let in_use = Arc::new(files.iter().cloned().collect());
        self.handle.set_plan(WatchPlan { in_use, ..plan });
    }

    /// Waits for something to be said, and returns all that was said until then.
    async fn until(&mut self, what: &str, is_it: impl Fn(&Collected) -> bool) -> Collected {
        let mut all: Option<Collected> = None;
        let wait = async {
            loop {
                let collected = self.stream.next().await.unwrap();
                let all = match &mut all {
                    None => all.insert(collected),
                    Some(all) => {
                        all.hints.merge(collected.hints);
                        all.lost.extend(collected.lost);
                        all.armed = collected.armed.or(all.armed.take());
                        all
                    }
                };
                if is_it(all) {
                    return;
                }
            }
        };
        let waited = tokio::time::timeout(DEADLINE, wait).await;
        assert!(waited.is_ok(), "{what}: {all:?}");
        all.unwrap()
    }

    async fn armed(&mut self, is_it: impl Fn(&Armed) -> bool) -> (Collected, Armed) {
        let mut all = self.until("armed", |all| all.armed.as_ref().is_some_and(&is_it)).await;
        let armed = all.armed.take().unwrap();
        (all, armed)
    }

    async fn hinted(&mut self, path: &Path) {
        self.until(&path.display().to_string(), |all| all.hints.covers(path)).await;
    }

    /// What is said up to now.
    async fn barrier(&mut self) -> Option<Collected> {
        tokio::time::timeout(DEADLINE, self.handle.barrier()).await.unwrap().unwrap();
        self.stream.take()
    }

    async fn forget(&mut self) {
        self.barrier().await;
    }

    /// Waits until nothing is young any more, which is looked at again and again.
    async fn rest(&mut self) {
        let start = Instant::now();
        while self.barrier().await.is_some() {
            assert!(start.elapsed() < DEADLINE, "it does not come to rest");
        }
    }
}

fn number_or_text(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or_else(|_| value.into())
}

fn is_lost(collected: &Collected, below: &Path) -> bool {
    collected.lost.iter().any(|lost| lost.scope == Scope::Below(below.to_owned()))
}

fn skipped(armed: &Armed) -> Vec<PathBuf> {
    armed.skipped.iter().map(|skipped| skipped.dir.clone()).collect()
}
