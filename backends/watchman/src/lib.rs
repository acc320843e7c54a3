//! The watch backend on Watchman's daemon: for trees too large for a watch per directory.
//!
//! - `options`: the table `[watch.watchman]`.
//! - `trouble`: what goes wrong with the daemon, and what a person can do about it.
//! - `daemon`: the daemon, found, started, connected to and asked.
//! - `changes`: what it says has changed, and which of it is worth a hint.
//! - `watch`: one tree as the daemon watches it.
//! - `tree`: a task for each tree of the plan, through whatever becomes of the daemon and of the tree.
//! - `gathering`: what several trees tell of one save, handed on together.
//! - here: the task that holds the trees together, and barriers.
//!
//! Watchman can only watch whole trees. The directories of the plan that are in none are polled, by the
//! `polling` backend running inside this one; so are those in a tree that Watchman is told not to look into
//! (`ignore_dirs` of `.watchmanconfig`, `.git`).
//!
//! A change is told some 21 ms after it was made: the daemon waits for 20 ms without a change. That is
//! `settle` in `.watchmanconfig` (or `/etc/watchman.json`) and cannot be chosen by a client; with
//! `{"settle": 1}` it is 2 ms. So the hints say that they have settled, and nobody waits once more. A tree that is never quiet that long, or in which another client or git
//! works, is asked every 250 ms.
//!
//! A barrier is a query that is synced by a cookie, which Watchman makes in the root of the project (in
//! `.git` if there is one). It is not `flush-subscriptions`: that leaves out subscriptions that are held
//! back.

mod changes;
mod daemon;
mod gathering;
mod options;
mod tree;
mod trouble;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use hotloader_backend::{
    Armed, BackendFailure, BackendHandle, BackendInputs, BarrierError, BarrierRequest, Collected, DirSet,
    FileWatchBackend, HintSet, Phase, Report, ReportStream, Skipped, WatchPlan, spawn,
};
use hotloader_polling::PollingBackend;
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub use crate::daemon::DaemonInfo;
use crate::{
    daemon::Connection,
    gathering::Gathering,
    options::Options,
    tree::{Command, Event, Hints, Tree, Word},
};

/// What the backend is called in the configuration.
pub const NAME: &str = "watchman";

/// How often the directories that are in no tree are looked at.
const LOOSE_INTERVAL: &str = "500ms";

/// How long a stop waits for the daemon to take note.
const GOODBYE: Duration = Duration::from_secs(1);

/// The backend.
#[derive(Debug)]
pub struct WatchmanBackend {
    options: Arc<Options>,
}

impl WatchmanBackend {
    /// Takes the table `[watch.watchman]`: `spawn` (whether to start a daemon if none answers), `sockname`
    /// and `binary` (paths) and `timeout` (for each request, as text).
    ///
    /// # Errors
    ///
    /// [`BackendFailure::Fatal`] for an unknown key or a wrong value.
    pub fn from_options(options: &BTreeMap<String, Value>) -> Result<Self, BackendFailure> {
        Ok(Self { options: Arc::new(Options::new(options)?) })
    }
}

impl FileWatchBackend for WatchmanBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(
        self: Box<Self>,
        inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
        Box::pin(run(self.options, inputs))
    }
}

/// Asks the daemon who it is; starts one if none answers and the options say so. Takes no longer than a few
/// times `timeout`.
///
/// # Errors
///
/// [`BackendFailure::Fatal`] for a wrong option, [`BackendFailure::NextBackend`] if there is no daemon that
/// could be used. The message says what helps.
pub async fn probe(options: &BTreeMap<String, Value>) -> Result<DaemonInfo, BackendFailure> {
    let connection = Connection::open(&Options::new(options)?).await?;
    Ok(connection.daemon)
}

/// The roots that the daemon watches, for this server and for others.
///
/// # Errors
///
/// Those of [`probe`].
pub async fn watched_roots(options: &BTreeMap<String, Value>) -> Result<Vec<PathBuf>, BackendFailure> {
    let connection = Connection::open(&Options::new(options)?).await?;
    Ok(connection.roots().await?)
}

