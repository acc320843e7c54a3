//! Pages and hosts that this server does not know get nothing, at no address and however it is spelt.

use std::{collections::BTreeSet, fs, path::Path};

use super::*;

/// The addresses of all routes, as their filters in the sources say: a route that is added is tried, too.
fn addresses() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
    for file in fs::read_dir(sources).expect("the sources").map(|entry| entry.expect("an entry").path()) {
        if file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source");
        for start in ["warp::path!(", "warp::path("] {
            for segments in text.split(start).skip(1).filter_map(|rest| rest.split(')').next()) {
                found.insert(format!("/{}", segments.replace(['"', ' ', '\n'], "")));
            }
        }
    }
    found
}

/// The ways to write a path that some server or proxy takes for the same.
fn spellings(path: &str) -> Vec<String> {
    let last = path.rfind('/').map_or(0, |at| at + 1);
    let encoded = |from: usize| {
        let letters = path[from..].bytes().map(|byte| match byte {
            b'/' => "/".to_owned(),
            byte => format!("%{byte:02x}"),
        });
        format!("{}{}", &path[..from], letters.collect::<String>())
    };
    let mut all = vec![
        path.to_owned(),
        format!("{path}/"),
        format!("{path}//"),
        format!("/{path}"),
        path.replace('/', "//"),
        format!("{path}?x=1"),
        format!("{path}/?x=/ws/"),
        format!("{path}?"),
        format!("{path}#x"),
        format!("{path}/."),
        format!("/.{path}"),
        format!("/x/..{path}"),
        format!("{path};x"),
        format!("{path}%20"),
        encoded(last),
        encoded(1),
        path.replacen('/', "/%2f", 1),
        path.to_uppercase(),
        format!("http://localhost{path}"),
    ];
    all.retain(|path| path.starts_with('/') || path.starts_with("http:"));
    all
}

/// The first line and headers of an answer, however long the connection stays.
async fn status(web: &Running, request: String) -> u16 {
    let mut stream = TcpStream::connect(web.addr).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut head = Vec::new();
    while !head.windows(2).any(|two| two == b"\r\n") {
        let mut some = [0; 512];
        match stream.read(&mut some).await {
            Ok(read) if read > 0 => head.extend_from_slice(&some[..read]),
            _ => break,
        }
    }
    let line = String::from_utf8_lossy(&head).into_owned();
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
}

/// A browser sends its cookies with it, whoever's page it shows.
fn handshake(path: &str, host: &str, origin: &str, cookie: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nCookie: {cookie}\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Every address, with a live session's id in the place of ids, in every spelling.
async fn all_spellings(web: &Running) -> Vec<String> {
    let id = web.session().await.to_string();
    let addresses = addresses();
    for known in ["/ws/SessionId", "/_hot/ws", "/_hot/restart", "/SessionId/variables"] {
        assert!(addresses.contains(known), "{known} is not found in the sources: {addresses:?}");
    }
    let given = addresses.iter().map(|path| path.replace("SessionId", &id).replace("String", &id));
    given.flat_map(|path| spellings(&path)).collect()
}

#[tokio::test]
async fn a_foreign_page_opens_no_socket_however_the_address_is_spelt() {
    let web = running(ServerConfig { debug_pages: true, ..ServerConfig::default() }).await;
    let own = web.addr.to_string();
    let mut opened = 0;
    let addresses = all_spellings(&web).await;
    let cookie = format!("hot-session={}", web.endpoint.sessions().handles()[0].secret());
    for path in addresses {
        for origin in ["http://evil.example", "http://127.0.0.1:1", "null"] {
            let status = status(&web, handshake(&path, &own, origin, &cookie)).await;
            assert!((400..500).contains(&status), "{origin} at {path}: {status}");
        }
        let status = status(&web, handshake(&path, &own, &format!("http://{own}"), &cookie)).await;
        opened += usize::from(status == 101);
    }
    assert!(opened >= 8, "the server's own page opens sockets at these addresses: {opened}");
    assert_eq!(web.endpoint.sessions().len(), 1, "and nobody has made a session");
}

#[tokio::test]
async fn a_foreign_host_gets_nothing_however_the_address_is_spelt() {
    let web = running(ServerConfig { debug_pages: true, ..ServerConfig::default() }).await;
    for path in all_spellings(&web).await {
        for method in ["GET", "POST", "OPTIONS", "DELETE"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
            let status = status(&web, request).await;
            // What is no address at all is refused before the Host is looked at.
            assert!(matches!(status, 400 | 403), "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn a_foreign_page_restarts_nothing_however_the_address_is_spelt() {
    let web = running(ServerConfig { debug_pages: true, ..ServerConfig::default() }).await;
    for path in all_spellings(&web).await {
        for header in [
            "Origin: http://evil.example",
            "Origin: null",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
        ] {
            let own = web.addr;
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: {own}\r\n{header}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let status = status(&web, request).await;
            assert!((400..500).contains(&status), "{header} at {path}: {status}");
        }
    }
}
