//! [`ReleaseLoader`]: as [`HotLoader`](super::HotLoader), for code that comes as releases. Nothing of a release that
//! has an error is published: a server that joins later would have no last good version of the file.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Compiler, Diagnostic, Generation, HotLoaderError, PageFiles, Published, ReloadReport, SessionHost,
    SiteLayout, Stages, copies, hot_loader::Actor, rollout::Rollout,
};
use crate::watch::{ChangeSet, Timing};

/// Checks releases, and runs them in the sessions of a host.
pub struct ReleaseLoader<H: SessionHost> {
    actor: Actor<H>,
}

/// A release without an error, which nobody runs yet.
#[derive(Debug)]
pub struct Checked {
    /// `None`: only files that browsers load by address have changed.
    generation: Option<Arc<Generation>>,
    saved: Option<PageFiles>,
    timing: Timing,
    compile: Duration,
}

impl<H: SessionHost> ReleaseLoader<H> {
    /// For the sessions of `host`, which find the code in `published`.
    ///
    /// # Errors
    /// If there is no memory for a Lua state.
    pub fn new(layout: SiteLayout, published: Arc<Published>, host: Arc<H>) -> Result<Self, HotLoaderError> {
        let compiler = Some(Compiler::new(layout.clone())?);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Ok(Self { actor: Actor { compiler, layout, published, host, tasks, stop } })
    }

    /// Compiles what differs from the release that runs.
    ///
    /// # Errors
    /// What does not compile, or is no template; then nothing has changed.
    pub async fn check(&mut self, mut changes: ChangeSet) -> Result<Checked, Vec<Diagnostic>> {
        copies::leave_out(&mut changes);
        let saved = PageFiles::take_from(&mut changes);
        let (timing, compiling) = (changes.timing, Instant::now());
        if changes.changes.is_empty() && !changes.initial {
            return Ok(Checked { generation: None, saved, timing, compile: Duration::ZERO });
        }
        let bug = || vec![Diagnostic::about("", None, "a bug: the compiler failed; the log says where")];
        let generation = self.actor.compile(changes).await.ok_or_else(bug)?;
        let wrong: Vec<Diagnostic> = generation.diagnostics().cloned().collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Checked { generation: Some(generation), saved, timing, compile: compiling.elapsed() })
    }

    /// Publishes it, and moves every session to it. What came of it is sent when the last one has answered, and
    /// nothing if this ends before.
    pub fn run(&mut self, checked: Checked) -> oneshot::Receiver<ReloadReport> {
        let Checked { generation, saved, timing, compile } = checked;
        let (sender, report) = oneshot::channel();
        let actor = &self.actor;
        if let Some(saved) = saved {
            actor.host.page_files(&saved);
            saved.log();
        }
        let Some(generation) = generation else {
            let sessions = actor.host.lua_sessions().len();
            let _ = sender.send(ReloadReport { sessions, ..ReloadReport::default() });
            return report;
        };
        actor.published.publish(generation.clone());
        let Timing { first_hint: began, settle, reconcile } = timing;
        let rollout = Rollout {
            generation,
            published: actor.published.clone(),
            host: actor.host.clone(),
            began,
            stages: Stages { settle, reconcile, compile, apply: Duration::ZERO },
        };
        let stop = actor.stop.clone();
        actor.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                // Nobody may want to know.
                report = rollout.run() => drop(sender.send(report)),
            }
        });
        report
    }

    /// Ends it: sessions that have not moved stay where they are.
    pub async fn stop(self) {
        self.actor.stop.cancel();
        self.actor.tasks.close();
        self.actor.tasks.wait().await;
    }
}
