//! [`HotLoader`]: the actor that turns change sets into running code.
//!
//! It owns the watcher and the compiler. Per change set it makes a generation, lets two sessions try
//! it, gives it to all others, and tells what came of it. It never waits for a slow session before
//! it takes the next change set: a session that is behind goes straight to the newest generation.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Compiler, Generation, PageFiles, Published, ReloadOutcome, ReloadReport, SiteLayout, Stages, copies,
    refreshing::Refreshing, rollout::Rollout,
};
use crate::{
    config::WatchConfig,
    watch::{self, ChangeSet, InUse, Registry, Root, Timing, WatchError, WatchHandle},
};

/// See [`SessionHost::canaries`].
const CANARIES: usize = 2;
/// How often it is seen to which files are in use.
const CENSUS: Duration = Duration::from_secs(1);

/// An owner of Lua states: the server, or a program that embeds the loader.
pub trait SessionHost: Send + Sync + 'static {
    /// A handle of one session.
    type Session: Send + Sync + 'static;
    /// What tells sessions apart.
    type Id: Eq + std::hash::Hash + Send + 'static;

    /// All active sessions.
    fn lua_sessions(&self) -> Vec<Self::Session>;
    /// Which one it is.
    fn id(&self, session: &Self::Session) -> Self::Id;
    /// Whether it would begin at once if it were asked for something.
    fn is_idle(&self, session: &Self::Session) -> bool;
    /// How many sessions (canaries) run a new generation before all others are asked: an endless loop then
    /// costs only their budget. A host whose sessions answer at no particular time asks all at once.
    fn canaries(&self) -> usize {
        CANARIES
    }
    /// Queues the move to a generation: all of it or none of it. The session sends what came of it.
    fn reload(&self, session: &Self::Session, target: &Arc<Generation>, outcomes: &OutcomeSender);
    /// Queues an empty function in the session, so that AfterBatch runs and pushes what changed. `done` is
    /// dropped when that has happened.
    fn refresh(&self, session: &Self::Session, done: Refreshing);
    /// Tells every browser of an error.
    fn announce(&self, report: &ReloadReport);
    /// Tells every browser of saved files that it has loaded by their address.
    fn page_files(&self, _saved: &PageFiles) {}
    /// A reload has ended in every session; for those who count.
    fn reloaded(&self, report: &ReloadReport);
    /// All browsers have been told of a generation, `took` after the last session ran it.
    fn refreshed(&self, _generation: u64, _took: Duration) {}
}

/// Where sessions say what came of a generation.
pub type OutcomeSender = mpsc::UnboundedSender<ReloadOutcome>;

/// Why hot loading could not start.
#[derive(Debug, Error)]
pub enum HotLoaderError {
    /// Nothing can be watched or read.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// No Lua state for the compiler.
    #[error("no Lua state for compiling: {0}")]
    Compiler(#[from] mlua::Error),
    /// The watcher ended before it had listed the site.
    #[error("the watcher of {0} ended before it had listed the files")]
    NoListing(PathBuf),
}

/// Reloads what is saved in every session of a host. Dropping it without [`stop`](Self::stop) lets
/// the tasks end on their own.
#[derive(Debug)]
pub struct HotLoader {
    lua_dir: PathBuf,
    watch: WatchHandle,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl HotLoader {
    /// Watches `roots`, publishes what is there as the first generation, and from then on hands
    /// every change to the sessions of `host`. When this returns, no later change is missed.
    ///
    /// # Errors
    /// If the backend is unknown or cannot watch, or a root cannot be listed.
    pub async fn start<H: SessionHost>(
        settings: &WatchConfig,
        registry: &Registry,
        lua_dir: PathBuf,
        roots: Vec<Root>,
        layout: SiteLayout,
        published: Arc<Published>,
        host: Arc<H>,
    ) -> Result<Self, HotLoaderError> {
        let compiler = Some(Compiler::new(layout.clone())?);
        let (watch, mut changes) = watch::start(settings, roots, registry).await?;
        let initial = changes.recv().await.ok_or_else(|| HotLoaderError::NoListing(lua_dir.clone()))?;
        let in_use = watch.in_use();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut actor = Actor { compiler, layout, published, host, tasks: tasks.clone(), stop: stop.clone() };
        actor.publish_first(initial).await;
        let (stopped, tracker) = (stop.clone(), tasks.clone());
        tracker.spawn(async move {
            let mut census = interval(CENSUS);
            census.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let changes = tokio::select! {
                    () = stopped.cancelled() => break,
                    changes = changes.recv() => changes,
                    _ = census.tick() => {
                        actor.say_what_is_in_use(&in_use);
                        continue;
                    }
                };
                match changes {
                    Some(changes) => actor.handle_file_change(changes).await,
                    None => break,
                }
            }
        });
        tasks.close();
        Ok(Self { lua_dir, watch, stop, tasks })
    }

    /// Reads and compiles what is there now, without watching: for a server without hot loading.
    ///
    /// # Errors
    /// If a root cannot be listed.
    pub async fn load_once(
        settings: &WatchConfig,
        roots: Vec<Root>,
        layout: SiteLayout,
        published: &Published,
    ) -> Result<(), HotLoaderError> {
        Self::load(watch::scan_once(settings, roots).await?, layout, published).await
    }

