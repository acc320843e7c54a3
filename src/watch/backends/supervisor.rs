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
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::future::select_all;
use hotloader_backend::{
    Armed, BackendFailure, BackendHandle, BackendInputs, BarrierRequest, FailureClass, FileWatchBackend,
    LostCause, Report, ReportStream, Scope, WatchPlan, spawn,
};
use hotloader_disk::MountTable;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    choice::choices,
    handover::{Coverage, News},
    health::{BackendHealth, BackendState, Standing},
    lane::{Lane, LaneEvent},
    patience::Patience,
    questions::{Answer, Purpose, Questions, Unanswered},
    registry::Registry,
    targets::{Target, distinct},
};
use crate::config::WatchConfig;

/// The backend made of backends.
pub(crate) struct Supervisor {
    registry: Registry,
    settings: watch::Receiver<Arc<WatchConfig>>,
    standing: watch::Sender<Standing>,
    lanes: Vec<Lane>,
    next_id: u64,
    mounts: MountTable,
    coverage: Coverage,
    questions: Questions,
    patience: Patience,
    heartbeat: Instant,
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
    pub(crate) fn new(
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
            coverage: Coverage::default(),
            questions: Questions::new(patience.barrier),
            patience,
            heartbeat: Instant::now() + patience.heartbeat,
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
                        let plan = inputs.plan.borrow_and_update().clone();
                        self.take_plan(plan, inputs)?;
                    }
                    Err(_) => return Ok(()),
                },
                Ok(()) = self.settings.changed() => self.reconfigure(inputs)?,
                Some(request) = inputs.barriers.recv() => self.begin_barrier(request),
                () = sleep_until(due) => self.tick(inputs)?,
            }
            // In a gap nobody can say that all was reported; after it, everything is looked at.
            if !self.coverage.has_gap() {
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

    fn take_plan(&mut self, plan: Arc<WatchPlan>, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let is_same = plan.revision == self.coverage.wanted().revision;
        self.coverage.want(plan.clone());
        if !is_same {
            return self.choose(inputs);
        }
        // Who watches what does not depend on what is in use.
        self.lanes.iter_mut().for_each(|lane| lane.tell_in_use(&plan.in_use));
        Ok(())
    }

    /// Decides anew who shall watch what.
    fn choose(&mut self, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let settings = self.settings.borrow().clone();
        self.coverage.choose(choices(self.coverage.wanted(), &settings.backend, &self.mounts));
        let mut new: Vec<(String, String)> = Vec::new();
        let firsts = distinct(self.coverage.choices())
            .filter_map(|choice| Some((choice.backends.first()?, &choice.why)));
        let reasons: BTreeMap<String, String> =
            firsts.map(|(name, why)| (name.clone(), why.clone())).collect();
        for choice in distinct(self.coverage.choices()) {
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
                lane.settings = settings.clone();
                lane.revive();
            }
        }
        self.mounts = MountTable::read();
        self.choose(inputs)
    }

    /// Brings the lanes nearer to what they should be, as far as it goes without waiting.
    fn advance(&mut self, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let targets = self.start_needed(inputs)?;
        for at in self.coverage.spread(&targets, &mut self.lanes) {
            if self.lanes[at].ask_for_proof() {
                self.questions.ask(&self.lanes[at], Purpose::Proof);
            }
        }
        self.lanes.retain(|lane| !lane.retiring || lane.is_running());
        self.has_news = true;
        let News { is_gap_over, armed } = self.coverage.conclude(&self.lanes)?;
        if is_gap_over {
            let cause = LostCause::Handover;
            inputs.reports.report(Report::LostSync { scope: Scope::Everything, cause });
        }
        if let Some(armed) = armed {
            // Whoever hears of it may ask at once who watches.
            self.tell();
            inputs.reports.report(Report::Armed(armed));
        }
        Ok(())
    }

    /// Starts every lane that has something to do, or whoever stands behind one that cannot be started.
    fn start_needed(&mut self, inputs: &BackendInputs) -> Result<Vec<Target>, BackendFailure> {
        loop {
            let targets = self.coverage.targets(&self.lanes);
            let needed: BTreeSet<usize> = targets.iter().filter_map(|target| target.lane).collect();
            let failed = needed.iter().find_map(|&at| Some((at, self.lanes[at].start().err()?)));
            match failed {
                Some((at, failure)) => self.fail(at, &failure, inputs)?,
                None => return Ok(targets),
            }
        }
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
        if worked && !was_trial {
            self.coverage.note_gap();
        }
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
            (None, false) if !self.coverage.was_confirmed() => {
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
        self.coverage.next_after(&self.lanes[at], &self.lanes)
    }

    fn answered(&mut self, answer: Answer, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let Answer { lane: id, purpose, took, result } = answer;
        let Some(at) = self.lanes.iter().position(|lane| lane.id == id) else {
            self.questions.answered(purpose, id);
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
                self.questions.answered(purpose, id);
                self.passed(id, took, purpose == Purpose::Proof, inputs)
            }
            // Its end comes by itself, and what it leaves open is looked at after the gap.
            Err(Unanswered::Ended) => {
                self.questions.answered(purpose, id);
                Ok(())
            }
            Err(Unanswered::TimedOut) => {
                self.questions.give_up(purpose);
                self.silent(at, inputs)
            }
            Err(Unanswered::Refused(reason)) => {
                self.questions.refuse(purpose, &reason);
                if self.lanes[at].refused(purpose == Purpose::Proof) {
                    tracing::warn!(target: "watch", backend = self.lanes[at].name, reason,
                        "the watch backend reports changes, but cannot prove now that it left none out");
                }
                Ok(())
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
        if recovered {
            self.coverage.note_gap();
        }
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
        if !self.coverage.was_confirmed() {
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
        let health = |lane: &Lane| lane.health(self.coverage.served_by(lane));
        let backends: Vec<BackendHealth> = self.lanes.iter().filter_map(health).collect();
        let silent = backends.iter().find_map(|backend| match &backend.state {
            BackendState::Silent(why) => Some(format!("{}: {why}", backend.name)),
            _ => None,
        });
        let covered = self.coverage.is_complete() && silent.is_none();
        let trouble = silent.or_else(|| self.coverage.trouble().cloned());
        self.standing.send_replace(Standing { covered, trouble, backends });
    }
}

/// Makes the supervisor, again if it ever panics.
pub(crate) struct SupervisorMaker {
    registry: Registry,
    settings: watch::Receiver<Arc<WatchConfig>>,
    standing: watch::Sender<Standing>,
    pub(crate) patience: Patience,
}

impl SupervisorMaker {
    /// The settings that are in force.
    pub(crate) fn settings(&self) -> watch::Receiver<Arc<WatchConfig>> {
        self.settings.clone()
    }

    pub(crate) fn new(
        registry: Registry,
        settings: watch::Receiver<Arc<WatchConfig>>,
        standing: watch::Sender<Standing>,
        patience: Patience,
    ) -> Self {
        Self { registry, settings, standing, patience }
    }

    /// Starts a supervisor.
    pub(crate) fn spawn(&self) -> (BackendHandle, ReportStream) {
        let (registry, settings) = (self.registry.clone(), self.settings.clone());
        spawn(Box::new(Supervisor::new(registry, settings, self.standing.clone(), self.patience)))
    }
}
