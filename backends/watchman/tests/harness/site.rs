//! A tree that is watched, and what is told of it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hotloader_backend::{
    Armed, BackendHandle, Collected, FileWatchBackend, HintSet, Lost, ReportStream, WatchPlan, spawn,
};
use tempfile::TempDir;
use tokio::time::timeout;

use hotloader_test_support::DEADLINE;

pub struct Site {
    _keep: TempDir,
    base: PathBuf,
    root: PathBuf,
    pub handle: BackendHandle,
    pub stream: ReportStream,
    revision: u64,
    pub armed: Option<Armed>,
}

impl Site {
    /// A tree with a directory and a file in it, watched.
    pub async fn watch(backend: Box<dyn FileWatchBackend>) -> Self {
        Self::watch_at("root", backend).await
    }

    /// The same with the tree somewhere below the private directory.
    pub async fn watch_at(root: impl AsRef<Path>, backend: Box<dyn FileWatchBackend>) -> Self {
        Self::watch_prepared(root, backend, |_| ()).await
    }

    /// The same with more in the private directory, made before it is watched.
    pub async fn watch_prepared(
        root: impl AsRef<Path>,
        backend: Box<dyn FileWatchBackend>,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let mut site = Self::begin(root, backend, prepare);
        site.plan().await;
        site
    }

    /// The same without a plan.
    pub fn begin(
        root: impl AsRef<Path>,
        backend: Box<dyn FileWatchBackend>,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let keep = tempfile::Builder::new().prefix("site-").tempdir().unwrap();
        let base = fs::canonicalize(keep.path()).unwrap();
        let root = base.join(root);
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(root.join("x"), "0").unwrap();
        prepare(&base);
        let (handle, stream) = spawn(backend);
        Self { _keep: keep, base, root, handle, stream, revision: 0, armed: None }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory that everything is in.
    pub fn base(&self) -> &Path {
        &self.base
    }

    pub fn file(&self) -> PathBuf {
        self.root.join("x")
    }

    /// Has every directory watched; what was reported until then is forgotten.
    pub async fn plan(&mut self) {
        self.send_plan();
        let revision = self.revision;
        timeout(DEADLINE, async {
            while self.armed.as_ref().is_none_or(|armed| armed.revision != revision) {
                self.armed = self.stream.next().await.expect("the backend ended").armed;
            }
        })
        .await
        .expect("it is not armed");
    }

    pub fn send_plan(&mut self) {
        self.revision += 1;
        let mut dirs = Vec::new();
        let mut todo = vec![self.root.clone()];
        while let Some(dir) = todo.pop() {
            let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
            todo.extend(
                entries.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| entry.path()),
            );
            dirs.push(dir);
        }
        dirs.extend(
            self.root.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.base)).map(Path::to_owned),
        );
        let mut plan = WatchPlan::new(self.revision, dirs);
        plan.trees.insert(self.root.clone());
        self.handle.set_plan(plan);
    }

    /// Passes a barrier; all that was reported before.
    pub async fn told(&mut self) -> Told {
        timeout(DEADLINE, self.handle.barrier()).await.expect("the barrier hangs").unwrap();
        let mut told = Told::default();
        if let Some(collected) = self.stream.take() {
            self.note(&mut told, collected);
        }
        told
    }

    /// Waits until something was reported that is looked for.
    pub async fn told_by_itself(&mut self, what: &str, is_it: impl Fn(&Told) -> bool) -> Told {
        let mut told = Told::default();
        let waited = timeout(DEADLINE, async {
            while !is_it(&told) {
                let collected = self.stream.next().await.expect("the backend ended");
                self.note(&mut told, collected);
            }
        });
        if waited.await.is_err() {
            panic!("never told: {what}; but {told:?}");
        }
        told
    }

    fn note(&mut self, told: &mut Told, collected: Collected) {
        told.hints.merge(collected.hints);
        told.lost.extend(collected.lost);
        if collected.armed.is_some() {
            self.armed = collected.armed;
        }
    }

    /// A change is told, by a barrier and by itself.
    pub async fn works(&mut self) {
        let file = self.file();
        fs::write(&file, "by a barrier").unwrap();
        let told = self.told().await;
        assert!(told.hints.covers(&file), "{told:?}");
        fs::write(&file, "by itself, which is longer").unwrap();
        self.told_by_itself("a change", |told| told.hints.covers(&file)).await;
    }

    /// Why the backend ended.
    pub async fn failure(&mut self) -> String {
        let failure = timeout(DEADLINE, self.handle.failed()).await.expect("it does not fail");
        assert_eq!(failure.class(), hotloader_backend::FailureClass::NextBackend, "{failure}");
        failure.explain()
    }

    /// Passes barriers until one brings nothing: what is young and not of the tree may be told again.
    pub async fn rest(&mut self) {
        let begun = Instant::now();
        loop {
            let told = self.told().await;
            if told.hints.is_empty() {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "each barrier is a change: {told:?}");
        }
    }

    /// Nothing is told for a while.
    pub async fn is_silent(&mut self, how_long: Duration) -> bool {
        timeout(how_long, self.stream.next()).await.is_err()
    }
}

#[derive(Debug, Default)]
pub struct Told {
    pub hints: HintSet,
    pub lost: Vec<Lost>,
}
