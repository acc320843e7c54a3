//! Having the reconciler look at the disk, on a thread that may wait for it.
//!
//! A call into a file system whose server stopped answering may never return, and nothing can end it. It must not go
//! unnoticed, and must not keep the watcher from stopping.

use std::time::Duration;

use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle, spawn_blocking},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{backends::Health, reconcile::Reconciler, state::End};

/// The reconciler, and what is needed to wait for it.
pub(super) struct Looking {
    /// `None` only while a thread has it.
    reconciler: Option<Box<Reconciler>>,
    /// A look that takes longer is told of.
    patience: Duration,
    health: watch::Sender<Health>,
    stop: CancellationToken,
}

/// The reconciler at work.
pub(super) struct Job<T>(JoinHandle<(Box<Reconciler>, T)>);

impl Looking {
    pub(super) fn new(
        reconciler: Reconciler,
        patience: Duration,
        health: watch::Sender<Health>,
        stop: CancellationToken,
    ) -> Self {
        Self { reconciler: Some(Box::new(reconciler)), patience, health, stop }
    }

    /// Goes on with another reconciler.
    pub(super) fn begin_anew(&mut self, reconciler: Reconciler) {
        self.reconciler = Some(Box::new(reconciler));
    }

    /// For what asks no disk.
    pub(super) fn reconciler(&mut self) -> Option<&mut Reconciler> {
        self.reconciler.as_deref_mut()
    }

    /// Has the reconciler do something that asks the disk, and waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Reconciler) -> T + Send + 'static,
    ) -> Result<T, End> {
        let job = self.start(work)?;
        self.finish(job).await
    }

    /// Has the reconciler begin something. Until it is [finished](Self::finish) it does nothing else.
    pub(super) fn start<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Reconciler) -> T + Send + 'static,
    ) -> Result<Job<T>, End> {
        let Some(mut reconciler) = self.reconciler.take() else { return Err(End::Panicked) };
        Ok(Job(spawn_blocking(move || {
            let result = work(&mut reconciler);
            (reconciler, result)
        })))
    }

    pub(super) async fn finish<T>(&mut self, job: Job<T>) -> Result<T, End> {
        let done = finished(job.0, self.patience, &self.health, &self.stop).await;
        let (reconciler, result) = done.ok_or(End::Stopped)?.map_err(|_| End::Panicked)?;
        self.reconciler = Some(reconciler);
        Ok(result)
    }
}

/// Waits for a look. After `patience` it is told that one waits; `None` if the watcher is to stop, and then
/// the look is left to itself.
async fn finished<T>(
    mut look: JoinHandle<T>,
    patience: Duration,
    health: &watch::Sender<Health>,
    stop: &CancellationToken,
) -> Option<Result<T, JoinError>> {
    let looking = async {
        if let Ok(done) = timeout(patience, &mut look).await {
            return done;
        }
        let why = "a look at the disk does not come to an end (a file system that hangs? `lua-hotloader doctor` \
                   names them); no change is seen until it does";
        tracing::error!(target: "watch", seconds = patience.as_secs(), "{why}");
        let before = health.borrow().clone();
        health.send_modify(|health| {
            health.covered = false;
            health.trouble = Some(why.to_owned());
        });
        let done = look.await;
        tracing::info!(target: "watch", "the look at the disk has ended");
        health.send_modify(|health| (health.covered, health.trouble) = (before.covered, before.trouble));
        done
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        done = looking => Some(done),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::task::spawn_blocking;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_look_that_hangs_is_told_until_it_ends_and_does_not_hold_up_a_stop() {
        let (health, mut seen) = watch::channel(Health { covered: true, ..Health::default() });
        let stop = CancellationToken::new();
        let patience = Duration::from_millis(20);
        let (end, ended) = mpsc::channel::<u8>();
        let look = finished(spawn_blocking(move || ended.recv().unwrap()), patience, &health, &stop);
        let watching = async {
            let told = seen.wait_for(|health| !health.covered);
            let told = timeout(DEADLINE, told).await.expect("nobody is told").unwrap();
            assert!(told.trouble.as_ref().is_some_and(|why| why.contains("hangs")));
            drop(told);
            end.send(7).unwrap();
        };
        let (done, ()) = tokio::join!(look, watching);
        assert_eq!(done.unwrap().unwrap(), 7);
        assert!(seen.borrow().covered && seen.borrow().trouble.is_none());

        let (end, ended) = mpsc::channel::<u8>();
        stop.cancel();
        let look = finished(spawn_blocking(move || ended.recv().unwrap()), patience, &health, &stop);
        assert!(timeout(DEADLINE, look).await.expect("the stop waits for it").is_none());
        end.send(0).unwrap();
    }
}
