//! The directories of a site themselves: removed, replaced, made later.

use hotloader_test_support::{
    client::Browser,
    http,
    server::Server,
    setup::Setup,
    site::{MAIN, Site, WORDS},
    until,
};
use std::fs;

on_each! {
    auto, polling, watchman, bindfs, sshfs: [
        a_lua_directory_that_is_deleted_and_made_again_is_watched_again,
        another_lua_directory_put_in_the_place_of_the_old_one_is_taken,
        viewdefs_made_after_the_start_are_sent,
    ]
}

async fn a_lua_directory_that_is_deleted_and_made_again_is_watched_again(setup: Setup) {
    let site = Site::new(setup);
    let server = Server::start(setup, &site.dir()).await;
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

async fn another_lua_directory_put_in_the_place_of_the_old_one_is_taken(setup: Setup) {
    let site = Site::new(setup);
    let server = Server::start(setup, &site.dir()).await;
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

async fn viewdefs_made_after_the_start_are_sent(setup: Setup) {
    let site = Site::new(setup);
    site.delete("viewdefs");
    let server = Server::start(setup, &site.dir()).await;
    let mut browser = Browser::open(&server).await;
    // Nothing binds it yet.
    browser.show(&["label()"]).await;
    browser.told("error", |error| error["code"] == "unauthorized").await;
    site.save("viewdefs/App.DEFAULT.html", "<template><h2 ui-value=\"label()\"></h2></template>\n");
    let sent = |browser: &Browser| serde_json::json!(browser.frames).to_string().contains("<h2 ");
    browser.wait_until("the viewdef", sent).await;
    browser.sees("label()", "first").await;
}