    /// Compiles and publishes what a first look has found.
    ///
    /// # Errors
    /// If there is no memory for a Lua state.
    pub async fn load(
        mut initial: ChangeSet,
        layout: SiteLayout,
        published: &Published,
    ) -> Result<(), HotLoaderError> {
        let compiler = Compiler::new(layout)?;
        copies::leave_out(&mut initial);
        PageFiles::take_from(&mut initial);
        if let Some((_, generation)) = compile(compiler, published.generation(), initial).await {
            log_broken(&generation);
            published.publish_good(generation);
        }
        Ok(())
    }

    /// The Lua directory that is watched.
    pub fn lua_dir(&self) -> &Path {
        &self.lua_dir
    }

    /// Every link that is followed now, with the real file or directory behind it.
    pub fn symlink_targets(&self) -> BTreeMap<PathBuf, PathBuf> {
        self.watch.links().symlink_targets.clone()
    }

    /// Every real directory that is watched now.
    pub fn watched_dirs(&self) -> BTreeSet<PathBuf> {
        self.watch.links().watched_dirs.iter().map(|dir| dir.to_path_buf()).collect()
    }

    /// Rescans: looks at every directory, resolves all links, and updates the watches. Nobody needs to call
    /// it after a change: the watcher does so by itself.
    ///
    /// # Errors
    /// If the watcher has ended.
    pub async fn rescan(&self) -> Result<(), WatchError> {
        self.watch.rescan().await
    }

    /// The watcher: its health, and barriers.
    pub fn watch(&self) -> &WatchHandle {
        &self.watch
    }

    /// Ends it: pending reloads are dropped, and no task, thread or watch is left.
    pub async fn stop(self) {
        self.stop.cancel();
        self.watch.stop().await;
        self.tasks.wait().await;
    }
}

pub(super) struct Actor<H: SessionHost> {
    /// `None` only while a compilation runs on a blocking thread.
    pub(super) compiler: Option<Compiler>,
    pub(super) layout: SiteLayout,
    pub(super) published: Arc<Published>,
    pub(super) host: Arc<H>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl<H: SessionHost> Actor<H> {
    async fn publish_first(&mut self, mut initial: ChangeSet) {
        copies::leave_out(&mut initial);
        // No page has been loaded yet.
        PageFiles::take_from(&mut initial);
        if let Some(generation) = self.compile(initial).await {
            log_broken(&generation);
            self.published.publish_good(generation);
        }
    }

    /// Tells the watcher which files are in use, if that is not what it knows.
    fn say_what_is_in_use(&self, told: &InUse) {
        let in_use = self.published.generation().in_use();
        told.send_if_modified(|known| {
            let is_modified = **known != in_use;
            if is_modified {
                *known = Arc::new(in_use);
            }
            is_modified
        });
    }

    /// A settled set of changes: compile it once, publish it, and roll it out.
    async fn handle_file_change(&mut self, mut changes: ChangeSet) {
        copies::leave_out(&mut changes);
        if let Some(saved) = PageFiles::take_from(&mut changes) {
            self.host.page_files(&saved);
            saved.log();
        }
        if changes.changes.is_empty() && !changes.initial {
            return;
        }
        let (timing, compiling) = (changes.timing, Instant::now());
        let Some(generation) = self.compile(changes).await else { return };
        let compile = compiling.elapsed();
        let Timing { first_hint: began, settle, reconcile } = timing;
        self.published.publish(generation.clone());
        let rollout = Rollout {
            generation,
            published: self.published.clone(),
            host: self.host.clone(),
            began,
            stages: Stages { settle, reconcile, compile, apply: Duration::ZERO },
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! { () = stop.cancelled() => {}, _ = rollout.run() => {} }
        });
    }

    /// `None`: the compiler failed, which is a bug; the log says so, and the next save is tried anew.
    pub(super) async fn compile(&mut self, changes: ChangeSet) -> Option<Arc<Generation>> {
        let compiler = match self.compiler.take() {
            Some(compiler) => compiler,
            None => Compiler::new(self.layout.clone())
                .inspect_err(|error| tracing::error!(target: "hot", %error, "no Lua state for compiling"))
                .ok()?,
        };
        let (compiler, generation) = compile(compiler, self.published.generation(), changes).await?;
        self.compiler = Some(compiler);
        Some(generation)
    }
}

/// Compiles on a thread where it may take its time.
async fn compile(
    compiler: Compiler,
    last: Arc<Generation>,
    changes: ChangeSet,
) -> Option<(Compiler, Arc<Generation>)> {
    let job = tokio::task::spawn_blocking(move || {
        let generation = Arc::new(compiler.compile(&last, &changes));
        (compiler, generation)
    });
    job.await
        .inspect_err(
            |error| tracing::error!(target: "hot", %error, "a bug: the compiler failed; this save is lost"),
        )
        .ok()
}

fn log_broken(generation: &Generation) {
    for diagnostic in generation.diagnostics() {
        let details = diagnostic.details();
        tracing::error!(target: "hot", details, "[hot] ERROR {diagnostic}; it can't be loaded until it is mended");
    }
}
