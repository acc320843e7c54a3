//! Having the reconciler look at the disk, on a thread that may wait for it, and what it finds watched.

use std::{sync::Arc, time::Instant};

use hotloader_backend::{HintSet, WatchPlan};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    reconcile::{LinkView, Look, Looked, Reconciler},
    settle::Calm,
    stall::finished,
    watcher::{End, Watcher},
};

impl Watcher {
    /// Has the reconciler do something at the places that are held.
    pub(super) async fn at_held<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Reconciler, &HintSet) -> T + Send + 'static,
    ) -> Result<T, End> {
        let hints = self.settle.held().cloned().unwrap_or_default();
        self.on_disk(move |reconciler| work(reconciler, &hints)).await
    }

    /// Has the reconciler do something that asks the disk.
    pub(super) async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Reconciler) -> T + Send + 'static,
    ) -> Result<T, End> {
        let Some(mut reconciler) = self.reconciler.take() else { return Err(End::Panicked) };
        let job = spawn_blocking(move || {
            let result = work(&mut reconciler);
            (reconciler, result)
        });
        let (reconciler, result) = self.finished(job).await?;
        self.reconciler = Some(reconciler);
        Ok(result)
    }

    async fn finished<T>(&mut self, job: JoinHandle<T>) -> Result<T, End> {
        let done =
            finished(job, self.make_supervisor.patience.look, &self.ends.health, &self.ends.stop).await;
        done.ok_or(End::Stopped)?.map_err(|_| End::Panicked)
    }

    /// Looks until there is nothing that is listed but not watched.
    pub(super) async fn look(&mut self, hints: &HintSet, calm: Calm) -> Result<Looked, End> {
        let mut hints = hints.clone();
        loop {
            let Some(mut reconciler) = self.reconciler.take() else { return Err(End::Panicked) };
            let watched = self.plan.dirs.clone();
            let job = spawn_blocking(move || {
                let look = reconciler.look_when_calm(&hints, &watched, calm, Instant::now());
                (reconciler, look)
            });
            let (reconciler, look) = self.finished(job).await?;
            let links = || reconciler.links();
            match look {
                Look::Arm => {
                    let links = links();
                    self.arm(reconciler, links).await?;
                    // What was listed too early is known to the reconciler.
                    hints = HintSet::new();
                }
                Look::Early(rest) => {
                    self.reconciler = Some(reconciler);
                    return Ok(Looked::Early(rest));
                }
                Look::Done(outcome) => {
                    let links = outcome.walked.then(links);
                    self.reconciler = Some(reconciler);
                    if let Some(links) = links {
                        self.update_symlink_watches(links).await?;
                    }
                    for (path, at) in &outcome.rechecks {
                        self.settle.recheck(path.clone(), *at);
                    }
                    return Ok(Looked::Done(outcome));
                }
            }
        }
    }

    /// Has the backend watch what was found, while the reconciler does what does not depend on it.
    async fn arm(&mut self, mut reconciler: Box<Reconciler>, links: LinkView) -> Result<(), End> {
        let job = spawn_blocking(move || {
            reconciler.prepare();
            reconciler
        });
        let armed = self.update_symlink_watches(links).await;
        self.reconciler = Some(self.finished(job).await?);
        armed
    }

    /// Publishes the links, and has the backend watch what they need; waits until it does if there is
    /// anything new.
    async fn update_symlink_watches(&mut self, links: LinkView) -> Result<(), End> {
        let grown = !links.watched_dirs.is_subset(&self.plan.dirs);
        let same = links.watched_dirs == self.plan.dirs && links.trees == self.plan.trees;
        let (dirs, trees) = (links.watched_dirs.clone(), links.trees.clone());
        self.ends.links.send_if_modified(|known| {
            let modified = **known != links;
            if modified {
                *known = Arc::new(links);
            }
            modified
        });
        if !same {
            self.plan = WatchPlan { revision: self.plan.revision + 1, dirs, trees };
            self.backend.set_plan(self.plan.clone());
        }
        if grown { self.armed().await } else { Ok(()) }
    }

    pub(super) async fn armed(&mut self) -> Result<(), End> {
        loop {
            tokio::select! {
                biased;
                () = self.ends.stop.cancelled() => return Err(End::Stopped),
                failure = self.backend.failed() => return Err(End::Failed(failure)),
                Some(collected) = self.reports.next() => {
                    let armed = collected.armed.as_ref().is_some_and(|armed| armed.revision >= self.plan.revision);
                    self.take_in(collected);
                    if armed {
                        return Ok(());
                    }
                }
            }
        }
    }
}
