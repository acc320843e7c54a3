//! Which address is answered by what.

use std::{fs, os::unix::fs::symlink};

use super::*;

#[tokio::test]
async fn the_root_leads_to_a_new_session_and_its_page_names_it() {
    let web = running(ServerConfig::default()).await;
    let first = web.get("/").await;
    assert_eq!(first.status, 307);
    let location = first.header("location").expect("a location").to_owned();
    let id: SessionId = location.trim_start_matches('/').parse().expect("an id");
    assert!(web.endpoint.sessions().get(id).is_some());
    assert_ne!(web.get("/").await.header("location"), Some(location.as_str()));

    for path in [location.clone(), format!("{location}/any/path?x=1")] {
        let page = web.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        let cookie = format!("ui-session={id}; Path=/; SameSite=Lax");
        assert_eq!(page.header("set-cookie"), Some(cookie.as_str()));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert!(page.body.contains("/_client/main.js"), "the built-in page: {}", page.body);
    }
}

#[tokio::test]
async fn the_sites_own_page_comes_before_the_built_in_one() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    fs::create_dir(web.site.path().join("html")).expect("html");
    fs::write(web.site.path().join("html/index.html"), "<p>mine").expect("a page");
    assert_eq!(web.get(&format!("/{id}")).await.body, "<p>mine");
}

#[tokio::test]
async fn a_page_that_runs_the_client_names_all_of_its_modules_at_once() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    let page = web.get(&format!("/{id}")).await;
    let links: Vec<_> = page.header("link").expect("links").split(',').collect();
    let scripts: Vec<_> = links
        .iter()
        .map(|link| link.strip_prefix('<').and_then(|link| link.strip_suffix(">;rel=modulepreload")))
        .map(|script| script.expect("a link to a module"))
        .collect();
    assert!(scripts.contains(&"/_client/main.js") && scripts.len() > 20, "{scripts:?}");
    for script in scripts {
        assert_eq!(web.get(script).await.status, 200, "{script}");
    }
    fs::create_dir(web.site.path().join("html")).expect("html");
    for (own, runs) in [("<script src=/_client/main.js></script>", true), ("<p>mine", false)] {
        fs::write(web.site.path().join("html/index.html"), own).expect("a page");
        assert_eq!(web.get(&format!("/{id}")).await.header("link").is_some(), runs, "{own}");
    }
}

