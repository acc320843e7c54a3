//! The backend made of backends: it gives each directory to the best one that works, hands over when
//! one fails, and goes back when it works again.
//!
//! To the watcher it is a [`FileWatchBackend`] like any other, with the same contract; so the conformance
//! suite is run on it, too, over backends that fail in every way.
//!
//! A directory is *targeted* at the first backend of its [`Choice`] that is usable. Another backend that
//! still watches it goes on until the target has confirmed the plan and passed a barrier: a handover
//! makes before it breaks. After one, or after a gap in which nobody watched, everything is looked at
//! again.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::Path,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::future::select_all;
use hotloader_backend::{
    Armed, BackendFailure, BackendInputs, BarrierRequest, FailureClass, FileWatchBackend, LostCause, Report,
    Scope, SkipCause, Skipped, WatchPlan,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    choice::{Choice, choices},
    filesystem::MountTable,
    health::{BackendHealth, BackendState},
    lane::{Lane, LaneEvent},
    patience::Patience,
    questions::{Answer, Purpose, Questions, Unanswered},
    registry::Registry,
    targets::{Target, distinct, next_after, targets},
};
use crate::config::WatchConfig;

/// What the supervisor tells the watcher beside reports.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// Every wanted directory is watched by a backend that answers.
    pub(super) covered: bool,
    /// What is in the way of that.
    pub(super) trouble: Option<String>,
    pub(super) backends: Vec<BackendHealth>,
}

/// The backend made of backends.
pub(super) struct Supervisor {
    registry: Registry,
    settings: watch::Receiver<Arc<WatchConfig>>,
    standing: watch::Sender<Standing>,
    lanes: Vec<Lane>,
    next_id: u64,
    mounts: MountTable,
    wanted: Arc<WatchPlan>,
    /// For each wanted directory, in their order.
    choices: Vec<Arc<Choice>>,
    /// The revision that was confirmed to the watcher.
    confirmed: Option<u64>,
    /// Somebody did not watch what was watched before: look everywhere as soon as all is watched again.
    gap: bool,
    questions: Questions,
    patience: Patience,
    heartbeat: Instant,
    /// What the watcher should know of, as of the last decision.
    covered: bool,
    trouble: Option<String>,
    /// How many directories each lane watches that no better one does.
    serves: BTreeMap<u64, usize>,
    has_news: bool,
}

impl FileWatchBackend for Supervisor {
    fn name(&self) -> &'static str {
        "supervisor"
    }

    fn run(
        self: Box<Self>,
        inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
        Box::pin(self.work(inputs))
    }
}

impl Supervisor {
    pub(super) fn new(
        registry: Registry,
        settings: watch::Receiver<Arc<WatchConfig>>,
        standing: watch::Sender<Standing>,
        patience: Patience,
    ) -> Self {
        Self {
            registry,
            settings,
            standing,
            lanes: Vec::new(),
            next_id: 0,
            mounts: MountTable::read(),
            wanted: Arc::default(),
            choices: Vec::new(),
            confirmed: None,
            gap: false,
            questions: Questions::new(patience.barrier),
            patience,
            heartbeat: Instant::now() + patience.heartbeat,
            covered: false,
            trouble: None,
            serves: BTreeMap::new(),
            has_news: false,
        }
    }

    async fn work(mut self, mut inputs: BackendInputs) -> Result<(), BackendFailure> {
        let result = self.serve(&mut inputs).await;
        self.questions.end().await;
        for lane in self.lanes {
            lane.end().await;
        }
        result
    }

    async fn serve(&mut self, inputs: &mut BackendInputs) -> Result<(), BackendFailure> {
        self.settings.borrow_and_update();
        loop {
            let due = self.due();
            let running = self.lanes.iter_mut().filter(|lane| lane.is_running());
            let events: Vec<_> = running
                .map(|lane| {
                    Box::pin(async {
                        let event = lane.event().await;
                        (lane.id, event)
                    })
                })
                .collect();
            let event = async {
                if events.is_empty() { std::future::pending().await } else { select_all(events).await.0 }
            };
            tokio::select! {
                biased;
                () = inputs.stop.cancelled() => return Ok(()),
                (lane, event) = event => self.take(lane, event, inputs)?,
                Some(answer) = self.questions.answer() => self.answered(answer, inputs)?,
                changed = inputs.plan.changed() => match changed {
                    Ok(()) => {
                        self.wanted = inputs.plan.borrow_and_update().clone();
                        self.choose(inputs)?;
                    }
                    Err(_) => return Ok(()),
                },
                Ok(()) = self.settings.changed() => self.reconfigure(inputs)?,
                Some(request) = inputs.barriers.recv() => self.begin_barrier(request),
                () = sleep_until(due) => self.tick(inputs)?,
            }
            // In a gap nobody can say that all was reported; after it, everything is looked at.
            if !self.gap {
                self.questions.complete();
            }
            if std::mem::take(&mut self.has_news) {
                self.tell();
            }
        }
    }

