//! Running a backend as a task.

use std::sync::Arc;

use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    BackendFailure, BackendInputs, BarrierRequest, FileWatchBackend, ReportSink, ReportStream, Vitals,
    WatchPlan,
};

/// How many barriers may wait to be taken up by a backend.
const BARRIERS: usize = 16;

/// The end of a running backend that the server holds. Dropping it stops the backend.
#[derive(Debug)]
pub struct BackendHandle {
    name: &'static str,
    plan: watch::Sender<Arc<WatchPlan>>,
    barriers: mpsc::Sender<BarrierRequest>,
    vitals: watch::Receiver<Vitals>,
    task: Option<JoinHandle<Result<(), BackendFailure>>>,
    stop: DropGuard,
}

/// A barrier that will never be passed.
#[derive(Debug, Error)]
pub enum BarrierError {
    /// The backend ended first.
    #[error("the watch backend \"{backend}\" ended before it confirmed that all changes were reported")]
    Ended {
        /// What it is called.
        backend: &'static str,
    },
    /// The backend works, but cannot prove it.
    #[error("the watch backend \"{backend}\" cannot confirm that all changes were reported: {reason}")]
    Refused {
        /// What it is called.
        backend: &'static str,
        /// Why not.
        reason: String,
    },
}

/// Starts a backend as a task of the current tokio runtime; outside of one this panics.
pub fn spawn(backend: Box<dyn FileWatchBackend>) -> (BackendHandle, ReportStream) {
    let name = backend.name();
    let (plan, plan_inbox) = watch::channel(Arc::default());
    let (barriers, barrier_inbox) = mpsc::channel(BARRIERS);
    let (reports, stream) = ReportSink::new();
    let (vitals_outbox, vitals) = watch::channel(Vitals::default());
    let stop = CancellationToken::new();
    let inputs = BackendInputs {
        plan: plan_inbox,
        barriers: barrier_inbox,
        reports,
        vitals: vitals_outbox,
        stop: stop.clone(),
    };
    // `run` is called inside the task, so that a panic before its first await is caught as well.
    let task = tokio::spawn(async move { backend.run(inputs).await });
    (BackendHandle { name, plan, barriers, vitals, task: Some(task), stop: stop.drop_guard() }, stream)
}

impl BackendHandle {
    /// What the backend is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Replaces what is to be watched. [`Armed`](crate::Armed) in the reports says when it is.
    pub fn set_plan(&self, plan: impl Into<Arc<WatchPlan>>) {
        self.plan.send_replace(plan.into());
    }

    /// What the backend tells of itself.
    pub fn vitals(&self) -> Vitals {
        self.vitals.borrow().clone()
    }

    /// Completes when all changes made before it is first polled are in the stream. It holds nothing of
    /// the handle.
    ///
    /// # Errors
    ///
    /// When the backend ends first, or cannot tell.
    pub fn barrier(&self) -> impl Future<Output = Result<(), BarrierError>> + Send + use<> {
        let (backend, barriers) = (self.name, self.barriers.clone());
        async move {
            let (request, passed) = BarrierRequest::new();
            barriers.send(request).await.map_err(|_| BarrierError::Ended { backend })?;
            let answer = passed.await.map_err(|_| BarrierError::Ended { backend })?;
            answer.map_err(|reason| BarrierError::Refused { backend, reason })
        }
    }

    /// Waits until the backend has ended by itself and says why. Nothing is lost if the future is
    /// dropped; once it has answered, it does not answer again.
    pub async fn failed(&mut self) -> BackendFailure {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let result = task.await;
        self.task = None;
        match result {
            Ok(Ok(())) => BackendFailure::retry(format!(
                "the watch backend \"{}\" ended without being asked to",
                self.name
            )),
            Ok(Err(failure)) => failure,
            Err(error) => BackendFailure::retry(format!(
                "the watch backend \"{}\" panicked; please report it as a bug",
                self.name
            ))
            .because(error),
        }
    }

    /// Stops the backend and returns when it has released everything.
    pub async fn stop(self) {
        drop(self.stop);
        if let Some(task) = self.task
            && let Ok(Err(failure)) = task.await
        {
            tracing::debug!(target: "watch", backend = self.name, %failure, "failed while it was stopped");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin};

    use super::*;
    use crate::{Armed, FailureClass, Report};

    type Run = Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>>;

    struct Obedient;

    impl FileWatchBackend for Obedient {
        fn name(&self) -> &'static str {
            "obedient"
        }

        fn run(self: Box<Self>, mut inputs: BackendInputs) -> Run {
            Box::pin(async move {
                loop {
                    tokio::select! {
                        () = inputs.stop.cancelled() => return Ok(()),
                        Some(request) = inputs.barriers.recv() => request.complete(),
                        Ok(()) = inputs.plan.changed() => {
                            let revision = inputs.plan.borrow_and_update().revision;
                            inputs.reports.report(Report::Armed(Armed { revision, skipped: Vec::new() }));
                        }
                    }
                }
            })
        }
    }

    struct Panicking;

    impl FileWatchBackend for Panicking {
        fn name(&self) -> &'static str {
            "panicking"
        }

        fn run(self: Box<Self>, _: BackendInputs) -> Run {
            panic!("on purpose")
        }
    }

    #[tokio::test]
    async fn plans_and_barriers_are_answered_until_it_is_stopped() {
        let (handle, mut stream) = spawn(Box::new(Obedient));
        handle.set_plan(WatchPlan { revision: 7, ..WatchPlan::default() });
        assert_eq!(stream.next().await.unwrap().armed.unwrap().revision, 7);
        handle.barrier().await.unwrap();
        handle.stop().await;
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn dropping_the_handle_stops_the_backend() {
        let (handle, mut stream) = spawn(Box::new(Obedient));
        drop(handle);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_worth_a_retry() {
        let (mut handle, mut stream) = spawn(Box::new(Panicking));
        assert_eq!(handle.failed().await.class(), FailureClass::Retry);
        assert!(handle.barrier().await.is_err());
        assert!(stream.next().await.is_none());
    }
}
