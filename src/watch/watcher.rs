//! The task that leads a change from the backend to a [`ChangeSet`].
//!
//! It owns the backend, the settle stage and the reconciler, and talks by channels only. Change sets
//! leave through a channel of one: while the consumer is busy, hints go on folding in the backend's
//! sink, so nothing is lost and nothing grows.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use hotloader_backend::{
    BackendFailure, BackendHandle, Collected, HintSet, LostCause, ReportStream, Skipped, WatchPlan, spawn,
};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    backends::{Health, Patience, Registry, Standing, Supervisor},
    change::{ChangeSet, Root, Timing},
    handle::{Command, WatchError},
    reconcile::{LinkView, Looked, Reconciler},
    settle::{Calm, Settle, Settled},
};
use crate::config::WatchConfig;

/// How long to wait for a checkout between two looks at its lock.
const CHECKOUT: Duration = Duration::from_millis(10);

/// How long to wait for a checkout of which somebody is known to be at work, and between two looks at it.
const LIVE_CHECKOUT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_millis(250));

/// How long to wait for what backends have still to say of a save that was come upon, or of a checkout that
/// has ended.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// When a barrier that was not passed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The grain of tokio's timers.
const TICK: Duration = Duration::from_millis(1);

/// How long to wait before a failed supervisor is started again: at first, and at most.
const RESTART: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The ends of its channels, and what stops it.
pub(super) struct Ends {
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) changes: mpsc::Sender<ChangeSet>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) links: watch::Sender<Arc<LinkView>>,
    pub(super) health: watch::Sender<Health>,
    pub(super) stop: CancellationToken,
}

/// Makes the supervisor, again if it ever panics.
pub(super) struct SupervisorMaker {
    registry: Registry,
    settings: watch::Receiver<Arc<WatchConfig>>,
    standing: watch::Sender<Standing>,
    pub(super) patience: Patience,
}

impl SupervisorMaker {
    pub(super) fn new(
        registry: Registry,
        settings: watch::Receiver<Arc<WatchConfig>>,
        standing: watch::Sender<Standing>,
        patience: Patience,
    ) -> Self {
        Self { registry, settings, standing, patience }
    }

    fn spawn(&self) -> (BackendHandle, ReportStream) {
        let (registry, settings) = (self.registry.clone(), self.settings.clone());
        spawn(Box::new(Supervisor::new(registry, settings, self.standing.clone(), self.patience)))
    }
}

/// Why work broke off.
pub(super) enum End {
    Stopped,
    Panicked,
    Failed(BackendFailure),
}

pub(super) struct Watcher {
    pub(super) make_supervisor: SupervisorMaker,
    settings: watch::Receiver<Arc<WatchConfig>>,
    roots: Vec<Root>,
    pub(super) backend: BackendHandle,
    pub(super) reports: ReportStream,
    pub(super) ends: Ends,
    /// `None` only while a blocking thread has it.
    pub(super) reconciler: Option<Box<Reconciler>>,
    pub(super) settle: Settle,
    pub(super) plan: WatchPlan,
    /// A barrier that tells what is not only on its way; true when it is passed.
    proof: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
    /// It was passed, and what it brought is still to be looked at.
    proven: bool,
    /// Something that belongs to what is held may still be on its way: the backends are asked for it first.
    may_lack: bool,
}

impl Watcher {
    pub(super) fn new(make_supervisor: SupervisorMaker, roots: Vec<Root>, ends: Ends) -> Self {
        let (backend, reports) = make_supervisor.spawn();
        let settings = make_supervisor.settings.clone();
        let (reconciler, settle) = {
            let settings = settings.borrow();
            let reconciler = Reconciler::new(&settings, roots.clone());
            (Some(Box::new(reconciler)), Settle::new(settings.quiet, settings.max_hold))
        };
        let plan = WatchPlan::default();
        let (proof, proven, may_lack) = (None, false, false);
        Self {
            make_supervisor,
            settings,
            roots,
            backend,
            reports,
            ends,
            reconciler,
            settle,
            plan,
            proof,
            proven,
            may_lack,
        }
    }

