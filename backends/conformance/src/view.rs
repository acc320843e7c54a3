//! The smallest possible reconciler.

use std::{
    collections::BTreeSet,
    fs,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use hotloader_backend::{
    Armed, BackendHandle, Collected, DirSet, FileWatchBackend, HintSet, Phase, ReportStream, WatchPlan, spawn,
};
use tempfile::TempDir;

use crate::entries::{Entries, Entry, entries_at};

/// No answer takes this long, on however slow a machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a backend may go on about what changed: file systems with time stamps of whole seconds need
/// more than two.
const REST: Duration = Duration::from_secs(10);

/// A tree of real files as it is known through a backend. Links are not its business.
#[derive(Debug)]
pub struct View {
    keep: TempDir,
    /// Directories above the root that it is watched through, in case it goes and comes.
    above: Vec<PathBuf>,
    root: PathBuf,
    known: Entries,
    backend: BackendHandle,
    reports: ReportStream,
    plan: WatchPlan,
    /// Planned by hand, in the tree or not.
    also: BTreeSet<PathBuf>,
    /// What is in use changes with each look.
    looks: usize,
}

impl View {
    /// Starts a backend on an empty tree.
    ///
    /// # Panics
    ///
    /// When the backend ends.
    pub async fn start(backend: Box<dyn FileWatchBackend>) -> Self {
        let keep = tempfile::Builder::new().prefix("conformance-").tempdir().unwrap();
        let top = fs::canonicalize(keep.path()).unwrap();
        let site = top.join("site");
        let root = site.join("root");
        fs::create_dir_all(&root).unwrap();
        let (backend, reports) = spawn(backend);
        let mut view = Self {
            keep,
            above: vec![top, site],
            root,
            known: Entries::new(),
            backend,
            reports,
            plan: WatchPlan::default(),
            also: BTreeSet::new(),
            looks: 0,
        };
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
        let outside = self.above[0].join("outside");
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
        self.is(&entries_at(&self.root), after);
    }

    /// Compares without looking at the disk; for who knows what is there.
    pub(crate) fn is(&self, expected: &Entries, after: &str) {
        let differs = |path: &&PathBuf| self.known.get(*path) != expected.get(*path);
        let wrong: BTreeSet<&PathBuf> = self.known.keys().chain(expected.keys()).filter(differs).collect();
        let wrong: Vec<_> =
            wrong.into_iter().map(|path| (path, self.known.get(path), expected.get(path))).collect();
        assert!(wrong.is_empty(), "after {after}: the view is wrong (path, known, expected) at {wrong:?}");
    }

    /// Passes a barrier and looks where the backend said.
    ///
    /// # Panics
    ///
    /// When the backend ends, or the barrier takes half a minute.
    pub async fn follow(&mut self) {
        self.hints().await;
    }

    /// Passes a barrier, looks where the backend said, and tells what it said.
    ///
    /// # Panics
    ///
    /// When the backend ends, or the barrier takes half a minute.
    pub async fn hints(&mut self) -> Option<Collected> {
        self.tell_in_use();
        within("a barrier", self.backend.barrier()).await.unwrap();
        let collected = self.reports.take();
        if let Some(Collected { hints, .. }) = &collected {
            self.look(hints.clone()).await;
        }
        collected
    }

    /// Waits until a barrier brings nothing new: a backend may say something twice.
    ///
    /// # Panics
    ///
    /// When it says something for ten seconds, though nobody changes anything.
    pub async fn rest(&mut self) {
        let deadline = Instant::now() + REST;
        while let Some(collected) = self.hints().await {
            assert!(Instant::now() < deadline, "nothing changes, and it says: {collected:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Passes a barrier. All of these paths were told, and nothing but them and directories above them,
    /// unless sync was lost.
    ///
    /// # Panics
    ///
    /// When something else was said.
    pub async fn only(&mut self, changed: &[&Path], after: &str) {
        let Collected { hints, lost, .. } =
            self.hints().await.unwrap_or_else(|| panic!("after {after}: nothing is told"));
        for path in changed {
            assert!(hints.covers(path), "after {after}: {} is not told", path.display());
        }
        if !lost.is_empty() {
            return;
        }
        assert!(!hints.is_everywhere(), "after {after}: everything is hinted, and no sync was lost");
        for (hinted, _) in hints.iter() {
            assert!(
                changed.iter().any(|path| path.starts_with(hinted)),
                "after {after}: {} is hinted and did not change",
                hinted.display()
            );
        }
    }

    /// Plans some directory beside those of the tree, and waits until that is answered.
    pub(crate) async fn plan_also(&mut self, dir: PathBuf) -> Armed {
        self.also.insert(dir);
        self.plan_again().await
    }

    /// Takes back [`plan_also`](Self::plan_also).
    pub(crate) async fn plan_no_longer(&mut self, dir: &Path) -> Armed {
        self.also.remove(dir);
        self.plan_again().await
    }

    /// Makes a new plan, be it of the same directories, and waits until it is armed.
    pub(crate) async fn plan_again(&mut self) -> Armed {
        let (hints, armed) = self.arm(self.wanted()).await;
        self.look(hints).await;
        armed
    }

    /// Begins so many barriers at once and waits for all of them.
    pub(crate) async fn barriers(&mut self, count: usize) {
        let barriers: Vec<_> = (0..count).map(|_| tokio::spawn(self.backend.barrier())).collect();
        for barrier in barriers {
            within("one of many barriers", barrier).await.unwrap().unwrap();
        }
        if let Some(collected) = self.reports.take() {
            self.look(collected.hints).await;
        }
    }

    /// Stops the backend, which ends its reports.
    ///
    /// # Panics
    ///
    /// When one of both takes half a minute.
    pub async fn stop(mut self) {
        within("the stop", self.backend.stop()).await;
        while within("the end of the reports", self.reports.next()).await.is_some() {}
        // The files last: a backend that is watching still is not what the next scenario begins with.
        drop(self.keep);
    }

    fn wanted(&self) -> DirSet {
        let dirs = self.known.iter().filter(|&(_, entry)| *entry == Entry::Dir).map(|(path, _)| path);
        dirs.chain(&self.above).chain(&self.also).cloned().collect()
    }

    async fn look(&mut self, mut hints: HintSet) {
        loop {
            self.look_once(&hints);
            let dirs = self.wanted();
            if dirs == self.plan.dirs {
                return;
            }
            let new = dirs.without(&self.plan.dirs);
            hints = self.arm(dirs).await.0;
            // A directory is listed after it is armed: nothing falls between.
            for dir in new {
                hints.insert(&*dir, Phase::Complete);
            }
        }
    }

    async fn arm(&mut self, dirs: DirSet) -> (HintSet, Armed) {
        let trees = BTreeSet::from([self.root.clone()]);
        self.plan = WatchPlan { revision: self.plan.revision + 1, dirs, trees, in_use: Arc::default() };
        self.plan.in_use = self.any_in_use();
        self.backend.set_plan(self.plan.clone());
        let mut hints = HintSet::new();
        loop {
            let collected = within("arming", self.reports.next()).await.expect("the backend ended");
            hints.merge(collected.hints);
            if let Some(armed) = collected.armed
                && armed.revision >= self.plan.revision
            {
                return (hints, armed);
            }
        }
    }

    /// Has anything be in use, without any change of what is to be watched.
    fn tell_in_use(&mut self) {
        self.looks += 1;
        self.plan.in_use = self.any_in_use();
        self.backend.set_plan(self.plan.clone());
    }

    /// Some of what is there, and some of what is not: whatever is in use, all is to be told.
    fn any_in_use(&self) -> Arc<BTreeSet<PathBuf>> {
        let turn = |at: usize| at.wrapping_add(self.looks);
        let dirs = self.plan.dirs.iter().enumerate().filter(|(at, _)| !turn(*at).is_multiple_of(3));
        let name = |at: usize| ["a", "b", "c", "x"][turn(at / 2) % 4];
        Arc::new(dirs.map(|(at, dir)| dir.join(name(at))).collect())
    }

    fn look_once(&mut self, hints: &HintSet) {
        self.known.retain(|path, _| !hints.covers(path));
        if hints.is_everywhere() {
            self.known.extend(entries_at(&self.root));
        }
        for (path, _) in hints.iter() {
            if path.starts_with(&self.root) {
                if !self.leads_through_link(path) {
                    self.known.extend(entries_at(path));
                }
            } else if self.root.starts_with(path) {
                self.known.extend(entries_at(&self.root));
            }
        }
    }

    /// A backend may speak of what was a directory when it was planned.
    fn leads_through_link(&self, path: &Path) -> bool {
        path.ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(&self.root))
            .any(|above| above.is_symlink())
    }
}

async fn within<T>(what: &str, answer: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(answer) => answer,
        Err(_) => panic!("{what} took longer than {DEADLINE:?}"),
    }
}
