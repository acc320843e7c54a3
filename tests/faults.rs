//! The whole program while what it watches by breaks. In each test a save made afterwards is seen.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

use std::{fs, path::Path, process::Command};

use hotloader_test_support::{
    client::Browser,
    daemon::Daemon,
    http,
    mounts::{self, Mount},
    server::Server,
    setup::Setup,
    site::{MAIN, Site, VIEWDEF, WORDS},
    until,
};
use rustix::process::Signal;

const SETUP: Setup = Setup::auto(env!("CARGO_BIN_EXE_lua-hotloader"));

/// Waits until `/readyz` is fine and says this.
async fn ready(server: &Server, text: &str) {
    let is_ready = async || {
        let ready = http::get(server.addr(), "/readyz").await;
        (ready.status == 200 && ready.body.contains(text)).then_some(())
    };
    until(&format!("/readyz to say {text:?}"), is_ready).await;
}

/// Saves again and again, each time with another text; each has to be seen.
async fn saves_are_seen(site: &Site, browser: &mut Browser, name: &str) {
    for n in 0..3 {
        let label = format!("{name} {n}");
        site.save("lua/main.lua", &MAIN.replace("first", &label));
        browser.sees("label()", label.as_str()).await;
    }
}

#[tokio::test]
async fn killing_watchman_loses_no_save_and_it_is_used_again_when_it_is_back() {
    let Some(mut daemon) = Daemon::start() else { return };
    let site = Site::new(SETUP);
    let mut command = SETUP.command();
    command.env("HOTLOADER_WATCH__WATCHMAN__SOCKNAME", daemon.sock());
    command.env("HOTLOADER_WATCH__WATCHMAN__SPAWN", "false");
    command.args(["serve", "--hotload", "--port", "0", "--watch-backend", "watchman,notify", "--dir"]);
    let server = Server::run({
        command.arg(site.dir());
        command
    })
    .await;
    ready(&server, "watchman").await;
    let mut browser = Browser::open_app(&server).await;
    saves_are_seen(&site, &mut browser, "alive").await;

    daemon.kill();
    // At once, before anybody may have noticed.
    saves_are_seen(&site, &mut browser, "killed").await;
    ready(&server, "notify").await;
    saves_are_seen(&site, &mut browser, "without").await;

    assert!(daemon.run());
    ready(&server, "watchman").await;
    saves_are_seen(&site, &mut browser, "back").await;
    browser.counts(1).await;
}

#[tokio::test]
async fn a_watchman_that_is_named_and_does_not_run_is_started_and_the_log_says_so() {
    let Some(daemon) = Daemon::absent() else { return };
    let site = Site::new(SETUP);
    let mut command = SETUP.command();
    command.env("HOTLOADER_WATCH__WATCHMAN__SOCKNAME", daemon.sock());
    command.args(["serve", "--hotload", "--port", "0", "--watch-backend", "watchman", "--dir"]);
    command.arg(site.dir());
    let server = Server::run(command).await;
    server.logged("no Watchman daemon answered; one was started").await;
    ready(&server, "watchman").await;
    let mut browser = Browser::open_app(&server).await;
    saves_are_seen(&site, &mut browser, "started").await;
    drop(server);
    daemon.end_spawned();
}

#[tokio::test]
async fn watchman_alone_is_waited_for_and_what_was_saved_meanwhile_is_seen() {
    let Some(mut daemon) = Daemon::start() else { return };
    let site = Site::new(SETUP);
    let mut command = SETUP.command();
    command.env("HOTLOADER_WATCH__WATCHMAN__SOCKNAME", daemon.sock());
    command.env("HOTLOADER_WATCH__WATCHMAN__SPAWN", "false");
    command.args(["serve", "--hotload", "--port", "0", "--watch-backend", "watchman", "--dir"]);
    let server = Server::run({
        command.arg(site.dir());
        command
    })
    .await;
    let mut browser = Browser::open_app(&server).await;
    daemon.kill();
    server.logged("changes are not seen until it works again").await;
    // The line and the answer come from two tasks.
    let unready = async || (http::get(server.addr(), "/readyz").await.status == 503).then_some(());
    until("/readyz to say that nobody watches", unready).await;
    site.save("lua/main.lua", &MAIN.replace("first", "meanwhile"));
    assert!(daemon.run());
    browser.sees("label()", "meanwhile").await;
    saves_are_seen(&site, &mut browser, "back").await;
}

