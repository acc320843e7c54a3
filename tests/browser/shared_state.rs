//! What reaches other windows: the examples of docs/shared-state.md, and what the sample shares, in two browsers.

use std::{fs, path::Path};

use hotloader_test_support::{chromium::Chromium, server::Server, site::Site};

use crate::{SETUP, sample};

/// A site of the Lua code and the template below a heading of the page.
fn written_on_the_page(heading: &str, change: impl Fn(String) -> String) -> Site {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/shared-state.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let block = |kind: &str| {
        section.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap().to_owned()
    };
    let main = change(block("lua"));
    Site::with(SETUP, &[("lua/main.lua", &main), ("viewdefs/App.DEFAULT.html", &block("html"))])
}

/// Two people, each with a browser, on one server.
async fn two_on(site: &Site) -> Option<(Server, Chromium, Chromium)> {
    let (one, two) = (Chromium::start().await?, Chromium::start().await?);
    let server = Server::start(SETUP, &site.dir()).await;
    one.open(&server).await;
    two.open(&server).await;
    Some((server, one, two))
}

#[tokio::test]
async fn a_vote_of_the_poll_shows_in_two_browsers_and_after_a_restart_of_the_server() {
    let site = written_on_the_page("A poll", |main| main);
    let Some((server, one, two)) = two_on(&site).await else { return };
    for browser in [&one, &two] {
        browser.shows("#yes", "0").await;
    }
    one.click("button").await;
    two.click("button").await;
    for browser in [&one, &two] {
        browser.shows("#yes", "2").await;
        browser.shows("#no", "0").await;
    }
    drop(server);
    let server = Server::start(SETUP, &site.dir()).await;
    one.open(&server).await;
    one.shows("#yes", "2").await;
    // Their consoles say that the server was away.
    one.end().await;
    two.end().await;
}

#[tokio::test]
async fn a_line_of_the_chat_shows_and_rings_in_two_browsers() {
    let site = written_on_the_page("A chat", |main| main);
    let Some((_server, one, two)) = two_on(&site).await else { return };
    two.shows("button", "Send").await;
    for (browser, text) in [(&one, "hello"), (&two, "hello yourself")] {
        browser.find("input").await.send_keys(text).await.unwrap();
        browser.click("button").await;
        for each in [&one, &two] {
            each.shows("#heard", &format!("new: {text}")).await;
        }
    }
    for browser in [one, two] {
        browser.gives("return document.querySelector('#lines').textContent", "hello\nhello yourself").await;
        browser.ends_well().await;
    }
}

#[tokio::test]
async fn who_is_here_counts_two_browsers_and_one_that_has_begun_anew_is_no_third() {
    // As on the page, only sooner.
    let site = written_on_the_page("Who is here", |main| main.replace("6000", "1500").replace("2000", "200"));
    let Some((server, one, two)) = two_on(&site).await else { return };
    for browser in [&one, &two] {
        browser.shows("#count", "2").await;
    }
    let session = two.run("return location.pathname.split('/').filter(Boolean)[0]").await;
    let mut restart = SETUP.command();
    restart.args(["restart", session.as_str().unwrap(), "--port", &server.addr().port().to_string()]);
    assert!(restart.current_dir(site.dir()).output().unwrap().status.success());
    one.shows("#count", "3").await;
    one.shows("#count", "2").await;
    one.ends_well().await;
    two.end().await;
}

#[tokio::test]
async fn a_card_that_is_added_to_the_sample_shows_in_the_other_browser() {
    let site = sample();
    let Some((server, one, two)) = two_on(&site).await else { return };
    let added = "return document.querySelector('.added').textContent";
    two.gives(added, "Add a card: every window shows it here.").await;
    for (title, all) in [("first", "first"), ("second", "second\nfirst")] {
        one.find("form .grow").await.send_keys(&format!("{title}\u{E007}")).await.unwrap();
        for browser in [&one, &two] {
            browser.gives(added, all).await;
        }
    }
    two.gives("return document.querySelectorAll('.card').length", 4).await;
    one.gives("return document.querySelectorAll('.card').length", 6).await;
    drop(server);
    let server = Server::start(SETUP, &site.dir()).await;
    two.open(&server).await;
    two.gives(added, "second\nfirst").await;
    one.end().await;
    two.end().await;
}
