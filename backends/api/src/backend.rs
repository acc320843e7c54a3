//! The trait, and what a backend is given to work with.

use std::{
    collections::BTreeSet,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{BackendFailure, DirSet, ReportSink};

/// Something that notices changes in directories.
///
/// A backend is a task: it works on its inputs until it returns, and what it returns is why it ended.
/// It owes three things:
///
/// - Make the watches what the newest [`WatchPlan`] says, then report
///   [`Armed`](crate::Report::Armed): from then on each change in those directories is hinted. A
///   directory that cannot be watched is named in it and ends nothing; when that changes later, the same
///   revision is reported again. Each new revision, also one with the same directories, is a reason to
///   try those again.
/// - Report a place to look at for each change, or [`LostSync`](crate::Report::LostSync) when it
///   cannot tell. Duplicates and false alarms are allowed, silence is not.
/// - Complete a [`BarrierRequest`] once all changes made before it was sent have been reported, or refuse it
///   where that cannot be known.
pub trait FileWatchBackend: Send + 'static {
    /// What it is called in the configuration and in the log.
    fn name(&self) -> &'static str;

    /// Works until it is stopped (`Ok`) or cannot go on (`Err`). A panic counts as
    /// [`BackendFailure::Retry`]. Must not block the thread it is polled on.
    fn run(
        self: Box<Self>,
        inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>>;
}

/// All that a backend is connected to.
#[derive(Debug)]
pub struct BackendInputs {
    /// What to watch; the newest value counts, those between may be passed over.
    pub plan: watch::Receiver<Arc<WatchPlan>>,
    /// Complete or refuse each one, in any order.
    pub barriers: mpsc::Receiver<BarrierRequest>,
    /// Where reports go.
    pub reports: ReportSink,
    /// What it tells of itself, for health and metrics. A backend with nothing to tell leaves it alone.
    pub vitals: watch::Sender<Vitals>,
    /// Cancelled when it is time to release everything and return `Ok`.
    pub stop: CancellationToken,
}

/// What a backend tells of itself beside its reports.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vitals {
    /// What it stands on, for people: `Watchman 4.9.0 at /run/watchman.sock`.
    pub detail: String,
    /// Share of one processor that it uses, as last measured; 1 is all of it.
    pub cpu_share: f64,
    /// How often it looked at all it watches; 0 for one that is told of changes.
    pub passes: u64,
    /// How long the last such look took.
    pub last_pass: Duration,
    /// How often a server had to answer although the kernel remembered an answer.
    pub requests: u64,
}

/// The wanted state: every directory to be watched, not its subdirectories. Replaced whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchPlan {
    /// Grows with each plan that has other directories or trees; named again in [`Armed`](crate::Armed).
    pub revision: u64,
    /// Absolute paths without any link in them. One may have vanished by now.
    pub dirs: DirSet,
    /// Those of `dirs` in which a tree begins that is wanted, by and large, as a whole. A backend that can
    /// only watch whole trees watches these. The directories outside of them lie on the way to something
    /// (`/home`, say), and what is below must stay unwatched.
    pub trees: BTreeSet<PathBuf>,
    /// Files that matter now, without any link in their paths: those that sessions have loaded, and what changed
    /// lately. A backend that looks may look at these, and at their directories, more often than at all others. Some
    /// may lie outside of `dirs`, and some may not exist. Where only this differs from the plan before, the revision
    /// is the same, and there is nothing to confirm.
    pub in_use: Arc<BTreeSet<PathBuf>>,
}

impl WatchPlan {
    /// A plan without trees.
    pub fn new(revision: u64, dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { revision, dirs: dirs.into_iter().collect(), ..Self::default() }
    }

    /// The topmost tree that a path is in.
    pub fn tree_of(&self, path: &Path) -> Option<&Path> {
        path.ancestors().filter_map(|above| self.trees.get(above)).last().map(PathBuf::as_path)
    }
}

/// Asks for proof that everything up to now has been reported.
#[derive(Debug)]
pub struct BarrierRequest {
    done: oneshot::Sender<Result<(), String>>,
}

impl BarrierRequest {
    pub(crate) fn new() -> (Self, oneshot::Receiver<Result<(), String>>) {
        let (done, waiting) = oneshot::channel();
        (Self { done }, waiting)
    }

    /// Says that all changes made before the request are in the sink. The asker may have gone, which
    /// is nobody's fault.
    pub fn complete(self) {
        let _ = self.done.send(Ok(()));
    }

    /// Says that it cannot be proved now, and why: changes are reported all the same.
    pub fn refuse(self, reason: impl Into<String>) {
        let _ = self.done.send(Err(reason.into()));
    }
}
