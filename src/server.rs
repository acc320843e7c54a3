//! [`Server`]: all parts of a site, put together.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    config::{Config, WatchConfig},
    reload::{
        Generation, HotLoader, HotLoaderError, LUA_ROOT, OutcomeSender, Published, ReloadReport, SessionHost,
        SiteLayout, VIEWDEF_ROOT,
    },
    session::{Frame, LuaSessions, SessionHandle, SessionId, SessionSettings},
    telemetry::Metrics,
    watch::{Contents, Health, Registry, Root, WatchError},
    web::{self, Readiness, WebServer, WebSettings, WebSocketEndpoint},
};

/// A running server: a site, its sessions, and the browsers that look at them.
pub struct Server {
    local_addr: SocketAddr,
    web: WebServer,
    sessions: LuaSessions,
    hot_loader: Option<Arc<HotLoader>>,
    monitor: JoinHandle<()>,
    site: PathBuf,
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
            Root {
                id: LUA_ROOT,
                dir: lua_dir.clone(),
                extension: Some("lua"),
                recursive: true,
                contents: Contents::AtStart,
            },
            Root {
                id: VIEWDEF_ROOT,
                dir: site.join(&config.viewdefs.path),
                extension: Some("html"),
                recursive: false,
                contents: Contents::AtStart,
            },
        ];
        let mut watch = config.watch.clone();
        watch.allowed_roots = allowed_roots(site, &config.watch);
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

        let (readiness, ready) = watch::channel(match &hot_loader {
            None => Readiness { ready: true, detail: "hot loading is off".into() },
            Some(loader) => readiness(&loader.watch().health()),
        });
        let monitor = tokio::spawn(monitor(hot_loader.as_deref(), readiness));
        let settings = WebSettings {
            site: site.to_owned(),
            html: site.join("html"),
            allowed_roots: watch.allowed_roots,
            server: config.server,
            readiness: ready,
            metrics: metrics_text(metrics, endpoint.clone(), hot_loader.as_deref()),
        };
        let web = web::start(listener, settings, endpoint)?;
        Ok(Self { local_addr: web.local_addr(), web, sessions, hot_loader, monitor, site: site.to_owned() })
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

    /// Puts other settings of the watcher into force, without a restart and without missing a change.
    /// Does nothing with hot loading off.
    ///
    /// # Errors
    ///
    /// When they name no backend that there is; then nothing changes.
    pub fn reconfigure_watch(&self, watch: &WatchConfig) -> Result<(), WatchError> {
        let Some(loader) = &self.hot_loader else { return Ok(()) };
        let allowed_roots = allowed_roots(&self.site, watch);
        loader.watch().reconfigure(&WatchConfig { allowed_roots, ..watch.clone() })
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
fn allowed_roots(site: &Path, watch: &WatchConfig) -> Vec<PathBuf> {
    match watch.allowed_roots.as_slice() {
        [] => Vec::new(),
        roots => roots.iter().map(|root| site.join(root)).chain([site.to_owned()]).collect(),
    }
}

fn readiness(health: &Health) -> Readiness {
    let detail = match (health.armed, &health.trouble) {
        (true, _) => format!("watching by {}", health.summary()),
        (false, Some(trouble)) => format!("changes may go unseen: {trouble}"),
        (false, None) => "not everything is watched yet".into(),
    };
    Readiness { ready: health.armed, detail }
}

/// Keeps `/readyz` true.
fn monitor(
    loader: Option<&HotLoader>,
    readiness: watch::Sender<Readiness>,
) -> impl Future<Output = ()> + use<> {
    let health = loader.map(|loader| loader.watch().follow_health());
    async move {
        let Some(mut health) = health else { return readiness.closed().await };
        while health.changed().await.is_ok() {
            let now = self::readiness(&health.borrow_and_update());
            readiness.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        }
    }
}

fn metrics_text(
    metrics: Arc<Metrics>,
    endpoint: WebSocketEndpoint,
    loader: Option<&HotLoader>,
) -> web::MetricsText {
    let health = loader.map(|loader| loader.watch().follow_health());
    Arc::new(move || {
        let pool = endpoint.sessions().pool();
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.sessions.set(gauge(endpoint.sessions().len()));
        metrics.sockets.set(i64::try_from(endpoint.counters().open()).unwrap_or(i64::MAX));
        metrics.vm_threads.set(gauge(pool.threads));
        metrics.stuck_threads.set(gauge(pool.stuck));
        metrics.dropped_sockets.set(i64::try_from(endpoint.counters().stalled()).unwrap_or(i64::MAX));
        if let Some(health) = &health {
            metrics.watching(&health.borrow());
        }
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
