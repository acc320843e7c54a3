//! The watch backend on the kernel's own events (inotify, FSEvents, kqueue), by way of the `notify`
//! crate.
//!
//! - `tap`: notify's callback; folds events into the report sink and leaves notes for the task.
//! - `watches`: which directories are watched, made to be what the plan says.
//! - here: the task that holds the two together, and barriers.
//!
//! notify's recursive mode and its following of links are off. The first loses the files of a
//! `mkdir -p` (<https://github.com/notify-rs/notify/issues/412> and others; measured: 198 of 200), the
//! second goes blind when one of two aliases is removed
//! (<https://github.com/notify-rs/notify/issues/572>). The reconciler names each real directory.

mod tap;
mod watches;

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use hotloader_backend::{
    Armed, BackendFailure, BackendInputs, BarrierRequest, FileWatchBackend, Phase, Report, ReportSink,
    WatchPlan,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::spawn_blocking};

use crate::{
    tap::{Notes, Tap},
    watches::Watches,
};

/// What the backend is called in the configuration.
pub const NAME: &str = "notify";

/// How long notify's thread may take to end once it was told to.
const THREAD_END: Duration = Duration::from_secs(2);

/// The backend. It has no options.
#[derive(Debug)]
pub struct NotifyBackend(());

impl NotifyBackend {
    /// Takes the table `[watch.notify]`.
    ///
    /// # Errors
    ///
    /// [`BackendFailure::Fatal`] for any key, since there are none yet.
    pub fn from_options<V>(options: &BTreeMap<String, V>) -> Result<Self, BackendFailure> {
        match options.keys().next() {
            None => Ok(Self(())),
            Some(key) => Err(BackendFailure::fatal(format!(
                "watch.notify.{key}: the notify backend has no options; remove the key"
            ))),
        }
    }
}

impl FileWatchBackend for NotifyBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(
        self: Box<Self>,
        inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
        Box::pin(run(inputs))
    }
}

/// Everything the blocking work needs; it goes to a blocking thread and comes back.
struct Engine {
    watches: Watches,
    barriers: Barriers,
    notes: Arc<Notes>,
    reports: ReportSink,
    plan: Arc<WatchPlan>,
}

async fn run(mut inputs: BackendInputs) -> Result<(), BackendFailure> {
    let (thread_alive, mut thread_ended) = oneshot::channel();
    let reports = inputs.reports;
    let mut engine = blocking(move || Engine::start(reports, thread_alive)).await??;
    let notes = engine.notes.clone();
    let result = loop {
        let work = tokio::select! {
            () = inputs.stop.cancelled() => break Ok(()),
            _ = &mut thread_ended => {
                break Err(BackendFailure::retry("the thread of the notify crate ended; its watches are gone"));
            }
            changed = inputs.plan.changed() => match changed {
                Ok(()) => Work::Plan(inputs.plan.borrow_and_update().clone()),
                Err(_) => break Ok(()),
            },
            Some(request) = inputs.barriers.recv() => Work::Barrier(request),
            () = notes.wake.notified() => Work::Notes,
        };
        let (back, result) = blocking(move || {
            let result = engine.work(work);
            (engine, result)
        })
        .await?;
        engine = back;
        if let Err(failure) = result {
            break Err(failure);
        }
    };
    // notify ends its thread and closes its descriptors some time after it is dropped; the callback
    // goes last, which tells when.
    blocking(move || drop(engine)).await?;
    if !thread_ended.is_terminated() {
        let _ = tokio::time::timeout(THREAD_END, thread_ended).await;
    }
    result
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BackendFailure> {
    spawn_blocking(work)
        .await
        .map_err(|error| BackendFailure::retry("the notify backend's thread panicked").because(error))
}

enum Work {
    Plan(Arc<WatchPlan>),
    Barrier(BarrierRequest),
    Notes,
}

impl Engine {
    fn start(reports: ReportSink, thread_alive: oneshot::Sender<()>) -> Result<Self, BackendFailure> {
        let barriers = Barriers::new()?;
        let notes = Arc::new(Notes::new(barriers.dir.clone()));
        let tap = Tap::new(reports.clone(), notes.clone(), thread_alive);
        let watches = Watches::new(tap, &barriers.dir)?;
        Ok(Self { watches, barriers, notes, reports, plan: Arc::default() })
    }

    fn work(&mut self, work: Work) -> Result<(), BackendFailure> {
        match work {
            Work::Plan(plan) => {
                self.notes.want(&plan.dirs);
                self.watches.change_to(&plan.dirs)?;
                self.plan = plan;
                self.reports.report(Report::Armed(Armed {
                    revision: self.plan.revision,
                    skipped: self.watches.skipped(),
                }));
            }
            Work::Barrier(request) => self.barriers.begin(request)?,
            Work::Notes => {}
        }
        let notes = self.notes.take();
        if let Some(error) = notes.error {
            return Err(BackendFailure::retry("reading the kernel's file events failed").because(error));
        }
        for suspect in &notes.suspects {
            // The hint comes after the watch: what happened in between is seen by looking again.
            for dir in self.watches.renew(suspect, &self.plan.dirs)? {
                self.reports.hint(dir, Phase::Complete);
            }
        }
        if notes.overflow {
            self.barriers.begin_again()?;
        }
        self.barriers.complete_to(notes.cookie);
        Ok(())
    }
}

/// Barriers by cookie: a file made in a private directory is seen through the same queue as every
/// change before it.
struct Barriers {
    dir: PathBuf,
    last: u64,
    waiting: VecDeque<(u64, BarrierRequest)>,
    _keep: TempDir,
}

impl Barriers {
    fn new() -> Result<Self, BackendFailure> {
        let failed = |error| {
            BackendFailure::next_backend(format!(
                "cannot make a directory in {} to see barriers in; set TMPDIR to one that is writable",
                std::env::temp_dir().display()
            ))
            .because(error)
        };
        let keep = tempfile::Builder::new().prefix("hotloader-").tempdir().map_err(failed)?;
        let dir = fs::canonicalize(keep.path()).map_err(failed)?;
        Ok(Self { dir, last: 0, waiting: VecDeque::new(), _keep: keep })
    }

    fn begin(&mut self, request: BarrierRequest) -> Result<(), BackendFailure> {
        self.last += 1;
        self.waiting.push_back((self.last, request));
        self.cookie()
    }

    /// The cookie of whoever still waits may be among what was lost.
    fn begin_again(&mut self) -> Result<(), BackendFailure> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.last += 1;
        self.cookie()
    }

    fn cookie(&self) -> Result<(), BackendFailure> {
        let path = self.dir.join(self.last.to_string());
        File::create(&path).and_then(|_| fs::remove_file(&path)).map_err(|error| {
            BackendFailure::retry(format!("cannot make the barrier file {}", path.display())).because(error)
        })
    }

    fn complete_to(&mut self, seen: u64) {
        while self.waiting.front().is_some_and(|&(number, _)| number <= seen) {
            if let Some((_, request)) = self.waiting.pop_front() {
                request.complete();
            }
        }
    }
}

