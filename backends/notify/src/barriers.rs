//! Barriers by cookie: a file made in a private directory is seen through the same queue as every
//! change before it.

use std::{
    collections::VecDeque,
    fs::{self, File},
    path::PathBuf,
};

use hotloader_backend::{BackendFailure, BarrierRequest};
use tempfile::TempDir;

pub(crate) struct Barriers {
    /// Where the cookies are made. Nobody else's.
    pub(crate) dir: PathBuf,
    last: u64,
    waiting: VecDeque<(u64, BarrierRequest)>,
    _keep: TempDir,
}

impl Barriers {
    pub(crate) fn new() -> Result<Self, BackendFailure> {
        let failed = |error| {
            BackendFailure::next_backend(format!(
                "cannot make a directory in {} to see barriers in; set TMPDIR to one that is writable",
                std::env::temp_dir().display()
            ))
            .because(error)
        };
        let keep = tempfile::Builder::new().prefix("hotloader-").tempdir().map_err(failed)?;
        let dir = fs::canonicalize(keep.path()).map_err(failed)?;
        Ok(Self { dir, last: 0, waiting: VecDeque::new(), _keep: keep })
    }

    pub(crate) fn begin(&mut self, request: BarrierRequest) -> Result<(), BackendFailure> {
        self.last += 1;
        self.waiting.push_back((self.last, request));
        self.cookie()
    }

    /// The cookie of whoever still waits may be among what was lost.
    pub(crate) fn begin_again(&mut self) -> Result<(), BackendFailure> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.last += 1;
        self.cookie()
    }

    fn cookie(&self) -> Result<(), BackendFailure> {
        let path = self.dir.join(self.last.to_string());
        File::create(&path).and_then(|_| fs::remove_file(&path)).map_err(|error| {
            BackendFailure::retry(format!("cannot make the barrier file {}", path.display())).because(error)
        })
    }

    pub(crate) fn complete_to(&mut self, seen: u64) {
        while self.waiting.front().is_some_and(|&(number, _)| number <= seen) {
            if let Some((_, request)) = self.waiting.pop_front() {
                request.complete();
            }
        }
    }
}
