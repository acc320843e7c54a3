//! [`Server`]: all parts of a site, put together.
//!
//! | module | holds |
//! |---|---|
//! | `settings` | what the parts are told, from the configuration |
//! | `sessions` | the server's sessions, as the hot loader sees them |
//! | `fleet` | the part that takes releases in place of saves |
//! | `readiness` | what `/readyz` says |
//! | `measured` | what `/metrics` says |

mod fleet;
mod measured;
mod readiness;
mod sessions;
mod settings;

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
pub(crate) use settings::{is_site, layout, roots, session_settings};

use self::{readiness::Signs, sessions::ServerSessions, settings::HTML_DIR};
use crate::{
    config::{BackendChoice, Config, WatchConfig},
    fleet::{Fleet, Pulse},
    hub::{Hub, HubError},
    reload::{HotLoader, HotLoaderError, Published},
    session::LuaSessions,
    status::{Calendar, OfFleet, ReloadLog, Status},
    telemetry::{HubMetrics, Metrics},
    watch::{Registry, WatchError},
    web::{self, WebServer, WebSettings, WebSocketEndpoint},
};

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
        let published =
            Arc::new(Published::new(settings::telling(site, &config.hotload, !config.lua.hotload)));
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

        let (draining, is_draining) = watch::channel(false);
        let handover = tokio::spawn(sessions.clone().give_up_what_others_want());
        let of_fleet = part.as_ref().map(Fleet::follow);
        let (ready, monitor) = readiness::follow(Signs {
            health: hot_loader.as_ref().map(|loader| loader.watch().follow_health()),
            fleet: of_fleet.clone(),
            stuck: sessions.follow_stuck(),
            max_stuck: config.session.max_stuck,
            draining: is_draining,
        });
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
            metrics: measured::text(
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
