//! The watch backend that looks at everything again and again: for file systems whose changes no
//! kernel reports (NFS, SMB, FUSE, folders shared with a container or a virtual machine).
//!
//! - `options`: the table `[watch.polling]`, and how fast passes follow each other.
//! - `pass`: what is known of all directories, and a pass over them.
//! - `listing`: the entries of one directory, compared with those before.
//! - `key`: what tells two states of an entry apart; which errors mean that something is gone.
//! - here: the thread that makes the passes, and the task that waits for it.
//!
//! notify's own `PollWatcher` misses edits within a second, times that go back and files put back with
//! their old time (<https://github.com/notify-rs/notify/pull/981>), so this does not use it.
//!
//! All looking is done on one thread that belongs to the backend. A server that hangs holds up that
//! thread and nothing else; barriers are not passed meanwhile, which is how others learn of it.

mod key;
mod listing;
mod options;
mod pass;

use std::{collections::BTreeMap, future::Future, pin::Pin, thread, time::Duration};

use hotloader_backend::{Armed, BackendFailure, BackendInputs, BarrierRequest, FileWatchBackend, Report};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tokio::{
    runtime,
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{options::Pace, pass::Tree};

/// What the backend is called in the configuration.
pub const NAME: &str = "polling";

/// How long a stop waits for the system call that the thread is in.
const THREAD_END: Duration = Duration::from_secs(1);

/// The backend.
#[derive(Debug)]
pub struct PollingBackend {
    pace: Pace,
}

impl PollingBackend {
    /// Takes the table `[watch.polling]`: `interval`, `idle_interval` (durations as text) and `max_cpu`
    /// (share of one processor).
    ///
    /// # Errors
    ///
    /// [`BackendFailure::Fatal`] for an unknown key or a value that is out of range.
    pub fn from_options(options: &BTreeMap<String, Value>) -> Result<Self, BackendFailure> {
        Ok(Self { pace: Pace::from_options(options)? })
    }
}

impl FileWatchBackend for PollingBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(
        self: Box<Self>,
        inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
        Box::pin(run(self.pace, inputs))
    }
}

/// Waits for the thread. A thread whose system call hangs cannot be ended: after a stop it is left to
/// itself, and ends when the call does.
async fn run(pace: Pace, mut inputs: BackendInputs) -> Result<(), BackendFailure> {
    let stop = inputs.stop.clone();
    // Ends the thread as well when this future is dropped.
    inputs.stop = stop.child_token();
    let _guard = inputs.stop.clone().drop_guard();
    let (end, mut ended) = oneshot::channel();
    thread::Builder::new()
        .name("hotloader-poll".into())
        .spawn(move || {
            // Nobody may be waiting any more.
            let _ = end.send(Poller::run(pace, inputs));
        })
        .map_err(|error| BackendFailure::retry("cannot start a thread to poll on").because(error))?;
    let panicked = |_| BackendFailure::retry("the polling thread panicked; please report it as a bug");
    tokio::select! {
        end = &mut ended => end.map_err(panicked)?,
        () = stop.cancelled() => match timeout(THREAD_END, ended).await {
            Ok(end) => end.map_err(panicked)?,
            Err(_) => {
                tracing::warn!(target: "watch", "a file system does not answer; the polling thread is left behind");
                Ok(())
            }
        },
    }
}

/// Lives on the thread.
struct Poller {
    pace: Pace,
    inputs: BackendInputs,
    tree: Tree,
}

/// Why the wait is over.
enum Wake {
    Stop,
    Plan,
    Barrier(BarrierRequest),
    Time,
}

