//! [`Rollout`]: one generation on its way into all sessions.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    Effects, Generation, Outcome, OutcomeSender, Published, ReloadOutcome, ReloadReport, ReloadStatus,
    SessionHost, Stages, refreshing::Refreshing, report_lines::log_queued,
};

/// An error is told to browsers after this long even if other sessions are still at work.
const FIRST_WORD: Duration = Duration::from_millis(100);
/// After this long the log says that a save waits for busy sessions; otherwise it would look lost.
const BUSY: Duration = Duration::from_secs(1);
/// While more sessions than this are at work, outcomes are collected at an interval: to be woken by each of a
/// thousand sessions would delay the last of them.
const CROWD: usize = 32;
const GLANCE: Duration = Duration::from_millis(2);

/// One generation on its way into all sessions.
pub(super) struct Rollout<H: SessionHost> {
    pub(super) generation: Arc<Generation>,
    pub(super) published: Arc<Published>,
    pub(super) host: Arc<H>,
    pub(super) began: Instant,
    pub(super) stages: Stages,
}

impl<H: SessionHost> Rollout<H> {
    /// Says what came of it, in the words for developers, when the last session has answered.
    pub(super) async fn run(self) -> ReloadReport {
        let applying = Instant::now();
        let (refreshing, refreshed) = Refreshing::begin();
        let mut sessions = self.host.lua_sessions();
        // Idle ones first: a busy one would be a slow canary through no fault of the new code.
        sessions.sort_by_key(|session| !self.host.is_idle(session));
        let asked: HashSet<H::Id> = sessions.iter().map(|session| self.host.id(session)).collect();
        let total = sessions.len();
        let rest = sessions.split_off(sessions.len().min(self.host.canaries()));

        let (sender, outcomes) = mpsc::unbounded_channel();
        let mut progress = Progress { outcomes, done: Vec::new(), told: false, queued: false };
        self.reload_files(&sessions, &sender, &refreshing);
        // A session that ends meanwhile drops its sender. We keep none ourselves, or we would never notice
        // that all are gone.
        let still_open = sender.downgrade();
        drop(sender);
        let mut exhausted = false;
        if !rest.is_empty() {
            exhausted = self.canaries_exhausted(&mut progress, sessions.len()).await;
            if !exhausted {
                let sender = still_open.upgrade().unwrap_or_else(|| progress.reopen());
                self.reload_files(&rest, &sender, &refreshing);
            }
        }
        self.collect(&mut progress, total).await;
        if exhausted {
            let spared = total - sessions.len();
            progress.done.extend(self.spared(&progress.done, spared));
        }
        let mut report = self.report(&progress.done, total);
        let applied = Instant::now();
        report.stages = Stages { apply: applied - applying, ..self.stages };
        self.conclude(&report, &asked);
        // Logged last, so that a browser that connects after this line gets what the line says.
        report.log();
        self.host.reloaded(&report);
        drop(refreshing);
        if let Ok(refreshed) = refreshed.await {
            self.host.refreshed(self.generation.number, refreshed.saturating_duration_since(applied));
        }
        ReloadReport::new(&self.generation, total, &progress.done, report.duration)
    }

    /// Moves each session to the generation, then refreshes its browsers.
    fn reload_files(&self, sessions: &[H::Session], outcomes: &OutcomeSender, refreshing: &Refreshing) {
        for session in sessions {
            self.reload_file(session, outcomes);
            self.trigger_session_refresh(session, refreshing);
        }
    }

    fn reload_file(&self, session: &H::Session, outcomes: &OutcomeSender) {
        self.host.reload(session, &self.generation, outcomes);
    }

    fn trigger_session_refresh(&self, session: &H::Session, refreshing: &Refreshing) {
        self.host.refresh(session, refreshing.clone());
    }

    /// Whether all canaries ran out of time or memory. The first one that did not clears the way.
    async fn canaries_exhausted(&self, progress: &mut Progress, canaries: usize) -> bool {
        let mut exhausted = 0;
        while exhausted < canaries {
            match progress.next(self, canaries).await {
                Some(outcome) if outcome.is_exhaustion() => exhausted += 1,
                _ => return false,
            }
        }
        true
    }

