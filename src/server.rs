//! [`Server`]: all parts of a site, put together.

mod fleet;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use thiserror::Error;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

pub use crate::session::Drained;
pub use fleet::FleetError;

pub(crate) use crate::reload::leave_what_counts;
use crate::{
    config::{self, BackendChoice, Config, HotloadConfig, WatchConfig},
    fleet::{Fleet, FleetStatus, Pulse},
    hub::{Hub, HubError, Store, StoreResult},
    reload::{
        DATA_ROOT, EditorLink, Faulted, Generation, HTML_ROOT, HotLoader, HotLoaderError, LUA_ROOT,
        OutcomeSender, PageFiles, Published, Refreshing, ReloadReport, SessionHost, SiteLayout, Telling,
        VIEWDEF_ROOT,
    },
    session::{Frame, LuaSessions, SessionHandle, SessionId, SessionSettings},
    status::{Calendar, OfFleet, ReloadLog, Status},
    telemetry::{HubMetrics, Metrics},
    watch::{Health, Registry, Root, WatchError},
    web::{self, Readiness, WebServer, WebSettings, WebSocketEndpoint},
    wire::Outgoing,
};

/// Where a site has its own page, and what that needs.
const HTML_DIR: &str = "html";
/// Extensions of what is read of the Lua directory: code, and what libraries have beside it. What editors write
/// there for a moment while they save has others.
const LUA_FILES: &[&str] = &["lua", "csv", "ini", "json", "toml", "tsv", "txt", "xml", "yaml", "yml"];

/// A running server: a site, its sessions, and the browsers that look at them.
pub struct Server {
    local_addr: SocketAddr,
    web: WebServer,
    sessions: LuaSessions,
    hub: Hub,
    hot_loader: Option<Arc<HotLoader>>,
    fleet: Option<Fleet>,
    /// The `watch.backend` that is in force.
    backend: watch::Sender<BackendChoice>,
    monitor: JoinHandle<()>,
    /// Gives up sessions that other servers want.
    handover: JoinHandle<()>,
    draining: watch::Sender<bool>,
    site: PathBuf,
    /// Names that the watcher passes over, whatever else it is told.
    store_files: Vec<String>,
}

