//! The task that leads a change from the backends to a [`ChangeSet`].
//!
//! It owns the backends, what is held, and the reconciler, and talks by channels only. What it does, and when, is
//! in [`State`]. Change sets leave through a channel of one: while the consumer is busy, hints go on folding in the
//! backends' sink, so nothing is lost and nothing grows.

mod restart;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hotloader_backend::{Collected, HintSet, LostCause, Skipped};
use tokio::{
    sync::watch,
    time::{sleep, sleep_until, timeout},
};

use super::{
    backends::{Patience, SupervisorMaker},
    change::{ChangeSet, Root, Timing},
    exact::until,
    handle::{Command, Ends, WatchError},
    in_use::InUse,
    looking::Looking,
    reconcile::{Findings, LinkView, Look, Reconciler, Unwatched},
    settle::{Calm, Debounce, Held, Reminders},
    state::{Barrier, End, State},
    watches::Watches,
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

pub(super) struct Watcher {
    settings: watch::Receiver<Arc<WatchConfig>>,
    roots: Vec<Root>,
    watches: Watches,
    ends: Ends,
    looking: Looking,
    state: State,
    reminders: Reminders,
    in_use: InUse,
    debounce: Debounce,
    patience: Patience,
}

impl Watcher {
    pub(super) fn new(
        make_supervisor: SupervisorMaker,
        roots: Vec<Root>,
        patience: Patience,
        ends: Ends,
    ) -> Self {
        let settings = make_supervisor.settings();
        let now = settings.borrow().clone();
        let reconciler = Reconciler::new(&now, roots.clone());
        Self {
            settings,
            watches: Watches::start(make_supervisor, ends.links.clone()),
            looking: Looking::new(reconciler, patience.look, ends.health.clone(), ends.stop.clone()),
            roots,
            in_use: InUse::new(ends.in_use.clone(), now.recheck, Instant::now()),
            ends,
            state: State::Idle,
            reminders: Reminders::default(),
            debounce: Debounce::of(&now),
            patience,
        }
    }

    /// Has everything watched and sends the first change set, which was begun then.
    pub(super) async fn begin(&mut self, begun: Instant) -> Result<(), End> {
        // Whatever was written when: it is never too early for the first look.
        let Some(findings) = self.look(HintSet::new(), Calm::ANY).await?.ok() else { return Ok(()) };
        self.take_standing();
        tracing::info!(target: "watch",
            by = self.ends.health.borrow().summary(), dirs = self.watches.dirs().len(), files = findings.changes.len(),
            ms = begun.elapsed().as_millis() as u64, "watching");
        let timing = Timing { first_hint: begun, settle: Duration::ZERO, reconcile: begun.elapsed() };
        self.send(findings.into_change_set(true, timing)).await
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
        self.watches.stop().await;
    }

    async fn step(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let mut due = None;
        if self.state.is_ripe(self.debounce, now) && self.may_look(now).await? {
            due = self.state.take_held();
        }
        if let Some(held) = Held::both(due, self.reminders.take(now)) {
            let calm = held.calm(self.debounce, now);
            return self.act(held, calm, now).await;
        }
        self.wait(now).await
    }

    /// Whether to look at what is held now: not while a checkout is under way, nor before the backends have said
    /// what belongs to it.
    async fn may_look(&mut self, now: Instant) -> Result<bool, End> {
        let hints = self.state.held().map(|held| held.hints.clone()).unwrap_or_default();
        let at = hints.clone();
        if self.looking.run(move |reconciler| reconciler.is_checkout_under_way(&at)).await? {
            let debounce = self.debounce;
            if self.state.held().is_some_and(|held| held.postpone(debounce, now, now + CHECKOUT)) {
                self.state.defer();
                return Ok(false);
            }
            let (at, (most, step)) = (hints.clone(), LIVE_CHECKOUT);
            if self.looking.run(move |reconciler| reconciler.is_checkout_alive(&at)).await?
                && self.state.held().is_some_and(|held| held.extend(now + step, most))
            {
                self.state.defer();
                return Ok(false);
            }
            self.looking.run(move |reconciler| reconciler.give_up_on_checkout(&hints)).await?;
            return Ok(true);
        }
        if let State::Deferred(_) = self.state {
            // Without an answer it is looked at as it is.
            let _ = timeout(LAST_WORDS, self.watches.barrier()).await;
            if let Some(collected) = self.watches.take_reports() {
                self.take_in(collected);
            }
            if let Some(mut held) = self.state.take_held() {
                held.all_reported(now);
                self.state = State::Holding(held);
            }
        }
        Ok(self.state.is_ripe(self.debounce, now))
    }

    /// Waits for something to happen, or to be due, and does it.
    async fn wait(&mut self, now: Instant) -> Result<(), End> {
        let next_work = self.looking.reconciler().and_then(|reconciler| reconciler.next_work());
        let held = self.state.held().map(|held| held.due(self.debounce));
        let due = held.into_iter().chain(self.reminders.due()).min();
        let recheck = self.in_use.due().filter(|_| self.state.is_idle());
        tokio::select! {
            biased;
            () = self.ends.stop.cancelled() => Err(End::Stopped),
            Some(command) = self.ends.commands.recv() => self.obey(command).await,
            collected = self.watches.reports() => {
                self.take_in(collected.map_err(End::Failed)?);
                Ok(())
            }
            Ok(()) = self.ends.in_use.changed() => {
                self.tell_in_use();
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
            passed = self.state.barrier() => self.verified(passed).await,
            () = until(due) => Ok(()),
            () = sleep_until(recheck.unwrap_or(now).into()), if recheck.is_some() => self.recheck().await,
            () = sleep_until(next_work.unwrap_or(now).into()), if next_work.is_some() => self.upkeep().await,
        }
    }

    /// Does a part of what there is to do while nothing is hinted.
    async fn upkeep(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let work = self.looking.run(move |reconciler| reconciler.work(now)).await?;
        self.state.hold(work.look, now, now);
        if !work.found.is_empty() {
            if self.state.is_idle() {
                self.state = State::Verifying { found: work.found, barrier: self.barrier(Duration::ZERO) };
            } else {
                self.state.hold(work.found, now, now);
            }
        }
        Ok(())
    }

    /// Has the backends know what is in use.
    fn tell_in_use(&mut self) {
        let in_use = self.in_use.files(Instant::now());
        self.ends.health.send_if_modified(|health| {
            health.in_use = in_use.len();
            false
        });
        self.watches.tell_in_use(in_use);
    }

    /// Looks whether something in use has changed without anybody telling.
    async fn recheck(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let files = self.in_use.take(now);
        self.tell_in_use();
        let count = files.len() as u64;
        let found = self.looking.run(move |reconciler| reconciler.recheck(&files, now)).await?;
        self.ends.health.send_if_modified(|health| {
            health.rechecked += count;
            false
        });
        self.state.hold(found, now, now);
        Ok(())
    }

    fn barrier(&self, delay: Duration) -> Barrier {
        let barrier = self.watches.barrier();
        Box::pin(async move {
            sleep(delay).await;
            barrier.await.is_ok()
        })
    }

    /// The barrier after an audit was passed, or not. If it brought no hint, what the audit found was missed.
    async fn verified(&mut self, is_passed: bool) -> Result<(), End> {
        if let Some(collected) = self.watches.take_reports() {
            self.take_in(collected);
        }
        match std::mem::take(&mut self.state) {
            State::Verifying { found, .. } if is_passed => {
                let now = Instant::now();
                self.look_at_missed(found, now).await
            }
            State::Verifying { found, .. } => {
                self.state = State::Verifying { found, barrier: self.barrier(AGAIN) };
                Ok(())
            }
            other => {
                self.state = other;
                Ok(())
            }
        }
    }

    async fn look_at_missed(&mut self, found: HintSet, now: Instant) -> Result<(), End> {
        let Some(findings) = self.look(found, Calm::ANY).await?.ok() else { return Ok(()) };
        let missed = findings.changes.len() + findings.vanished;
        if missed > 0 {
            self.ends.health.send_modify(|health| health.missed += missed as u64);
            tracing::warn!(target: "watch", backends = self.ends.health.borrow().names().join(", "), missed,
                first = ?findings.changes.first().map(|change| &change.path),
                "changes were found that the watch backend did not report; please report this as a bug, or choose \
                 another one with watch.backend");
        }
        self.deliver(findings, Timing { first_hint: now, settle: Duration::ZERO, reconcile: now.elapsed() })
            .await
    }

    async fn obey(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Rescan => self.look_everywhere(),
            Command::Barrier(reply) => {
                let passed = tokio::select! {
                    () = self.ends.stop.cancelled() => return Err(End::Stopped),
                    passed = timeout(self.patience.barrier, self.watches.barrier()) => passed,
                };
                let answer = match passed {
                    Ok(Ok(())) => {
                        self.look_at_all_reported().await?;
                        Ok(())
                    }
                    Ok(Err(error)) => Err(WatchError::Barrier(error.to_string())),
                    Err(_) => Err(WatchError::Barrier("no answer".into())),
                };
                // Whoever asked may have gone.
                let _ = reply.send(answer);
            }
        }
        Ok(())
    }

    /// A barrier was passed: looks at all that was reported up to it, whether it is quiet or not.
    async fn look_at_all_reported(&mut self) -> Result<(), End> {
        let now = Instant::now();
        self.ends.health.send_modify(|health| health.last_barrier = Some(now));
        if let Some(collected) = self.watches.take_reports() {
            self.take_in(collected);
        }
        match Held::both(self.state.take_held(), self.reminders.take(now)) {
            Some(held) => self.act(held, Calm::ANY, now).await,
            None => Ok(()),
        }
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
        if let Some(reconciler) = self.looking.reconciler() {
            reconciler.keep_concerning(&mut hints);
        }
        self.state.hold(hints, first, last);
    }

    fn look_everywhere(&mut self) {
        let now = Instant::now();
        self.state.hold(HintSet::everywhere(), now, now);
    }

    fn begin_anew(&mut self) {
        let settings = self.settings.borrow().clone();
        self.looking.begin_anew(Reconciler::new(&settings, self.roots.clone()));
        self.look_everywhere();
    }

    fn configure(&mut self) {
        let settings = self.settings.borrow_and_update().clone();
        self.debounce = Debounce::of(&settings);
        self.in_use.configure(settings.recheck);
        if let Some(reconciler) = self.looking.reconciler() {
            reconciler.configure(&settings);
        }
        tracing::info!(target: "watch", backend = %settings.backend, quiet = ?settings.quiet, "other settings are in force");
        self.look_everywhere();
    }

    /// Takes over how the backends are.
    fn take_standing(&mut self) {
        let standing = self.ends.standing.borrow_and_update().clone();
        let before = self.ends.health.borrow().clone();
        self.ends.health.send_modify(|health| health.take(standing));
        let now = self.ends.health.borrow();
        if !before.backends.is_empty() && before.names() != now.names() && !now.names().is_empty() {
            tracing::info!(target: "watch", by = now.summary(), "watching");
        }
    }

    /// Looks at what is held, and sends what changed. It is held again if the look comes too early.
    async fn act(&mut self, held: Held, calm: Calm, now: Instant) -> Result<(), End> {
        let findings = match self.look(held.hints.clone(), calm).await? {
            Ok(findings) => findings,
            Err(TooEarly(rest)) => {
                let meanwhile = self.state.take_held();
                self.state = State::Deferred(held.put_off(Instant::now() + rest, meanwhile));
                return Ok(());
            }
        };
        let timing = Timing {
            first_hint: held.first,
            settle: now.saturating_duration_since(held.first),
            reconcile: now.elapsed(),
        };
        self.deliver(findings, timing).await
    }

    async fn deliver(&mut self, findings: Findings, timing: Timing) -> Result<(), End> {
        self.ends.health.send_if_modified(|health| {
            let modified = health.unfinished != findings.unfinished;
            if modified {
                health.unfinished.clone_from(&findings.unfinished);
            }
            modified
        });
        if findings.changes.is_empty() && !findings.is_first {
            return Ok(());
        }
        self.in_use.note(&findings.changes, Instant::now());
        self.tell_in_use();
        tracing::debug!(target: "watch",
            names = ?findings.changes.iter().map(|change| &change.name).collect::<Vec<_>>(),
            settle_us = timing.settle.as_micros() as u64, reconcile_us = timing.reconcile.as_micros() as u64,
            "changed");
        let is_first = findings.is_first;
        self.send(findings.into_change_set(is_first, timing)).await
    }

    async fn send(&mut self, set: ChangeSet) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.ends.stop.cancelled() => Err(End::Stopped),
            // Without a consumer there is nothing to do but to wait for the stop.
            _ = self.ends.changes.send(set) => Ok(()),
        }
    }

    /// Looks until there is nothing that is listed but not watched.
    async fn look(&mut self, mut hints: HintSet, calm: Calm) -> Result<Result<Findings, TooEarly>, End> {
        let mut before: Option<Unwatched> = None;
        loop {
            let watched = self.watches.dirs().clone();
            let look = move |reconciler: &mut Reconciler| {
                let look = reconciler.look(&hints, before, &watched, calm, Instant::now());
                let links = match &look {
                    Look::Unwatched(_) => Some(reconciler.links()),
                    Look::Done(findings) => findings.walked.then(|| reconciler.links()),
                    Look::Early(_) => None,
                };
                (look, links)
            };
            let (look, links) = self.looking.run(look).await?;
            match look {
                Look::Unwatched(mut unwatched) => {
                    // The reconciler does meanwhile what does not depend on it.
                    let prepare = self.looking.start(move |reconciler| {
                        reconciler.prepare(&mut unwatched);
                        unwatched
                    })?;
                    let watched = self.update_symlink_watches(links.unwrap_or_default()).await;
                    before = Some(self.looking.finish(prepare).await?);
                    watched?;
                    hints = HintSet::new();
                }
                Look::Early(rest) => return Ok(Err(TooEarly(rest))),
                Look::Done(findings) => {
                    if let Some(links) = links {
                        self.update_symlink_watches(links).await?;
                    }
                    for (path, at) in &findings.rechecks {
                        self.reminders.add(path.clone(), *at);
                    }
                    return Ok(Ok(findings));
                }
            }
        }
    }

    /// Has the backends watch what the links need; waits until they do if there is anything new.
    async fn update_symlink_watches(&mut self, links: LinkView) -> Result<(), End> {
        if self.watches.update(links) { self.watched().await } else { Ok(()) }
    }

    /// Waits until all of the plan is watched.
    async fn watched(&mut self) -> Result<(), End> {
        loop {
            tokio::select! {
                biased;
                () = self.ends.stop.cancelled() => return Err(End::Stopped),
                collected = self.watches.reports() => {
                    let collected = collected.map_err(End::Failed)?;
                    let is_watched = self.watches.confirms(&collected);
                    self.take_in(collected);
                    if is_watched {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// A look came upon what was written too short a while ago; look again after that time.
struct TooEarly(Duration);
