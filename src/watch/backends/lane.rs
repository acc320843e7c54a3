//! One backend at work under the supervisor: what it was told to watch, what it does watch, and how
//! often it failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hotloader_backend::{
    Armed, BackendFailure, BackendHandle, BarrierError, Collected, DirSet, FailureClass, ReportStream,
    SkipCause, WatchPlan, spawn,
};

use tokio::time::Instant;

use super::{
    health::{BackendHealth, BackendState},
    patience::Patience,
    registry::Constructor,
};
use crate::config::WatchConfig;

/// How long to wait before a failed backend is tried again, at first: less when it was only cut off
/// than when it does not work here.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const FIRST_DELAY_UNFIT: Duration = Duration::from_secs(2);

/// And at most, each time twice as long: less while nobody else does its work.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
const LONGEST_DELAY_ALONE: Duration = Duration::from_secs(5);

/// What worked for so long and fails is tried again as soon as what never failed.
const STEADY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) id: u64,
    pub(super) name: String,
    construct: Constructor,
    pub(super) settings: Arc<WatchConfig>,
    patience: Patience,
    state: State,
    /// Another configuration is in force: it goes on until another lane has taken over.
    pub(super) retiring: bool,
    delay: Option<Duration>,
    failures: u64,
    last_failure: Option<String>,
    /// What it cannot take for a limit, and why.
    limited: BTreeMap<PathBuf, String>,
    retry_limited: Option<Instant>,
    /// Why it was chosen.
    pub(super) why: String,
}

#[derive(Debug)]
enum State {
    Idle,
    Running(Box<Running>),
    Down { until: Option<Instant> },
}

#[derive(Debug)]
struct Running {
    handle: BackendHandle,
    reports: ReportStream,
    /// The newest plan.
    sent: Arc<WatchPlan>,
    sent_at: Instant,
    /// The newest one that it confirmed.
    armed: Option<Arc<WatchPlan>>,
    /// It failed before: it gets work, but others keep on until it has passed a barrier.
    on_trial: bool,
    proof: Proof,
    since: Instant,
    barrier: Option<(Instant, Duration)>,
    /// It does not answer, and nobody can take over.
    unwell: Option<String>,
    /// It cannot pass barriers, and that was told.
    is_unproven_told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Missing,
    Asked,
    Passed,
}

/// What a running backend says.
#[derive(Debug)]
pub(super) enum LaneEvent {
    Reports(Collected),
    Ended(BackendFailure),
}

impl Lane {
    pub(super) fn new(
        id: u64,
        name: &str,
        construct: Constructor,
        settings: Arc<WatchConfig>,
        patience: Patience,
    ) -> Self {
        Self {
            id,
            name: name.to_owned(),
            construct,
            settings,
            patience,
            state: State::Idle,
            retiring: false,
            delay: None,
            failures: 0,
            last_failure: None,
            limited: BTreeMap::new(),
            retry_limited: None,
            why: String::new(),
        }
    }

    fn running(&self) -> Option<&Running> {
        match &self.state {
            State::Running(running) => Some(running),
            _ => None,
        }
    }

