//! The wrappers, one beside the other.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use hotloader_backend::{
    Armed, BackendFailure, Collected, FailureClass, FileWatchBackend, LostCause, Report, ReportSink, Scope,
    SkipCause, Skipped, WatchPlan,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::relay::{Fault, Relay, Trigger, Verdict};

type Backend = Box<dyn FileWatchBackend>;

fn over(inner: Backend, fault: impl Fault) -> Backend {
    Box::new(Relay { inner, fault })
}

/// Drops hints.
#[derive(Debug)]
pub struct Lossy {
    count: u64,
    every: u64,
    is_silent: bool,
}

impl Lossy {
    /// Drops every other batch, and says that sync was lost, as after an overflow.
    pub fn over(inner: Backend) -> Backend {
        over(inner, Self { count: 0, every: 2, is_silent: false })
    }

    /// Drops one batch of so many, the first one of them first, and says nothing.
    pub fn silent(inner: Backend, every: u64) -> Backend {
        over(inner, Self { count: 0, every: every.max(1), is_silent: true })
    }
}

impl Fault for Lossy {
    fn hints(&mut self, collected: Collected, out: &ReportSink) {
        let is_lost = self.count.is_multiple_of(self.every);
        self.count += 1;
        if !is_lost {
            out.forward(collected);
        } else if !self.is_silent {
            out.report(Report::LostSync { scope: Scope::Everything, cause: LostCause::Overflow });
        }
    }
}

/// Says everything a second time: together with what comes next, or before a barrier.
#[derive(Debug, Default)]
pub struct Duplicating(Option<Collected>);

impl Duplicating {
    /// Puts it over a backend.
    pub fn over(inner: Backend) -> Backend {
        over(inner, Self::default())
    }
}

impl Fault for Duplicating {
    fn hints(&mut self, collected: Collected, out: &ReportSink) {
        self.flush(out);
        out.forward(collected.clone());
        self.0 = Some(collected);
    }

    fn flush(&mut self, out: &ReportSink) {
        if let Some(again) = self.0.take() {
            out.forward(again);
        }
    }
}

/// Says the older after the newer: of three batches the last one first. What is left comes before a
/// barrier.
#[derive(Debug, Default)]
pub struct Reordering(Vec<Collected>);

impl Reordering {
    const HELD: usize = 3;

    /// Puts it over a backend.
    pub fn over(inner: Backend) -> Backend {
        over(inner, Self::default())
    }
}

impl Fault for Reordering {
    fn hints(&mut self, collected: Collected, out: &ReportSink) {
        self.0.push(collected);
        if self.0.len() >= Self::HELD {
            self.flush(out);
        }
    }

    fn flush(&mut self, out: &ReportSink) {
        for collected in mem::take(&mut self.0).into_iter().rev() {
            out.forward(collected);
        }
    }
}

/// Says things late, but before a barrier is passed.
#[derive(Debug)]
pub struct Delaying {
    by: Duration,
    held: VecDeque<(Instant, Collected)>,
}

impl Delaying {
    /// Puts it over a backend.
    pub fn over(inner: Backend, by: Duration) -> Backend {
        over(inner, Self { by, held: VecDeque::new() })
    }
}

impl Fault for Delaying {
    fn hints(&mut self, collected: Collected, _out: &ReportSink) {
        self.held.push_back((Instant::now() + self.by, collected));
    }

    fn due(&self) -> Option<Instant> {
        self.held.front().map(|(due, _)| *due)
    }

    fn flush(&mut self, out: &ReportSink) {
        self.held.drain(..).for_each(|(_, collected)| out.forward(collected));
    }
}

/// Counts answers down to the fault.
#[derive(Debug)]
struct Fuse {
    left: u64,
    token: Option<CancellationToken>,
}

impl Fuse {
    fn new(trigger: Trigger) -> Self {
        match trigger {
            Trigger::After(answers) => Self { left: answers, token: None },
            Trigger::When(token) => Self { left: u64::MAX, token: Some(token) },
        }
    }

