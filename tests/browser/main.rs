//! In a real browser: the sample site, as a person sees it who saves a file, and (in `client`) what the
//! built-in client makes of each attribute.
//!
//! With UPDATE_SCREENSHOTS=1 the pictures of the README are made anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

mod below_a_base;
mod board;
mod client;
mod edits;
mod foreign_page;
mod page_files;
mod problems;
mod shared_state;
mod status;
mod templates;
mod tutorial;

use std::{fs, path::Path};

use hotloader_test_support::{chromium::Chromium, server::Server, setup::Setup, site::Site};
use serde_json::json;

const SETUP: Setup = Setup::auto(env!("CARGO_BIN_EXE_lua-hotloader"));

const CLICK: &str = ".counter button.main";
const COUNT: &str = ".count";

/// The sample site, to be edited.
fn sample() -> Site {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let site = Site::with(SETUP, &[]);
    site.copy(&checkout.join("lua"), "lua");
    site.copy(&checkout.join("config"), "config");
    site
}

#[tokio::test]
async fn an_edit_is_seen_with_the_old_count_on_the_same_page() {
    let Some(browser) = Chromium::start().await else { return };
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.shows("h1", "Hello from Lua").await;
    browser.click(CLICK).await;
    browser.click(CLICK).await;
    browser.shows(COUNT, "Clicked 2 times").await;

    site.edit("lua/main.lua", "Hello from Lua", "Edited");
    browser.shows("h1", "Edited").await;
    browser.shows(COUNT, "Clicked 2 times").await;
    site.edit("lua/main.lua", "\"Clicked \"", "\"Pressed \"");
    browser.shows(COUNT, "Pressed 2 times").await;
    browser.click(CLICK).await;
    browser.shows(COUNT, "Pressed 3 times").await;
    // A module: the cards on the page are the same ones.
    site.edit("lua/text.lua", "★", "+");
    browser.shows(".card .stars", "").await;
    browser
        .gives(
            "return [...document.querySelectorAll('.stars')].map((e) => e.textContent)",
            json!(["", "", "++", "+++"]),
        )
        .await;
    browser.ends_well().await;
}

#[tokio::test]
async fn a_broken_save_shows_the_overlay_over_a_page_that_lives_and_the_fix_takes_it_away() {
    let Some(browser) = Chromium::start().await else { return };
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.click(CLICK).await;
    browser.shows(COUNT, "Clicked 1 time").await;
    let good = site.read("lua/board.lua");
    let line = good.lines().count();

    site.save("lua/board.lua", &good.replace("\nreturn Board", "\nreturn Board Board"));
    browser.overlay(&["Not reloaded", &format!("lua/board.lua:{line}"), "return Board Board"]).await;
    browser.click(CLICK).await;
    browser.shows(COUNT, "Clicked 2 times").await;
    site.save("lua/board.lua", &good.replace("\nreturn Board", "\nlocal x = nil; x.y = 1"));
    browser.overlay(&[&format!("lua/board.lua:{line}"), "attempt to index a nil value"]).await;
    site.save("lua/board.lua", &good.replace("\"%d of %d open", "\"%d/%d open"));
    browser.overlay(&[]).await;
    browser.shows("aside p", "3/4 open, 5 votes").await;
    browser.shows(COUNT, "Clicked 2 times").await;
    browser.ends_well().await;
}

#[tokio::test]
async fn an_edited_viewdef_keeps_what_is_typed_and_the_focus() {
    let Some(browser) = Chromium::start().await else { return };
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.shows(".board aside h2", "In front").await;
    browser.find("form .grow").await.send_keys("half a ti").await.unwrap();
    browser.run("document.activeElement.setSelectionRange(2, 4)").await;

    site.edit("lua/viewdefs/Board.DEFAULT.html", "In front", "Leading");
    browser.shows(".board aside h2", "Leading").await;
    let field =
        "const e = document.activeElement; return [e.placeholder, e.value, e.selectionStart, e.selectionEnd]";
    browser.gives(field, json!(["A new card", "half a ti", 2, 4])).await;
    // A view within a view, and the page around both.
    site.edit("lua/viewdefs/Card.list-item.html", "▲", "up");
    browser.gives("return document.querySelector('.vote').textContent.trim()", "up 0").await;
    site.edit("lua/viewdefs/App.DEFAULT.html", "Click me", "Press me");
    browser.shows(CLICK, "Press me").await;
    browser.gives(field, json!(["A new card", "half a ti", 2, 4])).await;

    browser.run("document.activeElement.setSelectionRange(9, 9)").await;
    browser.find("form .grow").await.send_keys("tle\u{E007}").await.unwrap();
    browser.gives("return document.querySelector('.card .title').value", "half a title").await;
    browser.gives("return document.querySelector('form .grow').value", "").await;
    browser.ends_well().await;
}