    fn running_mut(&mut self) -> Option<&mut Running> {
        match &mut self.state {
            State::Running(running) => Some(running),
            _ => None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running().is_some()
    }

    /// Whether directories may be given to it on which nobody else keeps an eye.
    pub(super) fn is_usable(&self) -> bool {
        !self.retiring
            && match &self.state {
                State::Idle => true,
                State::Running(running) => !running.on_trial || running.proof == Proof::Passed,
                State::Down { .. } => false,
            }
    }

    /// Whether it is being tried again after a failure.
    pub(super) fn is_on_trial(&self) -> bool {
        !self.retiring
            && self.running().is_some_and(|running| running.on_trial && running.proof != Proof::Passed)
    }

    pub(super) fn is_down(&self) -> bool {
        matches!(self.state, State::Down { .. })
    }

    pub(super) fn takes(&self, dir: &Path) -> bool {
        !self.limited.contains_key(dir)
    }

    /// Whether it would report a change in this directory, which is likely at that place of its plan.
    pub(super) fn covers(&self, place: usize, dir: &Arc<Path>) -> bool {
        let is_armed = |armed: &Arc<WatchPlan>, sent: &Arc<WatchPlan>| {
            Arc::ptr_eq(armed, sent) || armed.dirs.contains_at(place, dir)
        };
        self.takes(dir)
            && self.running().is_some_and(|running| {
                running.sent.dirs.contains_at(place, dir)
                    && running.armed.as_ref().is_some_and(|armed| is_armed(armed, &running.sent))
            })
    }

    /// The directories it was told to watch.
    pub(super) fn holds(&self, dir: &Path) -> bool {
        self.running().is_some_and(|running| running.sent.dirs.contains(dir))
    }

    pub(super) fn has_work(&self) -> bool {
        self.running().is_some_and(|running| !running.sent.dirs.is_empty())
    }

    /// Whether all that it was told is confirmed.
    pub(super) fn is_armed(&self) -> bool {
        self.running().is_some_and(|running| {
            running.armed.as_ref().is_some_and(|armed| Arc::ptr_eq(armed, &running.sent))
        })
    }

    pub(super) fn is_proven(&self) -> bool {
        self.running().is_some_and(|running| running.proof == Proof::Passed)
    }

    /// Starts it if it does not run.
    pub(super) fn start(&mut self) -> Result<(), BackendFailure> {
        if self.is_running() {
            return Ok(());
        }
        let on_trial = self.is_down();
        let (handle, reports) = spawn(self.construct.make(&self.settings)?);
        self.limited.clear();
        self.state = State::Running(Box::new(Running {
            handle,
            reports,
            sent: Arc::default(),
            sent_at: Instant::now(),
            armed: None,
            on_trial,
            proof: Proof::Missing,
            since: Instant::now(),
            barrier: None,
            unwell: None,
            is_unproven_told: false,
        }));
        Ok(())
    }

    /// Has it watch other directories.
    pub(super) fn send(&mut self, dirs: DirSet, wanted: &WatchPlan) {
        let Some(running) = self.running_mut() else { return };
        let trees = wanted.trees.iter().filter(|tree| dirs.contains(tree));
        let trees: BTreeSet<PathBuf> = trees.cloned().collect();
        if running.sent.dirs == dirs && running.sent.trees == trees {
            return self.tell_in_use(&wanted.in_use);
        }
        let (revision, in_use) = (running.sent.revision + 1, wanted.in_use.clone());
        let plan = Arc::new(WatchPlan { revision, dirs, trees, in_use });
        if running.armed.as_ref().is_some_and(|armed| Arc::ptr_eq(armed, &running.sent)) {
            running.sent_at = Instant::now();
        }
        running.sent = plan.clone();
        running.handle.set_plan(plan);
    }

    /// Says which files matter now. What is armed stays so.
    pub(super) fn tell_in_use(&mut self, in_use: &Arc<BTreeSet<PathBuf>>) {
        let Some(running) = self.running_mut() else { return };
        if running.sent.dirs.is_empty() || running.sent.in_use == *in_use {
            return;
        }
        let plan = Arc::new(WatchPlan { in_use: in_use.clone(), ..WatchPlan::clone(&running.sent) });
        if running.armed.as_ref().is_some_and(|armed| Arc::ptr_eq(armed, &running.sent)) {
            running.armed = Some(plan.clone());
        }
        running.sent = plan.clone();
        running.handle.set_plan(plan);
    }

    /// Takes in a confirmation. Returns what it could not take for a limit and did not say before.
    pub(super) fn confirm(&mut self, armed: Armed) -> Vec<String> {
        let Some(running) = self.running_mut() else { return Vec::new() };
        if armed.revision != running.sent.revision {
            return Vec::new();
        }
        running.armed = Some(running.sent.clone());
        let mut news = Vec::new();
        let mut limited = BTreeMap::new();
        for skipped in armed.skipped {
            if skipped.cause == SkipCause::Limit {
                if !self.limited.contains_key(&skipped.dir) {
                    news.push(skipped.reason.clone());
                }
                limited.insert(skipped.dir, skipped.reason);
            } else {
                tracing::debug!(target: "watch", backend = self.name, dir = ?skipped.dir, reason = skipped.reason, "cannot be watched");
            }
        }
        // What is no longer in its plan for this very reason is still beyond the limit.
        let sent = self.running().map(|running| running.sent.clone()).unwrap_or_default();
        let rest = std::mem::take(&mut self.limited).into_iter().filter(|(dir, _)| !sent.dirs.contains(dir));
        limited.extend(rest);
        self.limited = limited;
        if !self.limited.is_empty() {
            self.retry_limited.get_or_insert(Instant::now() + self.patience.limit);
        }
        news
    }

    /// A failure: it is down, and tried again later. Returns after how long.
    pub(super) fn fail(&mut self, failure: &BackendFailure, is_alone: bool) -> Option<Duration> {
        let why = failure.explain();
        let class = failure.class();
        let was_steady = self.running().is_some_and(|running| running.since.elapsed() > STEADY);
        let first = if class == FailureClass::Retry || is_alone { FIRST_DELAY } else { FIRST_DELAY_UNFIT };
        let longest = if is_alone { LONGEST_DELAY_ALONE } else { LONGEST_DELAY };
        let delay = match self.delay {
            Some(delay) if !was_steady => (delay * 2).clamp(first, longest),
            _ => first,
        };
        self.delay = Some(delay);
        self.failures += 1;
        self.last_failure = Some(why);
        self.limited.clear();
        self.retry_limited = None;
        self.stop();
        let delay = (class != FailureClass::Fatal).then_some(delay);
        self.state = State::Down { until: delay.map(|delay| Instant::now() + delay) };
        delay
    }

    /// Nobody needs it any more.
    pub(super) fn rest(&mut self) {
        if self.is_running() {
            self.stop();
            self.state = State::Idle;
        }
    }

    fn stop(&mut self) {
        if let State::Running(running) = std::mem::replace(&mut self.state, State::Idle) {
            // Releasing descriptors may take a while; nobody waits for it.
            tokio::spawn(running.handle.stop());
        }
    }

    /// Ends it for good.
    pub(super) async fn end(self) {
        if let State::Running(running) = self.state {
            running.handle.stop().await;
        }
    }

    /// When it wants to be looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        let at = match &self.state {
            State::Down { until } => *until,
            State::Running(running) if !self.is_armed() && self.has_work() => {
                Some(running.sent_at + self.patience.arming)
            }
            _ => None,
        };
        at.into_iter().chain(self.retry_limited).min()
    }

    /// Whether it should have confirmed its plan by now.
    pub(super) fn is_late(&mut self, now: Instant) -> bool {
        let (is_late, arming) = (!self.is_armed() && self.has_work(), self.patience.arming);
        match self.running_mut() {
            Some(running) if is_late && running.sent_at + arming <= now => {
                running.sent_at = now;
                true
            }
            _ => false,
        }
    }

    /// Whether it is time to try it again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(&self.state, State::Down { until: Some(until) } if *until <= now)
    }

    /// Gives up what was known of limits, when it is time for another try.
    pub(super) fn forget_limits(&mut self, now: Instant) -> bool {
        let is_due = self.retry_limited.is_some_and(|at| at <= now);
        if is_due {
            self.limited.clear();
            self.retry_limited = None;
        }
        is_due
    }

    pub(super) fn barrier(&self) -> Option<impl Future<Output = Result<(), BarrierError>> + Send + use<>> {
        self.running().map(|running| running.handle.barrier())
    }

    /// Whether it has to prove itself and was not asked to yet.
    pub(super) fn ask_for_proof(&mut self) -> bool {
        let is_armed = self.is_armed();
        match self.running_mut() {
            Some(running) if is_armed && running.proof == Proof::Missing => {
                running.proof = Proof::Asked;
                true
            }
            _ => false,
        }
    }

    /// A barrier was passed. True if it was not well before.
    pub(super) fn passed(&mut self, took: Duration, is_proof: bool) -> bool {
        let Some(running) = self.running_mut() else { return false };
        running.barrier = Some((Instant::now(), took));
        let recovered = running.unwell.take().is_some();
        running.is_unproven_told = false;
        if is_proof {
            running.proof = Proof::Passed;
        }
        recovered
    }

    /// It could not pass a barrier, though it works. True if that is new.
    pub(super) fn refused(&mut self, is_proof: bool) -> bool {
        let Some(running) = self.running_mut() else { return false };
        if is_proof {
            running.proof = Proof::Missing;
        }
        !std::mem::replace(&mut running.is_unproven_told, true)
    }

    pub(super) fn last_barrier(&self) -> Option<Instant> {
        let running = self.running()?;
        Some(running.barrier.map_or(running.since, |(at, _)| at))
    }

    /// It does not answer and nobody can take over. True if that is new.
    pub(super) fn is_unwell(&mut self, why: &str) -> bool {
        self.running_mut().is_some_and(|running| running.unwell.replace(why.to_owned()).is_none())
    }

    /// What it reported up to now.
    pub(super) fn take_reports(&mut self) -> Option<Collected> {
        self.running_mut().and_then(|running| running.reports.take())
    }

    /// The next thing it says; loses nothing when it is dropped. Waits for ever if it does not run.
    pub(super) async fn event(&mut self) -> LaneEvent {
        let Some(running) = self.running_mut() else { return std::future::pending().await };
        tokio::select! {
            biased;
            Some(collected) = running.reports.next() => LaneEvent::Reports(collected),
            failure = running.handle.failed() => LaneEvent::Ended(failure),
        }
    }

    /// Why it does not watch a directory.
    pub(super) fn why_not(&self, dir: &Path) -> Option<&str> {
        self.limited.get(dir).or(self.last_failure.as_ref()).map(String::as_str)
    }

    /// Another configuration is a reason to try at once what did not work before.
    pub(super) fn revive(&mut self) {
        if self.is_down() {
            self.state = State::Idle;
        }
        self.delay = None;
        self.limited.clear();
        self.retry_limited = None;
    }

    pub(super) fn health(&self, serves: usize) -> Option<BackendHealth> {
        let now = Instant::now();
        let (state, since) = match &self.state {
            State::Idle => return None,
            State::Down { until } => {
                let retry_in = until.map(|until| until.saturating_duration_since(now));
                (BackendState::Down { retry_in }, now)
            }
            State::Running(running) => {
                let state = match &running.unwell {
                    Some(why) => BackendState::Silent(why.clone()),
                    None if self.is_on_trial() => BackendState::OnTrial,
                    None if running.armed.is_none() => BackendState::Starting,
                    None => BackendState::Working,
                };
                (state, running.since)
            }
        };
        Some(BackendHealth {
            name: self.name.clone(),
            state,
            since: since.into_std(),
            dirs: serves,
            limited: self.limited.len(),
            why: self.why.clone(),
            barrier: self
                .running()
                .and_then(|running| running.barrier)
                .map(|(at, took)| (at.into_std(), took)),
            failures: self.failures,
            last_failure: self.last_failure.clone(),
            vitals: self.running().map(|running| running.handle.vitals()).unwrap_or_default(),
        })
    }
}
