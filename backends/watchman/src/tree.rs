//! A task that watches one tree, through whatever becomes of the daemon and of the tree.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hotloader_backend::{BackendFailure, HintSet, Phase, Report, ReportSink, Scope, SkipCause, WatchPlan};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    changes::{Entry, Known},
    options::Options,
    trouble::Trouble,
    watch::{Identity, News, Position, TreeChange, Watch, identity},
};

/// How often the daemon is asked whether it has something to tell that its subscription holds back, and
/// the tree whether it is still where it was.
const TICK: Duration = Duration::from_millis(250);

/// For how long a daemon that is gone is tried again before another backend takes over.
const RECONNECT: Duration = Duration::from_secs(2);

/// The first pause between two tries; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(20);

/// How often the daemon may refuse a tree until it is believed.
const REFUSALS: u32 = 3;

/// What a tree is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Answered by an [`Event`].
    Plan(Arc<WatchPlan>),
    /// To be answered when all changes up to now are reported.
    Barrier(oneshot::Sender<()>),
    /// Another tree has changed: what has changed here by now belongs to it. Answered by [`Hints`].
    Gather,
}

/// What a tree says.
#[derive(Debug)]
pub(crate) enum Word {
    State(Event),
    Hints(Hints),
}

/// What has changed in a tree.
#[derive(Debug)]
pub(crate) struct Hints {
    pub(crate) tree: PathBuf,
    pub(crate) hints: HintSet,
    /// It was [asked](Command::Gather) for these.
    pub(crate) is_answer: bool,
}

/// How a tree is: after each plan, and whenever that changes.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) tree: PathBuf,
    /// Of the plan that it follows.
    pub(crate) revision: u64,
    /// Why it is not watched, if it is not.
    pub(crate) skipped: Option<(SkipCause, String)>,
    /// Directories in it that the daemon does not look into.
    pub(crate) ignored: Vec<PathBuf>,
    /// What watches it, for people.
    pub(crate) detail: Option<String>,
}

/// The task.
pub(crate) struct Tree {
    options: Arc<Options>,
    path: PathBuf,
    reports: ReportSink,
    words: mpsc::UnboundedSender<Word>,
    plan: Arc<WatchPlan>,
    known: Known,
    state: State,
    /// How far the last watch came.
    last: Option<Position>,
}

enum State {
    /// Before the first plan.
    New,
    Watching(Box<Watch>),
    /// There is no directory at the path.
    Absent,
    /// The daemon won't have it.
    Refused(String),
}

impl Tree {
    pub(crate) fn new(
        options: Arc<Options>,
        path: PathBuf,
        reports: ReportSink,
        words: mpsc::UnboundedSender<Word>,
    ) -> Self {
        let (plan, known) = (Arc::default(), Known::default());
        Self { options, path, reports, words, plan, known, state: State::New, last: None }
    }

