//! The directories of a site themselves: removed, replaced, made later.

use std::fs;

use crate::{
    client::Browser,
    support::{
        http,
        server::Server,
        site::{MAIN, Site, WORDS},
        until,
    },
};

#[tokio::test]
async fn a_lua_directory_that_is_deleted_and_made_again_is_watched_again() {
    let site = Site::new();
    let server = Server::start(&site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.counts(1).await;
    for label in ["second", "third"] {
        site.delete("lua");
        browser.click().await;
        site.save("lua/words.lua", WORDS);
        site.save("lua/main.lua", &MAIN.replace("first", label));
        browser.sees("label()", label).await;
    }
    browser.counts(4).await;
    site.edit("lua/words.lua", "alpha", "beta");
    browser.sees("word()", "beta").await;
    let ready = async || (http::get(server.addr(), "/readyz").await.status == 200).then_some(());
    until("readiness", ready).await;
}

#[tokio::test]
async fn another_lua_directory_put_in_the_place_of_the_old_one_is_taken() {
    let site = Site::new();
    let server = Server::start(&site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    site.save("next/words.lua", WORDS);
    site.save("next/main.lua", &MAIN.replace("first", "second"));
    fs::rename(site.path("lua"), site.path("old")).unwrap();
    fs::rename(site.path("next"), site.path("lua")).unwrap();
    browser.sees("label()", "second").await;
    site.edit("lua/main.lua", "second", "third");
    browser.sees("label()", "third").await;
    site.edit("old/main.lua", "first", "old");
    site.edit("lua/main.lua", "third", "fourth");
    browser.sees("label()", "fourth").await;
}

#[tokio::test]
async fn viewdefs_made_after_the_start_are_sent() {
    let site = Site::new();
    site.delete("viewdefs");
    let server = Server::start(&site.dir()).await;
    let mut browser = Browser::open(&server).await;
    // Nothing binds it yet.
    browser.show(&["label()"]).await;
    browser.told("error", |error| error["code"] == "unauthorized").await;
    site.save("viewdefs/App.DEFAULT.html", "<template><h2 ui-value=\"label()\"></h2></template>\n");
    let sent = |browser: &Browser| serde_json::json!(browser.frames).to_string().contains("<h2 ");
    browser.wait_until("the viewdef", sent).await;
    browser.sees("label()", "first").await;
}
