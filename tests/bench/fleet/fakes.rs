//! Servers that run nothing, and who publishes for them.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hotloader_test_support::nats::NatsServer;
use lua_hotloader::{
    config::Config,
    fleet::{
        Cache, Canaries, Depot, Files, Fleet, FleetSettings, Loader, Overview, Packed, Plan, Progress,
        Publisher, Pulse, SecretKey, Tally, open_depot, pack,
    },
    reload::{Diagnostic, Faulted, ReloadReport},
    watch::ChangeSet,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::Fallible;

const MAX_SIZE: u64 = 64 << 20;
/// Nothing takes that long.
const LIMIT: Duration = Duration::from_secs(120);

/// Says when it was given a release, and that it is fine.
struct Fake {
    reached: mpsc::UnboundedSender<Instant>,
}

impl Loader for Fake {
    type Checked = ();

    async fn check(&mut self, _: ChangeSet) -> Result<(), Vec<Diagnostic>> {
        Ok(())
    }

    fn run(&mut self, (): ()) -> oneshot::Receiver<ReloadReport> {
        let _ = self.reached.send(Instant::now());
        let (sender, receiver) = oneshot::channel();
        let _ = sender.send(ReloadReport::default());
        receiver
    }

    async fn stop(self) {}
}

/// Servers of one site on one NATS.
pub(crate) struct Fakes {
    config: Config,
    key: Arc<SecretKey>,
    publisher: Publisher,
    reached: mpsc::UnboundedReceiver<Instant>,
    reaching: mpsc::UnboundedSender<Instant>,
    servers: Vec<Fleet>,
    _faults: watch::Sender<Faulted>,
    pulse: Pulse,
}

/// How long a release took.
pub(crate) struct Took {
    /// Until the last server had it.
    pub(crate) reach: Duration,
    /// From then until the publisher knew it of all.
    pub(crate) answers: Duration,
}

impl Fakes {
    pub(crate) fn new(nats: &NatsServer, site: &str) -> Fallible<Self> {
        let mut config = Config::default();
        config.fleet.site = site.into();
        config.fleet.depot = "nats".into();
        config.nats.url = nats.url();
        config.nats.prefix = format!("bench-{site}");
        let key = Arc::new(SecretKey::generate()?);
        let depot = open_depot(Path::new("/"), &config)?;
        let publisher = Publisher::new(Overview::new(depot, site.into(), Vec::new()), key.clone());
        let (reaching, reached) = mpsc::unbounded_channel();
        let (faults, followed) = watch::channel(Faulted::default());
        let pulse = Pulse { sessions: Arc::new(|| (0, 0)), faults: followed };
        Ok(Self { config, key, publisher, reached, reaching, servers: Vec::new(), _faults: faults, pulse })
    }

    fn depot(&self) -> Fallible<Arc<dyn Depot>> {
        Ok(open_depot(Path::new("/"), &self.config)?)
    }

    /// Starts so many, each with a cache of its own; they have what is published when this returns.
    pub(crate) async fn start(&mut self, count: usize, dir: &Path) -> Fallible<()> {
        let mut starting = JoinSet::new();
        let first = self.servers.len();
        for at in first..first + count {
            let settings = FleetSettings {
                site: self.config.fleet.site.clone(),
                server: format!("fake-{at:04x}"),
                trust: vec![self.key.public()],
                max_size: MAX_SIZE,
                main: "lua/main.lua".into(),
                roots: Vec::new(),
            };
            let cache = Cache::open(&dir.join(at.to_string()))?;
            let (depot, loader) = (self.depot()?, Fake { reached: self.reaching.clone() });
            starting.spawn(Fleet::start(settings, cache, depot, loader, self.pulse.clone()));
            // Not all of them connect in one moment.
            if starting.len() >= 50 {
                self.servers.extend(starting.join_next().await.transpose()?.transpose()?);
            }
        }
        while let Some(started) = starting.join_next().await {
            self.servers.push(started??);
        }
        Ok(())
    }

    /// So many servers, and no less, have been given a release: when the last of them was.
    pub(crate) async fn all_reached(&mut self, count: usize) -> Fallible<Instant> {
        let mut last = None;
        for _ in 0..count {
            last = tokio::time::timeout(LIMIT, self.reached.recv()).await?.max(last);
        }
        last.ok_or_else(|| "no server".into())
    }

    /// Sends it and points to it, with nobody to wait for.
    pub(crate) async fn publish_alone(&self, files: &Files) -> Fallible<()> {
        let packed = packed(files)?;
        let fresh = self.publisher.send(&packed, |_| ()).await?;
        self.publisher.point(packed.root, Plan::default(), &Canaries::None, &fresh).await?;
        Ok(())
    }

    /// Publishes to all servers at once, as `publish` does, and leads it to its end.
    pub(crate) async fn publish(&mut self, files: &Files) -> Fallible<Took> {
        let packed = packed(files)?;
        let count = self.servers.len();
        let began = Instant::now();
        let fresh = self.publisher.send(&packed, |_| ()).await?;
        let plan = Plan { patience: 120_000, ..Plan::default() };
        let pointed = self.publisher.point(packed.root, plan, &Canaries::None, &fresh).await?;
        let (revision, pointer) = pointed.ok_or("nothing has changed")?;
        let mut all_known = None;
        let mut told = Tally::default();
        let lead = self.publisher.lead(revision, pointer, |progress| {
            let Progress::Answers(tally) = progress else { return };
            if tally.applied == count {
                all_known.get_or_insert_with(Instant::now);
            }
            told = *tally;
        });
        let ended = lead.await?;
        let last = self.all_reached(count).await?;
        let known = all_known.ok_or_else(|| {
            format!("of {} servers {} have answered: {ended:?}", told.servers, told.applied)
        })?;
        Ok(Took { reach: last - began, answers: known.saturating_duration_since(last) })
    }

    pub(crate) async fn stop(self) {
        futures_util::future::join_all(self.servers.into_iter().map(Fleet::stop)).await;
    }
}

fn packed(files: &Files) -> Fallible<Packed> {
    Ok(pack(files, MAX_SIZE)?)
}

/// A site of so many modules, each so large; `version` makes all of them others.
pub(crate) fn site(modules: usize, bytes: usize, version: &str) -> Files {
    let module = |at: usize| (format!("lua/modules/m{at}.lua"), text(bytes, &format!("{version} {at}")));
    let main = ("lua/main.lua".to_owned(), text(1000, version));
    (0..modules).map(module).chain([main]).collect()
}

/// Text that does not shrink, and of which no two are alike.
pub(crate) fn text(bytes: usize, what: &str) -> Arc<[u8]> {
    let mut text = format!("-- {what}\n").into_bytes();
    let mut number = 0x9e37_79b9_7f4a_7c15_u64;
    while text.len() < bytes {
        number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        text.extend(format!("x = {number}\n").bytes());
    }
    text.truncate(bytes);
    text.into()
}
