//! A session belongs to the browser that began it.

use std::time::{Duration, Instant};

use super::*;
use crate::config::SessionPer;

/// One that keeps what it is given: the session it has begun, and the cookie for it.
struct Begun {
    id: SessionId,
    cookie: String,
}

impl Begun {
    async fn by(web: &Running) -> Self {
        let answer = web.ask("GET", "/", &[("Cookie", "")]).await;
        assert_eq!(answer.status, 307, "{}", answer.body);
        let id = answer.header("location").and_then(|path| path[1..].parse().ok()).expect("an id");
        let cookie = answer.headers("set-cookie")[0].split(';').next().expect("a cookie").to_owned();
        Self { id, cookie }
    }
}

/// Every route to a session, by what it answers to this cookie.
async fn routes_to(web: &Running, id: SessionId, cookie: &str) -> Vec<u16> {
    let mut found = Vec::new();
    for path in ["", "/", "/deeper?x=1", "/variables", "/variables.json", "/variables/"] {
        for method in ["GET", "HEAD"] {
            found.push(web.ask(method, &format!("/{id}{path}"), &[("Cookie", cookie)]).await.status);
        }
    }
    found.push(match web.connect(id, &[("cookie", cookie)]).await {
        Ok(_) => 200,
        Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("{other}"),
    });
    found
}

fn debugging() -> ServerConfig {
    ServerConfig { debug_pages: true, ..ServerConfig::default() }
}

#[tokio::test]
async fn the_id_alone_opens_nothing_and_neither_does_the_secret_of_another_session() {
    let web = running(debugging()).await;
    let (one, other) = (Begun::by(&web).await, Begun::by(&web).await);
    assert_ne!(one.cookie, other.cookie);
    let secret = one.cookie.strip_prefix("hot-session=").expect("the name");
    let id = one.id;
    for wrong in [
        String::new(),
        format!("ui-session={id}"),
        format!("hot-session={id}"),
        "hot-session=".into(),
        format!("hot-session={}", &secret[..31]),
        format!("hot-session={secret}0"),
        format!("Hot-Session={secret}"),
        format!("ui-session={secret}"),
        other.cookie.clone(),
    ] {
        let answers = routes_to(&web, id, &wrong).await;
        assert!(answers.iter().all(|status| *status == 403), "{wrong}: {answers:?}");
    }
    for right in [one.cookie.clone(), format!("hot-session=forged; {}; ui-session=x", one.cookie)] {
        let answers = routes_to(&web, id, &right).await;
        assert!(answers.iter().all(|status| *status == 200), "{right}: {answers:?}");
    }
}

#[tokio::test]
async fn a_pasted_address_says_whose_it_is_and_offers_a_new_session() {
    let web = running(ServerConfig::default()).await;
    let (one, other) = (Begun::by(&web).await, Begun::by(&web).await);
    let page = web.ask("GET", &format!("/{}", one.id), &[("Cookie", &other.cookie)]).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("somebody else") && page.body.contains("href=\"/\""), "{}", page.body);
    assert!(page.headers("set-cookie").is_empty(), "nothing that would lead there again");
    assert_eq!(web.endpoint.sessions().len(), 2);
}

#[tokio::test]
async fn the_secret_is_in_cookies_that_scripts_cannot_read_and_that_go_to_its_session_only() {
    let web = running(ServerConfig::default()).await;
    let answer = web.get("/").await;
    let id = answer.header("location").expect("a location")[1..].to_owned();
    let cookies = answer.headers("set-cookie");
    let (value, rest) = cookies[0].split_once(';').expect("attributes");
    assert_eq!(rest, format!(" Path=/{id}; HttpOnly; SameSite=Lax"));
    assert_eq!(cookies[1..], [format!("{value}; Path=/ws/{id}; HttpOnly; SameSite=Lax")]);
    let secret = value.strip_prefix("hot-session=").expect("the name");
    assert!(secret.len() == 32 && secret.bytes().all(|digit| digit.is_ascii_hexdigit()), "{secret}");
    assert!(!answer.body.contains(secret) && !id.contains(secret));
    let page = web.ask("GET", &format!("/{id}"), &[("Cookie", value)]).await;
    assert_eq!(page.headers("set-cookie"), [format!("ui-session={id}; Path=/; SameSite=Lax")]);
    assert!(!page.body.contains(secret), "a page could hand it on");
}

#[tokio::test]
async fn a_kiosk_shares_its_sessions() {
    let shared = SessionConfig { share: true, ..SessionConfig::default() };
    let web = running_with(debugging(), shared).await;
    let one = Begun::by(&web).await;
    let answers = routes_to(&web, one.id, "").await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
}

