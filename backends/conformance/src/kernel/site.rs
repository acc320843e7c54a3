//! A backend at work in a directory.

use std::{collections::BTreeSet, fs, path::PathBuf};

use hotloader_backend::{Armed, BackendHandle, FileWatchBackend, HintSet, ReportStream, WatchPlan, spawn};
use tempfile::TempDir;

/// Makes the backend.
pub type Backend<'a> = &'a dyn Fn() -> Box<dyn FileWatchBackend>;

/// A running backend and a directory for it.
pub struct Site {
    _keep: Option<TempDir>,
    /// The directory.
    pub root: PathBuf,
    /// The backend.
    pub handle: BackendHandle,
    /// What it says.
    pub stream: ReportStream,
    revision: u64,
}

impl Site {
    /// In a directory of its own.
    pub fn new(backend: Backend<'_>) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let site = Self::at(backend, fs::canonicalize(keep.path()).unwrap());
        Self { _keep: Some(keep), ..site }
    }

    /// In that one.
    pub fn at(backend: Backend<'_>, root: PathBuf) -> Self {
        let (handle, stream) = spawn(backend());
        Self { _keep: None, root, handle, stream, revision: 0 }
    }

    /// Makes a plan of these directories and waits until it is armed.
    pub async fn arm(&mut self, dirs: BTreeSet<PathBuf>) -> Armed {
        self.revision += 1;
        self.handle.set_plan(WatchPlan::new(self.revision, dirs));
        loop {
            if let Some(armed) = self.stream.next().await.unwrap().armed
                && armed.revision == self.revision
            {
                return armed;
            }
        }
    }

    /// Waits until the backend says of itself that what is skipped has changed.
    pub async fn told_again(&mut self) -> Armed {
        loop {
            if let Some(armed) = self.stream.next().await.unwrap().armed {
                return armed;
            }
        }
    }

    /// What was hinted up to a barrier.
    pub async fn hints(&mut self) -> HintSet {
        self.handle.barrier().await.unwrap();
        self.stream.take().map(|collected| collected.hints).unwrap_or_default()
    }
}

/// Makes 40 directories in that of the site.
pub fn forty(site: &Site) -> BTreeSet<PathBuf> {
    let dirs: BTreeSet<_> = (0..40).map(|i| site.root.join(format!("{i:02}"))).collect();
    dirs.iter().for_each(|dir| fs::create_dir(dir).unwrap());
    dirs
}
