//! What a save does to state, through the real server: what is not told by the tests of single sessions.

use hotloader_test_support::{
    client::Browser,
    server::Server,
    site::{MAIN, Site, WORDS},
};

use crate::SETUP;

#[tokio::test]
async fn case_07_a_local_goes_on_from_what_it_was() {
    let site = Site::new(SETUP);
    let words = "local M = {}\nlocal times = 0\nfunction M.word() times = times + 1 return 'alpha' end\nfunction M.said() return times end\nreturn M\n";
    site.save("lua/words.lua", words);
    site.bind(&["said()"]);
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.counts(1).await;
    site.save("lua/words.lua", &words.replace("alpha", "beta"));
    browser.sees("word()", "beta").await;
    browser.reload("ok").await;
    browser.show(&["said()"]).await;
    browser.counts(2).await;
    let said = browser.value("said()").as_i64().unwrap();
    assert!(said > 1, "{said}: it goes on from what it was");
}

#[tokio::test]
async fn case_12_a_file_may_fail_in_one_session_and_reach_the_others() {
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    let (mut one, mut other) = (Browser::open_app(&server).await, Browser::open_app(&server).await);
    one.counts(1).await;
    other.counts(1).await;
    other.click().await;
    let picky = "if session:getApp().count == 2 then error('not with two') end\n";
    site.save("lua/main.lua", &format!("{picky}{}", MAIN.replace("first", "second")));
    one.sees("label()", "second").await;
    server.logged("1 of 2 sessions keeps the previous version").await;
    assert_eq!(other.value("label()"), "first");
    site.save("lua/main.lua", &MAIN.replace("first", "third"));
    one.sees("label()", "third").await;
    other.sees("label()", "third").await;
}

#[tokio::test]
async fn case_15_a_renamed_module_is_one_edit() {
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.counts(1).await;
    site.save("lua/terms.lua", &WORDS.replace("alpha", "beta"));
    site.save("lua/main.lua", &MAIN.replace("require \"words\"", "require \"terms\""));
    site.delete("lua/words.lua");
    browser.sees("word()", "beta").await;
    server.logged("lua/words.lua is gone and nothing requires it any more: it was let go").await;
    browser.counts(2).await;
}
