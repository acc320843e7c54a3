//! The web layer as a whole, over real connections.

mod base;
mod bounds;
mod identity;
mod memory;
mod restart;
mod routes;
mod socket;
mod status;
mod strangers;
mod websocket;

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};

use super::{
    MetricsText, Readiness, StatusPart, StatusSource, WebServer, WebSettings, WebSocketEndpoint, start,
};
use crate::{
    config::{BindingRule, LuaConfig, ReloadScope, ServerConfig, SessionConfig},
    reload::{Generation, Published, testing},
    session::{LuaSessions, SessionId, SessionSettings},
};

/// A site whose main file is this.
fn site_of(main: &str) -> Arc<Published> {
    let published = Arc::new(Published::default());
    published.publish_good(Arc::new(testing::save(&Generation::default(), &[("main.lua", Some(main))])));
    published
}

/// A status page of one part, that remembers who was to be restarted.
#[derive(Default)]
struct FakeStatus {
    restarted: Mutex<Vec<String>>,
    ended: Mutex<Vec<String>>,
}

impl StatusSource for FakeStatus {
    fn parts(&self) -> Pin<Box<dyn Future<Output = Vec<StatusPart>> + Send + '_>> {
        Box::pin(async { vec![("server", serde_json::json!({"ready": true}))] })
    }

    fn end(&self, session: &str) {
        self.ended.lock().expect("unharmed").push(session.to_owned());
    }

    fn restart(&self, session: &str) {
        self.restarted.lock().expect("unharmed").push(session.to_owned());
    }
}

/// A server on a port of its own, with an empty site.
struct Running {
    addr: SocketAddr,
    endpoint: WebSocketEndpoint,
    server: WebServer,
    readiness: watch::Sender<Readiness>,
    site: tempfile::TempDir,
    status: Arc<FakeStatus>,
}

async fn running(config: ServerConfig) -> Running {
    running_with(config, SessionConfig::default()).await
}

async fn running_with(config: ServerConfig, session: SessionConfig) -> Running {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let site = tempfile::tempdir().expect("a directory");
    let starting = Readiness { ready: false, detail: "not everything is watched yet".into() };
    let (readiness, receiver) = watch::channel(starting);
    let metrics: MetricsText = Arc::new(|| "# EOF\n".into());
    let status = Arc::new(FakeStatus::default());
    let settings = WebSettings {
        site: site.path().into(),
        html: site.path().join("html"),
        server: config,
        allowed_roots: Vec::new(),
        readiness: receiver,
        metrics,
        status: status.clone(),
    };
    let sessions = SessionSettings {
        session,
        lua: LuaConfig::default(),
        scope: ReloadScope::Loaded,
        bindings: BindingRule::Any,
        refused: Default::default(),
        hub: None,
        published: site_of(""),
    };
    let endpoint = WebSocketEndpoint::new(LuaSessions::start(sessions).expect("threads"), &settings.server);
    let server = start(listener, settings, endpoint.clone()).expect("started");
    Running { addr: server.local_addr(), endpoint, server, readiness, site, status }
}

impl Running {
    async fn session(&self) -> SessionId {
        self.endpoint.sessions().create().await.expect("a session").id()
    }

    /// One request on a connection of its own; the whole answer, headers in lower case.
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request += &format!("Host: {}\r\n", self.addr);
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("cookie")) {
            request += &format!("Cookie: {}\r\n", self.cookie(path));
        }
        request += "Connection: close\r\n\r\n";
        let mut stream = TcpStream::connect(self.addr).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("asked");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("answered");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// What the browser has that began the session of this address.
    fn cookie(&self, path: &str) -> String {
        let handles = self.endpoint.sessions().handles();
        let session = handles.iter().find(|session| path.contains(&session.id().to_string()));
        session.map(|session| format!("hot-session={}", session.secret())).unwrap_or_default()
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    /// A browser's WebSocket, with the given headers instead of a browser's own.
    async fn connect(
        &self,
        session: SessionId,
        headers: &[(&'static str, &str)],
    ) -> Result<WebSocketStream<TcpStream>, tungstenite::Error> {
        self.connect_to(&format!("/ws/{session}"), headers).await
    }

    /// The same at any address.
    async fn connect_to(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<WebSocketStream<TcpStream>, tungstenite::Error> {
        use tungstenite::client::IntoClientRequest;
        let mut request = format!("ws://{}{path}", self.addr).into_client_request().expect("a request");
        let cookie = self.cookie(path);
        request.headers_mut().insert("cookie", cookie.parse().expect("a value"));
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        let stream = TcpStream::connect(self.addr).await.expect("connected");
        client_async(request, stream).await.map(|(socket, _)| socket)
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// All values of a header.
    fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}