/// The limit of watches is one of the user namespace that the server runs in; the machine's own is not
/// touched.
#[tokio::test]
async fn lowering_the_limit_of_watches_sends_new_directories_to_polling() {
    let can = Command::new("unshare").args(["-Ur", "true"]).status();
    if !mounts::told(can.is_ok_and(|status| status.success()), "a user namespace") {
        return;
    }
    let site = Site::new(SETUP);
    let mut command = Command::new("unshare");
    command.args(["-Ur", "--"]).arg(SETUP.command().get_program());
    command.args(["serve", "--hotload", "--port", "0", "--dir"]).arg(site.dir());
    for name in ["INTERVAL", "IDLE_INTERVAL"] {
        command.env(format!("HOTLOADER_WATCH__POLLING__{name}"), "50ms");
    }
    let server = Server::run(command).await;
    ready(&server, "inotify").await;
    let mut browser = Browser::open_app(&server).await;

    let lower = "echo 1 > /proc/sys/user/max_inotify_watches";
    let mut enter = Command::new("nsenter");
    enter.args(["-t", &server.id().to_string(), "-U", "--", "sh", "-c", lower]);
    assert!(enter.status().unwrap().success());
    site.save("lua/deep/names.lua", "return { name = function() return 'Ada' end }\n");
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "require('deep.names').name()"));
    browser.sees("label()", "Ada").await;
    server.logged("raise fs.inotify.max_user_watches").await;
    for name in ["Grace", "Edsger"] {
        site.save("lua/deep/names.lua", &format!("return {{ name = function() return '{name}' end }}\n"));
        browser.sees("label()", name).await;
    }
    ready(&server, "polling").await;
    saves_are_seen(&site, &mut browser, "what was watched still is").await;
}

#[tokio::test]
async fn an_overflowing_event_queue_is_noticed_and_everything_is_looked_at() {
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.counts(1).await;
    server.suspend();
    // More than the kernel keeps for a reader that does not read.
    for n in 0..18_000 {
        fs::write(site.path(&format!("lua/{n}.txt")), "").unwrap();
    }
    site.save("lua/late/names.lua", "return { name = function() return 'Ada' end }\n");
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "require('late.names').name()"));
    server.signal(Signal::CONT);
    // First: 18,000 files are looked at, which takes a while on a busy machine.
    server.logged("changes may have been missed").await;
    browser.sees("label()", "Ada").await;
    site.edit("lua/late/names.lua", "Ada", "Grace");
    browser.sees("label()", "Grace").await;
    browser.counts(2).await;
}

#[tokio::test]
async fn a_site_that_is_moved_away_and_back_is_watched_again() {
    let site = Site::new(SETUP);
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    let away = site.outside("away");
    for name in ["once", "twice"] {
        fs::rename(site.path(""), &away).unwrap();
        browser.click().await;
        fs::rename(&away, site.path("")).unwrap();
        saves_are_seen(&site, &mut browser, name).await;
    }
    browser.counts(3).await;
}

