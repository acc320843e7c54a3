//! Links below the Lua directory: what they lead to is reloaded, for as long as they lead there.

use crate::{
    client::Browser,
    support::{
        server::Server,
        site::{MAIN, Site, WORDS},
    },
};

fn words(word: &str) -> String {
    WORDS.replace("alpha", word)
}

#[tokio::test]
async fn a_linked_file_follows_its_target_and_its_retargeting_and_stops_when_it_is_removed() {
    let site = Site::new();
    site.delete("lua/words.lua");
    site.save_outside("one/words.lua", &words("one"));
    site.save_outside("two/other.lua", &words("two"));
    site.link("lua/words.lua", &site.outside("one/words.lua"));
    let server = Server::start(&site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.sees("word()", "one").await;
    browser.counts(1).await;

    site.save_outside("one/words.lua", &words("one, edited"));
    browser.sees("word()", "one, edited").await;
    site.retarget("lua/words.lua", &site.outside("two/other.lua"));
    browser.sees("word()", "two").await;
    // The old target is nobody's now, the new one is watched.
    site.save_outside("one/words.lua", &words("nobody's"));
    site.save_outside("two/other.lua", &words("two, edited"));
    browser.sees("word()", "two, edited").await;

    site.delete("lua/words.lua");
    server.logged("lua/words.lua is gone").await;
    site.save_outside("two/other.lua", &words("unseen"));
    // Goes the same way, later.
    site.edit("lua/main.lua", "first", "second");
    browser.sees("label()", "second").await;
    assert_eq!((browser.value("word()"), browser.value("count")), (&"two, edited".into(), &1.into()));
    assert!(!server.log().contains("other.lua"), "called by the name in the site:\n{}", server.log());
}

#[tokio::test]
async fn a_link_made_while_the_server_runs_is_followed() {
    let site = Site::new();
    site.save_outside("names.lua", "return { name = function() return 'Ada' end }\n");
    let server = Server::start(&site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    site.link("lua/names.lua", &site.outside("names.lua"));
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "require('names').name()"));
    browser.sees("label()", "Ada").await;
    site.save_outside("names.lua", "return { name = function() return 'Grace' end }\n");
    browser.sees("label()", "Grace").await;
    server.logged("reloaded lua/names.lua").await;
}

#[tokio::test]
async fn a_linked_directory_is_followed_with_what_is_made_in_it_later() {
    let site = Site::new();
    site.save_outside("shared/names.lua", "return { name = function() return 'Ada' end }\n");
    site.link("lua/shared", &site.outside("shared"));
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "require('shared.names').name()"));
    let server = Server::start(&site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.sees("label()", "Ada").await;

    site.save_outside("shared/names.lua", "return { name = function() return 'Grace' end }\n");
    browser.sees("label()", "Grace").await;
    site.save_outside("shared/more/last.lua", "return 'Hopper'\n");
    let main = MAIN.replace("\"first\"", "require('shared.names').name() .. require('shared.more.last')");
    site.save("lua/main.lua", &main);
    browser.sees("label()", "GraceHopper").await;

    site.save_outside("elsewhere/names.lua", "return { name = function() return 'Joan' end }\n");
    site.save_outside("elsewhere/more/last.lua", "return 'Clarke'\n");
    site.retarget("lua/shared", &site.outside("elsewhere"));
    browser.sees("label()", "JoanClarke").await;
    site.save_outside("elsewhere/names.lua", "return { name = function() return 'Jean' end }\n");
    browser.sees("label()", "JeanClarke").await;
    browser.counts(1).await;
}

#[tokio::test]
async fn a_link_that_leads_nowhere_comes_alive_with_its_target() {
    let site = Site::new();
    site.delete("lua/words.lua");
    site.link("lua/words.lua", &site.outside("later/words.lua"));
    let server = Server::start(&site.dir()).await;
    let mut browser = Browser::open(&server).await;
    browser.reload("failed").await;
    site.save_outside("later/words.lua", &words("late"));
    browser.told("restart", |_| true).await;
    browser.show(&["word()", "count"]).await;
    browser.sees("word()", "late").await;
}

#[tokio::test]
async fn a_link_to_a_forbidden_place_is_not_run() {
    let site = Site::configured("[watch]\nallowed_roots = [\"../outside/allowed\"]\n");
    site.save_outside("allowed/good.lua", "return 'good'\n");
    site.save_outside("secret/bad.lua", "return 'bad'\n");
    site.link("lua/good.lua", &site.outside("allowed/good.lua"));
    site.link("lua/bad.lua", &site.outside("secret/bad.lua"));
    let label = "require('good') .. tostring(pcall(require, 'bad'))";
    site.save("lua/main.lua", &MAIN.replace("\"first\"", label));
    let server = Server::start(&site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.sees("label()", "goodfalse").await;
    server.logged("bad.lua").await;
}