#[tokio::test]
async fn three_windows_show_an_edit_and_keep_their_counts() {
    let Some(browser) = Chromium::start().await else { return };
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    let mut windows = vec![browser.client.window().await.unwrap()];
    for _ in 0..2 {
        windows.push(browser.client.new_window(false).await.unwrap().handle);
    }
    let text = |clicks: usize| format!("Clicked {clicks} time{}", if clicks == 1 { "" } else { "s" });
    for (clicks, window) in windows.iter().enumerate() {
        browser.client.switch_to_window(window.clone()).await.unwrap();
        browser.open(&server).await;
        browser.shows(COUNT, &text(0)).await;
        for count in 1..=clicks {
            browser.click(CLICK).await;
            browser.shows(COUNT, &text(count)).await;
        }
    }
    site.edit("lua/main.lua", "Hello from Lua", "Hello from all");
    for (clicks, window) in windows.iter().enumerate() {
        browser.client.switch_to_window(window.clone()).await.unwrap();
        browser.shows("h1", "Hello from all").await;
        browser.shows(COUNT, &text(clicks)).await;
        assert_eq!(browser.run("return window.marker").await, "never reloaded");
    }
    browser.ends_well().await;
}

#[tokio::test]
async fn the_page_of_a_failed_start_becomes_the_application_when_the_file_is_mended() {
    let Some(browser) = Chromium::start().await else { return };
    let site = sample();
    let good = site.read("lua/main.lua");
    for bad in ["local x = nil\nx.y = 1\n", "function x(\n"] {
        site.save("lua/main.lua", bad);
        let server = Server::start(SETUP, &site.dir()).await;
        browser.open(&server).await;
        let body = browser.run("return document.body.textContent").await;
        assert!(body.as_str().unwrap().contains("lua/main.lua:"), "{body}");
        site.save("lua/main.lua", &good);
        browser.shows("h1", "Hello from Lua").await;
        browser.click(CLICK).await;
        browser.shows(COUNT, "Clicked 1 time").await;
    }
    browser.end().await;
}

#[tokio::test]
async fn after_a_restart_of_the_server_the_application_begins_anew_by_itself_and_says_so() {
    let Some(browser) = Chromium::start().await else { return };
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    let port = server.addr().port().to_string();
    browser.open(&server).await;
    browser.click(CLICK).await;
    browser.shows(COUNT, "Clicked 1 time").await;
    let old = browser
        .run("history.pushState({}, '', location.pathname + '/cards/7?x=1'); return location.href")
        .await;
    drop(server);
    browser
        .gives("return document.querySelector('ui-notice').shadowRoot.textContent.includes('Offline')", true)
        .await;
    let _server = Server::with(SETUP, &site.dir(), &["--hotload", "--port", &port]).await;
    browser.shows(COUNT, "Clicked 0 times").await;
    let notice = "return document.querySelector('ui-notice').shadowRoot.querySelector('p').textContent";
    browser.gives(&format!("{notice}.includes('its state is new')"), true).await;
    let new = browser.run("return location.href").await;
    assert!(new != old && new.as_str().unwrap().ends_with("/cards/7?x=1"), "{old} {new}");
    browser.gives(notice, "").await;
    // A browser logs each attempt that nobody answered, and the page that was not found; we add nothing.
    let errors = browser.errors().await;
    let of_network = |error: &&String| error.contains("net::ERR_") || error.contains("404");
    assert!(errors.iter().all(|error| of_network(&error)), "the console: {errors:?}");
    browser.end().await;
}

/// Not a check: makes the pictures of the README, if asked to.
#[tokio::test]
async fn screenshots() {
    if std::env::var("UPDATE_SCREENSHOTS").as_deref() != Ok("1") {
        return;
    }
    let browser = Chromium::start().await.unwrap();
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.client.set_window_size(1200, 800).await.unwrap();
    browser.open(&server).await;
    // The window has a frame.
    let frame = browser.run("return 800 - innerHeight").await.as_u64().unwrap();
    browser.client.set_window_size(1200, 800 + u32::try_from(frame).unwrap()).await.unwrap();
    for _ in 0..3 {
        browser.click(CLICK).await;
    }
    browser.shows(COUNT, "Clicked 3 times").await;
    browser.run("document.activeElement.blur()").await;
    browser.gives("return document.querySelector('.clock small').textContent.trim()", "3 ticks").await;
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    fs::write(images.join("board.png"), browser.client.screenshot().await.unwrap()).unwrap();
    site.edit("lua/card.lua", "self.votes = self.votes + 1 -- try: + 10", "self.votes += 1");
    browser.overlay(&["lua/card.lua:"]).await;
    fs::write(images.join("overlay.png"), browser.client.screenshot().await.unwrap()).unwrap();
    site.edit("lua/card.lua", "self.votes += 1", "self.votes = self.votes + 10");
    browser.overlay(&[]).await;
    browser.open_at(&format!("{}/_hot/", server.url())).await;
    browser.shows("#sessions td:nth-child(3)", "0").await;
    fs::write(images.join("status.png"), browser.client.screenshot().await.unwrap()).unwrap();
    browser.end().await;
}