async fn run(options: Arc<Options>, mut inputs: BackendInputs) -> Result<(), BackendFailure> {
    let stop = inputs.stop.clone();
    let daemon = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        connection = Connection::open(&options) => connection?.daemon,
    };
    inputs.vitals.send_modify(|vitals| vitals.detail = daemon.to_string());
    let interval =
        BTreeMap::from(["interval", "idle_interval"].map(|key| (key.to_owned(), LOOSE_INTERVAL.into())));
    let (mut loose, mut loose_reports) = spawn(Box::new(PollingBackend::from_options(&interval)?));
    let (words, mut inbox) = mpsc::unbounded_channel();
    let mut trees = Trees {
        options,
        words,
        plan: None,
        trees: BTreeMap::new(),
        tasks: JoinSet::new(),
        loose_plan: WatchPlan::default(),
        loose_for: None,
        loose_armed: None,
        armed: None,
        gathering: Gathering::default(),
    };
    let mut barriers = JoinSet::new();
    let end = loop {
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            changed = inputs.plan.changed() => {
                if changed.is_err() {
                    break Ok(());
                }
                let plan = inputs.plan.borrow_and_update().clone();
                if trees.plan.as_ref().is_some_and(|known| known.revision == plan.revision) {
                    trees.tell_in_use(plan, &loose);
                } else {
                    trees.change_to(plan, &inputs, &stop);
                }
                trees.arm(&loose, &inputs);
            }
            Some(word) = inbox.recv() => {
                trees.hear(word, &inputs);
                trees.arm(&loose, &inputs);
            }
            Some(request) = inputs.barriers.recv() => {
                barriers.spawn(pass(request, trees.ask(), loose.barrier()));
            }
            Some(passed) = barriers.join_next() => {
                // What was reported before it passed may still be on its way to us.
                while let Ok(word) = inbox.try_recv() {
                    trees.hear(word, &inputs);
                }
                trees.hand_on(&inputs);
                trees.take(loose_reports.take(), &inputs);
                if let Ok(Some(request)) = passed {
                    BarrierRequest::complete(request);
                }
                trees.arm(&loose, &inputs);
            }
            collected = loose_reports.next() => {
                trees.take(collected, &inputs);
                trees.arm(&loose, &inputs);
            }
            failure = loose.failed() => break Err(failure),
            () = trees.gathering.is_late() => trees.hand_on(&inputs),
            Some(end) = trees.tasks.join_next() => {
                if let Err(failure) = ended(end) {
                    break Err(failure);
                }
            }
        }
    };
    drop(barriers);
    trees.stop().await;
    release(loose, loose_reports).await;
    end
}

/// All trees of the plan.
struct Trees {
    options: Arc<Options>,
    words: mpsc::UnboundedSender<Word>,
    /// The newest.
    plan: Option<Arc<WatchPlan>>,
    trees: BTreeMap<PathBuf, Handle>,
    tasks: JoinSet<Result<(), BackendFailure>>,
    /// What is polled.
    loose_plan: WatchPlan,
    /// The revision of the plan it was made from.
    loose_for: Option<u64>,
    loose_armed: Option<Armed>,
    /// What was last reported.
    armed: Option<Armed>,
    gathering: Gathering,
}

/// The other end of a tree.
struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    stop: CancellationToken,
    /// What it last said of itself.
    state: Option<Event>,
}

impl Handle {
    fn is_watched(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.skipped.is_none())
    }
}

impl Trees {
    /// Makes the trees those of the plan, and tells it to them.
    fn change_to(&mut self, plan: Arc<WatchPlan>, inputs: &BackendInputs, stop: &CancellationToken) {
        let wanted: BTreeSet<&Path> = plan.dirs.iter().filter_map(|dir| plan.tree_of(dir)).collect();
        self.trees.retain(|path, handle| {
            let stays = wanted.contains(path.as_path());
            if !stays {
                handle.stop.cancel();
            }
            stays
        });
        for path in wanted {
            let handle = self.trees.entry(path.to_owned()).or_insert_with(|| {
                let (commands, inbox) = mpsc::unbounded_channel();
                let stop = stop.child_token();
                let tree = Tree::new(
                    self.options.clone(),
                    path.to_owned(),
                    inputs.reports.clone(),
                    self.words.clone(),
                );
                self.tasks.spawn(tree.run(inbox, stop.clone()));
                Handle { commands, stop, state: None }
            });
            // One that has ended is noticed by its result.
            let _ = handle.commands.send(Command::Plan(plan.clone()));
        }
        self.plan = Some(plan);
    }