#[tokio::test]
async fn an_unknown_session_is_told_so_and_offered_a_new_one() {
    let web = running(ServerConfig::default()).await;
    let page = web.get("/0123456789abcdef0123456789abcdef/somewhere").await;
    assert_eq!(page.status, 404);
    assert!(page.body.contains("href=\"/\"") && page.body.contains("0123456789abcdef0123456789abcdef"));
    assert_eq!(page.header("set-cookie"), None);
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_every_route() {
    let config = ServerConfig { debug_pages: true, ..ServerConfig::default() };
    let web = running(config).await;
    let id = web.session().await;
    let sessions = web.endpoint.sessions().len();
    let below = ["", "/variables", "/variables.json"].map(|path| format!("/{id}{path}"));
    let others = ["/", "/healthz", "/readyz", "/metrics", "/_client/main.js", "/a.txt", "/ws/x", "/ws/"];
    for path in others.map(String::from).into_iter().chain(below) {
        for method in ["GET", "HEAD", "POST"] {
            let answer = web.ask(method, &path, &[("Host", "evil.example")]).await;
            assert_eq!(answer.status, 403, "{method} {path}");
        }
    }
    let answer = web.ask("GET", "/", &[("Host", "evil.example")]).await;
    assert!(answer.body.contains("server.allowed_hosts"), "{}", answer.body);
    assert_eq!(web.endpoint.sessions().len(), sessions, "no session was made");
}

#[tokio::test]
async fn an_allowed_host_is_answered() {
    let config = ServerConfig { allowed_hosts: vec!["dev.example".into()], ..ServerConfig::default() };
    let web = running(config).await;
    assert_eq!(web.ask("GET", "/healthz", &[("Host", "dev.example:80")]).await.status, 200);
}

#[tokio::test]
async fn only_reading_is_answered_and_foreign_pages_may_not_even_try_else() {
    let web = running(ServerConfig::default()).await;
    let answer = web.ask("POST", "/", &[]).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(web.ask("POST", "/", &[("Origin", "http://evil.example")]).await.status, 403);
    assert_eq!(web.ask("GET", "/healthz", &[("Origin", "http://evil.example")]).await.status, 200);
}

#[tokio::test]
async fn a_background_request_of_another_site_makes_no_session() {
    let web = running(ServerConfig::default()).await;
    let image = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")];
    assert_eq!(web.ask("GET", "/", &image).await.status, 403);
    assert!(web.endpoint.sessions().is_empty());
}

#[tokio::test]
async fn head_is_answered_like_get_without_the_body() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    fs::create_dir(web.site.path().join("html")).expect("html");
    fs::write(web.site.path().join("html/a.txt"), "text").expect("a file");
    for path in ["/a.txt", "/healthz", "/_client/main.js", &format!("/{id}")] {
        let (get, head) = (web.get(path).await, web.ask("HEAD", path, &[]).await);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    assert_eq!(web.ask("HEAD", "/", &[]).await.status, 307);
}

#[tokio::test]
async fn a_file_is_sent_again_only_when_it_has_changed() {
    let web = running(ServerConfig::default()).await;
    fs::create_dir(web.site.path().join("html")).expect("html");
    let path = web.site.path().join("html/a b.css");
    fs::write(&path, "one").expect("a file");
    let first = web.get("/a%20b.css").await;
    assert_eq!((first.status, first.body.as_str()), (200, "one"));
    assert_eq!(first.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    assert_eq!(first.header("last-modified"), None, "too coarse to go by");
    let etag = first.header("etag").expect("a tag").to_owned();

    let again = web.ask("GET", "/a%20b.css", &[("If-None-Match", &etag)]).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    fs::write(&path, "two and more").expect("an edit");
    let edited = web.ask("GET", "/a%20b.css", &[("If-None-Match", &etag)]).await;
    assert_eq!((edited.status, edited.body.as_str()), (200, "two and more"));
    let part = web.ask("GET", "/a%20b.css", &[("Range", "bytes=0-2")]).await;
    assert_eq!((part.status, part.body.as_str()), (206, "two"));
}

#[tokio::test]
async fn no_address_leads_out_of_html() {
    let web = running(ServerConfig::default()).await;
    let html = web.site.path().join("html");
    fs::create_dir(&html).expect("html");
    fs::write(html.join(".env"), "secret").expect("a file");
    fs::write(web.site.path().join("secret.txt"), "secret").expect("a file");
    symlink(web.site.path().join("secret.txt"), html.join("link.txt")).expect("a link");
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/.env",
        "/%2eenv",
        "//../secret.txt",
        "/link.txt%00",
        "/html/link.txt",
        "/nowhere",
        "/_client/../index.html",
        "/_client/%2e%2e/index.html",
        "/_client/",
        "/_client",
        "/_client/nowhere.js",
    ] {
        let answer = web.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("secret"), "{path}");
    }
    assert_eq!(web.get("/link.txt").await.body, "secret", "the author's own link");
}

#[tokio::test]
async fn the_client_is_served_from_the_binary() {
    let web = running(ServerConfig::default()).await;
    let script = web.get("/_client/main.js").await;
    assert_eq!(script.status, 200);
    assert!(script.header("content-type").is_some_and(|kind| kind.starts_with("text/javascript")));
    let etag = script.header("etag").expect("a tag").to_owned();
    let again = web.ask("GET", "/_client/main.js", &[("If-None-Match", &etag)]).await;
    assert_eq!(again.status, 304);
}

#[tokio::test]
async fn the_client_is_compressed_for_who_takes_that() {
    let web = running(ServerConfig::default()).await;
    let head = async |accept| web.ask("HEAD", "/_client/main.js", &[("Accept-Encoding", accept)]).await;
    let length =
        |answer: &Answer| answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
    let plain = head("identity").await;
    for accept in ["gzip", "deflate, gzip, br", "gzip;q=0.5"] {
        let zipped = head(accept).await;
        assert_eq!(zipped.header("content-encoding"), Some("gzip"), "{accept}");
        assert_eq!(zipped.header("vary"), Some("Accept-Encoding"));
        assert_ne!(zipped.header("etag"), plain.header("etag"));
        assert!(length(&zipped) < length(&plain), "{accept}");
    }
    for accept in ["", "br", "gzip;q=0", "gzip; q=0.000"] {
        assert_eq!(head(accept).await.header("content-encoding"), None, "{accept}");
    }
}

#[tokio::test]
async fn debug_pages_are_there_only_when_they_are_wanted() {
    for (debug_pages, status) in [(false, 404), (true, 200)] {
        let web = running(ServerConfig { debug_pages, ..ServerConfig::default() }).await;
        let id = web.session().await;
        for page in ["variables", "variables.json"] {
            assert_eq!(web.get(&format!("/{id}/{page}")).await.status, status, "{page}");
            let unknown = format!("/0123456789abcdef0123456789abcdef/{page}");
            assert_eq!(web.get(&unknown).await.status, 404, "{page}");
        }
    }
}

