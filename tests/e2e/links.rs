//! Links below the Lua directory: what they lead to is reloaded, for as long as they lead there.

use hotloader_test_support::{
    client::Browser,
    server::Server,
    setup::Setup,
    site::{MAIN, Site, WORDS},
};

on_each! {
    auto, polling, watchman, bindfs: [
        a_linked_file_follows_its_target_and_its_retargeting_and_stops_when_it_is_removed,
        a_link_made_while_the_server_runs_is_followed,
        a_linked_directory_is_followed_with_what_is_made_in_it_later,
        a_link_that_leads_nowhere_comes_alive_with_its_target,
        a_link_to_a_forbidden_place_is_not_run,
    ]
}

fn words(word: &str) -> String {
    WORDS.replace("alpha", word)
}

async fn a_linked_file_follows_its_target_and_its_retargeting_and_stops_when_it_is_removed(setup: Setup) {
    let site = Site::new(setup);
    site.delete("lua/words.lua");
    site.save_outside("one/words.lua", &words("one"));
    site.save_outside("two/other.lua", &words("two"));
    site.link("lua/words.lua", &site.outside("one/words.lua"));
    let server = Server::start(setup, &site.dir()).await;
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

async fn a_link_made_while_the_server_runs_is_followed(setup: Setup) {
    let site = Site::new(setup);
    site.save_outside("names.lua", "return { name = function() return 'Ada' end }\n");
    let server = Server::start(setup, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    site.link("lua/names.lua", &site.outside("names.lua"));
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "require('names').name()"));
    browser.sees("label()", "Ada").await;
    site.save_outside("names.lua", "return { name = function() return 'Grace' end }\n");
    browser.sees("label()", "Grace").await;
    server.logged("reloaded lua/names.lua").await;
}

async fn a_linked_directory_is_followed_with_what_is_made_in_it_later(setup: Setup) {
    let site = Site::new(setup);
    site.save_outside("shared/names.lua", "return { name = function() return 'Ada' end }\n");
    site.link("lua/shared", &site.outside("shared"));
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "require('shared.names').name()"));
    let server = Server::start(setup, &site.dir()).await;
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

async fn a_link_that_leads_nowhere_comes_alive_with_its_target(setup: Setup) {
    let site = Site::new(setup);
    site.delete("lua/words.lua");
    site.link("lua/words.lua", &site.outside("later/words.lua"));
    let server = Server::start(setup, &site.dir()).await;
    let mut browser = Browser::open(&server).await;
    browser.reload("failed").await;
    site.save_outside("later/words.lua", &words("late"));
    browser.told("restart", |_| true).await;
    browser.show(&["word()", "count"]).await;
    browser.sees("word()", "late").await;
}

async fn a_link_to_a_forbidden_place_is_not_run(setup: Setup) {
    let site = Site::configured(setup, "[watch]\nallowed_roots = [\"../outside/allowed\"]\n");
    site.save_outside("allowed/good.lua", "return 'good'\n");
    site.save_outside("secret/bad.lua", "return 'bad'\n");
    site.link("lua/good.lua", &site.outside("allowed/good.lua"));
    site.link("lua/bad.lua", &site.outside("secret/bad.lua"));
    let label = "require('good') .. tostring(pcall(require, 'bad'))";
    site.save("lua/main.lua", &MAIN.replace("\"first\"", label));
    let server = Server::start(setup, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.sees("label()", "goodfalse").await;
    server.logged("bad.lua").await;
}
