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
    ChangeSet, Root, Timing,
    handle::{Command, WatchError, WatchHandle, absolute, absolute_path},
    health::Health,
    reconcile::{LinkView, Look, Outcome, Reconciler, scan},
    registry::Registry,
    settle::{Settle, Settled},
    supervisor::{BARRIER, Standing, Supervisor},
};
use crate::config::{AUTO, WatchConfig};

/// How long to wait for a checkout between two looks at its lock.
const CHECKOUT: Duration = Duration::from_millis(10);

/// When a barrier that was not passed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The grain of tokio's timers.
const TICK: Duration = Duration::from_millis(1);

/// How long to wait before a failed supervisor is started again: at first, and at most.
const RESTART: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Starts to watch. When this returns, everything is watched and the first change set, which names
/// all there is, is in the channel; a root that does not exist is waited for.
///
/// # Errors
///
/// When there is no such backend, or none works here.
pub async fn start(
    settings: &WatchConfig,
    roots: Vec<Root>,
    registry: &Registry,
) -> Result<(WatchHandle, mpsc::Receiver<ChangeSet>), WatchError> {
    let begun = Instant::now();
    let (settings, roots) = (absolute(settings)?, absolute_roots(roots)?);
    for name in settings.backend.names().iter().filter(|name| *name != AUTO) {
        registry.find(name)?;
    }
    let chosen = settings.backend.to_string();
    let reconciler = Box::new(Reconciler::new(&settings, roots.clone()));
    let settle = Settle::new(settings.quiet, settings.max_hold);
    let (settings_sender, settings) = watch::channel(Arc::new(settings));
    let (standing_sender, standing) = watch::channel(Standing::default());
    let make_supervisor =
        SupervisorMaker { registry: registry.clone(), settings: settings.clone(), standing: standing_sender };
    let (backend, reports) = make_supervisor.spawn();
    let (changes, receiver) = mpsc::channel(1);
    let (commands, command_inbox) = mpsc::channel(16);
    let (links, links_view) = watch::channel(Arc::default());
    let (health, health_view) = watch::channel(Health::default());
    let stop = CancellationToken::new();
    let mut watcher = Watcher {
        make_supervisor,
        backend,
        reports,
        standing,
        reconciler: Some(reconciler),
        settle,
        plan: WatchPlan::default(),
        settings,
        roots,
        changes,
        commands: command_inbox,
        links,
        health,
        stop: stop.clone(),
        proof: None,
        proven: false,
    };
    if let Err(end) = watcher.begin(begun).await {
        watcher.backend.stop().await;
        return Err(match end {
            End::Stopped => WatchError::Stopped,
            End::Panicked => WatchError::Panicked,
            End::Failed(failure) => WatchError::Backend { backend: chosen, failure },
        });
    }
    let task = tokio::spawn(watcher.run());
    let handle = WatchHandle {
        commands,
        links: links_view,
        health: health_view,
        settings: settings_sender,
        registry: registry.clone(),
        stop: stop.drop_guard(),
        task,
    };
    Ok((handle, receiver))
}

/// Reads everything there is once, without watching it: for a server without hot loading.
///
/// # Errors
///
/// When a directory has no absolute path.
pub async fn scan_once(settings: &WatchConfig, roots: Vec<Root>) -> Result<ChangeSet, WatchError> {
    let begun = Instant::now();
    let (settings, roots) = (absolute(settings)?, absolute_roots(roots)?);
    let changes = spawn_blocking(move || scan(&settings, roots)).await.map_err(|_| WatchError::Panicked)?;
    let timing = Timing { first_hint: begun, settle: Duration::ZERO, reconcile: begun.elapsed() };
    Ok(ChangeSet { changes, initial: true, timing })
}

fn absolute_roots(mut roots: Vec<Root>) -> Result<Vec<Root>, WatchError> {
    for root in &mut roots {
        root.dir = absolute_path(&root.dir)?;
    }
    Ok(roots)
}

/// Makes the supervisor, again if it ever panics.
struct SupervisorMaker {
    registry: Registry,
    settings: watch::Receiver<Arc<WatchConfig>>,
    standing: watch::Sender<Standing>,
}

impl SupervisorMaker {
    fn spawn(&self) -> (BackendHandle, ReportStream) {
        let (registry, settings) = (self.registry.clone(), self.settings.clone());
        spawn(Box::new(Supervisor::new(registry, settings, self.standing.clone())))
    }
}

/// Why work broke off.
enum End {
    Stopped,
    Panicked,
    Failed(BackendFailure),
}