#[cfg(test)]
mod tests {

    use hotloader_backend::{FailureClass, spawn};

    use super::*;

    fn backend() -> Box<NotifyBackend> {
        Box::new(NotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap())
    }

    #[test]
    fn an_unknown_option_is_fatal_and_named() {
        let failure = NotifyBackend::from_options(&BTreeMap::from([("interval".to_owned(), 1)])).unwrap_err();
        assert_eq!(failure.class(), FailureClass::Fatal);
        assert!(failure.to_string().contains("watch.notify.interval"), "{failure}");
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_is_skipped_and_watched_when_it_comes() {
        let site = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(site.path()).unwrap();
        let late = root.join("late");
        let (handle, mut stream) = spawn(backend());
        handle.set_plan(WatchPlan::new(1, [root.clone(), late.clone()]));
        let armed = loop {
            if let Some(armed) = stream.next().await.unwrap().armed {
                break armed;
            }
        };
        assert_eq!(armed.skipped.len(), 1);
        assert_eq!(armed.skipped[0].dir, late);
        fs::create_dir(&late).unwrap();
        handle.barrier().await.unwrap();
        assert!(stream.take().unwrap().hints.covers(&late));
        fs::write(late.join("x"), "1").unwrap();
        handle.barrier().await.unwrap();
        assert!(stream.take().unwrap().hints.covers(&late.join("x")));
        handle.stop().await;
    }

    #[tokio::test]
    async fn an_open_writer_is_told_from_a_closed_one_and_reading_is_not_told() {
        use std::io::Write;
        let site = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(site.path()).unwrap();
        let path = root.join("x");
        fs::write(&path, "old").unwrap();
        let (handle, mut stream) = spawn(backend());
        handle.set_plan(WatchPlan::new(1, [root.clone()]));
        while stream.next().await.unwrap().armed.is_none() {}
        let mut file = File::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        handle.barrier().await.unwrap();
        assert!(stream.take().unwrap().hints.any_writing());
        drop(file);
        handle.barrier().await.unwrap();
        let collected = stream.take().unwrap();
        assert!(collected.hints.covers(&path) && !collected.hints.any_writing());
        fs::read(&path).unwrap();
        handle.barrier().await.unwrap();
        assert!(stream.take().is_none());
        handle.stop().await;
    }
}
