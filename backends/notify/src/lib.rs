//! The watch backend on the kernel's own events: inotify on Linux, elsewhere what the `notify` crate finds
//! (FSEvents, kqueue).
//!
//! - `inotify`: which directories are watched, made to be what the plan says.
//! - `queue`: the thread that empties the kernel's queue; folds events into the report sink.
//! - `notes`: what that thread leaves for the task.
//! - `portable`: the same two on the `notify` crate.
//! - `barriers`: barriers by cookie.
//! - `limits`: what an error means for a directory.
//! - here: the task that holds them together.
//!
//! On Linux the crate is not used, as four things cannot be had through it (8.2.2). It follows a link that
//! took the place of a directory: the watch lands on another directory, which goes blind when that is
//! undone. It asks for reads as well, so looking at 100,000 files fills the queue with our own doing. It
//! walks all watches for each directory that goes. And two paths of one inode are one path to it
//! (<https://github.com/notify-rs/notify/issues/572>).
//!
//! What the kernel tells of directories themselves only makes them *suspects*: they are asked for again,
//! and the answer says whether what is there now is what was watched.

mod barriers;
#[cfg(all(target_os = "linux", not(portable)))]
mod inotify;
mod limits;
mod notes;
#[cfg(any(not(target_os = "linux"), portable, test))]
mod portable;
#[cfg(all(target_os = "linux", not(portable)))]
mod queue;
#[cfg(all(target_os = "linux", not(portable)))]
mod table;

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use hotloader_backend::{
    Armed, BackendFailure, BackendInputs, BarrierRequest, FileWatchBackend, Phase, Report, ReportSink,
    Skipped, WatchPlan,
};
use tokio::{sync::oneshot, task::spawn_blocking};

#[cfg(all(target_os = "linux", not(portable)))]
use crate::inotify::Watches;
#[cfg(any(not(target_os = "linux"), portable))]
use crate::portable::Watches;
use crate::{barriers::Barriers, notes::Notes};

/// What the backend is called in the configuration.
pub const NAME: &str = "notify";

/// How long the reading thread may take to end once it was told to.
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
    plan: Arc<WatchPlan>,
    /// What was last said to be skipped.
    told: Vec<Skipped>,
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
                break Err(BackendFailure::retry("the thread that reads the kernel's file events ended; its watches are gone"));
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
    // The notify crate ends its thread and closes its descriptors some time after it is dropped; the
    // callback goes last, which tells when.
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
        let notes = Arc::new(Notes::new(reports));
        let watches = Watches::start(notes.clone(), thread_alive)?;
        Ok(Self { watches, barriers: Barriers::default(), notes, plan: Arc::default(), told: Vec::new() })
    }

    fn work(&mut self, work: Work) -> Result<(), BackendFailure> {
        match work {
            Work::Plan(plan) => {
                self.notes.want(plan.clone());
                self.watches.change_to(&plan);
                self.plan = plan;
                self.hint_no_longer_skipped();
                self.tell_armed();
            }
            Work::Barrier(request) => {
                let number = self.barriers.begin(request);
                self.place_cookie(number);
            }
            Work::Notes => {}
        }
        let noticed = self.notes.take();
        if let Some(error) = noticed.error {
            return Err(BackendFailure::retry("reading the kernel's file events failed").because(error));
        }
        for suspect in &noticed.suspects {
            // The hint comes after the watch: what happened in between is seen by looking again.
            for dir in self.watches.renew(suspect, &self.plan) {
                self.notes.reports().hint(&*dir, Phase::Complete);
            }
        }
        if !noticed.suspects.is_empty() && self.watches.skipped() != self.told {
            self.tell_armed();
        }
        if noticed.overflow
            && let Some(number) = self.barriers.begin_again()
        {
            self.place_cookie(number);
        }
        self.barriers.complete_to(noticed.cookie);
        Ok(())
    }

    fn place_cookie(&mut self, number: u64) {
        if let Err(reason) = self.watches.place_cookie(number) {
            self.barriers.refuse(&reason);
        }
    }

    /// What was planned before and could not be watched: nobody will look at it for being new in the plan, and
    /// what told that it is there came before its watch.
    fn hint_no_longer_skipped(&self) {
        let skipped = self.watches.skipped();
        for Skipped { dir, .. } in &self.told {
            let is_skipped = skipped.binary_search_by(|skipped| skipped.dir.cmp(dir)).is_ok();
            if !is_skipped && self.plan.dirs.contains(dir) {
                self.notes.reports().hint(dir, Phase::Complete);
            }
        }
    }

    fn tell_armed(&mut self) {
        self.told = self.watches.skipped();
        let armed = Armed { revision: self.plan.revision, skipped: self.told.clone() };
        self.notes.reports().report(Report::Armed(armed));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        path::PathBuf,
    };

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

    #[test]
    fn a_directory_that_could_not_be_watched_under_the_last_plan_is_hinted_when_the_next_finds_it() {
        let site = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(site.path()).unwrap();
        let (late, other) = (root.join("late"), root.join("other"));
        fs::create_dir(&other).unwrap();
        let (reports, mut stream) = ReportSink::new();
        let mut engine = Engine::start(reports, oneshot::channel().0).unwrap();
        let plan = |revision, dirs: &[&PathBuf]| {
            Work::Plan(Arc::new(WatchPlan::new(revision, dirs.iter().copied().cloned())))
        };
        engine.work(plan(1, &[&root, &late])).unwrap();
        assert_eq!(stream.take().unwrap().armed.unwrap().skipped.len(), 1);
        fs::create_dir(&late).unwrap();
        // It is told, looked at, and written to before anybody watches it.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while !stream.take().is_some_and(|collected| collected.hints.covers(&late)) {
            assert!(std::time::Instant::now() < deadline, "the new directory is not told");
            std::thread::yield_now();
        }
        engine.work(plan(2, &[&root, &late, &other])).unwrap();
        let collected = stream.take().unwrap();
        assert!(collected.armed.unwrap().skipped.is_empty());
        assert!(collected.hints.covers(&late) && !collected.hints.covers(&other));
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
        assert_eq!(Vec::from_iter(collected.hints.iter()), [(path.as_path(), Phase::Closed)]);
        fs::read(&path).unwrap();
        handle.barrier().await.unwrap();
        assert!(stream.take().is_none());
        handle.stop().await;
    }
}