struct Watcher {
    make_supervisor: SupervisorMaker,
    settings: watch::Receiver<Arc<WatchConfig>>,
    roots: Vec<Root>,
    backend: BackendHandle,
    reports: ReportStream,
    standing: watch::Receiver<Standing>,
    /// `None` only while a blocking thread has it.
    reconciler: Option<Box<Reconciler>>,
    settle: Settle,
    plan: WatchPlan,
    changes: mpsc::Sender<ChangeSet>,
    commands: mpsc::Receiver<Command>,
    links: watch::Sender<Arc<LinkView>>,
    health: watch::Sender<Health>,
    stop: CancellationToken,
    /// A barrier that tells what is not only on its way; true when it is passed.
    proof: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
    /// It was passed, and what it brought is still to be looked at.
    proven: bool,
}

impl Watcher {
    async fn begin(&mut self, begun: Instant) -> Result<(), End> {
        let outcome = self.look(HintSet::new()).await?;
        match timeout(BARRIER, self.backend.barrier()).await {
            Ok(Ok(())) => self.passed_barrier(),
            Ok(Err(_)) => return Err(End::Failed(self.backend.failed().await)),
            Err(_) => {
                return Err(End::Failed(BackendFailure::next_backend(format!(
                    "it does not say within {BARRIER:?} that it is ready; choose another one with watch.backend"
                ))));
            }
        }
        self.take_standing();
        tracing::info!(target: "watch",
            by = self.health.borrow().summary(), dirs = self.plan.dirs.len(), files = outcome.changes.len(),
            ms = begun.elapsed().as_millis() as u64, "watching");
        let timing = Timing { first_hint: begun, settle: Duration::ZERO, reconcile: begun.elapsed() };
        self.send(ChangeSet { changes: outcome.changes, initial: true, timing }).await
    }

    async fn run(mut self) {
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
        self.backend.stop().await;
    }

    async fn step(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.settle.is_ripe(now) && self.on_disk(Reconciler::is_checkout_under_way).await? {
            if self.settle.postpone(now, now + CHECKOUT) {
                return Ok(());
            }
            self.on_disk(Reconciler::give_up_on_checkout).await?;
        }
        if let Some(settled) = self.settle.take(now) {
            return self.act(settled, now).await;
        }
        if self.proven && self.settle.is_idle() {
            self.proven = false;
            let hints = self.on_disk(move |reconciler| reconciler.confirm(now)).await?;
            return if hints.is_empty() {
                Ok(())
            } else {
                self.act(Settled { hints, first: now }, now).await
            };
        }
        let next_work = self.reconciler.as_ref().and_then(|reconciler| reconciler.next_work());
        let due = self.settle.due();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(End::Stopped),
            failure = self.backend.failed() => Err(End::Failed(failure)),
            Some(command) = self.commands.recv() => self.obey(command).await,
            Some(collected) = self.reports.next() => {
                self.take_in(collected);
                Ok(())
            }
            Ok(()) = self.standing.changed() => {
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

    /// Has the reconciler do something that asks the disk.
    async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Reconciler) -> T + Send + 'static,
    ) -> Result<T, End> {
        let Some(mut reconciler) = self.reconciler.take() else { return Err(End::Panicked) };
        let job = spawn_blocking(move || {
            let result = work(&mut reconciler);
            (reconciler, result)
        });
        let (reconciler, result) = job.await.map_err(|_| End::Panicked)?;
        self.reconciler = Some(reconciler);
        Ok(result)
    }

