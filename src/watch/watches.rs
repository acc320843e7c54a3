//! The backends at work, and what they were told to watch.

use std::{collections::BTreeSet, future::Future, path::PathBuf, sync::Arc};

use hotloader_backend::{
    BackendFailure, BackendHandle, BarrierError, Collected, DirSet, ReportStream, WatchPlan,
};
use tokio::sync::watch;

use super::{backends::SupervisorMaker, reconcile::LinkView};

/// The supervisor of the backends, its reports, and its plan.
pub(super) struct Watches {
    make_supervisor: SupervisorMaker,
    supervisor: BackendHandle,
    reports: ReportStream,
    plan: WatchPlan,
    /// Who else wants to know of links.
    links: watch::Sender<Arc<LinkView>>,
}

impl Watches {
    pub(super) fn start(make_supervisor: SupervisorMaker, links: watch::Sender<Arc<LinkView>>) -> Self {
        let (supervisor, reports) = make_supervisor.spawn();
        Self { make_supervisor, supervisor, reports, plan: WatchPlan::default(), links }
    }

    /// Starts the supervisor again, with the same plan under another revision.
    pub(super) fn restart(&mut self) {
        (self.supervisor, self.reports) = self.make_supervisor.spawn();
        self.plan.revision += 1;
        self.supervisor.set_plan(self.plan.clone());
    }

    pub(super) async fn stop(self) {
        self.supervisor.stop().await;
    }

    /// The directories that are to be watched.
    pub(super) fn dirs(&self) -> &DirSet {
        &self.plan.dirs
    }

    /// Publishes the links, and has watched what they need. Returns whether there is anything new: that is
    /// watched when a plan [is confirmed](Self::confirms).
    pub(super) fn update(&mut self, links: LinkView) -> bool {
        let has_grown = !links.watched_dirs.is_subset(&self.plan.dirs);
        let is_same = links.watched_dirs == self.plan.dirs && links.trees == self.plan.trees;
        if !is_same {
            let (dirs, trees) = (links.watched_dirs.clone(), links.trees.clone());
            let (revision, in_use) = (self.plan.revision + 1, self.plan.in_use.clone());
            self.plan = WatchPlan { revision, dirs, trees, in_use };
        }
        self.links.send_if_modified(|known| {
            let is_modified = **known != links;
            if is_modified {
                *known = Arc::new(links);
            }
            is_modified
        });
        if !is_same {
            self.supervisor.set_plan(self.plan.clone());
        }
        has_grown
    }

    /// Says which files matter now.
    pub(super) fn tell_in_use(&mut self, in_use: BTreeSet<PathBuf>) {
        if *self.plan.in_use != in_use {
            self.plan.in_use = Arc::new(in_use);
            self.supervisor.set_plan(self.plan.clone());
        }
    }

    /// Whether these reports say that all of the plan is watched.
    pub(super) fn confirms(&self, collected: &Collected) -> bool {
        collected.armed.as_ref().is_some_and(|armed| armed.revision >= self.plan.revision)
    }

    /// The next reports; waits for some. None is lost when this is dropped.
    pub(super) async fn reports(&mut self) -> Result<Collected, BackendFailure> {
        tokio::select! {
            biased;
            failure = self.supervisor.failed() => Err(failure),
            Some(collected) = self.reports.next() => Ok(collected),
        }
    }

    /// What was reported up to now.
    pub(super) fn take_reports(&mut self) -> Option<Collected> {
        self.reports.take()
    }

    pub(super) fn barrier(&self) -> impl Future<Output = Result<(), BarrierError>> + Send + use<> {
        self.supervisor.barrier()
    }
}
