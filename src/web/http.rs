//! Serves the routes on a listener of ours, until told to stop.
//!
//! warp's own server is not used: its `bind` panics, it sets no limit to how long a header may take, and
//! its graceful stop returns while sockets are still open.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

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

use super::{
    connections::{AddressPermit, Connections, Full, Permit},
    endpoint::{SocketCounters, WebSocketEndpoint},
    http_stream::{self, HttpStream},
    visitor::Peer,
};

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
        limits: Connections,
    ) -> io::Result<Self>
    where
        F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
        F::Future: Send,
    {
        let local_addr = listener.local_addr()?;
        let connections = TaskTracker::new();
        let stop = endpoint.stop_token();
        let server = Serving {
            routes,
            send_timeout: endpoint.send_timeout(),
            counters: endpoint.shared_counters(),
            stop: stop.clone(),
        };
        connections.spawn(accept(listener, server, limits, connections.clone()));
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

/// What a connection is served with.
#[derive(Clone)]
struct Serving<F> {
    routes: F,
    send_timeout: Duration,
    counters: Arc<SocketCounters>,
    stop: CancellationToken,
}

async fn accept<F>(
    listener: TcpListener,
    server: Serving<F>,
    mut limits: Connections,
    connections: TaskTracker,
) where
    F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    loop {
        let accepted = tokio::select! {
            biased;
            () = server.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match limits.admit(peer.ip(), Instant::now()) {
                Ok(places) => drop(connections.spawn(serve(stream, places, server.clone()))),
                Err(full) => {
                    server.counters.refuse();
                    turn_away(&stream, full);
                }
            },
            // The one who knocked is gone again.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::select! {
                    () = server.stop.cancelled() => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

/// Sends the reason to a client that reads at once, and waits for nothing.
fn turn_away(stream: &TcpStream, full: Full) {
    let (status, why) = match full {
        Full::Address(_) => ("429 Too Many Requests", "Too many connections of one address.\n"),
        Full::Server(_) => ("503 Service Unavailable", "Too many connections.\n"),
    };
    let length = why.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nRetry-After: 10\r\n\
         Connection: close\r\n\r\n{why}"
    );
    if let Err(error) = stream.try_write(answer.as_bytes()) {
        tracing::debug!(%error, "a connection was turned away without a word");
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve<F>(stream: TcpStream, (place, of_address): (Permit, AddressPermit), server: Serving<F>)
where
    F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    let Serving { routes, send_timeout, counters, stop } = server;
    let peer = Peer::of(&stream);
    let is_upgraded = Arc::new(AtomicBool::new(false));
    let stream = HttpStream::new(stream, send_timeout, is_upgraded.clone(), place);
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
    // What is left of it now, if anything, is a WebSocket, in a task of its own.
    is_upgraded.store(true, Relaxed);
    drop(of_address);
    match served {
        Err(error) if http_stream::is_unread(&error) => {
            counters.let_go();
            tracing::debug!("a connection was let go: its answer was not read (server.send_timeout)");
        }
        Err(error) => tracing::debug!(%error, "a connection ended badly"),
        Ok(()) => {}
    }
}
