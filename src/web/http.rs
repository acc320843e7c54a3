//! Serves the routes on a listener of ours, until told to stop.
//!
//! warp's own server is not used: its `bind` panics, it sets no limit to how long a header may take, and
//! its graceful stop returns while sockets are still open.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use warp::{Filter, reply::Response};

use super::{endpoint::WebSocketEndpoint, visitor::Peer};

/// How long a request's header may take, and how long a connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest header of a request; hyper keeps a buffer of it for each connection.
const HEADER_SIZE: usize = 16 << 10;
/// How long answers under way may take once the server stops.
const GRACE: Duration = Duration::from_secs(1);
/// How long to wait after the system refused a connection: descriptors do not come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running server. Dropping it stops it, without waiting.
pub struct WebServer {
    local_addr: SocketAddr,
    endpoint: WebSocketEndpoint,
    connections: TaskTracker,
    stop: DropGuard,
}

impl WebServer {
    /// Begins to accept connections.
    ///
    /// # Errors
    /// The listener has no address.
    pub(super) fn start<F>(
        listener: TcpListener,
        routes: F,
        endpoint: WebSocketEndpoint,
        stop: CancellationToken,
    ) -> io::Result<Self>
    where
        F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
        F::Future: Send,
    {
        let local_addr = listener.local_addr()?;
        let connections = TaskTracker::new();
        connections.spawn(accept(listener, routes, stop.clone(), connections.clone()));
        Ok(Self { local_addr, endpoint, connections, stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting, tells every socket that the server stops, lets answers under way finish, and
    /// closes everything. Takes 1.5 s at most.
    pub async fn shutdown(self) {
        self.stop.disarm().cancel();
        self.connections.close();
        let quiet = async {
            if timeout(GRACE * 3 / 2, self.connections.wait()).await.is_err() {
                tracing::warn!(connections = self.connections.len(), "connections did not close in time");
            }
        };
        tokio::join!(self.endpoint.close_all(), quiet);
    }
}

async fn accept<F>(listener: TcpListener, routes: F, stop: CancellationToken, connections: TaskTracker)
where
    F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, routes.clone(), stop.clone()));
            }
            // The one who knocked is gone again.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve<F>(stream: TcpStream, routes: F, stop: CancellationToken)
where
    F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    // Updates are small and must not wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let peer = Peer::of(&stream);
    let answers = TowerToHyperService::new(warp::service(routes));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        answers.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_SIZE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended badly");
    }
}