    /// Has everything watched and sends the first change set, which was begun then.
    pub(super) async fn begin(&mut self, begun: Instant) -> Result<(), End> {
        // Whatever was written when: it is never too early for the first look.
        let Looked::Done(outcome) = self.look(&HintSet::new(), Calm::ANY).await? else { return Ok(()) };
        self.take_standing();
        tracing::info!(target: "watch",
            by = self.ends.health.borrow().summary(), dirs = self.plan.dirs.len(), files = outcome.changes.len(),
            ms = begun.elapsed().as_millis() as u64, "watching");
        let timing = Timing { first_hint: begun, settle: Duration::ZERO, reconcile: begun.elapsed() };
        self.send(outcome.into_change_set(true, timing)).await
    }

    pub(super) async fn run(mut self) {
        loop {
            let end = match self.step().await {
                Ok(()) => continue,
                Err(End::Failed(failure)) => self.restart(failure).await,
                Err(End::Panicked) => {
                    tracing::error!(target: "watch", "{}", WatchError::Panicked);
                    self.begin_anew();
                    Ok(())
                }
                Err(End::Stopped) => Err(End::Stopped),
            };
            if end.is_err() {
                break;
            }
        }
        self.stop().await;
    }

    pub(super) async fn stop(self) {
        self.backend.stop().await;
    }

    async fn step(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.settle.is_ripe(now) && self.at_held(Reconciler::is_checkout_under_way).await? {
            if self.settle.postpone(now, now + CHECKOUT) {
                self.may_lack = true;
                return Ok(());
            }
            let (most, step) = LIVE_CHECKOUT;
            if self.at_held(Reconciler::is_checkout_alive).await? && self.settle.extend(now + step, most) {
                self.may_lack = true;
                return Ok(());
            }
            self.at_held(Reconciler::give_up_on_checkout).await?;
        } else if self.may_lack && self.settle.is_ripe(now) {
            self.may_lack = false;
            // Without an answer it is looked at as it is.
            let _ = timeout(LAST_WORDS, self.backend.barrier()).await;
            if let Some(collected) = self.reports.take() {
                self.take_in(collected);
            }
            self.settle.all_reported(now);
        }
        if let Some(settled) = self.settle.take(now) {
            let calm = self.settle.calm_for(&settled, now);
            return self.act(settled, calm, now).await;
        }
        if self.proven && self.settle.is_idle() {
            self.proven = false;
            let hints = self.on_disk(move |reconciler| reconciler.confirm(now)).await?;
            return if hints.is_empty() {
                Ok(())
            } else {
                self.act(Settled { hints, first: now, reported: now }, Calm::ANY, now).await
            };
        }
        let next_work = self.reconciler.as_ref().and_then(|reconciler| reconciler.next_work());
        let due = self.settle.due();
        tokio::select! {
            biased;
            () = self.ends.stop.cancelled() => Err(End::Stopped),
            failure = self.backend.failed() => Err(End::Failed(failure)),
            Some(command) = self.ends.commands.recv() => self.obey(command).await,
            Some(collected) = self.reports.next() => {
                self.take_in(collected);
                Ok(())
            }
            Ok(()) = self.ends.standing.changed() => {
                self.take_standing();
                Ok(())
            }
            Ok(()) = self.settings.changed() => {
                self.configure();
                Ok(())
            }
            passed = proof(&mut self.proof) => {
                self.proof = None;
                if let Some(collected) = self.reports.take() {
                    self.take_in(collected);
                }
                if passed {
                    self.proven = true;
                } else {
                    self.prove_after(AGAIN);
                }
                Ok(())
            }
            () = until(due) => Ok(()),
            () = sleep_until(next_work.unwrap_or(now).into()), if next_work.is_some() => self.upkeep().await,
        }
    }

    /// What there is to do while nothing is hinted.
    async fn upkeep(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let work = self.on_disk(move |reconciler| reconciler.work(now)).await?;
        self.settle.add(work.look, now, now);
        if work.barrier {
            self.prove_after(Duration::ZERO);
        }
        Ok(())
    }