impl Poller {
    fn run(pace: Pace, inputs: BackendInputs) -> Result<(), BackendFailure> {
        // A runtime of its own: passes block it, and a stop of the server's must not take its timers away.
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| BackendFailure::retry("cannot start a timer to poll by").because(error))?;
        let tree = Tree::new(inputs.reports.clone());
        runtime.block_on(Self { pace, inputs, tree }.work());
        Ok(())
    }

    async fn work(mut self) {
        let mut changed = Instant::now();
        let mut last_pass = Instant::now();
        let mut rested = Instant::now();
        loop {
            let due = rested.max(last_pass + self.pace.interval(changed.elapsed()));
            let wake = self.wake(due).await;
            // A plan lists what is new and no more: plans that follow each other put off no pass.
            let is_pass = !matches!(wake, Wake::Plan);
            let (begun, before) = (Instant::now(), processor_time());
            let done = match wake {
                Wake::Stop => None,
                Wake::Plan => self.take_plan(),
                Wake::Barrier(request) => self.pass(Some(request)),
                Wake::Time => self.pass(None),
            };
            let Some(any_change) = done else { return };
            let ended = Instant::now();
            if is_pass {
                last_pass = ended;
            }
            if any_change {
                changed = ended;
            }
            let used = processor_time().saturating_sub(before);
            rested = rested.max(ended + self.pace.rest(used));
            tracing::trace!(target: "watch", took = ?begun.elapsed(), processor = ?used, "looked at the disk");
        }
    }

    /// `None` if it was told to stop; otherwise whether anything changed.
    fn pass(&mut self, request: Option<BarrierRequest>) -> Option<bool> {
        let mut barriers = Vec::from_iter(request);
        // All that were asked for before the pass begins are proved by it.
        while let Ok(request) = self.inputs.barriers.try_recv() {
            barriers.push(request);
        }
        let changed = self.tree.pass(is_stopped(&self.inputs.stop))?;
        barriers.into_iter().for_each(BarrierRequest::complete);
        Some(changed)
    }

    async fn wake(&mut self, due: Instant) -> Wake {
        let inputs = &mut self.inputs;
        tokio::select! {
            biased;
            () = inputs.stop.cancelled() => Wake::Stop,
            plan = inputs.plan.changed() => if plan.is_ok() { Wake::Plan } else { Wake::Stop },
            Some(request) = inputs.barriers.recv() => Wake::Barrier(request),
            () = sleep_until(due) => Wake::Time,
        }
    }

    /// `None` if it was told to stop. A new plan is a change: whoever makes it is at work.
    fn take_plan(&mut self) -> Option<bool> {
        let plan = self.inputs.plan.borrow_and_update().clone();
        let skipped = self.tree.change_to(&plan, is_stopped(&self.inputs.stop))?;
        self.inputs.reports.report(Report::Armed(Armed { revision: plan.revision, skipped }));
        Some(true)
    }
}

fn is_stopped(stop: &CancellationToken) -> impl Fn() -> bool + '_ {
    || stop.is_cancelled()
}

/// What this thread has used so far.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hotloader_backend::{WatchPlan, spawn};
    use serde_json::json;

    use super::*;

    fn backend(interval: &str) -> Box<PollingBackend> {
        let options = BTreeMap::from([("interval".to_owned(), json!(interval))]);
        Box::new(PollingBackend::from_options(&options).unwrap())
    }

    #[tokio::test]
    async fn a_change_is_told_without_being_asked_for() {
        let site = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(site.path()).unwrap();
        let (handle, mut stream) = spawn(backend("10ms"));
        handle.set_plan(WatchPlan::new(1, [root.clone()]));
        assert_eq!(stream.next().await.unwrap().armed.unwrap().revision, 1);
        fs::write(root.join("x"), "1").unwrap();
        let collected = stream.next().await.unwrap();
        assert!(collected.hints.covers(&root.join("x")) && !collected.hints.covers(&root.join("y")));
        handle.stop().await;
        while stream.next().await.is_some() {}
    }

    #[tokio::test]
    async fn barriers_and_plans_do_not_wait_for_the_interval() {
        let site = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(site.path()).unwrap();
        let late = root.join("late");
        let (handle, mut stream) = spawn(backend("1h"));
        for (revision, dirs) in [(1, vec![&root]), (2, vec![&root, &late])] {
            handle.set_plan(WatchPlan::new(revision, dirs.into_iter().cloned()));
            while stream.next().await.unwrap().armed.is_none_or(|armed| armed.revision != revision) {}
        }
        fs::create_dir(&late).unwrap();
        handle.barrier().await.unwrap();
        assert!(stream.take().unwrap().hints.covers(&late));
        fs::write(late.join("x"), "1").unwrap();
        handle.barrier().await.unwrap();
        assert!(stream.take().unwrap().hints.covers(&late.join("x")));
        handle.stop().await;
    }

    #[tokio::test]
    async fn the_thread_ends_when_the_task_is_dropped() {
        let (plan, plan_inbox) = tokio::sync::watch::channel(Default::default());
        let (_barriers, barriers) = tokio::sync::mpsc::channel(1);
        let (reports, mut stream) = hotloader_backend::ReportSink::new();
        let stop = CancellationToken::new();
        let (vitals, _) = tokio::sync::watch::channel(Default::default());
        let inputs = BackendInputs { plan: plan_inbox, barriers, reports, vitals, stop: stop.clone() };
        let task = tokio::spawn(backend("1h").run(inputs));
        plan.send_replace(WatchPlan { revision: 1, ..WatchPlan::default() }.into());
        assert!(stream.next().await.unwrap().armed.is_some());
        task.abort();
        assert!(stream.next().await.is_none(), "its sink is gone");
    }
}