    fn due(&self) -> Instant {
        self.lanes.iter().filter_map(Lane::due).fold(self.heartbeat, Instant::min)
    }

    /// Decides anew who shall watch what.
    fn choose(&mut self, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let settings = self.settings.borrow().clone();
        self.choices = choices(&self.wanted, &settings.backend, &self.mounts);
        let mut new: Vec<(String, String)> = Vec::new();
        let firsts =
            distinct(&self.choices).filter_map(|choice| Some((choice.backends.first()?, &choice.why)));
        let reasons: BTreeMap<String, String> =
            firsts.map(|(name, why)| (name.clone(), why.clone())).collect();
        for choice in distinct(&self.choices) {
            for name in &choice.backends {
                let instead = || format!("in place of {}", choice.backends[0]);
                // Where it is the first choice, the reason is about it.
                let why = reasons.get(name).cloned().unwrap_or_else(instead);
                match self.lanes.iter_mut().find(|lane| lane.name == *name && !lane.retiring) {
                    Some(lane) => lane.why = why,
                    None if new.iter().any(|(known, _)| known == name) => {}
                    None => new.push((name.clone(), why)),
                }
            }
        }
        for (name, why) in new {
            let construct =
                self.registry.find(&name).map_err(|unknown| BackendFailure::fatal(unknown.to_string()))?;
            let mut lane = Lane::new(self.next_id, &name, construct, settings.clone(), self.patience);
            lane.why = why;
            self.next_id += 1;
            self.lanes.push(lane);
        }
        self.advance(inputs)
    }

    /// Another configuration: what has other options gets a new lane, and the old one goes on until that
    /// one has taken over.
    fn reconfigure(&mut self, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let settings = self.settings.borrow_and_update().clone();
        for lane in &mut self.lanes {
            lane.retiring |= !settings.same_options(&lane.settings, &lane.name);
            if !lane.retiring {
                lane.revive();
            }
        }
        self.mounts = MountTable::read();
        self.choose(inputs)
    }

