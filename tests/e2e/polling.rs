//! The server that polls: what it is told to notice by does not change what is seen.

use hotloader_test_support::{
    client::Browser,
    server::Server,
    site::{MAIN, Site, WORDS},
};

use crate::SETUP;

#[tokio::test]
async fn an_edit_is_seen_with_the_backend_named_on_the_command_line() {
    let site = Site::new(SETUP);
    let server = Server::with(SETUP, &site.dir(), &["--hotload", "--watch-backend", "polling"]).await;
    let mut browser = Browser::open_app(&server).await;
    browser.counts(1).await;
    site.edit("lua/main.lua", "first", "second");
    browser.sees("label()", "second").await;
    browser.counts(2).await;
}

#[tokio::test]
async fn an_edit_a_deletion_and_a_new_file_are_seen_with_the_backend_of_the_configuration() {
    let site =
        Site::configured(SETUP, "[watch]\nbackend = \"polling\"\n[watch.polling]\ninterval = \"50ms\"\n");
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.counts(1).await;

    site.edit("lua/words.lua", "alpha", "beta");
    browser.sees("word()", "beta").await;

    site.delete("lua/words.lua");
    server.logged("lua/words.lua is gone").await;
    site.save("lua/words.lua", &WORDS.replace("alpha", "gamma"));
    browser.sees("word()", "gamma").await;

    site.save("lua/deep/er/names.lua", "return { name = function() return 'Ada' end }\n");
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "require('deep.er.names').name()"));
    browser.sees("label()", "Ada").await;
    site.edit("lua/deep/er/names.lua", "Ada", "Eve");
    browser.sees("label()", "Eve").await;
    browser.counts(2).await;
}

#[tokio::test]
async fn a_wrong_option_ends_the_start_and_is_named() {
    let site = Site::configured(SETUP, "[watch.polling]\nintervall = \"50ms\"\n");
    let mut command = SETUP.command();
    command
        .args(["serve", "--hotload", "--port", "0", "--watch-backend", "polling", "--dir"])
        .arg(site.dir());
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("watch.polling.intervall"), "{stderr}");
}