    /// Whether it is time.
    fn burn(&mut self) -> bool {
        let is_over = self.left == 0 || self.token.as_ref().is_some_and(CancellationToken::is_cancelled);
        self.left = self.left.saturating_sub(1);
        is_over
    }
}

/// Fails.
#[derive(Debug)]
pub struct Dying {
    fuse: Fuse,
    class: FailureClass,
}

impl Dying {
    /// Puts it over a backend; the class of the failure is what helps against it.
    pub fn over(inner: Backend, trigger: impl Into<Trigger>, class: FailureClass) -> Backend {
        over(inner, Self { fuse: Fuse::new(trigger.into()), class })
    }
}

impl Fault for Dying {
    fn verdict(&mut self) -> Verdict {
        if !self.fuse.burn() {
            return Verdict::Pass;
        }
        let message = "it was told to fail by a test";
        Verdict::Die(match self.class {
            FailureClass::Retry => BackendFailure::retry(message),
            FailureClass::NextBackend => BackendFailure::next_backend(message),
            FailureClass::Fatal => BackendFailure::fatal(message),
        })
    }

    fn begins(&self) -> Option<CancellationToken> {
        self.fuse.token.clone()
    }
}

/// Answers neither plans nor barriers any more, and hints nothing. A stop it obeys.
#[derive(Debug)]
pub struct Hanging(Fuse);

impl Hanging {
    /// Puts it over a backend.
    pub fn over(inner: Backend, trigger: impl Into<Trigger>) -> Backend {
        over(inner, Self(Fuse::new(trigger.into())))
    }
}

impl Fault for Hanging {
    fn verdict(&mut self) -> Verdict {
        if self.0.burn() { Verdict::Hang } else { Verdict::Pass }
    }

    fn begins(&self) -> Option<CancellationToken> {
        self.0.token.clone()
    }
}

/// Never says that a plan is armed; hints and barriers pass.
#[derive(Debug)]
pub struct NeverArmed(());

impl NeverArmed {
    /// Puts it over a backend.
    pub fn over(inner: Backend) -> Backend {
        over(inner, Self(()))
    }
}

impl Fault for NeverArmed {
    fn armed(&mut self, _: Armed) -> Option<Armed> {
        None
    }
}

/// Watches the first so many directories of a plan and names the others, as one whose limit is reached.
#[derive(Debug)]
pub struct Limited {
    dirs: usize,
    /// What was left out, by revision of the plan.
    left_out: BTreeMap<u64, Vec<PathBuf>>,
}

impl Limited {
    /// Puts it over a backend.
    pub fn over(inner: Backend, dirs: usize) -> Backend {
        over(inner, Self { dirs, left_out: BTreeMap::new() })
    }
}

impl Fault for Limited {
    fn plan(&mut self, plan: Arc<WatchPlan>) -> WatchPlan {
        let mut plan = WatchPlan::clone(&plan);
        let (kept, left_out) = plan.dirs.as_slice().split_at(self.dirs.min(plan.dirs.len()));
        let left_out: Vec<PathBuf> = left_out.iter().map(|dir| dir.to_path_buf()).collect();
        plan.dirs = kept.iter().cloned().collect();
        for dir in &left_out {
            plan.trees.remove(dir);
        }
        self.left_out.insert(plan.revision, left_out);
        plan
    }

    fn armed(&mut self, mut armed: Armed) -> Option<Armed> {
        // What was answered may be said again, so its revision stays.
        self.left_out = self.left_out.split_off(&armed.revision);
        let left_out = self.left_out.get(&armed.revision).into_iter().flatten();
        armed.skipped.extend(left_out.map(|dir| Skipped {
            dir: dir.clone(),
            cause: SkipCause::Limit,
            reason: format!("a test allows {} directories", self.dirs),
        }));
        Some(armed)
    }
}
