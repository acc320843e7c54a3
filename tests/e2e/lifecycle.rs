//! The program's own life: how it starts, what it watches, how it ends.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use hotloader_test_support::{
    client::{Browser, begin},
    http,
    server::Server,
    site::{MAIN, Site},
    until,
};
use rustix::process::Signal;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::SETUP;

#[tokio::test]
async fn a_burst_of_saves_does_not_keep_it_from_stopping() {
    let site = Site::new(SETUP);
    let mut server = Server::start(SETUP, &site.dir()).await;
    let mut browsers = Vec::new();
    for _ in 0..3 {
        browsers.push(Browser::open_app(&server).await);
    }
    // A process of its own, as an editor is; it ends with its standard input.
    let script = "n=0; while :; do n=$((n+1)); printf '%s\\n-- %s\\n' \"$TEXT\" $n > lua/main.lua; \
         printf '%s\\n-- %s\\n' \"$TEXT\" $n > lua/words.tmp; mv lua/words.tmp lua/more.lua; done";
    let mut saver = Command::new("sh")
        .args(["-c", script])
        .current_dir(site.dir())
        .env("TEXT", MAIN.replace("first", "burst"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    browsers[0].sees("label()", "burst").await;
    server.signal(Signal::TERM);
    let (status, took) = server.ended().await;
    saver.kill().unwrap();
    saver.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    for browser in &mut browsers {
        assert_eq!(browser.close_code().await, CloseCode::Away);
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn it_stops_in_time_while_a_script_loops_and_a_second_signal_ends_it_at_once() {
    for signals in [1, 2] {
        let site = Site::configured(SETUP, "[session.budget]\nload = \"60s\"\n");
        let mut server = Server::start(SETUP, &site.dir()).await;
        let mut browser = Browser::open_app(&server).await;
        // What a load prints is told when it has succeeded: that others wait for it is told at once.
        site.save("lua/main.lua", &format!("{MAIN}while true do end\n"));
        server.logged("queued lua/main.lua: 1 session is busy").await;
        server.signal(Signal::TERM);
        if signals == 2 {
            server.logged("stopping").await;
            server.signal(Signal::TERM);
        }
        let (status, took) = server.ended().await;
        assert!(took < Duration::from_secs(2), "it took {took:?}");
        match signals {
            1 => assert_eq!(browser.close_code().await, CloseCode::Away),
            // It may have stopped before the second one came.
            _ => assert!(matches!(status.code(), Some(143 | 0)), "{status:?}"),
        }
    }
}

#[tokio::test]
async fn without_hot_loading_an_edit_changes_nothing() {
    let site = Site::new(SETUP);
    let server = Server::with(SETUP, &site.dir(), &[]).await;
    let mut browser = Browser::open_app(&server).await;
    site.edit("lua/main.lua", "first", "second");
    site.edit("viewdefs/App.DEFAULT.html", "<p", "<h1");
    browser.counts(1).await;
    let mut late = Browser::open_app(&server).await;
    late.sees("label()", "first").await;
    assert_eq!(browser.value("label()"), "first");
    assert!(!server.log().contains("[hot]"), "{}", server.log());
    let ready = http::get(server.addr(), "/readyz").await;
    assert_eq!((ready.status, ready.body.trim()), (200, "hot loading is off"));
    let page = http::get(server.addr(), &format!("/{}/variables", browser.session)).await;
    assert_eq!(page.status, 404, "debug pages come with hot loading");
}

#[tokio::test]
async fn an_unknown_backend_ends_it_with_2_and_a_suggestion() {
    let site = Site::new(SETUP);
    let mut command = SETUP.command();
    command.args(["serve", "--port", "0", "--watch-backend", "notifi", "--dir"]).arg(site.dir());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("notifi") && stderr.contains("\"notify\""), "{stderr}");
}

#[tokio::test]
async fn a_new_site_is_served_and_edited() {
    let parent = tempfile::tempdir().unwrap();
    let output = SETUP.command().current_dir(parent.path()).args(["new", "mine"]).output().unwrap();
    assert!(output.status.success());
    let mine = parent.path().join("mine");
    let server = Server::start(SETUP, &mine).await;
    let mut browser = Browser::open(&server).await;
    browser.show(&["greeting()", "clicks"]).await;
    browser.sees("greeting()", "Hello from Lua").await;
    let main = mine.join("lua/main.lua");
    let text = fs::read_to_string(&main).unwrap();
    fs::write(&main, text.replace("Hello from Lua", "Hello from a test")).unwrap();
    browser.sees("greeting()", "Hello from a test").await;
}

#[tokio::test]
async fn in_an_empty_directory_the_sample_is_served_and_can_be_edited_where_it_says() {
    let (empty, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = SETUP.command();
    command.current_dir(empty.path()).env("TMPDIR", temporary.path());
    command.args(["serve", "--port", "0", "--hotload"]);
    let server = Server::run(command).await;
    assert!(server.stdout().contains("lua-hotloader new DIR"), "{}", server.stdout());
    let mut browser = Browser::open(&server).await;
    browser.show(&["greeting()"]).await;
    browser.sees("greeting()", "Hello from Lua").await;
    let mut copies = fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path());
    let copy = copies.find(|path| path.join("lua/main.lua").exists()).unwrap();
    assert!(server.stdout().contains(copy.to_str().unwrap()), "{}", server.stdout());
    let main = copy.join("lua/main.lua");
    let text = fs::read_to_string(&main).unwrap();
    fs::write(&main, text.replace("Hello from Lua", "Hello from a copy")).unwrap();
    browser.sees("greeting()", "Hello from a copy").await;
}

#[tokio::test]
async fn a_session_ends_when_no_browser_has_looked_at_it_for_its_timeout() {
    let site = Site::configured(SETUP, "[session]\ntimeout = \"1s\"\n");
    let server = Server::start(SETUP, &site.dir()).await;
    let mut kept = Browser::open_app(&server).await;
    let left = begin(server.addr()).await;
    let start = Instant::now();
    let page = async |session: &str| http::get(server.addr(), &format!("/{session}")).await.status;
    until("the end of the session", async || (page(&left).await == 404).then_some(())).await;
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    assert_eq!(page(&kept.session).await, 200);
    kept.counts(1).await;
}
