//! [`Server`]: all parts of a site, put together.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use thiserror::Error;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    config::Config,
    reload::{
        Generation, HotLoader, HotLoaderError, LUA_ROOT, OutcomeSender, Published, ReloadReport, SessionHost,
        SiteLayout, VIEWDEF_ROOT,
    },
    session::{Frame, LuaSessions, SessionHandle, SessionId, SessionSettings},
    telemetry::Metrics,
    watch::{Registry, Root},
    web::{self, Readiness, WebServer, WebSettings, WebSocketEndpoint},
};

/// The watcher's health is looked at that often, for `/readyz`.
const HEALTH: Duration = Duration::from_secs(1);

/// A running server: a site, its sessions, and the browsers that look at them.
pub struct Server {
    local_addr: SocketAddr,
    web: WebServer,
    sessions: LuaSessions,
    hot_loader: Option<Arc<HotLoader>>,
    monitor: JoinHandle<()>,
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
        let metrics = Arc::new(Metrics::new());
        let published = Arc::new(Published::default());
        let sessions = LuaSessions::start(SessionSettings {
            session: config.session.clone(),
            lua: config.lua.clone(),
            scope: config.hotload.scope,
            published: published.clone(),
        })
        .map_err(ServerError::Threads)?;
        let endpoint = WebSocketEndpoint::new(sessions.clone(), &config.server);

        let layout = SiteLayout { lua: config.lua.path.clone(), viewdefs: config.viewdefs.path.clone() };
        let lua_dir = site.join(&config.lua.path);
        let roots = vec![
            Root { id: LUA_ROOT, dir: lua_dir.clone(), extension: Some("lua"), recursive: true },
            Root {
                id: VIEWDEF_ROOT,
                dir: site.join(&config.viewdefs.path),
                extension: Some("html"),
                recursive: false,
            },
        ];
        let mut watch = config.watch.clone();
        watch.allowed_roots = allowed_roots(site, &config);
        let hot_loader = if config.lua.hotload {
            let host = ServerSessions { endpoint: endpoint.clone(), metrics: metrics.clone() };
            let registry = Registry::with_builtin();
            let loader =
                HotLoader::start(&watch, &registry, lua_dir, roots, layout, published, Arc::new(host))
                    .await?;
            Some(Arc::new(loader))
        } else {
            HotLoader::load_once(&watch, roots, layout, &published).await?;
            None
        };

        let (readiness, ready) = watch::channel(readiness(hot_loader.as_deref()));
        let monitor = tokio::spawn(monitor(hot_loader.clone(), readiness));
        let settings = WebSettings {
            site: site.to_owned(),
            html: site.join("html"),
            allowed_roots: watch.allowed_roots,
            server: config.server,
            readiness: ready,
            metrics: metrics_text(metrics, endpoint.clone()),
        };
        let web = web::start(listener, settings, endpoint)?;
        Ok(Self { local_addr: web.local_addr(), web, sessions, hot_loader, monitor })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// All active sessions.
    pub fn lua_sessions(&self) -> &LuaSessions {
        &self.sessions
    }

    /// What watches and reloads, if hot loading is on.
    pub fn hot_loader(&self) -> Option<&HotLoader> {
        self.hot_loader.as_deref()
    }

    /// Stops: sockets are told, the watcher ends, sessions are freed. Takes less than 2 s unless a
    /// script is stuck where nothing can interrupt it.
    pub async fn shutdown(self) {
        self.monitor.abort();
        let _ = self.monitor.await;
        let loader = async {
            if let Some(loader) = self.hot_loader.and_then(Arc::into_inner) {
                loader.stop().await;
            }
        };
        tokio::join!(loader, self.web.shutdown());
        self.sessions.end_all();
    }
}

async fn bind(config: &Config) -> Result<TcpListener, ServerError> {
    let (host, port) = (config.server.host.as_str(), config.server.port);
    let failed = |source| ServerError::Bind { host: host.to_owned(), port, source };
    TcpListener::bind((host, port)).await.map_err(failed)
}

/// Where links may lead: what is configured, and the site itself. None: anywhere.
fn allowed_roots(site: &Path, config: &Config) -> Vec<PathBuf> {
    match config.watch.allowed_roots.as_slice() {
        [] => Vec::new(),
        roots => roots.iter().map(|root| site.join(root)).chain([site.to_owned()]).collect(),
    }
}

fn readiness(loader: Option<&HotLoader>) -> Readiness {
    let Some(loader) = loader else {
        return Readiness { ready: true, detail: "hot loading is off".into() };
    };
    let health = loader.watch().health();
    let detail = match (&health.armed, &health.last_failure) {
        (true, _) => format!("{} watches", health.backend),
        (false, Some(failure)) => format!("{} does not watch: {failure}", health.backend),
        (false, None) => format!("{} does not watch yet", health.backend),
    };
    Readiness { ready: health.armed, detail }
}

async fn monitor(loader: Option<Arc<HotLoader>>, readiness: watch::Sender<Readiness>) {
    let Some(loader) = loader else { return readiness.closed().await };
    loop {
        tokio::time::sleep(HEALTH).await;
        let now = self::readiness(Some(&loader));
        readiness.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
    }
}

fn metrics_text(metrics: Arc<Metrics>, endpoint: WebSocketEndpoint) -> web::MetricsText {
    Arc::new(move || {
        let pool = endpoint.sessions().pool();
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.sessions.set(gauge(endpoint.sessions().len()));
        metrics.sockets.set(i64::try_from(endpoint.counters().open()).unwrap_or(i64::MAX));
        metrics.vm_threads.set(gauge(pool.threads));
        metrics.stuck_threads.set(gauge(pool.stuck));
        metrics.dropped_sockets.set(i64::try_from(endpoint.counters().stalled()).unwrap_or(i64::MAX));
        metrics.encode()
    })
}

/// The server's sessions, as the hot loader sees them.
struct ServerSessions {
    endpoint: WebSocketEndpoint,
    metrics: Arc<Metrics>,
}

impl SessionHost for ServerSessions {
    type Session = SessionHandle;
    type Id = SessionId;

    fn lua_sessions(&self) -> Vec<SessionHandle> {
        self.endpoint.sessions().handles()
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

    fn refresh(&self, session: &SessionHandle) {
        // An empty function: AfterBatch follows it. Likewise, one that has ended needs none.
        let _ = self.endpoint.execute_in_session(session.id(), |_| ());
    }

    fn announce(&self, report: &ReloadReport) {
        let frame = Frame::from(report.frame());
        for session in self.endpoint.sessions().handles() {
            let frame = frame.clone();
            let _ = session.execute(move |session| session.broadcast(&frame));
        }
    }

    fn reloaded(&self, report: &ReloadReport) {
        self.metrics.reload(report);
    }
}