    /// Only what is in use has changed. Watchman reports every file alike, so this is for the directories that are
    /// polled.
    fn tell_in_use(&mut self, plan: Arc<WatchPlan>, loose: &BackendHandle) {
        self.loose_plan.in_use = plan.in_use.clone();
        self.plan = Some(plan);
        if self.loose_for.is_some() {
            loose.set_plan(self.loose_plan.clone());
        }
    }

    fn hear(&mut self, word: Word, inputs: &BackendInputs) {
        match word {
            Word::State(event) => self.note(event, inputs),
            Word::Hints(hints) => self.gather(hints, inputs),
        }
    }

    /// Hands on what has changed in a tree, together with what has changed in the others.
    fn gather(&mut self, from: Hints, inputs: &BackendInputs) {
        let ask = |from: &PathBuf| {
            let others = self.trees.iter().filter(|(path, handle)| *path != from && handle.is_watched());
            let asked = others.filter(|(_, handle)| handle.commands.send(Command::Gather).is_ok());
            asked.map(|(path, _)| path.clone()).collect()
        };
        if self.gathering.take_in(from, ask) {
            self.hand_on(inputs);
        }
    }

    fn hand_on(&mut self, inputs: &BackendInputs) {
        let hints = self.gathering.take();
        if !hints.is_empty() {
            inputs.reports.hints(hints);
        }
    }

    fn note(&mut self, event: Event, inputs: &BackendInputs) {
        if let Some(detail) = &event.detail {
            inputs.vitals.send_if_modified(|vitals| {
                let differs = vitals.detail != *detail;
                vitals.detail.clone_from(detail);
                differs
            });
        }
        if let Some(handle) = self.trees.get_mut(&event.tree) {
            handle.state = Some(event);
        }
    }

    /// Hands on what the poll reports.
    fn take(&mut self, collected: Option<Collected>, inputs: &BackendInputs) {
        let Some(mut collected) = collected else { return };
        if let Some(armed) = &collected.armed {
            self.loose_armed = Some(armed.clone());
        }
        if collected.lost.is_empty() {
            self.leave_out_trees(&mut collected.hints);
        }
        if !collected.hints.is_empty() {
            inputs.reports.forward(collected);
        }
    }

    /// Leaves out the trees that Watchman watches: their tasks tell when one goes or is replaced. The poll
    /// sees such a tree as an entry, and says of a young one that it may be another. For that, all of it
    /// would be read again.
    fn leave_out_trees(&self, hints: &mut HintSet) {
        let mut polled_inside = Vec::new();
        hints.retain(|path| {
            let is_told_otherwise = self.trees.get(path).is_some_and(Handle::is_watched);
            if is_told_otherwise {
                // Hints for these may have folded into this one.
                polled_inside.extend_from_slice(self.loose_plan.dirs.at_and_below(path));
            }
            !is_told_otherwise
        });
        for dir in polled_inside {
            hints.insert(&*dir, Phase::Complete);
        }
    }

    /// Has polled what no tree covers once all trees follow the plan; says so when that is done as well.
    fn arm(&mut self, loose: &BackendHandle, inputs: &BackendInputs) {
        let Some(plan) = &self.plan else { return };
        let revision = plan.revision;
        let state = |handle: &'_ Handle| handle.state.clone().filter(|state| state.revision == revision);
        let Some(states) = self.trees.values().map(state).collect::<Option<Vec<Event>>>() else { return };
        let is_loose = |dir: &&Arc<Path>| {
            plan.tree_of(dir).is_none()
                || states.iter().flat_map(|state| &state.ignored).any(|ignored| dir.starts_with(ignored))
        };
        let dirs: DirSet = plan.dirs.iter().filter(is_loose).cloned().collect();
        let mut skipped = Vec::new();
        for state in &states {
            let Some((cause, reason)) = &state.skipped else { continue };
            let below = plan.dirs.at_and_below(&state.tree).iter();
            skipped.extend(below.map(|dir| Skipped {
                dir: dir.to_path_buf(),
                cause: *cause,
                reason: reason.clone(),
            }));
        }
        // Each plan is a reason for a new try, even with the same directories.
        if self.loose_for != Some(revision) || self.loose_plan.dirs != dirs {
            self.loose_for = Some(revision);
            let revision = self.loose_plan.revision + 1;
            let in_use = plan.in_use.clone();
            self.loose_plan = WatchPlan { revision, dirs, trees: BTreeSet::new(), in_use };
            loose.set_plan(self.loose_plan.clone());
        }
        let Some(loose) =
            self.loose_armed.as_ref().filter(|armed| armed.revision == self.loose_plan.revision)
        else {
            return;
        };
        skipped.extend(loose.skipped.iter().cloned());
        let armed = Armed { revision, skipped };
        if self.armed.as_ref() != Some(&armed) {
            self.armed = Some(armed.clone());
            inputs.reports.report(Report::Armed(armed));
        }
    }

