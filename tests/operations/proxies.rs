//! The proxies of docs/operations.md, with the configuration that stands there: the page, and the WebSocket,
//! before one server and before two.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command},
};

use futures_util::{SinkExt, StreamExt};
use hotloader_test_support::{
    http::{self, get_with},
    server::Server,
    until,
};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use crate::{SETUP, command, missing, read, site};

const HOST: &str = "example.org";
const ORIGIN: &str = "https://example.org";

/// A block of the page, from its first line to its end.
fn block(first: &str) -> String {
    let page = read("docs/operations.md");
    let start = page.find(first).unwrap_or_else(|| panic!("{first} is not in docs/operations.md"));
    page[start..].split("```").next().unwrap().to_owned()
}

fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in\n{text}");
    text.replace(from, to)
}

struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// Nothing if it is not installed.
    async fn start(mut command: Command, address: SocketAddr) -> Option<Self> {
        let Ok(child) = command.spawn() else {
            missing(&command.get_program().to_string_lossy());
            return None;
        };
        let mut proxy = Self { child, address };
        until("the proxy to listen", async || {
            assert!(proxy.child.try_wait().unwrap().is_none(), "the proxy has ended");
            TcpStream::connect(address).await.ok()
        })
        .await;
        Some(proxy)
    }

    async fn socket(
        &self,
        path: &str,
        origin: &str,
    ) -> Result<impl SinkExt<Message> + StreamExt<Item = Result<Message, Error>> + use<>, Error> {
        let mut request = format!("ws://{HOST}{path}").into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request.headers_mut().insert("cookie", http::cookies(path).parse().unwrap());
        let stream = TcpStream::connect(self.address).await.unwrap();
        client_async(request, stream).await.map(|(socket, _)| socket)
    }

    /// What a browser does with a site below `/app`.
    async fn serves_the_site(&self) {
        let get = async |path: &str| get_with(self.address, path, &[("Host", HOST)]).await;
        let bare = get("/app").await;
        assert!(
            (300..400).contains(&bare.status) && bare.header("location").unwrap().ends_with("/app/"),
            "{bare:?}"
        );
        let begun = get("/app/").await;
        assert_eq!(begun.status, 307, "{begun:?}");
        let page = begun.header("location").unwrap().to_owned();
        let session = page.strip_prefix("/app/").unwrap();
        assert_eq!(get(&page).await.status, 200);
        let path = format!("/app/ws/{session}");
        let foreign = self.socket(&path, "https://elsewhere.example").await.err();
        assert!(matches!(&foreign, Some(Error::Http(answer)) if answer.status() == 403), "{foreign:?}");
        let mut socket = self.socket(&path, ORIGIN).await.unwrap();
        let watch = r#"[{"type":"watch","data":{"varId":1}}]"#;
        assert!(socket.send(Message::text(watch)).await.is_ok());
        let told = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(told.contains(r#""varId":1"#), "{told}");
    }
}

/// A server as the page configures it behind each of the proxies, and a free port for the proxy.
async fn behind(dir: &Path) -> (Server, SocketAddr) {
    fs::create_dir_all(dir.join("config")).unwrap();
    fs::write(dir.join("config/config.toml"), block("[server]\nbase = \"/app\"")).unwrap();
    let server = Server::start(SETUP, dir).await;
    (server, free_address())
}

/// The port is free again, and nobody else is given it soon.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn nginx(work: &Path, text: &str, address: SocketAddr) -> Option<Proxy> {
    let work = work.display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {work}/{kind};\n"))
        .concat();
    let text = format!(
        "daemon off; master_process off; pid {work}/pid; error_log {work}/error.log;\nevents {{}}\nhttp {{ access_log off;\n{temporary}\
         limit_conn_zone $binary_remote_addr zone=addr:10m;\n{text}\n}}\n"
    );
    let file = format!("{work}/nginx.conf");
    fs::write(&file, text).unwrap();
    let mut command = command("nginx");
    command.args(["-p", &work, "-e", &format!("{work}/start.log"), "-c", &file]);
    Proxy::start(command, address).await
}

async fn haproxy(work: &Path, text: &str, address: SocketAddr) -> Option<Proxy> {
    let file = work.join("haproxy.cfg");
    fs::write(&file, text).unwrap();
    let mut command = command("haproxy");
    command.args(["-db", "-f"]).arg(&file);
    Proxy::start(command, address).await
}

#[tokio::test]
async fn nginx_passes_the_page_and_its_socket_on() {
    let (site, work) = (site(), tempfile::tempdir().unwrap());
    let (server, address) = behind(site.path()).await;
    let text = with(&block("# nginx\n"), "listen 443 ssl;", &format!("listen {address};"));
    let text = with(&text, "127.0.0.1:8080", &server.addr().to_string());
    let Some(proxy) = nginx(work.path(), &text, address).await else { return };
    proxy.serves_the_site().await;
}

#[tokio::test]
async fn haproxy_passes_the_page_and_its_socket_on() {
    let (site, work) = (site(), tempfile::tempdir().unwrap());
    let (server, address) = behind(site.path()).await;
    let bind = "bind :443 ssl crt /etc/haproxy/example.org.pem";
    let text = with(&block("# HAProxy\n"), bind, &format!("bind {address}"));
    let text = with(&text, "server app 127.0.0.1:8080", &format!("server app {}", server.addr()));
    let Some(proxy) = haproxy(work.path(), &text, address).await else { return };
    proxy.serves_the_site().await;
    // What the proxy says of TLS is believed.
    let begun = get_with(address, "/app/", &[("Host", HOST), ("Cookie", "")]).await;
    assert!(begun.header("set-cookie").unwrap().contains("Secure"), "{begun:?}");
}