    /// Works until it is stopped, or nobody is left to tell it anything.
    pub(crate) async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Command>,
        stop: CancellationToken,
    ) -> Result<(), BackendFailure> {
        let end = tokio::select! {
            () = stop.cancelled() => Ok(()),
            end = self.work(&mut inbox) => end,
        };
        if let State::Watching(watch) = self.state
            && end.is_ok()
            // It ends with its connection anyway.
            && let Err(trouble) = watch.end().await
        {
            tracing::debug!(target: "watch", tree = %self.path.display(), %trouble, "did not unsubscribe");
        }
        end
    }

    async fn work(&mut self, inbox: &mut mpsc::UnboundedReceiver<Command>) -> Result<(), BackendFailure> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(Command::Plan(plan)) => self.take_plan(plan).await?,
                    Some(Command::Barrier(done)) => {
                        let mut waiting = vec![done];
                        // Commands keep their order; barriers in a row are one.
                        let mut next = None;
                        while let Ok(command) = inbox.try_recv() {
                            match command {
                                Command::Barrier(done) => waiting.push(done),
                                other => {
                                    next = Some(other);
                                    break;
                                }
                            }
                        }
                        self.look(true).await?;
                        for done in waiting {
                            // Who asked may have gone.
                            let _ = done.send(());
                        }
                        match next {
                            Some(Command::Plan(plan)) => self.take_plan(plan).await?,
                            Some(Command::Gather) => self.gather().await?,
                            Some(Command::Barrier(_)) | None => {}
                        }
                    }
                    Some(Command::Gather) => self.gather().await?,
                    None => return Ok(()),
                },
                news = next(&mut self.state) => match news {
                    News::Told(change) => self.report(change, Phase::Settled).await?,
                    News::End(trouble) => self.recover(trouble).await?,
                },
                _ = tick.tick() => self.look(false).await?,
            }
        }
    }

    async fn take_plan(&mut self, plan: Arc<WatchPlan>) -> Result<(), BackendFailure> {
        self.plan = plan;
        self.look_at_dirs().await?;
        match self.state {
            State::Watching(_) => {}
            State::New | State::Absent | State::Refused(_) => self.begin().await?,
        }
        self.tell();
        Ok(())
    }

    /// Takes in the directories of the plan, off the threads of the runtime. Has those looked at that have
    /// left it and are there.
    async fn look_at_dirs(&mut self) -> Result<(), BackendFailure> {
        let (mut known, plan, tree) = (std::mem::take(&mut self.known), self.plan.clone(), self.path.clone());
        let (known, there) = tokio::task::spawn_blocking(move || {
            let there = known.change_to(&plan, &tree);
            (known, there)
        })
        .await
        .map_err(|error| BackendFailure::retry("a thread of the watchman backend panicked").because(error))?;
        self.known = known;
        for dir in there {
            self.reports.hint(dir, Phase::Complete);
        }
        Ok(())
    }

    /// Asks the daemon what changed, and the disk whether the tree is still there.
    async fn look(&mut self, synced: bool) -> Result<(), BackendFailure> {
        match &mut self.state {
            State::New | State::Refused(_) => Ok(()),
            State::Absent => {
                if self.identity().await?.is_none() {
                    return Ok(());
                }
                self.begin().await?;
                self.tell();
                Ok(())
            }
            State::Watching(watch) => {
                let Some(top) = in_time(&self.path, self.options.timeout, watch.in_place(&self.path)).await?
                else {
                    return self.recover(None).await;
                };
                if self.known.is_other_top(&self.path, &top) {
                    self.reports.hint(&self.path, Phase::Complete);
                }
                match watch.changes(synced).await {
                    Ok(change) => self.report(change, Phase::Complete).await,
                    Err(trouble) => self.recover(Some(trouble)).await,
                }
            }
        }
    }

    /// The watch ended, or does not work any more.
    async fn recover(&mut self, trouble: Option<Trouble>) -> Result<(), BackendFailure> {
        if let State::Watching(watch) = &self.state {
            self.last = Some(watch.position().clone());
            match trouble {
                None | Some(Trouble::Away { .. } | Trouble::Lost { .. } | Trouble::Refused(_)) => {}
                // Its root may have been replaced, which is not the daemon's fault.
                Some(Trouble::Unsynced { .. })
                    if in_time(&self.path, self.options.timeout, watch.in_place(&self.path))
                        .await?
                        .is_none() => {}
                Some(trouble) => return Err(trouble.into()),
            }
            tracing::debug!(target: "watch", tree = %self.path.display(), "watching anew");
        }
        self.begin().await?;
        self.tell();
        Ok(())
    }

    /// Watches the tree if it is there.
    async fn begin(&mut self) -> Result<(), BackendFailure> {
        let was_new = matches!(self.state, State::New);
        let deadline = Instant::now() + RECONNECT;
        let mut pause = PAUSE;
        let mut refused = 0;
        loop {
            if self.identity().await?.is_none() {
                if !matches!(self.state, State::New | State::Absent) {
                    self.reports.hint(&self.path, Phase::Complete);
                }
                self.state = State::Absent;
                return Ok(());
            }
            match Watch::begin(&self.options, &self.path, self.last.as_ref()).await {
                Ok((watch, change)) => {
                    self.last = Some(watch.position().clone());
                    self.state = State::Watching(Box::new(watch));
                    // Nobody has listed the tree before it is armed for the first time.
                    if !was_new {
                        self.report(change, Phase::Complete).await?;
                    }
                    return Ok(());
                }
                Err(trouble) if trouble.may_pass() && Instant::now() < deadline => {
                    sleep(pause).await;
                    pause *= 2;
                }
                // It may have gone since it was looked at, or the daemon is about to notice that what it
                // watched there has gone.
                Err(Trouble::Refused(_)) if refused < REFUSALS => {
                    refused += 1;
                    sleep(PAUSE).await;
                }
                Err(Trouble::Refused(reason)) => {
                    self.state = State::Refused(reason);
                    return Ok(());
                }
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    /// Says what has changed here by now, for another tree that has changed.
    async fn gather(&mut self) -> Result<(), BackendFailure> {
        let mut hints = HintSet::new();
        if let State::Watching(watch) = &mut self.state {
            match watch.changes(false).await {
                // Where it is not quiet yet, the time stamps on the disk tell.
                Ok(TreeChange::Changed(entries)) => hints = self.news(&entries, Phase::Settled),
                Ok(lost) => self.report(lost, Phase::Complete).await?,
                Err(trouble) => self.recover(Some(trouble)).await?,
            }
        }
        self.hint(hints, true);
        Ok(())
    }

    /// What of it is worth a look.
    fn news(&mut self, entries: &[Entry], phase: Phase) -> HintSet {
        let mut hints = HintSet::new();
        for entry in entries {
            let path = entry.path(&self.path);
            if self.known.is_news(&self.plan, &path, entry) {
                hints.insert(path, phase);
            }
        }
        hints
    }

    fn hint(&self, hints: HintSet, is_answer: bool) {
        if is_answer || !hints.is_empty() {
            self.say(Word::Hints(Hints { tree: self.path.clone(), hints, is_answer }));
        }
    }

    fn say(&self, word: Word) {
        // Nobody listens any more when the backend ends.
        let _ = self.words.send(word);
    }

    async fn report(&mut self, change: TreeChange, phase: Phase) -> Result<(), BackendFailure> {
        match change {
            TreeChange::Changed(entries) => {
                let hints = self.news(&entries, phase);
                self.hint(hints, false);
            }
            TreeChange::Lost(cause) => {
                // What became of the directories meanwhile was not told: one may have been a file, and be
                // back with the same inode by the time of the next word on it. They are looked at before
                // whoever is told looks, so that nothing falls between.
                self.known = Known::default();
                self.look_at_dirs().await?;
                self.reports.report(Report::LostSync { scope: Scope::Below(self.path.clone()), cause });
            }
        }
        Ok(())
    }

    async fn identity(&self) -> Result<Identity, BackendFailure> {
        in_time(&self.path, self.options.timeout, identity(&self.path)).await
    }

    fn tell(&self) {
        let (skipped, ignored, detail) = match &self.state {
            State::Watching(watch) => {
                let daemon = watch.daemon();
                (None, watch.ignored().to_vec(), Some(daemon.to_string()))
            }
            State::New | State::Absent => {
                let reason = format!("{}: there is no such directory", self.path.display());
                (Some((SkipCause::Unreachable, reason)), Vec::new(), None)
            }
            State::Refused(reason) => {
                let reason = format!("{}: Watchman refuses: {reason}", self.path.display());
                (Some((SkipCause::Limit, reason)), Vec::new(), None)
            }
        };
        let event = Event { tree: self.path.clone(), revision: self.plan.revision, skipped, ignored, detail };
        self.say(Word::State(event));
    }
}

/// Never comes where nothing is watched.
async fn next(state: &mut State) -> News {
    match state {
        State::Watching(watch) => watch.next().await,
        _ => std::future::pending().await,
    }
}

/// Asks a file system that may hang.
async fn in_time<T>(
    path: &Path,
    limit: Duration,
    answer: impl Future<Output = std::io::Result<T>>,
) -> Result<T, BackendFailure> {
    match timeout(limit, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(BackendFailure::next_backend(format!(
            "cannot see whether {} is still in place; use watch.backend = \"polling\" for it",
            path.display()
        ))
        .because(error)),
        Err(_) => Err(BackendFailure::next_backend(format!(
            "the file system of {} does not answer; use watch.backend = \"polling\" for it",
            path.display()
        ))),
    }
}
