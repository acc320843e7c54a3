//! `server.base`: all addresses stand below a path.

use std::fs;

use super::*;

fn below_app() -> ServerConfig {
    ServerConfig { base: "/team/app".into(), debug_pages: true, ..ServerConfig::default() }
}

#[tokio::test]
async fn the_base_itself_leads_below_it() {
    let web = running(below_app()).await;
    let answer = web.get("/team/app?x=1").await;
    assert_eq!((answer.status, answer.header("location")), (307, Some("/team/app/?x=1")));
    assert_eq!(web.get("/team/app/_hot").await.header("location"), Some("/team/app/_hot/"));
}

#[tokio::test]
async fn a_session_its_socket_its_cookies_and_its_links_stand_below_the_base() {
    let web = running(below_app()).await;
    let begun = web.get("/team/app/").await;
    let location = begun.header("location").expect("a location").to_owned();
    let id: SessionId = location.strip_prefix("/team/app/").expect("below").parse().expect("an id");
    for cookie in begun.headers("set-cookie") {
        assert!(cookie.contains("; Path=/team/app/"), "{cookie}");
    }
    let page = web.get(&location).await;
    let cookie = format!("ui-session={id}; Path=/team/app/; SameSite=Lax");
    assert!(page.headers("set-cookie").contains(&cookie.as_str()), "{}", page.head);
    assert!(page.body.contains("\"/team/app/_client/main.js\""), "{}", page.body);
    assert!(!page.body.contains("\"/_client/"), "{}", page.body);
    for link in page.header("link").expect("links").split(',') {
        let path = link.trim_start_matches('<').split('>').next().expect("an address");
        assert_eq!(web.get(path).await.status, 200, "{path}");
    }
    web.connect_to(&format!("/team/app/ws/{id}"), &[]).await.expect("opened");
    web.connect_to("/team/app/_hot/ws", &[]).await.expect("opened");
    let debug = web.get(&format!("/team/app/{id}/variables")).await;
    assert!(debug.body.contains(&format!("href=\"/team/app/{id}\"")), "{}", debug.body);
    let unknown = web.get("/team/app/0123456789abcdef0123456789abcdef").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("href=\"/team/app/\""), "{}", unknown.body);
    for path in ["healthz", "metrics", "_hot/", "_client/main.js"] {
        assert_eq!(web.get(&format!("/team/app/{path}")).await.status, 200, "{path}");
    }
    assert_eq!(web.ask("POST", "/team/app/_hot/restart", &[]).await.status, 200);
    fs::create_dir(web.site.path().join("html")).expect("html");
    fs::write(web.site.path().join("html/a.txt"), "text").expect("a file");
    assert_eq!(web.get("/team/app/a.txt").await.body, "text");
}

#[tokio::test]
async fn outside_of_the_base_there_is_nothing_but_a_word() {
    let web = running(below_app()).await;
    let id = web.session().await;
    for path in [
        "/".to_owned(),
        "/team".into(),
        "/team/".into(),
        "/team/application".into(),
        "/app/".into(),
        "/healthz".into(),
        "/_client/main.js".into(),
        format!("/{id}"),
        format!("/ws/{id}"),
        "/_hot/ws".into(),
        "/team/%61pp/healthz".into(),
        "/team/app/../healthz".into(),
    ] {
        let answer = web.get(&path).await;
        assert_eq!(answer.status, 404, "{path}");
        let is_outside = !path.starts_with("/team/app/");
        assert_eq!(answer.body.contains("server.base"), is_outside, "{path}: {}", answer.body);
        let foreign = web.ask("GET", &path, &[("Host", "evil.example")]).await;
        assert_eq!(foreign.status, 403, "{path}");
    }
    assert!(web.connect_to(&format!("/ws/{id}"), &[]).await.is_err());
    assert_eq!(web.endpoint.sessions().len(), 1, "and nobody has made a session");
}