    async fn obey(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Rescan => self.look_everywhere(),
            Command::Barrier(reply) => {
                let passed = tokio::select! {
                    () = self.stop.cancelled() => return Err(End::Stopped),
                    passed = timeout(BARRIER, self.backend.barrier()) => passed,
                };
                match passed {
                    Ok(Ok(())) => {
                        self.passed_barrier();
                        if let Some(collected) = self.reports.take() {
                            self.take_in(collected);
                        }
                        let now = Instant::now();
                        if let Some(settled) = self.settle.take_now(now) {
                            self.act(settled, now).await?;
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

    fn take_in(&mut self, collected: Collected) {
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
        let Standing { covered, trouble, backends } = self.standing.borrow_and_update().clone();
        let last_barrier = backends.iter().filter_map(|backend| backend.barrier).map(|(at, _)| at).max();
        let before = self.health.borrow().clone();
        self.health.send_modify(|health| {
            health.armed = covered;
            health.trouble = trouble;
            health.backends = backends;
            health.last_barrier = last_barrier.max(health.last_barrier);
        });
        let now = self.health.borrow();
        if !before.backends.is_empty() && before.names() != now.names() && !now.names().is_empty() {
            tracing::info!(target: "watch", by = now.summary(), "watching");
        }
    }

    fn passed_barrier(&self) {
        self.health.send_modify(|health| health.last_barrier = Some(Instant::now()));
    }

    async fn act(&mut self, settled: Settled, now: Instant) -> Result<(), End> {
        let initial = self.reconciler.as_ref().is_some_and(|reconciler| reconciler.is_new());
        let outcome = self.look(settled.hints).await?;
        let timing = Timing {
            first_hint: settled.first,
            settle: now.saturating_duration_since(settled.first),
            reconcile: now.elapsed(),
        };
        if outcome.changes.is_empty() && !initial {
            return Ok(());
        }
        if outcome.missed > 0 {
            self.health.send_modify(|health| health.missed += outcome.missed as u64);
            tracing::warn!(target: "watch", backends = self.health.borrow().names().join(", "), missed = outcome.missed,
                first = ?outcome.changes.first().map(|change| &change.path),
                "changes were found that the watch backend did not report; please report this as a bug, or choose \
                 another one with watch.backend");
        }
        tracing::debug!(target: "watch",
            names = ?outcome.changes.iter().map(|change| &change.name).collect::<Vec<_>>(),
            settle_us = timing.settle.as_micros() as u64, reconcile_us = timing.reconcile.as_micros() as u64,
            "changed");
        self.send(ChangeSet { changes: outcome.changes, initial, timing }).await
    }

    async fn send(&mut self, set: ChangeSet) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(End::Stopped),
            // Without a consumer there is nothing to do but to wait for the stop.
            _ = self.changes.send(set) => Ok(()),
        }
    }

    /// Looks until there is nothing that is listed but not watched.
    async fn look(&mut self, mut hints: HintSet) -> Result<Outcome, End> {
        loop {
            let Some(mut reconciler) = self.reconciler.take() else { return Err(End::Panicked) };
            let watched = std::mem::take(&mut self.plan.dirs);
            let (reconciler, watched, look) = spawn_blocking(move || {
                let look = reconciler.look(&hints, &watched, Instant::now());
                (reconciler, watched, look)
            })
            .await
            .map_err(|_| End::Panicked)?;
            self.plan.dirs = watched;
            let links = || reconciler.links();
            match look {
                Look::Arm => {
                    let links = links();
                    self.reconciler = Some(reconciler);
                    self.update_symlink_watches(links).await?;
                    // What was listed too early is known to the reconciler.
                    hints = HintSet::new();
                }
                Look::Done(outcome) => {
                    let links = outcome.walked.then(links);
                    self.reconciler = Some(reconciler);
                    if let Some(links) = links {
                        self.update_symlink_watches(links).await?;
                    }
                    for (path, at) in &outcome.rechecks {
                        self.settle.recheck(path.clone(), *at);
                    }
                    return Ok(outcome);
                }
            }
        }
    }

    /// Publishes the links, and has the backend watch what they need; waits until it does if there is
    /// anything new.
    async fn update_symlink_watches(&mut self, links: LinkView) -> Result<(), End> {
        let grown = !links.watched_dirs.is_subset(&self.plan.dirs);
        let same = links.watched_dirs == self.plan.dirs && links.trees == self.plan.trees;
        let (dirs, trees) = (links.watched_dirs.clone(), links.trees.clone());
        self.links.send_if_modified(|known| {
            let modified = **known != links;
            if modified {
                *known = Arc::new(links);
            }
            modified
        });
        if !same {
            self.plan = WatchPlan { revision: self.plan.revision + 1, dirs, trees };
            self.backend.set_plan(self.plan.clone());
        }
        if grown { self.armed().await } else { Ok(()) }
    }

    async fn armed(&mut self) -> Result<(), End> {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(End::Stopped),
                failure = self.backend.failed() => return Err(End::Failed(failure)),
                Some(collected) = self.reports.next() => {
                    let armed = collected.armed.as_ref().is_some_and(|armed| armed.revision >= self.plan.revision);
                    self.take_in(collected);
                    if armed {
                        return Ok(());
                    }
                }
            }
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
            self.health.send_modify(|health| {
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
                () = self.stop.cancelled() => return Err(End::Stopped),
                Some(command) = self.commands.recv() => if let Command::Barrier(reply) = command {
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
