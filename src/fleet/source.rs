//! [`Fleet`]: on a server, the task that reads the pointer, fetches, checks, hands over, and answers.

use std::{
    io,
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
    time::{MissedTickBehavior, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Announcement, Blobs, Cache, CacheError, Depot, Digest, Failing, FleetSettings, Follower, Listing, Memory,
    News, Outcome, Pointer, Pulse, Report, Unpacked, changes,
    failing::FaultCount,
    fetch::{self, FetchError, fetch},
    kept::Kept,
    loader::Loader,
    report::bounded,
    status::{FleetStatus, Link},
};
use crate::reload::{Diagnostic, ReloadReport};

/// The pointer is read so often without a hint, and a little more or less: not by all servers at once.
const LOOK: Duration = Duration::from_secs(30);
/// So long the next hint waits after one that has brought nothing new, and twice as long after each further one:
/// whoever can write to the depot can send hints.
const PAUSE: Duration = Duration::from_millis(10);
/// It waits no longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a server says that it is there.
const BEAT: Duration = Duration::from_secs(10);
/// Ending waits no longer for the depot.
const GOODBYE: Duration = Duration::from_millis(500);

/// A server's part in its fleet.
#[derive(Debug)]
pub struct Fleet {
    status: watch::Receiver<FleetStatus>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Fleet {
    /// Loads what the cache has, else what the depot says is accepted, and follows the pointer from then on. An error
    /// of the depot is none of this: the server runs on.
    ///
    /// # Errors
    /// If the cache cannot be used.
    pub async fn start<L: Loader>(
        settings: FleetSettings,
        cache: Cache,
        depot: Arc<dyn Depot>,
        loader: L,
        pulse: Pulse,
    ) -> Result<Self, CacheError> {
        let cache = Arc::new(cache);
        let memory = cache.memory()?;
        let (status, watched) =
            watch::channel(FleetStatus::new(settings.site.clone(), settings.server.clone()));
        let (outcomes, answered) = mpsc::unbounded_channel();
        let mut follower = Follower::new(settings.server.clone(), memory, None);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let boot = follower.boot(since_1970.as_millis().try_into().unwrap_or_default());
        remember(&cache, follower.memory()).await?;
        let mut source = Source {
            remembered: follower.memory().clone(),
            follower,
            settings,
            cache,
            depot,
            loader,
            pulse,
            known: Arc::default(),
            checked: Arc::default(),
            kept: Kept::new(),
            record: None,
            outcomes,
            boot,
            beat: 0,
            fault_count: FaultCount::new(Instant::now()),
            was_unusual: false,
            is_leaving: false,
            status,
        };
        source.load_cache().await;
        // Also without the depot there is something to serve from the first moment.
        source.show();
        source.look().await;
        let stop = CancellationToken::new();
        let task = tokio::spawn(source.run(answered, stop.clone()));
        Ok(Self { status: watched, stop, task })
    }

    /// How it is, and whenever that changes.
    pub fn follow(&self) -> watch::Receiver<FleetStatus> {
        self.status.clone()
    }

    /// Ends it. The release that runs, runs on.
    pub async fn stop(self) {
        self.stop.cancel();
        // It is stopped, or has panicked, which was logged.
        let _ = self.task.await;
    }
}

struct Source<L> {
    settings: FleetSettings,
    cache: Arc<Cache>,
    depot: Arc<dyn Depot>,
    loader: L,
    follower: Follower,
    /// What the cache has of it.
    remembered: Memory,
    pulse: Pulse,
    /// The files that run.
    known: Arc<Listing>,
    /// The same ones, which are in the cache, and were checked on their way there or out of it. None of them after a
    /// failure: then the cache is looked at again.
    checked: Arc<Listing>,
    kept: Kept,
    /// The newest pointer, as it is kept.
    record: Option<Vec<u8>>,
    outcomes: mpsc::UnboundedSender<(Digest, ReloadReport)>,
    boot: u64,
    beat: u64,
    fault_count: FaultCount,
    /// The last report said that more fails than usual.
    was_unusual: bool,
    is_leaving: bool,
    status: watch::Sender<FleetStatus>,
}

/// Why a release does not run.
enum Failed {
    /// Wherever and whenever it is tried.
    ForGood(String),
    /// For now.
    ForNow(String),
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        if error.is_final() { Self::ForGood(error.to_string()) } else { Self::ForNow(error.to_string()) }
    }
}

impl From<CacheError> for Failed {
    fn from(error: CacheError) -> Self {
        Self::ForNow(error.to_string())
    }
}

impl<L: Loader> Source<L> {
    async fn run(
        mut self,
        mut answered: mpsc::UnboundedReceiver<(Digest, ReloadReport)>,
        stop: CancellationToken,
    ) {
        let mut news = self.depot.news(&self.settings.site);
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_look = self.next_look();
        let (mut is_hinted, mut pause, mut not_before) = (false, Duration::ZERO, Instant::now());
        let mut has_news = true;
        let mut faults = self.pulse.faults.clone();
        let mut has_faults = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                outcome = answered.recv() => {
                    if let Some((root, report)) = outcome {
                        self.applied(root, &report).await;
                        self.say().await;
                        self.sweep().await;
                    }
                }
                _ = beats.tick() => self.say().await,
                fault = faults.changed(), if has_faults => {
                    has_faults = fault.is_ok();
                    // A rollout need not wait for the next heartbeat to hear that it does harm.
                    if self.failing().is_unusual() && !self.was_unusual {
                        self.say().await;
                    }
                }
                heard = news.recv(), if has_news => {
                    has_news = heard.is_some();
                    let is_hint = match heard {
                        Some(News::Announced(announcement)) => !self.hear(announcement).await,
                        Some(News::Look) => true,
                        None => false,
                    };
                    if is_hint {
                        is_hinted = true;
                        next_look = next_look.min(not_before);
                    }
                }
                () = sleep_until(next_look.into()) => {
                    let seen = self.follower.memory().seen;
                    self.look().await;
                    if self.follower.memory().seen > seen {
                        pause = Duration::ZERO;
                    } else if is_hinted {
                        pause = (pause * 2).clamp(PAUSE, LONGEST_PAUSE);
                    }
                    (is_hinted, not_before) = (false, Instant::now() + pause);
                    next_look = self.next_look();
                }
            }
        }
        self.is_leaving = true;
        self.say().await;
        self.loader.stop().await;
    }

    fn next_look(&self) -> Instant {
        let mut random = [0; 1];
        let _ = getrandom::fill(&mut random);
        Instant::now() + LOOK.mul_f64(0.8 + 0.4 * f64::from(random[0]) / 255.0)
    }

    /// A start without the depot: what ran last.
    async fn load_cache(&mut self) {
        let Some(root) = self.follower.memory().accepted else { return };
        let began = Instant::now();
        let (max_size, cache, nothing) = (self.settings.max_size, &self.cache, Arc::default());
        let loaded = match fetch(root, max_size, cache, &nothing, &self.checked, None).await {
            Ok(release) => self.take(root, release, began).await,
            Err(error) => Err(error.into()),
        };
        if let Err(Failed::ForGood(why) | Failed::ForNow(why)) = loaded {
            tracing::warn!(target: "fleet", "[fleet] the cache does not have the release that ran last: {why}");
        }
    }

    /// Reads the pointer, and does what it asks for.
    async fn look(&mut self) {
        let depot = self.depot.clone();
        let read = timeout(fetch::PATIENCE, depot.pointer(&self.settings.site)).await;
        let record = match read {
            Ok(Ok(record)) => record,
            Ok(Err(error)) => return self.link(Link::Away { why: told(&error) }),
            Err(_) => return self.link(Link::Away { why: "no answer within 10 s".into() }),
        };
        self.link(Link::Connected);
        self.follow(record.map(|record| record.bytes), &Arc::default()).await;
    }

    /// An announcement of somebody who is trusted saves reading the pointer. Whether it is one.
    async fn hear(&mut self, announcement: Announcement) -> bool {
        let Announcement { pointer, blobs } = announcement;
        let read = Pointer::read(&pointer, &self.settings.site, &self.settings.trust);
        let is_newer = read.is_ok_and(|pointer| pointer.position() > self.follower.memory().seen);
        if is_newer {
            self.follow(Some(pointer), &Arc::new(blobs)).await;
        }
        is_newer
    }

    /// Does what a pointer asks for, with blobs that have come with it.
    async fn follow(&mut self, record: Option<Vec<u8>>, at_hand: &Arc<Blobs>) {
        // A publisher that has lost count is told by what this server has seen.
        let mut is_news = match record {
            Some(record) => self.believe(record).await,
            None => false,
        };
        while let Some(root) = self.follower.take_up() {
            is_news = true;
            if self.change_to(root, at_hand, Instant::now()).await.is_break() {
                break;
            }
        }
        if is_news {
            self.say().await;
        }
        self.show();
    }

    fn link(&self, link: Link) {
        self.status.send_if_modified(|status| {
            let is_news = status.link != link;
            if is_news {
                match &link {
                    Link::Connected if status.link != Link::Unknown => {
                        tracing::info!(target: "fleet", "[fleet] the depot is back");
                    }
                    Link::Away { why } => {
                        tracing::warn!(target: "fleet", "[fleet] the depot is away, and this server runs on: {why}");
                    }
                    _ => {}
                }
                status.link = link;
                status.since = Instant::now();
            }
            is_news
        });
    }

    /// Whether it is another pointer than before, believed or not.
    async fn believe(&mut self, record: Vec<u8>) -> bool {
        if self.record.as_ref() == Some(&record) {
            return false;
        }
        let read = Pointer::read(&record, &self.settings.site, &self.settings.trust);
        let heard = read
            .map_err(|error| error.to_string())
            .and_then(|pointer| self.follower.hear(&pointer).map_err(|stale| stale.to_string()));
        let doubt = heard.err();
        if let Some(doubt) = &doubt {
            tracing::error!(target: "fleet", "[fleet] not followed: {doubt}");
        } else {
            self.remember().await;
        }
        self.record = Some(record);
        self.status.send_if_modified(|status| std::mem::replace(&mut status.doubt, doubt.clone()) != doubt);
        true
    }

    /// Before anything is done that follows from it.
    async fn remember(&mut self) {
        let memory = self.follower.memory();
        if *memory == self.remembered {
            return;
        }
        match remember(&self.cache, memory).await {
            Ok(()) => self.remembered = memory.clone(),
            Err(error) => tracing::error!(target: "fleet", "[fleet] {error}"),
        }
    }

    /// Breaks off if it has to be tried again with the next look.
    async fn change_to(&mut self, root: Digest, at_hand: &Arc<Blobs>, began: Instant) -> ControlFlow<()> {
        let depot = self.depot.clone();
        let (max_size, cache) = (self.settings.max_size, &self.cache);
        let changed = match fetch(root, max_size, cache, at_hand, &self.checked, Some(&*depot)).await {
            Ok(release) => self.take(root, release, began).await,
            Err(error) => Err(error.into()),
        };
        let seq = self.follower.memory().seen.seq;
        let next = match &changed {
            Err(Failed::ForNow(_)) => ControlFlow::Break(()),
            Ok(()) | Err(Failed::ForGood(_)) => ControlFlow::Continue(()),
        };
        if changed.is_err() {
            self.kept.came_to_nothing();
        }
        match changed {
            Ok(()) => {}
            Err(Failed::ForGood(why)) => {
                tracing::error!(target: "fleet", "[fleet] generation {seq} refused: {why}");
                self.follower.refuse(root, why);
            }
            Err(Failed::ForNow(why)) => {
                tracing::warn!(target: "fleet", "[fleet] generation {seq} has to wait: {why}");
                self.checked = Arc::default();
                self.follower.wait(root, why);
            }
        }
        self.remember().await;
        next
    }

    /// Runs a release that is here: all of it, or none.
    async fn take(&mut self, root: Digest, release: Unpacked, began: Instant) -> Result<(), Failed> {
        if !release.listing.paths().any(|path| Path::new(path) == self.settings.main) {
            return Err(Failed::ForGood(format!(
                "there is no {} in it; publish a site that has it, or set lua.path and lua.main alike where it is \
                 published and on every server",
                self.settings.main.display()
            )));
        }
        let current = self.cache.current();
        let changes = changes::between(&self.known, &release, &current, &self.settings.roots, began);
        let checked = self.loader.check(changes).await.map_err(|wrong| Failed::ForGood(refusal(&wrong)))?;
        let cache = self.cache.clone();
        let laid_out = spawn_blocking(move || {
            cache.lay_out(&release)?;
            cache.show(root)?;
            Ok::<_, CacheError>(release)
        });
        let release = laid_out.await.map_err(|error| Failed::ForNow(error.to_string()))??;
        self.known = Arc::new(release.listing);
        self.checked = self.known.clone();
        self.kept.add(root, release.blobs);
        self.follower.accept(root);
        let faults = self.pulse.faults.borrow().count;
        self.fault_count.begin(faults, Instant::now());
        let report = self.loader.run(checked);
        let outcomes = self.outcomes.clone();
        tokio::spawn(async move {
            if let Ok(report) = report.await {
                // The server may have ended.
                let _ = outcomes.send((root, report));
            }
        });
        Ok(())
    }

    async fn applied(&mut self, root: Digest, report: &ReloadReport) {
        let ReloadReport { sessions, kept, .. } = *report;
        let is_good = kept < sessions || sessions == 0;
        let diagnostics = bounded(report.errors.iter().map(|error| error.diagnostic.to_string()));
        self.follower.applied(root, is_good, Outcome::Applied { sessions, kept, diagnostics });
        self.remember().await;
        let seq = self.follower.memory().seen.seq;
        tracing::info!(target: "fleet", "[fleet] generation {seq} runs in {} of {sessions} sessions", sessions - kept.min(sessions));
    }

    /// Deletes what is not needed. Nothing is fetched meanwhile, which might be what is deleted.
    async fn sweep(&mut self) {
        let accepted = self.follower.memory().accepted;
        if let Some(sweep) = self.kept.sweep(accepted, self.follower.running()) {
            let cache = self.cache.clone();
            // What stays there is seen to after the next start.
            let _ = spawn_blocking(move || cache.sweep(&sweep)).await;
        }
    }

    /// Says how it is, to whoever publishes.
    async fn say(&mut self) {
        self.show();
        self.beat += 1;
        let (sessions, stuck) = (self.pulse.sessions)();
        let failing = self.failing();
        self.was_unusual = failing.is_unusual();
        let report = Report {
            server: self.settings.server.clone(),
            boot: self.boot,
            beat: self.beat,
            seen: self.follower.memory().seen,
            seen_root: self.follower.memory().seen_root,
            running: self.follower.running(),
            answer: self.follower.answer().cloned(),
            sessions,
            stuck,
            failing,
            leaving: self.is_leaving,
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let told = self.depot.report(&self.settings.site, &self.settings.server, report.write());
        if let Ok(Err(error)) = timeout(if self.is_leaving { GOODBYE } else { fetch::PATIENCE }, told).await {
            tracing::debug!(target: "fleet", %error, "no report");
        }
    }

    fn failing(&self) -> Failing {
        let faulted = self.pulse.faults.borrow();
        self.fault_count.now(faulted.count, &faulted.last, Instant::now())
    }

    fn show(&self) {
        let memory = self.follower.memory();
        let (seq, running) = (memory.seen.seq, self.follower.running());
        let answer = self.follower.answer().cloned();
        self.status.send_if_modified(|status| {
            let is_news = (status.seq, status.running, &status.answer) != (seq, running, &answer);
            (status.seq, status.running, status.answer) = (seq, running, answer.clone());
            is_news
        });
    }
}

/// It is on the disk when this resolves.
async fn remember(cache: &Arc<Cache>, memory: &Memory) -> Result<(), CacheError> {
    let (cache, memory) = (cache.clone(), memory.clone());
    let path = cache.dir().to_owned();
    let written = spawn_blocking(move || cache.remember(&memory)).await;
    written.unwrap_or_else(|error| Err(CacheError::Io { path, source: io::Error::other(error) }))
}

/// In the words of the overlay, the first of them.
fn refusal(wrong: &[Diagnostic]) -> String {
    let first = wrong.first().map(ToString::to_string).unwrap_or_default();
    match wrong.len() {
        0 | 1 => first,
        more => format!("{first} (and {} more)", more - 1),
    }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
