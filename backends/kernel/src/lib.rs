//! What the backends share that the kernel tells of changes: inotify, and the `notify` crate.
//!
//! - `notes`: what the thread that empties the kernel's queue leaves for the task.
//! - `barriers`: barriers by cookie.
//! - `limits`: what an error means for a directory. `mounts`: whether the mount table changed.
//! - here: the task that holds them together, over [`Watches`].
//!
//! What the kernel tells of directories themselves only makes them *suspects*: they are asked for again, and the
//! answer says whether what is there now is what was watched.

mod barriers;
mod limits;
mod mounts;
mod notes;

use std::{path::Path, sync::Arc, time::Duration};

use hotloader_backend::{
    Armed, BackendFailure, BackendInputs, BarrierRequest, Phase, Report, ReportSink, Skipped, WatchPlan,
};
use tokio::{sync::oneshot, task::spawn_blocking};

use crate::barriers::Barriers;
pub use crate::{
    limits::{SkippedDirs, failure, is_limit, remedy},
    mounts::Mounts,
    notes::{Notes, Noticed, lock},
};

/// One watch of the kernel for each directory of the plan, and the thread that empties its queue into [`Notes`].
/// All but the thread is called on threads that may wait.
pub trait Watches: Send + Sized + 'static {
    /// Begins to read. `alive` is dropped when the thread ends.
    ///
    /// # Errors
    ///
    /// When nothing can be watched here.
    fn start(notes: Arc<Notes>, alive: oneshot::Sender<()>) -> Result<Self, BackendFailure>;

    /// Makes the watches what the plan says; adds before it removes.
    fn change_to(&mut self, plan: &WatchPlan);

    /// Watches anew all wanted directories at and below a path that came, went or changed. Returns those that
    /// have to be looked at, as what happened just before is not hinted.
    fn renew(&mut self, suspect: &Path, plan: &WatchPlan) -> Vec<Arc<Path>>;

    /// What of the plan is not watched.
    fn skipped(&self) -> Vec<Skipped>;

    /// Puts something into the queue that tells [`Notes::cookie`] that all before it was read.
    ///
    /// # Errors
    ///
    /// Why that is not possible, for people.
    fn place_cookie(&mut self, number: u64) -> Result<(), String>;
}

/// How long the reading thread may take to end once it was told to.
const THREAD_END: Duration = Duration::from_secs(2);

/// Everything the blocking work needs; it goes to a blocking thread and comes back.
struct Engine<W> {
    watches: W,
    barriers: Barriers,
    notes: Arc<Notes>,
    plan: Arc<WatchPlan>,
    /// What was last said to be skipped.
    told: Vec<Skipped>,
}

/// Watches with `W` until the stop: what a backend that the kernel tells does from its start to its end.
///
/// # Errors
///
/// When nothing can be watched, or the watches are lost.
pub async fn run<W: Watches>(mut inputs: BackendInputs) -> Result<(), BackendFailure> {
    let (thread_alive, mut thread_ended) = oneshot::channel();
    let reports = inputs.reports;
    let mut engine = blocking(move || Engine::<W>::start(reports, thread_alive)).await??;
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
    // Its thread may end some time after it is dropped, and says so as the last thing.
    blocking(move || drop(engine)).await?;
    if !thread_ended.is_terminated() {
        let _ = tokio::time::timeout(THREAD_END, thread_ended).await;
    }
    result
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BackendFailure> {
    spawn_blocking(work)
        .await
        .map_err(|error| BackendFailure::retry("the backend's thread panicked").because(error))
}

enum Work {
    Plan(Arc<WatchPlan>),
    Barrier(BarrierRequest),
    Notes,
}

impl<W: Watches> Engine<W> {
    fn start(reports: ReportSink, thread_alive: oneshot::Sender<()>) -> Result<Self, BackendFailure> {
        let notes = Arc::new(Notes::new(reports));
        let watches = W::start(notes.clone(), thread_alive)?;
        Ok(Self { watches, barriers: Barriers::default(), notes, plan: Arc::default(), told: Vec::new() })
    }

    fn work(&mut self, work: Work) -> Result<(), BackendFailure> {
        match work {
            // Only what is in use has changed, and the kernel reports every file alike.
            Work::Plan(plan) if plan.revision == self.plan.revision => {}
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
    use std::path::PathBuf;

    use rustix::io::Errno;

    use super::*;

    /// What is there is watched, and nothing is ever told.
    #[derive(Default)]
    struct Silent(SkippedDirs);

    impl Watches for Silent {
        fn start(_: Arc<Notes>, _: oneshot::Sender<()>) -> Result<Self, BackendFailure> {
            Ok(Self::default())
        }

        fn change_to(&mut self, plan: &WatchPlan) {
            self.0.clear();
            let missing = plan.dirs.iter().filter(|dir| !dir.exists());
            missing.for_each(|dir| self.0.insert(dir, Errno::NOENT));
        }

        fn renew(&mut self, _: &Path, _: &WatchPlan) -> Vec<Arc<Path>> {
            Vec::new()
        }

        fn skipped(&self) -> Vec<Skipped> {
            self.0.to_vec()
        }

        fn place_cookie(&mut self, _: u64) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn a_directory_that_could_not_be_watched_under_the_last_plan_is_hinted_when_the_next_finds_it() {
        let site = tempfile::tempdir().unwrap();
        let [root, late, other] = ["", "late", "other"].map(|name| site.path().join(name));
        std::fs::create_dir(&other).unwrap();
        let (reports, mut stream) = ReportSink::new();
        let mut engine = Engine::<Silent>::start(reports, oneshot::channel().0).unwrap();
        let plan = |revision, dirs: &[&PathBuf]| {
            Work::Plan(Arc::new(WatchPlan::new(revision, dirs.iter().copied().cloned())))
        };
        engine.work(plan(1, &[&root, &late])).unwrap();
        assert_eq!(stream.take().unwrap().armed.unwrap().skipped.len(), 1);
        std::fs::create_dir(&late).unwrap();
        engine.work(plan(2, &[&root, &late, &other])).unwrap();
        let collected = stream.take().unwrap();
        assert!(collected.armed.unwrap().skipped.is_empty());
        assert!(collected.hints.covers(&late) && !collected.hints.covers(&other));
    }
}