    /// A barrier for each tree, with what tells whether the tree has left the plan.
    fn ask(&self) -> Vec<(oneshot::Receiver<()>, CancellationToken)> {
        let ask = |handle: &Handle| {
            let (done, waiting) = oneshot::channel();
            // If it has ended, nobody answers.
            let _ = handle.commands.send(Command::Barrier(done));
            (waiting, handle.stop.clone())
        };
        self.trees.values().map(ask).collect()
    }

    async fn stop(mut self) {
        for handle in self.trees.values() {
            handle.stop.cancel();
        }
        let _ = timeout(GOODBYE, async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

/// Hands a barrier back when every tree and the poll have passed it.
async fn pass(
    request: BarrierRequest,
    trees: Vec<(oneshot::Receiver<()>, CancellationToken)>,
    loose: impl Future<Output = Result<(), BarrierError>>,
) -> Option<BarrierRequest> {
    let trees = async {
        for (passed, stop) in trees {
            // Nobody wants to know of a tree that left the plan meanwhile.
            if passed.await.is_err() && !stop.is_cancelled() {
                return false;
            }
        }
        true
    };
    // What failed tells why by itself; the request goes without an answer.
    let (trees, loose) = tokio::join!(trees, loose);
    (trees && loose.is_ok()).then_some(request)
}

fn ended(end: Result<Result<(), BackendFailure>, JoinError>) -> Result<(), BackendFailure> {
    end.unwrap_or_else(|error| {
        Err(BackendFailure::retry("a task of the watchman backend panicked; please report it as a bug")
            .because(error))
    })
}

/// Stops the poll, whose reports nobody wants any more.
async fn release(loose: BackendHandle, reports: ReportStream) {
    drop(reports);
    loose.stop().await;
}

#[cfg(test)]
mod tests {
    use hotloader_backend::SkipCause;

    use super::*;

    fn event(tree: &str, skipped: Option<SkipCause>) -> Event {
        let skipped = skipped.map(|cause| (cause, String::new()));
        Event { tree: tree.into(), revision: 1, skipped, ignored: Vec::new(), detail: None }
    }

    #[test]
    fn the_poll_says_nothing_of_a_watched_tree_but_of_what_is_polled_in_it() {
        let states = [event("/s/watched", None), event("/s/away", Some(SkipCause::Unreachable))];
        let (words, _inbox) = mpsc::unbounded_channel();
        let (commands, _told) = mpsc::unbounded_channel();
        let handle = |state: Event| {
            let (commands, stop) = (commands.clone(), CancellationToken::new());
            (state.tree.clone(), Handle { commands, stop, state: Some(state) })
        };
        let loose = ["/s", "/s/watched/.git", "/s/watched/.git/hooks", "/s/watched2"].map(PathBuf::from);
        let trees = Trees {
            options: Arc::new(Options::new(&BTreeMap::new()).unwrap()),
            words,
            plan: None,
            trees: states.map(handle).into(),
            tasks: JoinSet::new(),
            loose_plan: WatchPlan::new(1, loose),
            loose_for: None,
            loose_armed: None,
            armed: None,
            gathering: Gathering::default(),
        };
        let left = |hinted: &[&str]| {
            let mut hints = HintSet::new();
            hinted.iter().for_each(|path| hints.insert(*path, Phase::Complete));
            trees.leave_out_trees(&mut hints);
            hints.iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>()
        };
        // A change in `.git` has folded into a hint for the whole tree, or may have.
        assert_eq!(left(&["/s/watched", "/s/x"]), ["/s/watched/.git", "/s/x"].map(PathBuf::from));
        assert_eq!(left(&["/s/away"]), [PathBuf::from("/s/away")]);
        assert_eq!(left(&["/s/watched/.git/config"]), [PathBuf::from("/s/watched/.git/config")]);
        assert_eq!(left(&["/s"]), [PathBuf::from("/s")]);
    }
}
