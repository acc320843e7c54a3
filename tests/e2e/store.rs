//! The store of the real program, for an operator: `lua-hotloader store`.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use hotloader_test_support::{client::Browser, http::get, server::Server, site::Site};

use crate::SETUP;

/// Shows what the store has of `k`, and writes when it is clicked.
const MAIN: &str = r#"
App = session:prototype("App", { count = 0 })
function App:shown() return ui.json_encode(store.get("k") or "nothing") end
function App:click() self.count = self.count + 1 store.set("clicks", self.count) end
if not session:getApp() then session:createAppVariable(App:new()) end
"#;
const VIEWDEF: &str =
    r#"<template><b ui-value="shown()" ui-attr-title="count" ui-event-click="click()"></b></template>"#;

/// A site that no other test's server is mistaken for, and where its sockets are.
pub(crate) struct Served {
    pub(crate) site: Site,
    run: tempfile::TempDir,
}

impl Served {
    pub(crate) fn new(config: &str) -> Self {
        let files =
            [("lua/main.lua", MAIN), ("viewdefs/App.DEFAULT.html", VIEWDEF), ("config/config.toml", config)];
        Self { site: Site::with(SETUP, &files), run: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = SETUP.command();
        command.env("XDG_RUNTIME_DIR", self.run.path()).args(args).arg("--dir").arg(self.site.dir());
        command
    }

    pub(crate) async fn serve(&self) -> Server {
        Server::run(self.command(&["serve", "--hotload", "--port", "0"])).await
    }

    /// What `lua-hotloader store` prints; its last line of errors in place of it if it fails.
    pub(crate) fn store(&self, args: &[&str]) -> Result<String, (i32, String)> {
        self.store_with(args, "")
    }

    fn store_with(&self, args: &[&str], input: &str) -> Result<String, (i32, String)> {
        let mut command = self.command(&[&["store"], args].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match output.status.code() {
            Some(0) => Ok(text(&output.stdout)),
            code => Err((code.unwrap(), text(&output.stderr).trim_end().to_owned())),
        }
    }

    #[track_caller]
    pub(crate) fn fails(&self, args: &[&str], code: i32, words: &str) {
        let (found, said) = self.store(args).unwrap_err();
        assert!(found == code && said.contains(words), "{args:?}: {found} {said}");
    }

    /// What works in the same way whether it is served or not.
    fn does_what_it_says(&self) {
        assert_eq!(self.store(&["list"]), Ok(String::new()));
        self.fails(&["get", "k"], 1, "\"k\": no such key; `lua-hotloader store list` prints those there are");
        self.fails(&["delete", "k"], 1, "no such key");
        assert_eq!(self.store(&["set", "k", "{\"yes\": -1.5, \"names\": [\"ä\"]}"]), Ok(String::new()));
        assert_eq!(self.store(&["get", "k"]), Ok("{\"names\":[\"ä\"],\"yes\":-1.5}\n".into()));
        assert_eq!(self.store(&["set", "n", "-7"]), Ok(String::new()));
        assert_eq!(self.store_with(&["set", "here.1", "-", "--ttl", "1h"], "true\n"), Ok(String::new()));
        let listed = "here.1\ttrue\nk\t{\"names\":[\"ä\"],\"yes\":-1.5}\nn\t-7\n";
        assert_eq!(self.store(&["list"]), Ok(listed.into()));
        assert_eq!(self.store(&["list", "he"]), Ok("here.1\ttrue\n".into()));
        assert_eq!(self.store(&["delete", "n"]), Ok(String::new()));

        let exported = self.store(&["export"]).unwrap();
        let lines: Vec<serde_json::Value> =
            exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let left = lines[0]["ttl"].as_u64().unwrap();
        assert!((3_000_000..=3_600_000).contains(&left), "{exported}");
        assert_eq!(lines[1]["value"]["yes"], -1.5);
        assert_eq!(self.store(&["delete", "k"]), Ok(String::new()));
        let file = self.site.outside("copy.jsonl");
        std::fs::write(&file, &exported).unwrap();
        assert_eq!(
            self.store(&["import", file.to_str().unwrap()]),
            Ok(format!("{} keys written\n", lines.len()))
        );
        assert_eq!(self.store(&["get", "k"]), Ok("{\"names\":[\"ä\"],\"yes\":-1.5}\n".into()));

        self.fails(&["set", "k", "text"], 2, "text: no JSON: expected ident");
        self.fails(&["set", "k", "null"], 2, "`store delete` deletes a key");
        self.fails(&["set", "", "1"], 2, "a key is a text that is not empty");
        self.fails(&["set", "k", "1", "--ttl", "0s"], 2, "at least 1ms");
        let long = format!("\"{}\"", "v".repeat(70_000));
        self.fails(&["set", "k", &long], 2, "is 70002, and hub.max_value allows 65536");
        self.fails(&["set", &"k".repeat(300), "1"], 2, "is 300, and hub.max_key allows 256");
        let (code, said) =
            self.store_with(&["import"], "{\"key\":\"z\",\"value\":1}\n\n{\"key\":\"k\"}\n").unwrap_err();
        assert!(code == 2 && said.contains("standard input:3: missing field `value`"), "{said}");
        self.fails(&["get", "z"], 1, "no such key");
        let many: String = (0..1500).map(|n| format!("{{\"key\":\"many {n}\",\"value\":{n}}}\n")).collect();
        assert_eq!(self.store_with(&["import"], &many), Ok("1500 keys written\n".into()));
        assert_eq!(self.store(&["list", "many"]).unwrap().lines().count(), 1500);
    }
}

#[tokio::test]
async fn an_operator_changes_the_store_of_a_site_that_is_served_and_its_pages_show_it_at_once() {
    // As if nothing could be seen in the file, so that only the server can have written it.
    let served = Served::new("hub.store = \":memory:\"");
    let server = served.serve().await;
    let mut browser = Browser::open(&server).await;
    browser.show(&["shown()"]).await;
    browser.sees("shown()", "\"nothing\"").await;
    served.store(&["set", "k", "[1]"]).unwrap();
    browser.sees("shown()", "[1]").await;
    served.store(&["delete", "k"]).unwrap();
    browser.sees("shown()", "\"nothing\"").await;
    served.does_what_it_says();
    let metrics = get(server.addr(), "/metrics").await.body;
    let count = |result: &str| {
        let series = format!("hotloader_store_write_seconds_count{{result=\"{result}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok())
    };
    assert!(count("ok") > Some(1500) && count("failed") == Some(0), "{metrics}");
    drop(server);
    served.fails(&["get", "k"], 1, "there is a store only while the site is served");
}

#[test]
fn an_operator_changes_the_store_of_a_site_that_is_not_served() {
    let served = Served::new("");
    served.does_what_it_says();
    let file = served.site.path("data/store.db");
    let left: Vec<_> = std::fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "all of it is in one file: {left:?}");
}

#[tokio::test]
async fn what_is_served_without_a_control_socket_sees_what_an_operator_writes_into_its_file() {
    let served = Served::new("server.console = false");
    let server = served.serve().await;
    let mut browser = Browser::open(&server).await;
    browser.show(&["shown()"]).await;
    served.store(&["set", "k", "[1]"]).unwrap();
    browser.sees("shown()", "[1]").await;
}

#[tokio::test]
async fn a_server_that_has_been_stopped_in_its_tracks_holds_nobody_up() {
    let served = Served::new("");
    let server = served.serve().await;
    served.store(&["set", "k", "1"]).unwrap();
    server.suspend();
    assert_eq!(served.store(&["get", "k"]), Ok("1\n".into()));
    served.store(&["set", "k", "2"]).unwrap();
    server.signal(rustix::process::Signal::CONT);
    let mut browser = Browser::open(&server).await;
    browser.show(&["shown()"]).await;
    browser.sees("shown()", "2").await;
}

#[tokio::test]
async fn the_store_of_another_site_is_never_written() {
    let (served, other) = (Served::new(""), Served::new(""));
    let server = served.serve().await;
    let mut command = other.command(&["store", "set", "k", "1"]);
    assert!(command.env("XDG_RUNTIME_DIR", served.run.path()).status().unwrap().success());
    assert_eq!(other.store(&["get", "k"]), Ok("1\n".into()));
    served.fails(&["get", "k"], 1, "no such key");
    drop(server);
}

#[test]
fn a_store_that_cannot_be_used_is_refused_in_the_words_of_the_server() {
    let served = Served::new("hub.patience = \"50ms\"");
    let file = served.site.path("data/store.db");
    served.store(&["set", "k", "1"]).unwrap();
    let other = || rusqlite::Connection::open(&file).unwrap();

    let locked = other();
    locked.execute_batch("BEGIN EXCLUSIVE").unwrap();
    served.fails(&["get", "k"], 1, "is locked by another program");
    drop(locked);
    other().execute_batch("PRAGMA user_version = 9").unwrap();
    served.fails(&["set", "k", "2"], 1, "has the format 9, and this program knows 1");
    std::fs::write(&file, [7; 5000]).unwrap();
    served.fails(&["export"], 1, "move it away");

    served.site.save("config/config.toml", "hub.store = \"off\"");
    served.fails(&["get", "k"], 1, "hub.store is \"off\"");
    let empty = tempfile::tempdir().unwrap();
    let set = |dir: &Path| {
        let args = ["store", "set", "k", "1", "--dir", dir.to_str().unwrap()];
        SETUP.command().args(args).output().unwrap()
    };
    let output = set(empty.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no site"), "{output:?}");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing is made there");
    assert_eq!(set(&empty.path().join("nowhere")).status.code(), Some(2));
}