#[tokio::test]
async fn behind_tls_the_cookie_is_secure_if_a_trusted_proxy_says_that_it_is_tls() {
    let https = [("X-Forwarded-Proto", "https")];
    let untrusted = running(ServerConfig::default()).await;
    let cookie = untrusted.ask("GET", "/", &https).await.headers("set-cookie")[0].to_owned();
    assert!(cookie.starts_with("hot-session=") && !cookie.contains("Secure"), "{cookie}");

    let trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    let web = running(ServerConfig { trusted_proxies, ..ServerConfig::default() }).await;
    for header in [("X-Forwarded-Proto", "https"), ("Forwarded", "for=192.0.2.1;proto=https")] {
        let answer = web.ask("GET", "/", &[header]).await;
        let path = answer.header("location").expect("a location").to_owned();
        let cookies = answer.headers("set-cookie");
        let (cookie, attributes) = cookies[0].split_once(';').expect("attributes");
        assert!(
            cookie.starts_with("__Secure-hot-session=") && attributes.ends_with("; Secure"),
            "{cookies:?}"
        );
        assert_eq!(cookies.len(), 2);
        assert_eq!(web.ask("GET", &path, &[header, ("Cookie", cookie)]).await.status, 200);
        let without = cookie.trim_start_matches("__Secure-");
        assert_eq!(web.ask("GET", &path, &[header, ("Cookie", without)]).await.status, 403);
    }
    let plain =
        web.ask("GET", "/", &[("X-Forwarded-Proto", "http")]).await.headers("set-cookie")[0].to_owned();
    assert!(plain.starts_with("hot-session="), "{plain}");
}

/// Looks again and again until it holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Begun {
    async fn socket(&self, web: &Running) -> WebSocketStream<TcpStream> {
        let socket = web.connect(self.id, &[("cookie", &self.cookie)]).await.expect("connected");
        let session = web.endpoint.sessions().get(self.id).expect("there");
        until("the socket to be attached", || session.has_browser()).await;
        socket
    }

    async fn page(&self, web: &Running) -> u16 {
        web.ask("GET", &format!("/{}", self.id), &[("Cookie", &self.cookie)]).await.status
    }
}

#[tokio::test]
async fn no_code_runs_in_a_session_until_its_page_or_socket_is_asked_for() {
    let web = running(debugging()).await;
    let (paged, connected, left) = (Begun::by(&web).await, Begun::by(&web).await, Begun::by(&web).await);
    assert!(web.endpoint.sessions().running().is_empty());
    assert_eq!(web.ask("GET", &format!("/{}", left.id), &[("Cookie", "")]).await.status, 403);
    assert!(web.endpoint.sessions().running().is_empty(), "a stranger starts nothing");
    assert_eq!(paged.page(&web).await, 200);
    let _socket = connected.socket(&web).await;
    let mut running: Vec<_> = web.endpoint.sessions().running().iter().map(|session| session.id()).collect();
    running.sort();
    let mut begun = vec![paged.id, connected.id];
    begun.sort();
    assert_eq!(running, begun);
    assert_eq!(web.ask("POST", "/_hot/restart", &[]).await.status, 200);
    assert_eq!(web.endpoint.sessions().running().len(), 2, "a restart does not begin what has not begun");
}

#[tokio::test]
async fn a_session_without_a_socket_ends_soon_and_one_that_had_one_does_not() {
    let session = SessionConfig { unopened: Duration::from_secs(2), ..SessionConfig::default() };
    let web = running_with(ServerConfig::default(), session).await;
    let opened = Begun::by(&web).await;
    drop(opened.socket(&web).await);
    let (left, seen) = (Begun::by(&web).await, Begun::by(&web).await);
    let _ = seen.page(&web).await;
    let program = web.session().await;
    until("both to end", || web.endpoint.sessions().len() == 2).await;
    assert_eq!((left.page(&web).await, seen.page(&web).await), (404, 404));
    assert_eq!(opened.page(&web).await, 200);
    assert!(web.endpoint.sessions().get(program).is_some(), "a program's own session waits for no browser");
}

#[tokio::test]
async fn at_the_maximum_the_oldest_without_a_socket_makes_room_and_no_other() {
    let web =
        running_with(ServerConfig::default(), SessionConfig { max: 3, ..SessionConfig::default() }).await;
    let opened = Begun::by(&web).await;
    let _first = opened.socket(&web).await;
    let (older, newer) = (Begun::by(&web).await, Begun::by(&web).await);
    let newcomer = Begun::by(&web).await;
    assert_eq!((opened.page(&web).await, older.page(&web).await), (200, 404));
    assert_eq!((newer.page(&web).await, newcomer.page(&web).await), (200, 200));
    let _sockets = (newer.socket(&web).await, newcomer.socket(&web).await);
    let refused = web.get("/").await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("session.max") && refused.header("retry-after").is_some());
}

