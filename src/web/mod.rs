//! HTTP and WebSockets: the way from a session to its browsers and back.
//!
//! | file | decides |
//! |---|---|
//! | `http` | how connections are accepted, and how the server stops |
//! | `connections` | how many are taken, of one address and at all |
//! | `http_stream` | when a reader that does not read is let go |
//! | `origin`, `authority` | which Host and Origin reach it at all |
//! | `routes` | which address is answered by what |
//! | `state` | what all answers are made of |
//! | `session_pages` | how a session begins, and what its pages are |
//! | `sockets` | who gets a WebSocket |
//! | `kept` | how a browser keeps an answer, and asks whether it is still right |
//! | `visitor` | whose word on a visitor's address and TLS is taken |
//! | `secret` | which browser a session belongs to |
//! | `files` | which file of `html/` a path may name |
//! | `site_files` | how they are sent |
//! | `site_page` | how the site's own page is sent |
//! | `client_files` | what of the browser client is served |
//! | `policy` | which scripts run in the server's own pages |
//! | `pages`, `replies` | what the server's own pages and answers look like |
//! | `restart` | who may have sessions begin anew from outside |
//! | `upgrade` | whether a request is a WebSocket handshake |
//! | `meter` | how much of a message that is not complete may be held |
//! | `socket` | how one socket reads, writes, pings and closes |
//! | `endpoint` | which socket belongs to which session; all of them together |
//! | `status` | the status page and its socket |
//! | `client/`, `status/` | the browser's side, embedded in the binary |

mod authority;
mod client_files;
mod connections;
mod endpoint;
mod files;
mod http;
mod http_stream;
mod kept;
mod meter;
mod origin;
mod pages;
mod policy;
mod replies;
mod restart;
mod routes;
mod secret;
mod session_pages;
mod site_files;
mod site_page;
mod socket;
mod sockets;
mod state;
mod status;
mod upgrade;
mod visitor;

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, sync::Arc};

use tokio::{net::TcpListener, sync::watch};

pub use endpoint::{ExecuteError, SocketCounters, WebSocketEndpoint};
pub use http::WebServer;
pub use origin::OriginConfigError;
pub use status::{StatusPart, StatusSource};
pub use visitor::ProxyConfigError;

use crate::config::ServerConfig;
use files::SiteFiles;
use origin::OriginPolicy;
use routes::routes;
use state::WebState;
use visitor::TrustedProxies;

/// Makes the text of `/metrics`, in the OpenMetrics format.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// What the web layer is told at its start.
pub struct WebSettings {
    /// The site's directory.
    pub site: PathBuf,
    /// Its static files; need not exist.
    pub html: PathBuf,
    /// `[server]`
    pub server: ServerConfig,
    /// `watch.allowed_roots`: where links in `html` may lead, beside the site; empty: anywhere.
    pub allowed_roots: Vec<PathBuf>,
    /// For `/readyz`.
    pub readiness: watch::Receiver<Readiness>,
    /// For `/metrics`.
    pub metrics: MetricsText,
    /// For `/_hot/`.
    pub status: Arc<dyn StatusSource>,
}

/// Whether the server does what it is there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Changes of files will be noticed.
    pub ready: bool,
    /// In words, for people.
    pub detail: String,
}

/// Why the web layer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key of the configuration cannot be understood.
    #[error(transparent)]
    Origin(#[from] OriginConfigError),
    /// A key of the configuration cannot be understood.
    #[error(transparent)]
    Proxy(#[from] ProxyConfigError),
    /// The listener is unusable.
    #[error("the listener has no address: {0}")]
    Listener(#[source] io::Error),
}

/// Serves the endpoint's sessions on the listener, from now until the [`WebServer`] is shut down or dropped.
///
/// # Errors
/// See [`StartError`]. Nothing is served then.
///
/// # Panics
/// Outside a tokio runtime.
pub fn start(
    listener: TcpListener,
    settings: WebSettings,
    endpoint: WebSocketEndpoint,
) -> Result<WebServer, StartError> {
    let WebSettings { site, html, server, allowed_roots, readiness, metrics, status } = settings;
    let policy = OriginPolicy::new(&server)?;
    let proxies = TrustedProxies::new(&server)?;
    let state = Arc::new(WebState {
        endpoint: endpoint.clone(),
        policy,
        base: server.base.clone(),
        page_policy: server.content_security_policy.clone(),
        proxies: proxies.clone(),
        files: SiteFiles::new(site, html, allowed_roots),
        debug_pages: server.debug_pages,
        readiness,
        metrics,
        status: status::StatusPage::new(status),
    });
    WebServer::start(listener, routes(state), endpoint, connections::Connections::new(&server, proxies))
        .map_err(StartError::Listener)
}
