//! What becomes of topics and the store of the real program when things go wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hotloader_test_support::{client::Browser, server::Server, site::Site};
use rustix::process::{Signal, geteuid};
use serde_json::json;

use crate::{SETUP, store::Served};

/// How many clicks the page says are in the store: it shows one only when the write is done.
fn acknowledged(browser: &Browser) -> u64 {
    browser.value("count").as_u64().unwrap_or_default()
}

#[tokio::test]
async fn what_a_page_has_shown_as_written_is_there_after_the_server_was_killed() {
    let served = Served::new("");
    for round in 0..3 {
        let mut server = served.serve().await; // a new session, which begins to count anew
        let mut browser = Browser::open(&server).await;
        browser.show(&["count"]).await;
        for _ in 0..60 {
            browser.click().await;
        }
        browser.wait_until("some of the clicks", |browser| acknowledged(browser) > 20 + round).await;
        server.signal(Signal::KILL);
        server.ended().await;
        let stored: u64 = served.store(&["get", "clicks"]).unwrap().trim().parse().unwrap();
        assert!(stored >= acknowledged(&browser), "{stored} of {}", acknowledged(&browser));
    }
}

/// A small disk; `None` where the test may not mount one.
pub(crate) struct SmallDisk(pub(crate) PathBuf);

impl SmallDisk {
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        if !geteuid().is_root() {
            eprintln!("not tested: only root may mount a small disk");
            return None;
        }
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"]).arg(at).status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        if !is_mounted {
            eprintln!("not tested: no small disk can be mounted here");
        }
        is_mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn on_a_full_disk_a_write_fails_in_words_and_what_is_there_stays() {
    let served = Served::new("");
    let Some(disk) = SmallDisk::mount(&served.site.path("data")) else { return };
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![0; 200 << 10]).unwrap();
    let server = served.serve().await;
    let mut browser = Browser::open(&server).await;
    browser.show(&["count", "shown()"]).await;
    browser.counts(1).await;
    let large = json!("v".repeat(60_000)).to_string();
    let mut written = 0;
    let said = loop {
        match served.store(&["set", &format!("large {written}"), &large]) {
            Ok(_) => written += 1,
            Err((code, said)) => {
                assert_eq!(code, 1);
                break said;
            }
        }
        assert!(written < 100, "the disk is never full");
    };
    assert!(said.contains("the disk is full; make room"), "{said}");
    assert_eq!(served.store(&["get", "clicks"]), Ok("1\n".into()));
    // A handler gets the error, and the session goes on.
    browser.click().await;
    server.logged("the disk is full; make room").await;
    fs::remove_file(&ballast).unwrap();
    served.store(&["set", "k", "[1]"]).unwrap();
    browser.sees("shown()", "[1]").await;
    drop(server);
    assert_eq!(served.store(&["list", "large"]).unwrap().lines().count(), written);
    drop(disk);
}

#[test]
fn a_server_does_not_start_on_a_store_that_it_cannot_use() {
    let served = Served::new("hub.patience = \"50ms\"");
    let file = served.site.path("data/store.db");
    served.store(&["set", "k", "1"]).unwrap();
    let refuses = |words: &str| {
        let output = served.command(&["serve", "--port", "0"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(words), "{:?} {said}", output.status);
    };
    let locked = rusqlite::Connection::open(&file).unwrap();
    locked.execute_batch("BEGIN EXCLUSIVE").unwrap();
    refuses("is locked by another program; end that, or give this site another file (hub.store)");
    drop(locked);
    rusqlite::Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 9").unwrap();
    refuses("has the format 9, and this program knows 1; use the version that wrote it");
    fs::write(&file, [7; 5000]).unwrap();
    refuses("put back a copy of it, or move it away");
}

/// A page says a word that all hear; one of them never comes back from it if it is asked to.
const LISTENER: &str = r#"
App = session:prototype("App", { count = 0, heard = 0, mode = "" })
function App:click() self.count = self.count + 1 session:publish("word", self.count) end
function App:ready() return self.mode end
if not session:getApp() then session:createAppVariable(App:new()) end
local app = session:getApp()
session:subscribe("word", function(n)
  while app.mode == "stuck" and n == 1 do end
  app.heard = n
end)
"#;

#[tokio::test]
async fn a_subscriber_that_never_returns_keeps_no_word_from_others_and_hears_the_next_one() {
    let site = Site::with(
        SETUP,
        &[
            ("lua/main.lua", LISTENER),
            (
                "viewdefs/App.DEFAULT.html",
                r#"<template><b ui-value="heard" ui-event-click="click()"></b><input ui-value="mode"><i ui-value="count" ui-attr-title="ready()"></i></template>"#,
            ),
            ("config/config.toml", "session.budget.handler = \"600ms\""),
        ],
    );
    let server = Server::start(SETUP, &site.dir()).await;
    let (mut stuck, mut other) = (Browser::open(&server).await, Browser::open(&server).await);
    for browser in [&mut stuck, &mut other] {
        browser.show(&["heard", "mode", "count", "ready()"]).await;
        browser.sees("heard", 0).await;
    }
    let mode = json!([{ "type": "update", "data": { "varId": stuck.id("mode"), "value": "stuck" } }]);
    stuck.send(mode).await;
    stuck.sees("ready()", "stuck").await;
    other.counts(1).await;
    other.sees("heard", 1).await;
    assert_eq!(stuck.value("heard"), 0);
    other.counts(2).await;
    other.sees("heard", 2).await;
    stuck.sees("heard", 2).await;
    server.logged("a subscription failed").await;
    assert!(server.log().contains("session.budget.handler"), "{}", server.log());
}
