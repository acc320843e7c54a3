//! A backend over a backend: what all wrappers have in common.

use std::{future::Future, pin::Pin, sync::Arc};

use hotloader_backend::{
    Armed, BackendFailure, BackendInputs, BarrierRequest, Collected, FileWatchBackend, Report, ReportSink,
    WatchPlan, spawn,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// When a fault begins.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// With the answer after so many; each armed plan, passed barrier and batch of hints is one.
    After(u64),
    /// When this is cancelled.
    When(CancellationToken),
}

impl From<u64> for Trigger {
    fn from(answers: u64) -> Self {
        Self::After(answers)
    }
}

impl From<CancellationToken> for Trigger {
    fn from(token: CancellationToken) -> Self {
        Self::When(token)
    }
}

/// What comes of an answer.
pub(super) enum Verdict {
    Pass,
    /// The backend fails.
    Die(BackendFailure),
    /// It says nothing from now on.
    Hang,
}

/// What a wrapper does to what passes through it. What is not overridden passes unchanged.
pub(super) trait Fault: Send + Sync + 'static {
    /// A plan on its way in.
    fn plan(&mut self, plan: Arc<WatchPlan>) -> WatchPlan {
        WatchPlan::clone(&plan)
    }

    /// The answer to a plan on its way out.
    fn armed(&mut self, armed: Armed) -> Option<Armed> {
        Some(armed)
    }

    /// Hints and losses on their way out; without `armed`.
    fn hints(&mut self, collected: Collected, out: &ReportSink) {
        out.forward(collected);
    }

    /// When something held back is due.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Lets out what was held back: it is due, or a barrier is about to be passed.
    fn flush(&mut self, _out: &ReportSink) {}

    /// Called before each answer.
    fn verdict(&mut self) -> Verdict {
        Verdict::Pass
    }

    /// Completes when the fault begins by itself.
    fn begins(&self) -> Option<CancellationToken> {
        None
    }
}

/// A fault and the backend under it.
pub(super) struct Relay<F> {
    pub(super) inner: Box<dyn FileWatchBackend>,
    pub(super) fault: F,
}

impl<F: Fault> FileWatchBackend for Relay<F> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn run(
        self: Box<Self>,
        inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
        Box::pin(run(*self, inputs))
    }
}

async fn run<F: Fault>(relay: Relay<F>, mut inputs: BackendInputs) -> Result<(), BackendFailure> {
    let Relay { inner, mut fault } = relay;
    let (mut handle, mut stream) = spawn(inner);
    let mut barriers: JoinSet<Option<BarrierRequest>> = JoinSet::new();
    let begins = fault.begins();
    let out = inputs.reports;
    let verdict = loop {
        let due = fault.due();
        tokio::select! {
            biased;
            () = inputs.stop.cancelled() => {
                handle.stop().await;
                return Ok(());
            }
            () = begun(begins.as_ref()) => break fault.verdict(),
            changed = inputs.plan.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                handle.set_plan(fault.plan(inputs.plan.borrow_and_update().clone()));
            }
            Some(request) = inputs.barriers.recv() => {
                let barrier = handle.barrier();
                barriers.spawn(async move { barrier.await.is_ok().then_some(request) });
            }
            // If the inner one ended, why is learned below.
            Some(Ok(Some(request))) = barriers.join_next() => {
                if let Some(collected) = stream.take() && let Some(verdict) = pass(&mut fault, collected, &out) {
                    break verdict;
                }
                fault.flush(&out);
                match fault.verdict() {
                    Verdict::Pass => request.complete(),
                    verdict => break verdict,
                }
            }
            Some(collected) = stream.next() => {
                if let Some(verdict) = pass(&mut fault, collected, &out) {
                    break verdict;
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => fault.flush(&out),
            failure = handle.failed() => return Err(failure),
        }
        inputs.vitals.send_replace(handle.vitals());
    };
    match verdict {
        Verdict::Die(failure) => {
            handle.stop().await;
            Err(failure)
        }
        Verdict::Pass | Verdict::Hang => {
            // Whoever asks waits: what was asked is kept, as are the questions to come.
            inputs.stop.cancelled().await;
            handle.stop().await;
            drop(barriers);
            Ok(())
        }
    }
}

async fn begun(token: Option<&CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Lets through what came from the inner one. A verdict ends it.
fn pass<F: Fault>(fault: &mut F, mut collected: Collected, out: &ReportSink) -> Option<Verdict> {
    let armed = collected.armed.take();
    if !(collected.hints.is_empty() && collected.lost.is_empty()) {
        match fault.verdict() {
            Verdict::Pass => fault.hints(collected, out),
            verdict => return Some(verdict),
        }
    }
    if let Some(armed) = armed {
        match fault.verdict() {
            Verdict::Pass => {
                fault.armed(armed).into_iter().for_each(|armed| out.report(Report::Armed(armed)))
            }
            verdict => return Some(verdict),
        }
    }
    None
}