    fn prove_after(&mut self, delay: Duration) {
        let barrier = self.backend.barrier();
        self.proof = Some(Box::pin(async move {
            sleep(delay).await;
            barrier.await.is_ok()
        }));
    }

    async fn obey(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Rescan => self.look_everywhere(),
            Command::Barrier(reply) => {
                let passed = tokio::select! {
                    () = self.ends.stop.cancelled() => return Err(End::Stopped),
                    passed = timeout(self.make_supervisor.patience.barrier, self.backend.barrier()) => passed,
                };
                match passed {
                    Ok(Ok(())) => {
                        self.passed_barrier();
                        if let Some(collected) = self.reports.take() {
                            self.take_in(collected);
                        }
                        let now = Instant::now();
                        if let Some(settled) = self.settle.take_now(now) {
                            self.act(settled, Calm::ANY, now).await?;
                        }
                        // Whoever asked may have gone.
                        let _ = reply.send(Ok(()));
                    }
                    Ok(Err(error)) => {
                        let _ = reply.send(Err(WatchError::Barrier(error.to_string())));
                    }
                    Err(_) => {
                        let _ = reply.send(Err(WatchError::Barrier("no answer".into())));
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn take_in(&mut self, collected: Collected) {
        let Collected { mut hints, armed, lost, first, last } = collected;
        for lost in lost {
            if lost.cause == LostCause::Handover {
                tracing::debug!(target: "watch", "other backends watch now; looking at everything");
                continue;
            }
            tracing::warn!(target: "watch", scope = ?lost.scope, cause = ?lost.cause, "changes may have been missed; looking again");
        }
        for Skipped { dir, cause, reason } in armed.into_iter().flat_map(|armed| armed.skipped) {
            tracing::debug!(target: "watch", ?dir, ?cause, reason, "cannot be watched");
        }
        if let Some(reconciler) = &self.reconciler {
            reconciler.keep_concerning(&mut hints);
        }
        self.settle.add(hints, first, last);
    }

    fn look_everywhere(&mut self) {
        let now = Instant::now();
        self.settle.add(HintSet::everywhere(), now, now);
    }

    fn begin_anew(&mut self) {
        let settings = self.settings.borrow().clone();
        self.reconciler = Some(Box::new(Reconciler::new(&settings, self.roots.clone())));
        self.look_everywhere();
    }

    fn configure(&mut self) {
        let settings = self.settings.borrow_and_update().clone();
        self.settle.configure(settings.quiet, settings.max_hold);
        if let Some(reconciler) = &mut self.reconciler {
            reconciler.configure(&settings);
        }
        tracing::info!(target: "watch", backend = %settings.backend, quiet = ?settings.quiet, "other settings are in force");
        self.look_everywhere();
    }

    /// Takes over how the backends are.
    fn take_standing(&mut self) {
        let Standing { covered, trouble, backends } = self.ends.standing.borrow_and_update().clone();
        let last_barrier = backends.iter().filter_map(|backend| backend.barrier).map(|(at, _)| at).max();
        let before = self.ends.health.borrow().clone();
        self.ends.health.send_modify(|health| {
            health.armed = covered;
            health.trouble = trouble;
            health.backends = backends;
            health.last_barrier = last_barrier.max(health.last_barrier);
        });
        let now = self.ends.health.borrow();
        if !before.backends.is_empty() && before.names() != now.names() && !now.names().is_empty() {
            tracing::info!(target: "watch", by = now.summary(), "watching");
        }
    }

    fn passed_barrier(&self) {
        self.ends.health.send_modify(|health| health.last_barrier = Some(Instant::now()));
    }

    async fn act(&mut self, settled: Settled, calm: Calm, now: Instant) -> Result<(), End> {
        let initial = self.reconciler.as_ref().is_some_and(|reconciler| reconciler.is_new());
        let outcome = match self.look(&settled.hints, calm).await? {
            Looked::Done(outcome) => outcome,
            Looked::Early(rest) => {
                self.settle.put_back(settled, Instant::now() + rest);
                self.may_lack = true;
                return Ok(());
            }
        };
        let timing = Timing {
            first_hint: settled.first,
            settle: now.saturating_duration_since(settled.first),
            reconcile: now.elapsed(),
        };
        self.ends.health.send_if_modified(|health| {
            let modified = health.unfinished != outcome.unfinished;
            if modified {
                health.unfinished.clone_from(&outcome.unfinished);
            }
            modified
        });
        if outcome.changes.is_empty() && !initial {
            return Ok(());
        }
        if outcome.missed > 0 {
            self.ends.health.send_modify(|health| health.missed += outcome.missed as u64);
            tracing::warn!(target: "watch", backends = self.ends.health.borrow().names().join(", "), missed = outcome.missed,
                first = ?outcome.changes.first().map(|change| &change.path),
                "changes were found that the watch backend did not report; please report this as a bug, or choose \
                 another one with watch.backend");
        }
        tracing::debug!(target: "watch",
            names = ?outcome.changes.iter().map(|change| &change.name).collect::<Vec<_>>(),
            settle_us = timing.settle.as_micros() as u64, reconcile_us = timing.reconcile.as_micros() as u64,
            "changed");
        self.send(outcome.into_change_set(initial, timing)).await
    }

    async fn send(&mut self, set: ChangeSet) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.ends.stop.cancelled() => Err(End::Stopped),
            // Without a consumer there is nothing to do but to wait for the stop.
            _ = self.ends.changes.send(set) => Ok(()),
        }
    }

    /// Starts the supervisor again, however often it takes, and then looks everywhere: nobody watched in
    /// between. It ends only by a bug, since it handles the failures of backends itself.
    async fn restart(&mut self, mut failure: BackendFailure) -> Result<(), End> {
        let (mut delay, longest) = RESTART;
        loop {
            let why = failure.explain();
            tracing::error!(target: "watch", failure = why,
                retry_ms = delay.as_millis() as u64, "watching failed; changes are not seen until it works again");
            self.ends.health.send_modify(|health| {
                health.armed = false;
                health.trouble = Some(why.clone());
            });
            self.pause(delay, &why).await?;
            delay = (delay * 2).min(longest);
            (self.backend, self.reports) = self.make_supervisor.spawn();
            self.plan.revision += 1;
            self.backend.set_plan(self.plan.clone());
            match self.armed().await {
                Ok(()) => break,
                Err(End::Failed(why)) => failure = why,
                Err(end) => return Err(end),
            }
        }
        tracing::info!(target: "watch", "watching works again; looking everywhere");
        self.look_everywhere();
        Ok(())
    }

    /// Waits, and tells who asks meanwhile that there is no backend. A rescan need not be told: all is
    /// looked at when there is one.
    async fn pause(&mut self, delay: Duration, why: &str) -> Result<(), End> {
        let pause = sleep(delay);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                biased;
                () = self.ends.stop.cancelled() => return Err(End::Stopped),
                Some(command) = self.ends.commands.recv() => if let Command::Barrier(reply) = command {
                    let _ = reply.send(Err(WatchError::Barrier(why.to_owned())));
                },
                () = &mut pause => return Ok(()),
            }
        }
    }
}

async fn proof(proof: &mut Option<Pin<Box<dyn Future<Output = bool> + Send>>>) -> bool {
    match proof {
        Some(proof) => proof.await,
        None => std::future::pending().await,
    }
}

/// Waits until then to some 0.1 ms. tokio's timers fire up to a millisecond late, which would be the
/// greatest part of what a save takes beyond the quiet time, so the last millisecond is slept exactly.
async fn until(due: Option<Instant>) {
    let Some(due) = due else { return std::future::pending().await };
    if let Some(before) = due.checked_sub(TICK) {
        sleep_until(before.into()).await;
    }
    let rest = due.saturating_duration_since(Instant::now());
    if !rest.is_zero() {
        // Can only fail when the runtime shuts down.
        let _ = spawn_blocking(move || std::thread::sleep(rest)).await;
    }
}
