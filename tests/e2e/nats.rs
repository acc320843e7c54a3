//! Two servers of one site on one NATS: what sessions of one do, those of the other see.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use hotloader_test_support::{
    client::Browser,
    http,
    nats::{NatsServer, Version},
    on_each_nats,
    server::Server,
    site::Site,
    until,
};
use rustix::process::Signal;
use serde_json::json;

use crate::SETUP;

on_each_nats! {
    a_vote_on_one_server_shows_on_the_other_and_is_there_after_a_restart_of_all,
    a_word_from_a_session_of_one_server_comes_to_those_of_the_other,
    a_window_that_closes_on_one_server_is_counted_no_longer_on_the_other,
    what_a_version_that_fails_has_sent_comes_to_nobody,
    while_nats_is_away_pages_work_writing_is_an_error_and_all_say_so,
    an_operator_reads_and_writes_the_store_of_a_site_that_nobody_serves,
}

/// The Lua code and the template below a heading of docs/shared-state.md, as they stand there.
fn sample(heading: &str) -> [String; 2] {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/shared-state.md");
    let page = std::fs::read_to_string(page).unwrap();
    let part = page.split("\n## ").find(|part| part.starts_with(heading)).unwrap();
    ["```lua\n", "```html\n"].map(|mark| {
        let code = part.split(mark).nth(1).unwrap();
        code.split("```").next().unwrap().to_owned()
    })
}

/// A site, each time it is asked for on another server.
struct Sites {
    nats: NatsServer,
    files: [String; 2],
    more: &'static str,
}

impl Sites {
    fn new(version: Version, files: [String; 2], more: &'static str) -> Option<Self> {
        Some(Self { nats: NatsServer::start(version)?, files, more })
    }

    fn make(&self) -> Site {
        let config = format!(
            "[hub]\nengine = \"nats\"\n{}\n[nats]\nurl = \"{}\"\nprefix = \"shop\"\n",
            self.more,
            self.nats.url()
        );
        let [lua, template] = &self.files;
        let files = [
            ("lua/main.lua", lua.as_str()),
            ("viewdefs/App.DEFAULT.html", template),
            ("config/config.toml", &config),
        ];
        Site::with(SETUP, &files)
    }
}

/// Calls an action of the application.
async fn act(browser: &mut Browser, id: u64, path: &str) {
    let create = json!({ "type": "create", "data": {
        "id": id, "parentId": 1, "properties": { "path": path, "access": "action" } } });
    let update = json!({ "type": "update", "data": { "varId": id, "value": null } });
    browser.send(json!({ "userEvent": true, "messages": [create, update] })).await;
}

async fn a_vote_on_one_server_shows_on_the_other_and_is_there_after_a_restart_of_all(version: Version) {
    let Some(sites) = Sites::new(version, sample("A poll"), "") else { return };
    let (one, two) = (sites.make(), sites.make());
    let mut servers = [Server::start(SETUP, &one.dir()).await, Server::start(SETUP, &two.dir()).await];
    let mut browsers = [Browser::open(&servers[0]).await, Browser::open(&servers[1]).await];
    for browser in &mut browsers {
        browser.show(&["yes()", "no()"]).await;
        browser.sees("yes()", 0).await;
    }
    let mut times = Vec::new();
    for vote in 1..=20 {
        let begun = Instant::now();
        act(&mut browsers[0], 900 + vote, "voteYes()").await;
        browsers[1].sees("yes()", vote).await;
        times.push(begun.elapsed());
    }
    times.sort();
    println!("from a click to the page on another server: {:?} at the median", times[times.len() / 2]);
    act(&mut browsers[1], 950, "voteNo()").await;
    browsers[0].sees("no()", 1).await;
    for server in &mut servers {
        server.signal(Signal::TERM);
        assert!(server.ended().await.0.success());
    }
    let server = Server::start(SETUP, &two.dir()).await;
    let mut browser = Browser::open(&server).await;
    browser.show(&["yes()", "no()"]).await;
    browser.sees("yes()", 20).await;
    browser.sees("no()", 1).await;
}

