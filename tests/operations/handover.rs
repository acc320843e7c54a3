//! Sessions that go on when their server ends: after a restart of a single one, and from one server to another.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use futures_util::{SinkExt, StreamExt};
use hotloader_test_support::{http::get_with, server::Server, until};
use rustix::process::Signal;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use crate::{PROGRAM, SETUP, command, said, site};

const MAIN: &str = "\
App = session:prototype('App', { count = 0 })\n\
function App:click() self.count = self.count + 1 end\n\
app = app or session:create(App, {})\n\
session:createAppVariable(app)\n\
session:expose(App, { 'count', 'click()' })\n\
function session:snapshot() return { count = app.count }, 1 end\n\
function session:restore(data, version) app.count = data.count end\n";

fn counting(dir: &Path, config: &str) {
    fs::write(dir.join("lua/main.lua"), MAIN).unwrap();
    fs::create_dir_all(dir.join("config")).unwrap();
    fs::write(dir.join("config/config.toml"), config).unwrap();
}

/// A browser of one session, which knows several servers as a proxy does.
struct Clicker {
    id: String,
    cookie: String,
    /// Clicks that were answered.
    answered: u64,
}

impl Clicker {
    async fn begin(server: &Server) -> Self {
        let answer = get_with(server.addr(), "/", &[("Cookie", "")]).await;
        let id = answer.header("location").unwrap().trim_start_matches('/').to_owned();
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        Self { id, cookie, answered: 0 }
    }

    async fn socket(&self, server: SocketAddr) -> Option<Result<WebSocketStream<TcpStream>, u16>> {
        let mut request = format!("ws://{server}/ws/{}", self.id).into_client_request().unwrap();
        request.headers_mut().insert("cookie", self.cookie.parse().unwrap());
        let stream = TcpStream::connect(server).await.ok()?;
        match client_async(request, stream).await {
            Ok((socket, _)) => Some(Ok(socket)),
            Err(Error::Http(answer)) => Some(Err(answer.status().as_u16())),
            Err(_) => None,
        }
    }

    /// Opens the page's socket at the first of these that lets it, and reads the count that it shows.
    async fn open(&self, servers: &[SocketAddr]) -> (WebSocketStream<TcpStream>, u64) {
        until("a server to have the session", async || {
            for server in servers {
                let mut socket = match self.socket(*server).await {
                    Some(Ok(socket)) => socket,
                    Some(Err(503)) | None => continue,
                    Some(Err(status)) => panic!("the session is lost: {status}"),
                };
                let create = r#"[{"type":"watch","data":{"varId":1}},{"type":"create","data":{"id":2,"parentId":1,"watch":true,"properties":{"path":"count"}}},{"type":"create","data":{"id":3,"parentId":1,"watch":false,"properties":{"path":"click()","access":"action"}}}]"#;
                socket.send(Message::text(create)).await.ok()?;
                if let Some(count) = shown(&mut socket).await {
                    return Some((socket, count));
                }
            }
            None
        })
        .await
    }

    /// Whether it was answered.
    async fn click(&mut self, socket: &mut WebSocketStream<TcpStream>) -> bool {
        let click = r#"[{"type":"update","data":{"varId":3,"value":null}}]"#;
        if socket.send(Message::text(click)).await.is_err() {
            return false;
        }
        match shown(socket).await {
            Some(count) => {
                self.answered = count;
                true
            }
            None => false,
        }
    }
}

/// The next count that the page shows; nothing if the socket closes first.
async fn shown(socket: &mut WebSocketStream<TcpStream>) -> Option<u64> {
    while let Ok(Some(Ok(message))) = timeout(Duration::from_secs(20), socket.next()).await {
        let Ok(text) = message.into_text() else { continue };
        let Ok(frame) = serde_json::from_str::<Value>(&text) else { continue };
        for message in frame.as_array().into_iter().flatten() {
            if message["type"] == "update" && message["data"]["varId"] == 2 {
                return message["data"]["value"].as_u64();
            }
        }
    }
    None
}