/// A site in `dir`, as [`Site::new`] has it.
fn lay_out(dir: &Path) {
    for (name, text) in
        [("lua/main.lua", MAIN), ("lua/words.lua", WORDS), ("viewdefs/App.DEFAULT.html", VIEWDEF)]
    {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn polling_often(site: &Path) -> Command {
    let mut command = SETUP.command();
    command.args(["serve", "--hotload", "--port", "0", "--dir"]).arg(site);
    for name in ["INTERVAL", "IDLE_INTERVAL"] {
        command.env(format!("HOTLOADER_WATCH__POLLING__{name}"), "50ms");
    }
    command
}

#[tokio::test]
async fn a_mount_that_goes_and_comes_back_loses_neither_state_nor_saves() {
    let Some(mut mount) = Mount::bindfs() else { return };
    lay_out(&mount.back().join("site"));
    let server = Server::run(polling_often(&mount.front().join("site"))).await;
    ready(&server, "polling").await;
    let mut browser = Browser::open_app(&server).await;
    let main = mount.back().join("site/lua/main.lua");
    fs::write(&main, MAIN.replace("first", "second")).unwrap();
    browser.sees("label()", "second").await;
    browser.counts(1).await;
    for label in ["third", "fourth"] {
        mount.unmount();
        mount.kill();
        fs::write(&main, MAIN.replace("first", label)).unwrap();
        // The site is not there, the sessions are.
        browser.click().await;
        assert!(mount.mount_bindfs("attr_timeout=0,entry_timeout=0"));
        browser.sees("label()", label).await;
        fs::write(&main, MAIN.replace("first", &format!("{label}, edited"))).unwrap();
        browser.sees("label()", format!("{label}, edited").as_str()).await;
    }
    browser.counts(4).await;
}

#[tokio::test]
async fn a_link_into_a_mount_is_polled_while_the_rest_is_not() {
    let Some(mount) = Mount::bindfs() else { return };
    fs::write(mount.back().join("names.lua"), "return { name = function() return 'Ada' end }\n").unwrap();
    let site = Site::new(SETUP);
    site.link("lua/shared", &mount.front());
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "require('shared.names').name()"));
    let server = Server::run(polling_often(&site.dir())).await;
    ready(&server, "inotify (").await;
    // With the reason that is about it.
    ready(&server, "polling (1 directory; fuse").await;
    let mut browser = Browser::open_app(&server).await;
    browser.sees("label()", "Ada").await;
    fs::write(mount.back().join("names.lua"), "return { name = function() return 'Grace' end }\n").unwrap();
    browser.sees("label()", "Grace").await;
    site.edit("lua/words.lua", "alpha", "beta");
    browser.sees("word()", "beta").await;
}

/// The server of the mount is stopped: whoever looks into it waits until it goes on.
#[tokio::test]
async fn a_mount_that_hangs_holds_up_no_save_beside_it() {
    let Some(mount) = Mount::bindfs() else { return };
    let names = mount.back().join("names.lua");
    fs::write(&names, "return { name = function() return 'Ada' end }\n").unwrap();
    let site = Site::new(SETUP);
    site.link("lua/shared", &mount.front());
    // A repository on the mount: whether it is locked is nobody's business while others save.
    fs::create_dir(mount.back().join(".git")).unwrap();
    let server = Server::run(polling_often(&site.dir())).await;
    ready(&server, "polling (1 directory; fuse").await;
    let mut browser = Browser::open_app(&server).await;
    browser.counts(1).await;

    mount.suspend();
    saves_are_seen(&site, &mut browser, "beside it").await;
    server.logged("a file system does not answer").await;
    site.save("lua/new/names.lua", "return { name = function() return 'Grace' end }\n");
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "require('new.names').name()"));
    browser.sees("label()", "Grace").await;

    mount.signal(Signal::CONT);
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "require('shared.names').name()"));
    browser.sees("label()", "Ada").await;
    fs::write(&names, "return { name = function() return 'Edsger' end }\n").unwrap();
    browser.sees("label()", "Edsger").await;
    browser.counts(2).await;
}

#[tokio::test]
async fn a_saved_configuration_changes_the_backend_while_it_runs() {
    let site = Site::configured(SETUP, "[watch]\nbackend = \"notify\"\n");
    let server = Server::start(SETUP, &site.dir()).await;
    ready(&server, "notify").await;
    let mut browser = Browser::open_app(&server).await;
    browser.counts(1).await;

    let often = "[watch.polling]\ninterval = \"50ms\"\nidle_interval = \"50ms\"\n";
    site.save("config/config.toml", &format!("[watch]\nbackend = \"polling\"\n{often}"));
    ready(&server, "polling").await;
    saves_are_seen(&site, &mut browser, "polled").await;

    site.save("config/config.toml", "[watch]\nbackend = \"notfy\"\n");
    server.logged("did you mean \"notify\"?").await;
    saves_are_seen(&site, &mut browser, "still polled").await;

    site.save("config/config.toml", "[session]\nmax = 5\n[watch]\nbackend = \"notify\"\n");
    ready(&server, "notify").await;
    server.logged("these keys take effect at the next start").await;
    saves_are_seen(&site, &mut browser, "told again").await;
    browser.counts(2).await;
}