async fn a_word_from_a_session_of_one_server_comes_to_those_of_the_other(version: Version) {
    let Some(sites) = Sites::new(version, sample("A chat"), "") else { return };
    let (one, two) = (sites.make(), sites.make());
    let servers = [Server::start(SETUP, &one.dir()).await, Server::start(SETUP, &two.dir()).await];
    let mut browsers = [Browser::open(&servers[0]).await, Browser::open(&servers[1]).await];
    for browser in &mut browsers {
        browser.show(&["lines()", "heard()", "text"]).await;
        browser.sees("heard()", "").await;
    }
    // To subscribe takes a moment, and a word that comes before is not heard.
    let mut lines = 0;
    let heard = until("the other to hear", async || {
        lines += 1;
        let text = browsers[0].id("text");
        let typed = format!("word {lines}");
        browsers[0].send(json!([{ "type": "update", "data": { "varId": text, "value": typed } }])).await;
        act(&mut browsers[0], 900 + lines, "send()").await;
        browsers[1]
            .wait_until("the line", |page| page.value("lines()").as_str().unwrap().contains(&typed))
            .await;
        browsers[1].value("heard()").as_str().filter(|heard| !heard.is_empty()).map(str::to_owned)
    });
    assert!(heard.await.starts_with("new: word "));
    let hears = |page: &Browser| page.value("heard()").as_str().unwrap().starts_with("new: word ");
    browsers[0].wait_until("who publishes to hear it, too", hears).await;
}

async fn a_window_that_closes_on_one_server_is_counted_no_longer_on_the_other(version: Version) {
    let [lua, template] = sample("Who is here");
    // The page's times are for people.
    let lua = lua.replace("6000", "900").replace("2000", "300");
    let Some(sites) = Sites::new(version, [lua, template], "") else { return };
    let (one, two) = (sites.make(), sites.make());
    let mut gone = Server::start(SETUP, &one.dir()).await;
    let stays = Server::start(SETUP, &two.dir()).await;
    let mut browser = Browser::open(&stays).await;
    browser.show(&["count()"]).await;
    browser.sees("count()", 1).await;
    let other = Browser::open(&gone).await;
    browser.sees("count()", 2).await;
    gone.signal(Signal::KILL);
    gone.ended().await;
    drop(other);
    browser.sees("count()", 1).await;
}

/// Counts what it hears, and writes when it is clicked.
const HEARS: &str = r#"
local App = session:prototype("App", { count = 0 })
function App:heard() return table.concat(self._heard or {}, " ") end
function App:shown() return tostring(store.get("k") or "nothing") end
function App:problem() return self._problem or "none" end
function App:click()
  self.count = self.count + 1
  local ok, problem = pcall(store.set, "k", self.count)
  local sent, other = pcall(function() session:publish("t", "clicked") end)
  self._problem = not ok and problem or not sent and other or "none"
end
session:subscribe("t", function(text)
  local app = session:getApp()
  app._heard = app._heard or {}
  table.insert(app._heard, text)
end)
if not session:getApp() then session:createAppVariable(App:new()) end
"#;
const HEARS_TEMPLATE: &str = r#"<template><b ui-value="heard()"></b><i ui-value="shown()"></i>
<u ui-value="problem()" ui-attr-title="count" ui-event-click="click()"></u></template>"#;

fn hears() -> [String; 2] {
    [HEARS.to_owned(), HEARS_TEMPLATE.to_owned()]
}

async fn hearer(server: &Server) -> Browser {
    let mut browser = Browser::open(server).await;
    browser.show(&["heard()", "shown()", "problem()", "count"]).await;
    browser.sees("count", 0).await;
    browser
}

