//! The proxies of docs/operations.md, with the configuration that stands there: the page, and the WebSocket.

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
    // The port is free again, and nobody else is given it soon.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    (server, address)
}

#[tokio::test]
async fn nginx_passes_the_page_and_its_socket_on() {
    let (site, work) = (site(), tempfile::tempdir().unwrap());
    let (server, address) = behind(site.path()).await;
    let text = with(&block("# nginx"), "listen 443 ssl;", &format!("listen {address};"));
    let text = with(&text, "127.0.0.1:8080", &server.addr().to_string());
    let work = work.path().display().to_string();
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
    let Some(proxy) = Proxy::start(command, address).await else { return };
    proxy.serves_the_site().await;
}

#[tokio::test]
async fn haproxy_passes_the_page_and_its_socket_on() {
    let (site, work) = (site(), tempfile::tempdir().unwrap());
    let (server, address) = behind(site.path()).await;
    let bind = "bind :443 ssl crt /etc/haproxy/example.org.pem";
    let text = with(&block("# HAProxy"), bind, &format!("bind {address}"));
    let text = with(&text, "server app 127.0.0.1:8080", &format!("server app {}", server.addr()));
    let file = work.path().join("haproxy.cfg");
    fs::write(&file, text).unwrap();
    let mut command = command("haproxy");
    command.args(["-db", "-f"]).arg(&file);
    let Some(proxy) = Proxy::start(command, address).await else { return };
    proxy.serves_the_site().await;
    // What the proxy says of TLS is believed.
    let begun = get_with(address, "/app/", &[("Host", HOST), ("Cookie", "")]).await;
    assert!(begun.header("set-cookie").unwrap().contains("Secure"), "{begun:?}");
}
