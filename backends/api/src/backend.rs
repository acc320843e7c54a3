//! The trait, and what a backend is given to work with.

use std::{collections::BTreeSet, future::Future, path::PathBuf, pin::Pin, sync::Arc};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{BackendFailure, ReportSink};

/// Something that notices changes in directories.
///
/// A backend is a task: it works on its inputs until it returns, and what it returns is why it ended.
/// It owes three things:
///
/// - Make the watches what the newest [`WatchPlan`] says, then report
///   [`Armed`](crate::Report::Armed): from then on each change in those directories is hinted.
/// - Report a place to look at for each change, or [`LostSync`](crate::Report::LostSync) when it
///   cannot tell. Duplicates and false alarms are allowed, silence is not.
/// - Complete a [`BarrierRequest`] once all changes made before it was sent have been reported.
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
    /// Answer each one, in any order.
    pub barriers: mpsc::Receiver<BarrierRequest>,
    /// Where reports go.
    pub reports: ReportSink,
    /// Cancelled when it is time to release everything and return `Ok`.
    pub stop: CancellationToken,
}

/// The wanted state: every directory to be watched, not its subdirectories. Replaced whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchPlan {
    /// Grows with each plan; named again in [`Armed`](crate::Armed).
    pub revision: u64,
    /// Absolute paths without any link in them. One may have vanished by now.
    pub dirs: BTreeSet<PathBuf>,
}

/// Asks for proof that everything up to now has been reported.
#[derive(Debug)]
pub struct BarrierRequest {
    done: oneshot::Sender<()>,
}

impl BarrierRequest {
    pub(crate) fn new() -> (Self, oneshot::Receiver<()>) {
        let (done, waiting) = oneshot::channel();
        (Self { done }, waiting)
    }

    /// Says that all changes made before the request are in the sink. The asker may have gone, which
    /// is nobody's fault.
    pub fn complete(self) {
        let _ = self.done.send(());
    }
}
