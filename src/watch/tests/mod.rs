//! The watch half as a whole: real files, the real notify backend, no sleeps but deadlines.

mod bare;
mod faulty_backends;
mod files;
// Elsewhere no table of mounts says which of them may hang.
#[cfg(all(target_os = "linux", not(portable)))]
mod hangs;
mod kernel_rows;
mod links;
mod random;
mod rows;
mod service;
mod supervisor;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::timeout};

use super::*;
use crate::config::WatchConfig;

const LUA: RootId = RootId("lua");
const DEADLINE: Duration = Duration::from_secs(10);

/// What a consumer of all change sets knows.
struct Site {
    _keep: tempfile::TempDir,
    base: PathBuf,
    root: PathBuf,
    handle: WatchHandle,
    sets: mpsc::Receiver<ChangeSet>,
    known: BTreeMap<String, String>,
}

fn settings() -> WatchConfig {
    // Backends that miss something on purpose are not to be helped.
    let (quiet, recheck) = (Duration::from_millis(5), Duration::ZERO);
    WatchConfig { quiet, recheck, ..WatchConfig::default() }
}

fn lua_root(dir: &Path) -> Root {
    Root {
        id: LUA,
        dir: dir.to_owned(),
        extensions: &["lua"],
        recursive: true,
        max_file: Root::MAX_FILE,
        optional: false,
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn link(target: &str, link: &Path) {
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(target, link).unwrap();
}

/// `ln -sfn`
fn relink(target: &str, link: &Path) {
    let temporary = link.with_file_name(".new-link");
    symlink(target, &temporary).unwrap();
    fs::rename(&temporary, link).unwrap();
}

impl Site {
    async fn with(prepare: impl FnOnce(&Path)) -> Self {
        Self::with_settings(&settings(), prepare).await
    }

    async fn with_settings(settings: &WatchConfig, prepare: impl FnOnce(&Path)) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(keep.path()).unwrap();
        let root = base.join("lua");
        prepare(&base);
        let (handle, sets) = start(settings, vec![lua_root(&root)], &Registry::with_builtin()).await.unwrap();
        let mut site = Self { _keep: keep, base, root, handle, sets, known: BTreeMap::new() };
        let first = site.sets.recv().await.unwrap();
        assert!(first.initial);
        assert!(first.changes.iter().all(|change| matches!(change.kind, ChangeKind::Added(_))));
        site.learn(&first);
        site
    }

    fn learn(&mut self, set: &ChangeSet) {
        for change in &set.changes {
            let name = change.name.to_str().unwrap().to_owned();
            match &change.kind {
                ChangeKind::Added(content) => {
                    let text = String::from_utf8(content.bytes.to_vec()).unwrap();
                    assert!(self.known.insert(name, text).is_none(), "added twice");
                }
                ChangeKind::Modified(content) => {
                    let text = String::from_utf8(content.bytes.to_vec()).unwrap();
                    assert!(self.known.insert(name, text).is_some(), "modified before it was added");
                }
                ChangeKind::Unreadable(why) => {
                    self.known.insert(name, format!("{why:?}"));
                }
                ChangeKind::Removed => {
                    assert!(self.known.remove(&name).is_some(), "removed before it was added")
                }
            }
        }
    }

    /// Passes a barrier; returns what was delivered up to it.
    async fn sync(&mut self) -> Vec<ChangeSet> {
        let mut sets = Vec::new();
        {
            let barrier = self.handle.barrier();
            tokio::pin!(barrier);
            loop {
                tokio::select! {
                    passed = &mut barrier => break passed.unwrap(),
                    Some(set) = self.sets.recv() => sets.push(set),
                }
            }
        }
        while let Ok(set) = self.sets.try_recv() {
            sets.push(set);
        }
        for set in &sets {
            assert!(!set.changes.is_empty());
            self.learn(set);
        }
        sets
    }

    /// Passes a barrier and compares with what should be known.
    async fn check(&mut self, expected: &[(&str, &str)]) {
        self.sync().await;
        let expected = expected.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        assert_eq!(self.known, expected);
    }

    /// Waits until this is known, for what is not believed at first sight.
    async fn wait_for(&mut self, expected: &[(&str, &str)]) {
        let expected: BTreeMap<_, _> =
            expected.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        let deadline = Instant::now() + DEADLINE;
        while self.known != expected {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, self.sets.recv()).await {
                Ok(set) => self.learn(&set.unwrap()),
                Err(_) => panic!("is {:?}, should be {expected:?}", self.known),
            }
        }
    }

    async fn stop(self) {
        timeout(DEADLINE, self.handle.stop()).await.unwrap();
    }
}