#[tokio::test]
async fn readiness_follows_the_watcher() {
    let web = running(ServerConfig::default()).await;
    assert_eq!(web.get("/healthz").await.body, "ok\n");
    let starting = web.get("/readyz").await;
    assert_eq!((starting.status, starting.body.as_str()), (503, "not everything is watched yet\n"));
    web.readiness.send_replace(Readiness { ready: true, detail: "watching".into() });
    assert_eq!(web.get("/readyz").await.status, 200);
    let metrics = web.get("/metrics").await;
    assert_eq!((metrics.status, metrics.body.as_str()), (200, "# EOF\n"));
    assert_eq!(metrics.head.matches("\ncontent-type:").count(), 1, "{}", metrics.head);
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    for path in ["/", "/nowhere", "/_client/main.js", &format!("/{id}")] {
        let answer = web.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("frame-ancestors 'self'"), "{path}: {policy}");
        assert_eq!(answer.header("x-frame-options"), Some("SAMEORIGIN"), "{path}");
    }
}

#[tokio::test]
async fn only_scripts_with_the_nonce_of_this_very_answer_run_in_the_servers_own_page() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let page = web.get(&format!("/{id}")).await;
        let policy = page.header("content-security-policy").expect("a policy");
        let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(
            page.body.matches("<script").count(),
            page.body.matches(&format!("nonce=\"{nonce}\"")).count()
        );
        nonces.push(nonce.to_owned());
    }
    assert_ne!(nonces[0], nonces[1]);

    fs::create_dir(web.site.path().join("html")).expect("html");
    fs::write(web.site.path().join("html/index.html"), "<script>mine()</script>").expect("a page");
    let page = web.get(&format!("/{id}")).await;
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("'unsafe-inline'"), "the site's own scripts are its business: {policy}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_asks_nothing_is_closed() {
    let web = running(ServerConfig::default()).await;
    let whole = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", web.addr);
    for (what, request) in [("nothing", ""), ("half a header", "GET / HTTP/1.1\r\nHost"), ("idle", &whole)] {
        let mut stream = TcpStream::connect(web.addr).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let start = tokio::time::Instant::now();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("closed");
        assert_eq!(start.elapsed().as_secs(), 15, "{what}");
    }
}

#[tokio::test]
async fn a_page_below_the_session_is_told_to_its_browsers() {
    let web = running(ServerConfig::default()).await;
    let id = web.session().await;
    let session = web.endpoint.sessions().get(id).expect("there");
    let (outbox, mut frames) = tokio::sync::mpsc::channel(8);
    let client = session.attach(outbox);
    let watch = r#"{"userEvent":true,"messages":[{"type":"watch","data":{"varId":1}}]}"#;
    session.receive(client, watch.into()).await.expect("received");
    frames.recv().await.expect("the value");
    let picture = [("Sec-Fetch-Dest", "image")];
    web.ask("GET", &format!("/{id}/cards/logo.png"), &picture).await;
    web.get(&format!("/{id}/cards/7?x=1")).await;
    let frame = frames.recv().await.expect("the address");
    let frame: serde_json::Value = serde_json::from_slice(frame.bytes()).expect("JSON");
    assert_eq!(frame[0]["data"], serde_json::json!({"varId": 1, "properties": {"url": "/cards/7?x=1"}}));
    web.get(&format!("/{id}")).await;
    let frame = frames.recv().await.expect("the address");
    assert!(String::from_utf8_lossy(frame.bytes()).contains(r#""url":"/""#));
}

#[tokio::test]
async fn the_sites_own_pages_have_the_policy_of_the_configuration() {
    let default = ServerConfig::default().content_security_policy;
    for (policy, expected) in [
        (default.as_str(), default.as_str()),
        ("default-src 'none'", "default-src 'none'"),
        ("", "frame-ancestors 'self'"),
    ] {
        let config = ServerConfig { content_security_policy: policy.into(), ..ServerConfig::default() };
        let web = running(config).await;
        let id = web.session().await;
        fs::create_dir_all(web.site.path().join("html/sub")).expect("html");
        for name in ["index.html", "sub/index.html", "other.html", "picture.svg", "a.txt"] {
            fs::write(web.site.path().join("html").join(name), "<p>mine").expect("a file");
        }
        for path in
            [&format!("/{id}"), "/sub/", "/sub/index.html", "/other.html", "/index.html", "/picture.svg"]
        {
            let page = web.get(path).await;
            assert_eq!(page.body, "<p>mine", "{path}");
            assert_eq!(page.headers("content-security-policy"), [expected], "{path}");
        }
        let text = web.get("/a.txt").await;
        assert_eq!(text.headers("content-security-policy"), ["frame-ancestors 'self'"]);
    }
}