/// Why a server cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {host}:{port}")]
    Bind {
        /// `server.host`
        host: String,
        /// `server.port`
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// No threads to run Lua on.
    #[error("cannot start the threads that run Lua (session.threads)")]
    Threads(#[source] io::Error),
    /// The files cannot be read or watched.
    #[error(transparent)]
    HotLoader(#[from] HotLoaderError),
    /// What outlives sessions can't be used.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// It cannot be one of a fleet.
    #[error("this server cannot join the fleet")]
    Fleet(#[from] FleetError),
    /// The web layer refused its settings.
    #[error(transparent)]
    Web(#[from] web::StartError),
}

impl Server {
    /// Starts to serve the site in the directory `site`. When this returns, browsers can connect, and
    /// with hot loading on, no later change of a file is missed.
    ///
    /// # Errors
    /// See [`ServerError`]. Nothing is left running then.
    pub async fn start(site: &Path, config: Config) -> Result<Self, ServerError> {
        let listener = bind(&config).await?;
        let is_of_fleet = !config.fleet.site.is_empty();
        let published = Arc::new(Published::new(telling(site, &config.hotload, !config.lua.hotload)));
        let faults = published.faults().follow();
        let hub = Hub::connect(site, &config.hub, &config.nats).await?;
        let metrics = Metrics::new(HubMetrics::new(hub.counters().latencies()));
        let metrics = Arc::new(if is_of_fleet { metrics.in_fleet() } else { metrics });
        let mut settings = session_settings(&config, published.clone(), hub.clone());
        // Releases reach sessions as saved files do.
        settings.lua.hotload |= is_of_fleet;
        let sessions =
            LuaSessions::start_tagged(settings, config.server.tag()).map_err(ServerError::Threads)?;
        let endpoint = WebSocketEndpoint::new(sessions.clone(), &config.server);

        let layout = layout(&config);
        let lua_dir = site.join(&config.lua.path);
        let roots = roots(site, &config);
        let (mut watch, store_files) = (config.watch_in(site), config.hub.names());
        let reloads = Arc::new(ReloadLog::default());
        let host =
            ServerSessions { endpoint: endpoint.clone(), metrics: metrics.clone(), reloads: reloads.clone() };
        let (host, mut html, mut part) = (Arc::new(host), site.join(HTML_DIR), None);
        let mut roster = None;
        let hot_loader = if is_of_fleet {
            let pool = sessions.clone();
            let counts = Arc::new(move || (pool.len(), pool.pool().stuck));
            let pulse = Pulse { sessions: counts, faults: faults.clone() };
            let joined = fleet::join(site, &config, published, host, pulse).await?;
            (html, part, roster) = (joined.html, Some(joined.fleet), Some(joined.roster));
            if !watch.allowed_roots.is_empty() {
                watch.allowed_roots.push(joined.cache);
            }
            None
        } else if config.lua.hotload {
            let registry = Registry::with_builtin();
            let loader = HotLoader::start(&watch, &registry, lua_dir, roots, layout, published, host).await?;
            Some(Arc::new(loader))
        } else {
            HotLoader::load_once(&watch, roots, layout, &published).await?;
            None
        };

        let health = hot_loader.as_deref().map(|loader| loader.watch().follow_health());
        let (stuck, max_stuck) = (sessions.follow_stuck(), config.session.max_stuck);
        let of_fleet = part.as_ref().map(Fleet::follow);
        let (draining, is_draining) = watch::channel(false);
        let handover = tokio::spawn(sessions.clone().give_up_what_others_want());
        let now = readiness(
            health.as_ref().map(watch::Receiver::borrow).as_deref(),
            of_fleet.as_ref().map(watch::Receiver::borrow).as_deref(),
            0,
            max_stuck,
        );
        let (readiness, ready) = watch::channel(now);
        let monitor =
            tokio::spawn(monitor(health, of_fleet.clone(), stuck, max_stuck, is_draining, readiness));
        let backend = watch::Sender::new(watch.backend.clone());
        let status = Status {
            site: std::path::absolute(site).unwrap_or_else(|_| site.to_owned()),
            readiness: ready.clone(),
            health: hot_loader.as_ref().map(|loader| loader.watch().follow_health()),
            fleet: of_fleet.clone().zip(roster).map(|(status, roster)| OfFleet { status, roster }),
            links: hot_loader.as_ref().map(|loader| loader.watch().follow_links()),
            reloads,
            hub: hub.clone(),
            sessions: sessions.clone(),
            backend: backend.subscribe(),
            calendar: Calendar::new(),
        };
        let settings = WebSettings {
            site: site.to_owned(),
            html,
            allowed_roots: watch.allowed_roots,
            server: config.server,
            readiness: ready,
            metrics: metrics_text(
                metrics,
                endpoint.clone(),
                hot_loader.as_deref(),
                of_fleet,
                faults,
                hub.clone(),
            ),
            status: Arc::new(status),
        };
        let web = web::start(listener, settings, endpoint)?;
        let (local_addr, site) = (web.local_addr(), site.to_owned());
        Ok(Self {
            local_addr,
            web,
            sessions,
            hub,
            hot_loader,
            fleet: part,
            backend,
            monitor,
            handover,
            draining,
            site,
            store_files,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// All active sessions.
    pub fn lua_sessions(&self) -> &LuaSessions {
        &self.sessions
    }

    /// Topics and store.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// What watches and reloads, if hot loading is on.
    pub fn hot_loader(&self) -> Option<&HotLoader> {
        self.hot_loader.as_deref()
    }

    /// Puts other settings of the watcher into force, without a restart and without missing a change.
    /// Does nothing with hot loading off.
    ///
    /// # Errors
    ///
    /// When they name no backend that there is; then nothing changes.
    pub fn reconfigure_watch(&self, watch: &WatchConfig) -> Result<(), WatchError> {
        let Some(loader) = &self.hot_loader else { return Ok(()) };
        let mut settings = watch.clone().in_site(&self.site);
        settings.ignore.extend(self.store_files.iter().cloned());
        loader.watch().reconfigure(&settings)?;
        self.backend.send_replace(watch.backend.clone());
        Ok(())
    }

    /// Hands sessions on: none is begun any more, each is asked for its snapshot, which goes into the store, and its
    /// sockets are closed. Takes `within` at most; the server is of no use afterwards, and is to be shut down.
    pub async fn drain(&self, within: Duration) -> Drained {
        self.draining.send_replace(true);
        self.sessions.drain(within).await
    }

    /// Stops: sockets are told, the watcher ends, sessions are freed. Takes less than 2 s unless a
    /// script is stuck where nothing can interrupt it.
    pub async fn shutdown(self) {
        self.monitor.abort();
        self.handover.abort();
        let _ = self.monitor.await;
        let loader = async {
            if let Some(loader) = self.hot_loader.and_then(Arc::into_inner) {
                loader.stop().await;
            }
        };
        let fleet = async {
            if let Some(fleet) = self.fleet {
                fleet.stop().await;
            }
        };
        tokio::join!(loader, fleet, self.web.shutdown());
        self.sessions.end_all();
    }
}

async fn bind(config: &Config) -> Result<TcpListener, ServerError> {
    let (host, port) = (config.server.host.as_str(), config.server.port);
    let failed = |source| ServerError::Bind { host: host.to_owned(), port, source };
    TcpListener::bind((host, port)).await.map_err(failed)
}

fn telling(site: &Path, hotload: &HotloadConfig, is_concealing: bool) -> Telling {
    let site = std::path::absolute(site).unwrap_or_else(|_| site.to_owned());
    let pattern = hotload.editor.clone();
    let editor = (!pattern.is_empty()).then_some(EditorLink { pattern, site });
    Telling { notes: hotload.notes, editor, is_concealing }
}

/// Whether a directory is that of a site: it has a main file, or a configuration.
pub(crate) fn is_site(dir: &Path, config: &Config) -> bool {
    dir.join(config::FILE).is_file() || dir.join(&config.lua.path).join(&config.lua.main).is_file()
}

/// What all sessions have in common.
pub(crate) fn session_settings(config: &Config, published: Arc<Published>, hub: Hub) -> SessionSettings {
    SessionSettings {
        session: config.session.clone(),
        lua: config.lua.clone(),
        scope: config.hotload.scope,
        bindings: config.server.bindings,
        refused: Arc::default(),
        hub: Some(hub),
        published,
    }
}

/// How people know the site's files.
pub(crate) fn layout(config: &Config) -> SiteLayout {
    SiteLayout {
        lua: config.lua.path.clone(),
        viewdefs: config.viewdefs.path.clone(),
        files: config.lua.files.clone(),
    }
}

/// What is watched of the site in a directory.
pub(crate) fn roots(site: &Path, config: &Config) -> Vec<Root> {
    let root = |id, path: &Path, extensions, recursive| Root {
        id,
        dir: site.join(path),
        extensions,
        recursive,
        max_file: config.lua.max_file.as_usize(),
        // Most sites have no page of their own, nor data.
        optional: id == HTML_ROOT || id == DATA_ROOT,
    };
    vec![
        root(LUA_ROOT, &config.lua.path, LUA_FILES, true),
        root(VIEWDEF_ROOT, &config.viewdefs.path, &["html"], false),
        root(DATA_ROOT, &config.lua.files, &[], true),
        root(HTML_ROOT, Path::new(HTML_DIR), &[], true),
    ]
}

fn readiness(
    health: Option<&Health>,
    fleet: Option<&FleetStatus>,
    stuck: usize,
    max_stuck: usize,
) -> Readiness {
    if stuck >= max_stuck {
        let detail = format!(
            "{stuck} sessions are stuck in library functions that nothing can interrupt (session.max_stuck is {max_stuck}); the log says which and where; those that are restarted wait until one is back, and a restart of the server frees their threads"
        );
        return Readiness { ready: false, detail };
    }
    if let Some(fleet) = fleet {
        return fleet::readiness(fleet);
    }
    let Some(health) = health else {
        return Readiness { ready: true, detail: "hot loading is off".into() };
    };
    let detail = match (health.armed, &health.trouble) {
        (true, _) => format!("watching by {}", health.summary()),
        (false, Some(trouble)) => format!("changes may go unseen: {trouble}"),
        (false, None) => "not everything is watched yet".into(),
    };
    Readiness { ready: health.armed, detail }
}

/// Keeps `/readyz` true.
async fn monitor(
    mut health: Option<watch::Receiver<Health>>,
    mut fleet: Option<watch::Receiver<FleetStatus>>,
    mut stuck: watch::Receiver<usize>,
    max_stuck: usize,
    mut draining: watch::Receiver<bool>,
    readiness: watch::Sender<Readiness>,
) {
    loop {
        let now = if *draining.borrow_and_update() {
            let detail = "draining: sessions are handed on, and the server ends then".into();
            Readiness { ready: false, detail }
        } else {
            let health = health.as_mut().map(watch::Receiver::borrow_and_update);
            let fleet = fleet.as_mut().map(watch::Receiver::borrow_and_update);
            self::readiness(health.as_deref(), fleet.as_deref(), *stuck.borrow_and_update(), max_stuck)
        };
        readiness.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        let changed = tokio::select! {
            changed = changed(&mut health) => changed,
            changed = changed(&mut fleet) => changed,
            changed = stuck.changed() => changed,
            changed = draining.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

async fn changed<T>(watched: &mut Option<watch::Receiver<T>>) -> Result<(), watch::error::RecvError> {
    match watched {
        Some(watched) => watched.changed().await,
        None => std::future::pending().await,
    }
}

fn metrics_text(
    metrics: Arc<Metrics>,
    endpoint: WebSocketEndpoint,
    loader: Option<&HotLoader>,
    fleet: Option<watch::Receiver<FleetStatus>>,
    faults: watch::Receiver<Faulted>,
    hub: Hub,
) -> web::MetricsText {
    let health = loader.map(|loader| loader.watch().follow_health());
    Arc::new(move || {
        let pool = endpoint.sessions().pool();
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.sessions.set(gauge(endpoint.sessions().len()));
        metrics.sockets.set(i64::try_from(endpoint.counters().open()).unwrap_or(i64::MAX));
        metrics.vm_threads.set(gauge(pool.threads));
        metrics.stuck_threads.set(gauge(pool.stuck));
        let dropped = endpoint.counters().stalled() + endpoint.counters().over();
        let counted = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.dropped_sockets.set(counted(dropped));
        metrics.refused_connections.set(counted(endpoint.counters().refused()));
        metrics.unread_answers.set(counted(endpoint.counters().unread()));
        metrics.refused.set(counted(endpoint.sessions().refused()));
        metrics.run_time_errors.set(counted(faults.borrow().count));
        if let Some(health) = &health {
            metrics.watching(&health.borrow());
        }
        if let Some(fleet) = &fleet {
            fleet::count(&metrics.fleet, &fleet.borrow());
        }
        count_hub(&metrics.hub, &hub);
        metrics.encode()
    })
}

fn count_hub(metrics: &HubMetrics, hub: &Hub) {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let counters = hub.counters();
    metrics.published.set(number(counters.published()));
    metrics.delivered.set(number(counters.delivered()));
    metrics.dropped.set(number(counters.dropped()));
    for result in StoreResult::ALL {
        metrics.writes(result.name(), number(counters.writes(result)));
    }
    let size = hub.store().map(Store::size).unwrap_or_default();
    metrics.keys.set(i64::try_from(size.keys).unwrap_or(i64::MAX));
    metrics.bytes.set(i64::try_from(size.bytes).unwrap_or(i64::MAX));
    if let Some(link) = hub.topics().link() {
        let away = link.away.map(|(since, _)| since.elapsed().unwrap_or_default());
        metrics.link(link.engine, away);
    }
}

/// The server's sessions, as the hot loader sees them.
struct ServerSessions {
    endpoint: WebSocketEndpoint,
    metrics: Arc<Metrics>,
    reloads: Arc<ReloadLog>,
}

impl SessionHost for ServerSessions {
    type Session = SessionHandle;
    type Id = SessionId;

    fn lua_sessions(&self) -> Vec<SessionHandle> {
        // Sessions that have not begun take the newest good code when they do.
        self.endpoint.sessions().running()
    }

    fn id(&self, session: &SessionHandle) -> SessionId {
        session.id()
    }

    fn is_idle(&self, session: &SessionHandle) -> bool {
        session.is_idle()
    }

    fn reload(&self, session: &SessionHandle, target: &Arc<Generation>, outcomes: &OutcomeSender) {
        // A session that has ended has no outcome: the sender is dropped, and nobody waits for it.
        let _ = session.reload(target.clone(), outcomes.clone());
    }

    fn refresh(&self, session: &SessionHandle, done: Refreshing) {
        // A session that has ended shows nothing.
        let _ = self.endpoint.execute_in_session(session.id(), |session| session.refresh_until(done));
    }

    fn announce(&self, report: &ReloadReport) {
        let frame = Frame::from(Outgoing::Reload(Box::new(report.clone())));
        for session in self.endpoint.sessions().running() {
            let frame = frame.clone();
            let _ = session.execute(move |session| session.broadcast(&frame));
        }
    }

    fn page_files(&self, saved: &PageFiles) {
        let frame = Frame::from(Outgoing::Files(saved.clone()));
        for session in self.endpoint.sessions().running() {
            let frame = frame.clone();
            let _ = session.execute(move |session| session.broadcast(&frame));
        }
    }

    fn reloaded(&self, report: &ReloadReport) {
        self.metrics.reload(report);
        self.reloads.add(report);
    }

    fn refreshed(&self, generation: u64, took: Duration) {
        self.reloads.refreshed(generation, took);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn what_an_editor_writes_beside_a_file_for_a_moment_is_no_file_of_the_lua_directory() {
        let roots = roots(Path::new("/site"), &Config::default());
        let lua = roots.iter().find(|root| root.id == LUA_ROOT).unwrap();
        for (name, wanted) in [
            ("app.lua", true),
            ("words.txt", true),
            ("list.json", true),
            ("sedAb12Cd", false),
            ("app.lua.12345", false),
            ("app.lua.new", false),
            ("app.log", false),
            ("README.md", false),
        ] {
            assert_eq!(lua.wants(OsStr::new(name)), wanted, "{name}");
        }
        let data = roots.iter().find(|root| root.id == DATA_ROOT).unwrap();
        assert!(data.optional && data.wants(OsStr::new("GeoLite2.mmdb")));
    }
}