#[tokio::test]
async fn an_address_begins_only_so_many_and_is_told_why() {
    let session = SessionConfig { unopened_per_address: 2, ..SessionConfig::default() };
    let server = ServerConfig { trusted_proxies: vec!["127.0.0.1".into()], ..ServerConfig::default() };
    let web = running_with(server, session).await;
    let from = async |address: &str| web.ask("GET", "/", &[("X-Forwarded-For", address)]).await;
    assert_eq!(from("192.0.2.1").await.status, 307);
    assert_eq!(from("192.0.2.1").await.status, 307);
    let refused = from("1.1.1.1, 192.0.2.1").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("30")));
    assert!(refused.body.contains("session.unopened_per_address"), "{}", refused.body);
    assert_eq!(from("192.0.2.2").await.status, 307);
    assert_eq!(web.endpoint.sessions().len(), 3);
}

#[tokio::test]
async fn parts_of_pages_and_browsers_in_advance_make_no_session() {
    let web = running(ServerConfig::default()).await;
    for headers in [
        [("Sec-Fetch-Dest", "iframe"), ("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Dest", "iframe"), ("Sec-Fetch-Site", "same-origin")],
        [("Sec-Fetch-Dest", "object"), ("Sec-Fetch-Mode", "navigate")],
        [("Sec-Fetch-Dest", "embed"), ("Sec-Fetch-Mode", "navigate")],
        [("Sec-Fetch-Dest", "image"), ("Sec-Fetch-Site", "none")],
        [("Sec-Fetch-Dest", "document"), ("Sec-Purpose", "prefetch")],
    ] {
        assert_eq!(web.ask("GET", "/", &headers).await.status, 403, "{headers:?}");
    }
    assert!(web.endpoint.sessions().is_empty());
    assert_eq!(web.ask("GET", "/", &[("Sec-Fetch-Dest", "document")]).await.status, 307);
}

#[tokio::test]
async fn a_browser_is_led_back_to_its_own_session_where_that_is_wanted() {
    let per_browser = SessionConfig { per: SessionPer::Browser, ..SessionConfig::default() };
    let web = running_with(ServerConfig::default(), per_browser).await;
    let own = Begun::by(&web).await;
    let last = format!("ui-session={}", own.id);
    let again = web.ask("GET", "/", &[("Cookie", &last)]).await;
    assert_eq!(again.header("location"), Some(format!("/{}", own.id).as_str()));
    assert!(again.headers("set-cookie").is_empty(), "the way there opens nothing");
    assert_eq!(web.endpoint.sessions().len(), 1);

    // Another browser that was told of it comes out of there again.
    let lost = web.ask("GET", &format!("/{}", own.id), &[("Cookie", &last)]).await;
    assert_eq!(
        (lost.status, lost.headers("set-cookie")[0]),
        (403, "ui-session=; Path=/; Max-Age=0; SameSite=Lax")
    );
    web.endpoint.sessions().end(own.id);
    let anew = web.ask("GET", "/", &[("Cookie", &last)]).await;
    assert_ne!(anew.header("location"), Some(format!("/{}", own.id).as_str()), "it has ended");

    let per_window = running(ServerConfig::default()).await;
    let one = Begun::by(&per_window).await;
    let last = format!("ui-session={}", one.id);
    per_window.ask("GET", "/", &[("Cookie", &last)]).await;
    assert_eq!(per_window.endpoint.sessions().len(), 2);
}

#[tokio::test]
async fn a_flood_of_visits_costs_about_a_kilobyte_each() {
    const VISITS: u64 = 20_000;
    let session = SessionConfig { max: 50_000, unopened_per_address: 50_000, ..SessionConfig::default() };
    let web = running_with(ServerConfig::default(), session).await;
    let begin = |count| (0..count).for_each(|_| drop(web.endpoint.sessions().begin(None).expect("begun")));
    begin(100);
    let before = memory::resident_bytes();
    begin(VISITS);
    let each = memory::resident_bytes().saturating_sub(before) / VISITS;
    println!("{each} bytes for each session that nobody has connected to");
    assert!(each <= 4096, "{each} bytes");
    assert!(web.endpoint.sessions().running().is_empty());
}
