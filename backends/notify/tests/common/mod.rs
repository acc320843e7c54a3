//! What the tests with a process of their own share.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each uses a part; and they are tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use hotloader_backend::{Armed, BackendHandle, FileWatchBackend, HintSet, ReportStream, WatchPlan, spawn};
use hotloader_notify::NotifyBackend;
use tempfile::TempDir;

pub(crate) fn backend() -> Box<dyn FileWatchBackend> {
    Box::new(NotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap())
}

/// The command that runs a test of this file that is ignored otherwise: `unshare` with these arguments,
/// if there are any, a line of shell, and there this binary as `"$0" "$@"`.
pub(crate) fn child(unshare: &[&str], line: &str, test: &str) -> Command {
    let mut command = if unshare.is_empty() { Command::new("sh") } else { Command::new("unshare") };
    if !unshare.is_empty() {
        command.args(unshare).arg("sh");
    }
    command.args(["-c", line]).arg(env::current_exe().unwrap());
    command.args(["--ignored", "--exact", test, "--nocapture"]).stdin(Stdio::null());
    command
}

/// Runs it to its end, which must be a good one. `false`, with a word, if it could not begin.
pub(crate) fn in_a_child(unshare: &[&str], line: &str, test: &str) -> bool {
    let Ok(run) = child(unshare, line, test).output() else {
        eprintln!("SKIPPED: cannot run unshare or sh");
        return false;
    };
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if !out.contains("running 1 test") {
        eprintln!("SKIPPED: this system does not allow `unshare {}` with `{line}`: {err}", unshare.join(" "));
        return false;
    }
    assert!(run.status.success(), "{out}{err}");
    true
}

/// A running backend and a directory for it.
pub(crate) struct Site {
    _keep: Option<TempDir>,
    pub(crate) root: PathBuf,
    pub(crate) handle: BackendHandle,
    pub(crate) stream: ReportStream,
    revision: u64,
}

impl Site {
    pub(crate) fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let site = Self::at(fs::canonicalize(keep.path()).unwrap());
        Self { _keep: Some(keep), ..site }
    }

    pub(crate) fn at(root: PathBuf) -> Self {
        let (handle, stream) = spawn(backend());
        Self { _keep: None, root, handle, stream, revision: 0 }
    }

    /// Makes a plan of these directories and waits until it is armed.
    pub(crate) async fn arm(&mut self, dirs: BTreeSet<PathBuf>) -> Armed {
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
    pub(crate) async fn told_again(&mut self) -> Armed {
        loop {
            if let Some(armed) = self.stream.next().await.unwrap().armed {
                return armed;
            }
        }
    }

    /// What was hinted up to a barrier.
    pub(crate) async fn hints(&mut self) -> HintSet {
        self.handle.barrier().await.unwrap();
        self.stream.take().map(|collected| collected.hints).unwrap_or_default()
    }
}
