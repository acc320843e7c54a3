//! A session belongs to the browser that began it.

use super::*;

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