/// Two servers as the page configures them, and their tags.
async fn two_servers(sites: [&Path; 2]) -> [(&'static str, Server); 2] {
    let text = with(&block("# on 10.0.0.1"), "host = \"0.0.0.0\"\n", "");
    let text = with(&text, "10.0.0.9", "127.0.0.1");
    for (site, tag) in sites.iter().zip(["a1b2", "c3d4"]) {
        fs::create_dir_all(site.join("config")).unwrap();
        fs::write(
            site.join("config/config.toml"),
            with(&text, "tag = \"a1b2\"", &format!("tag = \"{tag}\"")),
        )
        .unwrap();
    }
    let [one, two] = sites.map(|site| Server::with(SETUP, site, &[]));
    [("a1b2", one.await), ("c3d4", two.await)]
}

/// A session of the server with that tag, begun by way of the proxy as a stranger does.
async fn begun(proxy: &Proxy, tag: &str) -> String {
    until("the proxy to choose that server", async || {
        let answer = get_with(proxy.address, "/", &[("Host", HOST), ("Cookie", "")]).await;
        let id = answer.header("location").and_then(|page| page.strip_prefix('/'));
        id.filter(|id| id.starts_with(tag)).map(str::to_owned)
    })
    .await
}

async fn page_and_socket_stay_until_the_server_is_killed(proxy: Proxy, servers: [(&str, Server); 2]) {
    let get = async |path: &str, cookie: &str| {
        let cookies = if cookie.is_empty() { http::cookies(path) } else { cookie.to_owned() };
        get_with(proxy.address, path, &[("Host", HOST), ("Cookie", &cookies)]).await
    };
    let watch = Message::text(r#"[{"type":"watch","data":{"varId":1}}]"#);
    let mut open = Vec::new();
    for (tag, _) in &servers {
        let id = begun(&proxy, tag).await;
        let last = format!("ui-session={id}");
        // The other server would not know it.
        for path in [format!("/{id}"), format!("/{id}/deeper/page"), format!("/{id}?query")] {
            assert_eq!(get(&path, "").await.status, 200, "{path}");
        }
        for _ in 0..4 {
            let led = get("/", &last).await;
            assert!(led.header("location").unwrap().starts_with(&format!("/{tag}")), "{led:?}");
        }
        let mut socket = proxy.socket(&format!("/ws/{id}"), ORIGIN).await.unwrap();
        assert!(socket.send(watch.clone()).await.is_ok());
        assert!(socket.next().await.unwrap().unwrap().into_text().unwrap().contains("varId"));
        open.push((id, socket));
    }
    let [(_, one), (_, two)] = servers;
    one.signal(Signal::KILL);
    let (gone, mut lost) = open.remove(0);
    assert!(!matches!(lost.next().await, Some(Ok(message)) if !message.is_close()), "its socket stays open");

    // Nobody has it, and who asks is answered, by the other server.
    assert_eq!(get(&format!("/{gone}"), "").await.status, 404);
    let refused = proxy.socket(&format!("/ws/{gone}"), ORIGIN).await.err();
    assert!(matches!(&refused, Some(Error::Http(answer)) if answer.status() == 404), "{refused:?}");
    let anew = get("/", &format!("ui-session={gone}")).await;
    assert!(anew.header("location").unwrap().starts_with("/c3d4"), "{anew:?}");
    let path = format!("/ws/{}", anew.header("location").unwrap().trim_start_matches('/'));
    assert!(proxy.socket(&path, ORIGIN).await.is_ok());

    let (kept, mut socket) = open.remove(0);
    assert_eq!(get(&format!("/{kept}"), "").await.status, 200);
    assert!(socket.send(watch).await.is_ok());
    assert!(socket.next().await.unwrap().unwrap().is_text(), "the other server's session goes on");
    drop(two);
}

fn at(text: &str, servers: &[(&str, Server); 2]) -> String {
    let text = with(text, "10.0.0.1:8080", &servers[0].1.addr().to_string());
    with(&text, "10.0.0.2:8080", &servers[1].1.addr().to_string())
}

#[tokio::test]
async fn behind_nginx_a_session_stays_on_its_server_until_that_is_killed() {
    let (sites, work) = ([site(), site()], tempfile::tempdir().unwrap());
    let servers = two_servers(sites.each_ref().map(|site| site.path())).await;
    let address = free_address();
    let text = with(&block("# nginx, several servers"), "listen 443 ssl;", &format!("listen {address};"));
    // Without TLS it is http.
    let text = with(&text, "X-Forwarded-Proto $scheme", "X-Forwarded-Proto https");
    let Some(proxy) = nginx(work.path(), &at(&text, &servers), address).await else { return };
    page_and_socket_stay_until_the_server_is_killed(proxy, servers).await;
}

#[tokio::test]
async fn behind_haproxy_a_session_stays_on_its_server_until_that_is_killed() {
    let (sites, work) = ([site(), site()], tempfile::tempdir().unwrap());
    let servers = two_servers(sites.each_ref().map(|site| site.path())).await;
    let address = free_address();
    let map = work.path().join("tags.map");
    fs::write(&map, block("a1b2 one\n")).unwrap();
    let bind = "bind :443 ssl crt /etc/haproxy/example.org.pem";
    let text = with(&block("# HAProxy, several servers"), bind, &format!("bind {address}"));
    let text = with(&text, "/etc/haproxy/tags.map", &map.display().to_string());
    let Some(proxy) = haproxy(work.path(), &at(&text, &servers), address).await else { return };
    page_and_socket_stay_until_the_server_is_killed(proxy, servers).await;
}