    async fn collect(&self, progress: &mut Progress, total: usize) {
        while progress.next(self, total).await.is_some() {
            if total - progress.done.len() > CROWD && progress.outcomes.is_empty() {
                tokio::time::sleep(GLANCE).await;
            }
        }
    }

    /// The outcome of sessions that were not asked.
    fn spared(&self, done: &[ReloadOutcome], sessions: usize) -> Vec<ReloadOutcome> {
        let Some(diagnostic) = done.iter().find_map(ReloadOutcome::kept) else { return Vec::new() };
        let one = || ReloadOutcome {
            generation: self.generation.number,
            outcome: Outcome::Kept { diagnostic: Box::new(diagnostic.clone()), exhausted: true },
            unchanged: Vec::new(),
            effects: Effects::default(),
        };
        (0..sessions).map(|_| one()).collect()
    }

    fn report(&self, outcomes: &[ReloadOutcome], total: usize) -> ReloadReport {
        let report = ReloadReport::new(&self.generation, total, outcomes, self.began.elapsed());
        self.published.telling().apply(report)
    }

    /// Lets browsers know, and decides what new sessions start from.
    fn conclude(&self, report: &ReloadReport, asked: &HashSet<H::Id>) {
        // A newer generation is on its way, and will be reported itself.
        if self.published.generation().number != self.generation.number {
            return;
        }
        if report.status == ReloadStatus::Ok || report.kept < report.sessions || report.sessions == 0 {
            self.published.publish_good(self.generation.clone());
            let (sender, _) = mpsc::unbounded_channel();
            let newcomers = self.host.lua_sessions().into_iter();
            let newcomers: Vec<_> =
                newcomers.filter(|session| !asked.contains(&self.host.id(session))).collect();
            self.reload_files(&newcomers, &sender, &Refreshing::begin().0);
        }
        self.tell(report);
    }

    /// An error that stands is told to everybody, now and when they connect; a good reload is told
    /// by each session itself, in the frame with what changed.
    fn tell(&self, report: &ReloadReport) {
        if self.published.generation().number != self.generation.number {
            return;
        }
        if report.errors.is_empty() {
            self.published.set_standing(None);
        } else {
            self.published.set_standing(Some(Arc::new(report.clone())));
            self.host.announce(report);
        }
    }
}

/// The outcomes that have come in.
struct Progress {
    outcomes: mpsc::UnboundedReceiver<ReloadOutcome>,
    done: Vec<ReloadOutcome>,
    /// An error was told while others were still at work.
    told: bool,
    /// It was told that sessions are busy.
    queued: bool,
}

impl Progress {
    /// All that were asked have answered, and more will be asked.
    fn reopen(&mut self) -> OutcomeSender {
        let (sender, outcomes) = mpsc::unbounded_channel();
        let mut before = std::mem::replace(&mut self.outcomes, outcomes);
        while let Ok(outcome) = before.try_recv() {
            self.done.push(outcome);
        }
        sender
    }

    /// The next outcome. When it takes long, that is told meanwhile, and an error sooner.
    async fn next<H: SessionHost>(&mut self, rollout: &Rollout<H>, total: usize) -> Option<&ReloadOutcome> {
        let outcome = loop {
            if let Ok(outcome) = self.outcomes.try_recv() {
                break Some(outcome);
            }
            let has_error = !self.told && self.done.iter().any(|outcome| outcome.kept().is_some());
            let patience = match (has_error, self.queued) {
                (true, _) => FIRST_WORD,
                (false, false) => BUSY,
                (false, true) => break self.outcomes.recv().await,
            };
            match tokio::time::timeout(patience, self.outcomes.recv()).await {
                Ok(outcome) => break outcome,
                Err(_) if has_error => {
                    self.told = true;
                    rollout.tell(&rollout.report(&self.done, total));
                }
                Err(_) => {
                    self.queued = true;
                    log_queued(&rollout.generation, total - self.done.len());
                }
            }
        };
        self.done.push(outcome?);
        self.done.last()
    }
}
