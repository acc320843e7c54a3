//! The smallest possible reconciler.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use hotloader_backend::{
    BackendHandle, Collected, FileWatchBackend, HintSet, ReportStream, WatchPlan, spawn,
};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_128;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Dir,
    File(u128),
}

type Entries = BTreeMap<PathBuf, Entry>;

/// A tree of real files as it is known through a backend. Links are not its business.
#[derive(Debug)]
pub struct View {
    keep: TempDir,
    root: PathBuf,
    known: Entries,
    backend: BackendHandle,
    reports: ReportStream,
    plan: WatchPlan,
}

impl View {
    /// Starts a backend on an empty tree.
    ///
    /// # Panics
    ///
    /// When the backend ends.
    pub async fn start(backend: Box<dyn FileWatchBackend>) -> Self {
        let keep = tempfile::Builder::new().prefix("conformance-").tempdir().unwrap();
        let root = fs::canonicalize(keep.path()).unwrap().join("root");
        fs::create_dir(&root).unwrap();
        let (backend, reports) = spawn(backend);
        let mut view =
            Self { keep, root, known: Entries::new(), backend, reports, plan: WatchPlan::default() };
        view.look(HintSet::everywhere()).await;
        view
    }

    /// The watched tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory beside the tree, on the same file system and not watched.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn outside(&self) -> PathBuf {
        let outside = self.keep.path().join("outside");
        fs::create_dir_all(&outside).unwrap();
        outside
    }

    /// Passes a barrier and compares.
    ///
    /// # Panics
    ///
    /// When the view is not what is on the disk.
    pub async fn check(&mut self, after: &str) {
        self.follow().await;
        let disk = entries_at(&self.root);
        let differs = |path: &&PathBuf| self.known.get(*path) != disk.get(*path);
        let wrong: BTreeSet<&PathBuf> = self.known.keys().chain(disk.keys()).filter(differs).collect();
        assert!(wrong.is_empty(), "after {after}: the view is wrong at {wrong:?}");
    }

    /// Passes a barrier and looks where the backend said.
    ///
    /// # Panics
    ///
    /// When the backend ends.
    pub async fn follow(&mut self) {
        self.backend.barrier().await.unwrap();
        if let Some(Collected { hints, .. }) = self.reports.take() {
            self.look(hints).await;
        }
    }

    /// Stops the backend.
    pub async fn stop(self) {
        self.backend.stop().await;
    }

    async fn look(&mut self, mut hints: HintSet) {
        loop {
            self.look_once(&hints);
            let mut dirs: BTreeSet<PathBuf> = self
                .known
                .iter()
                .filter(|&(_, entry)| *entry == Entry::Dir)
                .map(|(path, _)| path.clone())
                .collect();
            // The root itself may go and come.
            dirs.extend(self.root.parent().map(Path::to_owned));
            if dirs == self.plan.dirs {
                return;
            }
            let new: Vec<PathBuf> = dirs.difference(&self.plan.dirs).cloned().collect();
            self.plan = WatchPlan {
                revision: self.plan.revision + 1,
                dirs,
                trees: BTreeSet::from([self.root.clone()]),
            };
            self.backend.set_plan(self.plan.clone());
            hints = self.armed().await;
            // A directory is listed after it is armed: nothing falls between.
            for dir in new {
                hints.insert(dir, hotloader_backend::Phase::Complete);
            }
        }
    }

    async fn armed(&mut self) -> HintSet {
        let mut hints = HintSet::new();
        loop {
            let collected = self.reports.next().await.expect("the backend ended");
            hints.merge(collected.hints);
            if collected.armed.is_some_and(|armed| armed.revision >= self.plan.revision) {
                return hints;
            }
        }
    }

    fn look_once(&mut self, hints: &HintSet) {
        self.known.retain(|path, _| !hints.covers(path));
        if hints.is_everywhere() {
            self.known.extend(entries_at(&self.root));
        }
        for (path, _) in hints.iter() {
            if path.starts_with(&self.root) {
                self.known.extend(entries_at(path));
            } else if self.root.starts_with(path) {
                self.known.extend(entries_at(&self.root));
            }
        }
    }
}

/// Everything at and below a path; what vanishes meanwhile is not there.
fn entries_at(path: &Path) -> Entries {
    let mut entries = Entries::new();
    let mut todo = vec![path.to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
            entries.insert(path, Entry::Dir);
        } else if metadata.is_file()
            && let Ok(content) = fs::read(&path)
        {
            entries.insert(path, Entry::File(xxh3_128(&content)));
        }
    }
    entries
}