    fn lane(&self, name: &str) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.name == name && !lane.retiring)
    }

    fn targets(&self) -> Vec<Target> {
        targets(&self.wanted.dirs, &self.choices, &self.lanes)
    }

    /// Brings the lanes nearer to what they should be, as far as it goes without waiting.
    fn advance(&mut self, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        loop {
            let targets = self.targets();
            let needed: BTreeSet<usize> = targets.iter().filter_map(|target| target.lane).collect();
            let mut failed = None;
            for &at in &needed {
                if let Err(failure) = self.lanes[at].start() {
                    failed = Some((at, failure));
                    break;
                }
            }
            if let Some((at, failure)) = failed {
                self.fail(at, &failure, inputs)?;
                continue;
            }
            self.spread(&targets);
            return self.conclude(inputs);
        }
    }

    /// Gives each lane its directories: those targeted at it, and those it holds until another has them.
    fn spread(&mut self, targets: &[Target]) {
        let mut plans: Vec<Vec<Arc<Path>>> = vec![Vec::new(); self.lanes.len()];
        let mut unproven = BTreeSet::new();
        for (place, (dir, target)) in self.wanted.dirs.iter().zip(targets).enumerate() {
            unproven.extend(target.on_trial);
            for (at, lane) in self.lanes.iter().enumerate() {
                if target.lane == Some(at) || target.on_trial == Some(at) {
                    plans[at].push(dir.clone());
                } else if lane.holds(dir) && lane.takes(dir) {
                    match target.lane {
                        Some(to) if self.lanes[to].covers(place, dir) && self.lanes[to].is_proven() => {
                            self.gap = true
                        }
                        to => {
                            unproven.extend(to);
                            plans[at].push(dir.clone());
                        }
                    }
                }
            }
        }
        for (lane, dirs) in self.lanes.iter_mut().zip(plans) {
            if dirs.is_empty() {
                lane.rest();
            } else {
                // Nearly always there is one lane, with all of them.
                let all = dirs.len() == self.wanted.dirs.len();
                let dirs = if all { self.wanted.dirs.clone() } else { dirs.into_iter().collect() };
                lane.send(dirs, &self.wanted.trees);
            }
        }
        for at in unproven {
            if self.lanes[at].ask_for_proof() {
                self.questions.ask(&self.lanes[at], Purpose::Proof);
            }
        }
        self.lanes.retain(|lane| !lane.retiring || lane.is_running());
    }

    /// Says what is confirmed by now.
    fn conclude(&mut self, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let targets = self.targets();
        self.serves.clear();
        let mut pending = 0;
        let mut skipped = Vec::new();
        let wanted = self.wanted.dirs.iter().zip(&targets).zip(&self.choices);
        for (place, ((dir, target), choice)) in wanted.enumerate() {
            let best = target.lane.filter(|&at| self.lanes[at].covers(place, dir));
            let lane = match best {
                Some(at) => Some(&self.lanes[at]),
                None => self.lanes.iter().find(|lane| lane.covers(place, dir)),
            };
            match lane {
                Some(lane) => *self.serves.entry(lane.id).or_default() += 1,
                None if target.lane.or(target.on_trial).is_some() => pending += 1,
                None => {
                    let reason = self.why_nobody(choice, dir);
                    skipped.push(Skipped { dir: dir.to_path_buf(), cause: SkipCause::Limit, reason });
                }
            }
        }
        self.has_news = true;
        self.covered = pending == 0 && skipped.is_empty();
        self.trouble = skipped.first().map(|skipped| skipped.reason.clone());
        if let Some(reason) = &self.trouble
            && self.confirmed.is_none()
        {
            // At the start a person is there to mend it; later the best is made of it.
            return Err(BackendFailure::next_backend(reason.clone()));
        }
        if pending > 0 {
            return Ok(());
        }
        let revision = self.wanted.revision;
        if !skipped.is_empty() {
            // Whoever can watch them later has to be followed by a look at everything.
            self.gap = true;
        } else if std::mem::take(&mut self.gap) {
            let cause = LostCause::Handover;
            inputs.reports.report(Report::LostSync { scope: Scope::Everything, cause });
        }
        // Directories that nobody can watch must not hold up the others.
        if self.confirmed != Some(revision) && revision > 0 {
            self.confirmed = Some(revision);
            // Whoever hears of it may ask at once who watches.
            self.tell();
            inputs.reports.report(Report::Armed(Armed { revision, skipped }));
        }
        Ok(())
    }

    fn why_nobody(&self, choice: &Choice, dir: &Path) -> String {
        let lanes = choice.backends.iter().filter_map(|name| self.lane(name));
        let reasons: Vec<&str> = lanes.filter_map(|at| self.lanes[at].why_not(dir)).collect();
        if reasons.is_empty() { "no backend watches it".into() } else { reasons.join("; ") }
    }

    fn take(&mut self, id: u64, event: LaneEvent, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let Some(at) = self.lanes.iter().position(|lane| lane.id == id) else { return Ok(()) };
        match event {
            LaneEvent::Reports(collected) => {
                let armed = collected.armed.clone();
                inputs.reports.forward(collected);
                match armed {
                    Some(armed) => self.confirmed_by(at, armed, inputs),
                    None => Ok(()),
                }
            }
            LaneEvent::Ended(failure) => {
                self.fail(at, &failure, inputs)?;
                self.advance(inputs)
            }
        }
    }

    fn confirmed_by(
        &mut self,
        at: usize,
        armed: Armed,
        inputs: &BackendInputs,
    ) -> Result<(), BackendFailure> {
        let lane = &mut self.lanes[at];
        let news = lane.confirm(armed);
        if let Some(first) = news.first() {
            tracing::warn!(target: "watch", backend = lane.name, dirs = news.len(), reason = first,
                "some directories are beyond a limit; the next backend has them");
        }
        self.advance(inputs)
    }

    fn fail(
        &mut self,
        at: usize,
        failure: &BackendFailure,
        inputs: &BackendInputs,
    ) -> Result<(), BackendFailure> {
        let name = self.lanes[at].name.clone();
        // What it reported last is still true.
        if let Some(collected) = self.lanes[at].take_reports() {
            inputs.reports.forward(collected);
        }
        let next = self.next_after(at);
        let was_trial = self.lanes[at].is_on_trial() || self.lanes[at].is_down();
        let worked = self.lanes[at].has_work();
        self.has_news = true;
        self.gap |= worked && !was_trial;
        let delay = self.lanes[at].fail(failure, next.is_none());
        let (why, retry) = (failure.explain(), delay.map(|delay| delay.as_millis() as u64));
        match (&next, was_trial) {
            (_, true) => {
                tracing::debug!(target: "watch", backend = name, failure = why, retry_ms = retry, "still does not work");
            }
            (Some(next), false) => {
                tracing::warn!(target: "watch", backend = name, failure = why, retry_ms = retry,
                    "the watch backend failed; {next} takes over");
            }
            (None, false) if self.confirmed.is_none() => {
                let failed = match failure.class() {
                    FailureClass::Fatal => BackendFailure::fatal(why),
                    FailureClass::Retry => BackendFailure::retry(why),
                    FailureClass::NextBackend => BackendFailure::next_backend(why),
                };
                return Err(failed);
            }
            (None, false) => {
                tracing::error!(target: "watch", backend = name, failure = why, retry_ms = retry,
                    "the watch backend failed; changes are not seen until it works again");
            }
        }
        Ok(())
    }

    fn next_after(&self, at: usize) -> Option<String> {
        next_after(&self.lanes[at], &self.choices, &self.lanes)
    }

    fn answered(&mut self, answer: Answer, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let Answer { lane: id, purpose, took, result } = answer;
        let Some(at) = self.lanes.iter().position(|lane| lane.id == id) else {
            self.questions.settle(purpose, id);
            return Ok(());
        };
        match result {
            Ok(()) => {
                // What the barrier proves to be reported has to be handed on before anybody hears of it.
                if let Some(collected) = self.lanes[at].take_reports() {
                    let armed = collected.armed.clone();
                    inputs.reports.forward(collected);
                    if let Some(armed) = armed {
                        self.confirmed_by(at, armed, inputs)?;
                    }
                }
                self.questions.settle(purpose, id);
                self.passed(id, took, purpose == Purpose::Proof, inputs)
            }
            // Its end comes by itself, and what it leaves open is looked at after the gap.
            Err(Unanswered::Ended) => {
                self.questions.settle(purpose, id);
                Ok(())
            }
            Err(Unanswered::TimedOut) => {
                self.questions.give_up(purpose);
                self.silent(at, inputs)
            }
        }
    }

    fn passed(
        &mut self,
        id: u64,
        took: Duration,
        is_proof: bool,
        inputs: &BackendInputs,
    ) -> Result<(), BackendFailure> {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == id) else { return Ok(()) };
        let was_on_trial = lane.is_on_trial();
        let recovered = lane.passed(took, is_proof);
        if recovered || (was_on_trial && is_proof) {
            tracing::info!(target: "watch", backend = lane.name, "the watch backend works again");
        }
        self.gap |= recovered;
        self.has_news = true;
        if is_proof || recovered { self.advance(inputs) } else { Ok(()) }
    }

    /// A lane does not answer. If others can take over they do, otherwise one has to wait for it.
    fn silent(&mut self, at: usize, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let why = "it does not answer in time";
        if self.lanes[at].is_on_trial() || self.next_after(at).is_some() {
            self.fail(at, &BackendFailure::next_backend(why), inputs)?;
            return self.advance(inputs);
        }
        if self.confirmed.is_none() {
            let name = &self.lanes[at].name;
            return Err(BackendFailure::next_backend(format!(
                "the watch backend \"{name}\" does not say in time that it watches; choose another one with watch.backend"
            )));
        }
        self.has_news = true;
        if self.lanes[at].is_unwell(why) {
            tracing::error!(target: "watch", backend = self.lanes[at].name,
                "the watch backend does not answer (a file system that hangs?); changes may go unseen until it does");
        }
        Ok(())
    }

    fn begin_barrier(&mut self, request: BarrierRequest) {
        let at_work = self.lanes.iter().filter(|lane| lane.has_work() && !lane.is_on_trial());
        self.questions.begin(request, at_work);
    }

    fn tick(&mut self, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let now = Instant::now();
        let mut tried = false;
        for at in 0..self.lanes.len() {
            tried |= self.lanes[at].forget_limits(now);
            if self.lanes[at].is_late(now) {
                self.silent(at, inputs)?;
                tried = true;
            } else if self.lanes[at].is_due(now) {
                tried = true;
                if let Err(failure) = self.lanes[at].start() {
                    self.fail(at, &failure, inputs)?;
                }
            }
        }
        if self.heartbeat <= now {
            self.heartbeat = now + self.patience.heartbeat;
            self.has_news = true;
            for at in 0..self.lanes.len() {
                let quiet =
                    self.lanes[at].last_barrier().is_some_and(|at| at + self.patience.heartbeat <= now);
                if quiet && self.lanes[at].has_work() {
                    self.questions.ask(&self.lanes[at], Purpose::Heartbeat);
                }
            }
            let mounts = MountTable::read();
            if mounts != self.mounts {
                self.mounts = mounts;
                return self.choose(inputs);
            }
        }
        if tried { self.advance(inputs) } else { Ok(()) }
    }

    fn tell(&self) {
        let serves = |lane: &Lane| self.serves.get(&lane.id).copied().unwrap_or_default();
        let backends: Vec<BackendHealth> =
            self.lanes.iter().filter_map(|lane| lane.health(serves(lane))).collect();
        let silent = backends.iter().find_map(|backend| match &backend.state {
            BackendState::Silent(why) => Some(format!("{}: {why}", backend.name)),
            _ => None,
        });
        let covered = self.covered && silent.is_none();
        let trouble = silent.or_else(|| self.trouble.clone());
        self.standing.send_replace(Standing { covered, trouble, backends });
    }
}