async fn what_a_version_that_fails_has_sent_comes_to_nobody(version: Version) {
    let Some(sites) = Sites::new(version, hears(), "") else { return };
    let (one, two) = (sites.make(), sites.make());
    let servers = [Server::start(SETUP, &one.dir()).await, Server::start(SETUP, &two.dir()).await];
    let (mut author, mut reader) = (hearer(&servers[0]).await, hearer(&servers[1]).await);
    let sends = |word: &str, end: &str| {
        format!("{HEARS}\nsession:publish('t', '{word}')\nstore.set('k', '{word}')\n{end}")
    };
    one.save("lua/main.lua", &sends("bad", "error('fails')"));
    author.reload("failed").await;
    one.save("lua/main.lua", &sends("good", ""));
    author.reload("ok").await;
    reader.sees("shown()", "good").await;
    reader.wait_until("the word", |page| page.value("heard()").as_str().unwrap().contains("good")).await;
    assert_eq!(reader.value("heard()"), "good");
}

async fn while_nats_is_away_pages_work_writing_is_an_error_and_all_say_so(version: Version) {
    let Some(mut sites) = Sites::new(version, hears(), "patience = \"300ms\"") else { return };
    let (one, two) = (sites.make(), sites.make());
    let servers = [
        Server::with(SETUP, &one.dir(), &["--hotload"]).await,
        Server::with(SETUP, &two.dir(), &["--hotload"]).await,
    ];
    let (mut first, mut second) = (hearer(&servers[0]).await, hearer(&servers[1]).await);
    first.click().await;
    second.sees("shown()", "1").await;
    let metric = async || http::get(servers[0].addr(), "/metrics").await.body;
    assert!(metric().await.contains("hub_connected{engine=\"nats\"} 1"), "{}", metric().await);

    sites.nats.kill();
    servers[0].logged("is away: the connection is lost").await;
    first.click().await;
    let is_said = |page: &Browser| page.value("problem()").as_str().unwrap().contains("hub.patience");
    first.wait_until("an error", is_said).await;
    first.sees("count", 2).await;
    assert_eq!(first.value("shown()"), "1", "what is stored can be read");
    assert!(metric().await.contains("hub_connected{engine=\"nats\"} 0"));
    assert_eq!(http::get(servers[0].addr(), "/readyz").await.status, 200);
    let late = Browser::open(&servers[0]).await;
    drop(late);

    sites.nats.run();
    servers[0].logged("is back after").await;
    servers[1].logged("is back after").await;
    assert_eq!(servers[0].log().matches("is away").count(), 1, "{}", servers[0].log());
    first.click().await;
    second.sees("shown()", "3").await;
    first.sees("problem()", "none").await;
    assert!(metric().await.contains("hub_connected{engine=\"nats\"} 1"));
}

async fn an_operator_reads_and_writes_the_store_of_a_site_that_nobody_serves(version: Version) {
    let Some(sites) = Sites::new(version, hears(), "") else { return };
    let (site, run) = (sites.make(), tempfile::tempdir().unwrap());
    let store = |args: &[&str]| {
        let mut command: Command = SETUP.command();
        command.env("XDG_RUNTIME_DIR", run.path()).arg("store").args(args).arg("--dir").arg(site.dir());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    store(&["set", "k", "\"from outside\""]);
    assert_eq!(store(&["get", "k"]), "\"from outside\"\n");
    let other = sites.make();
    let server = Server::start(SETUP, &other.dir()).await;
    hearer(&server).await.sees("shown()", "from outside").await;
}

#[tokio::test]
async fn without_nats_the_server_does_not_start_and_says_why() {
    let site = Site::new(SETUP);
    let ended = async |config: &str| {
        site.save("config/config.toml", config);
        let mut command = SETUP.command();
        command.args(["serve", "--port", "0", "--dir"]).arg(site.dir());
        let begun = Instant::now();
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(!output.status.success() && begun.elapsed() < Duration::from_secs(15));
        String::from_utf8(output.stderr).unwrap()
    };
    let nobody = "[hub]\nengine = \"nats\"\n[nats]\nprefix = \"shop\"\nconnect = \"100ms\"\nurl = \"nats://a:secret@127.0.0.1:1\"\n";
    let said = ended(nobody).await;
    assert!(
        said.contains("NATS at nats://127.0.0.1:1 can't be reached") && !said.contains("secret"),
        "{said}"
    );
    let said = ended("[hub]\nengine = \"nats\"\n").await;
    assert!(said.contains("nats.prefix") && said.contains("a name of this site"), "{said}");
}