#[tokio::test]
async fn a_server_that_is_started_anew_goes_on_with_its_sessions() {
    let site = site();
    counting(site.path(), "[server]\ndrain = \"5s\"");
    let mut server = Server::with(SETUP, site.path(), &[]).await;
    let mut browser = Clicker::begin(&server).await;
    let (mut socket, _) = browser.open(&[server.addr()]).await;
    assert!(browser.click(&mut socket).await);
    server.signal(Signal::TERM);
    assert!(server.ended().await.0.success());

    let mut server = Server::with(SETUP, site.path(), &[]).await;
    let (mut socket, count) = browser.open(&[server.addr()]).await;
    assert_eq!(count, 1);
    assert!(browser.click(&mut socket).await);

    let drained = command(PROGRAM).arg("drain").arg(site.path()).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&drained.stdout),
        "drained sessions=1 stored=1\n",
        "{}",
        said(&drained)
    );
    assert!(server.ended().await.0.success());
    let server = Server::with(SETUP, site.path(), &[]).await;
    assert_eq!(browser.open(&[server.addr()]).await.1, 2);
}

/// People who click on three servers, which are drained and started anew one after the other.
#[cfg(feature = "nats")]
#[tokio::test]
async fn a_rolling_restart_under_clicking_browsers_loses_no_click_that_was_answered() {
    tokio::task::LocalSet::new().run_until(rolling_restart()).await;
}

#[cfg(feature = "nats")]
async fn rolling_restart() {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use hotloader_test_support::nats::{NatsServer, Version};
    use tokio::{sync::watch, time::interval};

    const BROWSERS: usize = 300;
    const TAGS: [&str; 3] = ["a1b2", "c3d4", "e5f6"];

    let Some(nats) = NatsServer::start(Version::Current) else { return };
    let sites = TAGS.map(|_| site());
    for (site, tag) in sites.iter().zip(TAGS) {
        let config = format!(
            "[server]\ndrain = \"20s\"\ntag = \"{tag}\"\n[hub]\nengine = \"nats\"\n[nats]\nurl = \"{}\"\nprefix = \"clicks\"\n",
            nats.url()
        );
        counting(site.path(), &config);
    }
    let mut servers = Vec::new();
    for site in &sites {
        servers.push(Server::with(SETUP, site.path(), &[]).await);
    }
    let addresses = |servers: &[Server]| servers.iter().map(Server::addr).collect::<Vec<_>>();
    let (route, routes) = watch::channel(addresses(&servers));
    let (stop, open, moved) = <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let mut people = Vec::new();
    for number in 0..BROWSERS {
        let home = number % servers.len();
        let mut browser = Clicker::begin(&servers[home]).await;
        let (stop, open, moved, routes) = (stop.clone(), open.clone(), moved.clone(), routes.clone());
        people.push(tokio::task::spawn_local(async move {
            // As a proxy does: first the server whose tag it is.
            let ways = || {
                let mut ways = routes.borrow().clone();
                ways.rotate_left(home);
                ways
            };
            let (mut socket, _) = browser.open(&ways()).await;
            open.fetch_add(1, Ordering::SeqCst);
            let mut pace = interval(Duration::from_millis(200));
            while !stop.load(Ordering::SeqCst) {
                pace.tick().await;
                if browser.click(&mut socket).await {
                    continue;
                }
                let (again, count) = browser.open(&ways()).await;
                // The last one may have been done without an answer.
                let answered = browser.answered;
                assert!((answered..=answered + 1).contains(&count), "{answered} answered, {count} there");
                (browser.answered, socket) = (count, again);
                moved.fetch_add(1, Ordering::SeqCst);
            }
            browser.answered
        }));
    }
    until("all pages to be open", async || (open.load(Ordering::SeqCst) == BROWSERS).then_some(())).await;
    for (at, site) in sites.iter().enumerate() {
        servers[at].signal(Signal::TERM);
        assert!(servers[at].ended().await.0.success());
        assert!(servers[at].log().contains("drained"), "{}", servers[at].log());
        servers[at] = Server::with(SETUP, site.path(), &[]).await;
        route.send_replace(addresses(&servers));
    }
    let moves = moved.load(Ordering::SeqCst);
    stop.store(true, Ordering::SeqCst);
    for person in people {
        assert!(person.await.unwrap() > 0);
    }
    assert!(moves >= BROWSERS, "{moves}: each has been on a server that was drained");
}
