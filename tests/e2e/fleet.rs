//! A fleet of the real program: a publisher and servers on one machine, with a directory as the depot.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use futures_util::StreamExt;
use hotloader_test_support::{
    DEADLINE,
    client::Browser,
    http::get,
    server::Server,
    site::{MAIN, Site},
    until,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::client_async;

use crate::{SETUP, store_faults::SmallDisk};

/// The developer's site, the depot, and directories for servers.
struct Fleet {
    site: Site,
    dir: TempDir,
    public: String,
}

impl Fleet {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(SETUP);
        let depot = dir.path().join("depot");
        site.save(
            "config/config.toml",
            &format!("[fleet]\nsite = \"shop\"\ndepot = \"dir:{}\"\n", depot.display()),
        );
        let mut fleet = Self { site, dir, public: String::new() };
        fleet.public = fleet.new_key("key");
        fleet
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn new_key(&self, name: &str) -> String {
        let output = SETUP.command().args(["keys", "new"]).arg(self.path(name)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Starts a server, again if it was started before.
    async fn serve(&self, name: &str) -> Server {
        self.serve_with(name, "").await
    }

    async fn serve_with(&self, name: &str, more: &str) -> Server {
        let dir = self.path(name);
        fs::create_dir_all(dir.join("config")).unwrap();
        let (depot, public) = (self.path("depot"), &self.public);
        let config =
            format!("[fleet]\ndepot = \"dir:{}\"\ntrust = [\"{public}\"]\n{more}\n", depot.display());
        fs::write(dir.join("config/config.toml"), config).unwrap();
        let mut command = SETUP.command();
        command.args(["serve", "--site", "shop", "--port", "0", "--dir"]).arg(dir);
        Server::run(command).await
    }

    fn publish_command(&self, key: &str, args: &[&str]) -> Command {
        let mut command = SETUP.command();
        command.arg("publish").arg(self.site.dir()).args(args).arg("--key").arg(self.path(key));
        command.stdin(Stdio::null());
        command
    }

    /// Publishes. The last line of stdout, and stderr.
    async fn publish(&self, args: &[&str]) -> (bool, String, String) {
        self.run(self.publish_command("key", args)).await
    }

    async fn run(&self, mut command: Command) -> (bool, String, String) {
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let last = text(&output.stdout).lines().last().unwrap_or_default().to_owned();
        (output.status.success(), last, text(&output.stderr))
    }

    /// The name of the server with that tag.
    fn server(&self, tag: &str) -> String {
        let reports = fs::read_dir(self.path("depot/sites/shop/servers")).unwrap();
        let mut names = reports.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.find(|name| name.ends_with(tag)).unwrap()
    }

    async fn published(&self) -> String {
        let (ok, last, told) = self.publish(&[]).await;
        assert!(ok, "{last}\n{told}");
        last
    }
}

/// The only file of a directory that is not hidden, at the end by name.
fn newest(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.')).max().unwrap()
}

async fn ready(server: &Server, text: &str) {
    until(&format!("{text:?} in /readyz"), async || {
        let answer = get(server.addr(), "/readyz").await;
        answer.body.contains(text).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_published_once_runs_on_every_server_and_sessions_keep_their_state() {
    let fleet = Fleet::new();
    let (one, two) = (fleet.serve("one").await, fleet.serve("two").await);
    assert_eq!(get(one.addr(), "/readyz").await.status, 503);
    ready(&one, "there is no release of shop yet").await;
    fleet.site.save("html/site.css", "a {}");
    let last = fleet.published().await;
    assert!(last.contains("generation=1") && last.contains("state=settled servers=2 applied=2"), "{last}");
    assert_eq!(get(one.addr(), "/readyz").await.status, 200);
    let (mut first, mut second) = (Browser::open_app(&one).await, Browser::open_app(&two).await);
    first.counts(1).await;
    second.counts(1).await;
    assert_eq!(get(two.addr(), "/site.css").await.body, "a {}");

    fleet.site.edit("lua/main.lua", "first", "second");
    fleet.site.save("html/site.css", "b {}");
    let last = fleet.published().await;
    assert!(last.contains("generation=2") && last.contains("sessions=2 kept=0"), "{last}");
    for browser in [&mut first, &mut second] {
        browser.sees("label()", "second").await;
        assert_eq!(browser.value("count"), 1);
    }
    assert_eq!(get(two.addr(), "/site.css").await.body, "b {}");
    let (_, last, told) = fleet.publish(&[]).await;
    assert!(last.contains("state=unchanged") && told.contains("nothing has changed"), "{last}\n{told}");
    // Who joins later runs it at once.
    let three = fleet.serve("three").await;
    Browser::open_app(&three).await.sees("label()", "second").await;
}

#[tokio::test]
async fn what_does_not_compile_is_refused_where_it_is_published_and_reaches_no_server() {
    let fleet = Fleet::new();
    let server = fleet.serve("one").await;
    fleet.published().await;
    fleet.site.save("lua/words.lua", "return {\n\nx = = 1");
    let (ok, last, told) = fleet.publish(&[]).await;
    assert!(!ok && last.is_empty(), "{last}");
    assert!(told.contains("lua/words.lua:3: unexpected symbol near '='"), "{told}");
    assert!(
        fs::read_dir(fleet.path("depot/sites/shop/pointers")).unwrap().count() <= 2,
        "and nothing is there"
    );
    ready(&server, "generation 1").await;
}

#[tokio::test]
async fn what_fails_only_at_run_time_stops_at_the_canary_and_is_rolled_back_by_itself() {
    let fleet = Fleet::new();
    let (one, two) =
        (fleet.serve_with("one", "tag = \"0001\"").await, fleet.serve_with("two", "tag = \"0002\"").await);
    fleet.published().await;
    let (mut first, mut second) = (Browser::open_app(&one).await, Browser::open_app(&two).await);
    first.counts(1).await;
    second.counts(1).await;
    let canary = fleet.server("-0001");

    fleet.site.save("lua/main.lua", &format!("{MAIN}\nerror('boom')"));
    let (ok, last, told) = fleet.publish(&["--canary", &canary, "--bake", "0s"]).await;
    assert!(!ok && last.contains("state=rolled-back"), "{last}\n{told}");
    assert!(told.contains("sessions keep the version before") && told.contains("boom"), "{told}");
    ready(&one, "generation 3").await;
    assert!(one.log().contains("boom") && !two.log().contains("boom"), "it never came to the other");
    first.counts(2).await;
    second.counts(2).await;

    fleet.site.save("lua/main.lua", &MAIN.replace("first", "mended"));
    let (ok, last, told) = fleet.publish(&["--canary", "1", "--bake", "0s"]).await;
    assert!(ok && last.contains("state=settled"), "{last}\n{told}");
    first.sees("label()", "mended").await;
    second.sees("label()", "mended").await;
}

#[tokio::test]
async fn what_raises_only_while_it_is_used_stops_at_the_canary_and_is_rolled_back_by_itself() {
    let fleet = Fleet::new();
    let (one, two) =
        (fleet.serve_with("one", "tag = \"0001\"").await, fleet.serve_with("two", "tag = \"0002\"").await);
    fleet.published().await;
    let (mut first, mut second) = (Browser::open_app(&one).await, Browser::open_app(&two).await);
    first.counts(1).await;
    second.counts(1).await;
    let canary = fleet.server("-0001");
    let args = ["--canary", &canary, "--bake", "10m"];

    fleet.site.save("lua/main.lua", &format!("{MAIN}\nsession:setTimeout(function() error('boom') end, 1)"));
    let (ok, last, told) = fleet.publish(&args).await;
    assert!(!ok && last.contains("state=rolled-back"), "{last}\n{told}");
    assert!(told.contains(&format!("more fails on {canary} than before")) && told.contains("boom"), "{told}");
    ready(&one, "generation 3").await;
    assert!(one.log().contains("boom") && !two.log().contains("boom"), "it never came to the other");
    first.counts(2).await;
    second.counts(2).await;

    fleet.site.save("lua/main.lua", &MAIN.replace("self.count = self.count + 1", "error('bang')"));
    let publisher = fleet.publish_command("key", &args);
    let clicks = async {
        one.logged("generation 4 runs").await;
        first.click().await;
    };
    let ((ok, last, told), ()) = tokio::join!(fleet.run(publisher), clicks);
    assert!(!ok && last.contains("state=rolled-back") && told.contains("bang"), "{last}\n{told}");
    ready(&one, "generation 5").await;
    first.counts(3).await;
    second.counts(3).await;
    let metrics = get(one.addr(), "/metrics").await;
    assert!(metrics.body.contains("hotloader_run_time_errors 2"), "{}", metrics.body);
}

#[tokio::test]
async fn a_rollout_whose_publisher_was_killed_is_gone_on_with_to_its_end() {
    let fleet = Fleet::new();
    let (one, two) = (fleet.serve("one").await, fleet.serve("two").await);
    fleet.published().await;
    fleet.site.edit("lua/main.lua", "first", "second");
    let mut command = fleet.publish_command("key", &["--canary", "1", "--bake", "5s"]);
    let mut publisher = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the canary to run it", async || {
        let logs = format!("{}{}", one.log(), two.log());
        logs.contains("generation 2 runs").then_some(())
    })
    .await;
    publisher.kill().unwrap();
    publisher.wait().unwrap();
    let mut command = SETUP.command();
    command.args(["fleet", "resume", "--key"]).arg(fleet.path("key")).arg("--dir").arg(fleet.site.dir());
    let (ok, last, told) = fleet.run(command).await;
    assert!(ok && last.contains("generation=2") && last.contains("state=settled"), "{last}\n{told}");
    for server in [&one, &two] {
        Browser::open_app(server).await.sees("label()", "second").await;
    }
}

#[tokio::test]
async fn without_the_depot_servers_run_on_and_start_and_what_was_published_meanwhile_arrives() {
    let fleet = Fleet::new();
    let server = fleet.serve("one").await;
    fleet.published().await;
    drop(server);
    // Not a directory: it cannot be read.
    fs::rename(fleet.path("depot"), fleet.path("away")).unwrap();
    fs::write(fleet.path("depot"), "").unwrap();
    let server = fleet.serve("one").await;
    let mut browser = Browser::open_app(&server).await;
    browser.counts(1).await;
    let answer = get(server.addr(), "/readyz").await;
    assert_eq!(answer.status, 200);
    ready(&server, "the depot is away").await;
    let metrics = get(server.addr(), "/metrics").await;
    assert!(metrics.body.contains("hotloader_fleet_connected 0"));
    server.logged("the depot is away, and this server runs on").await;
    fs::remove_file(fleet.path("depot")).unwrap();
    fs::rename(fleet.path("away"), fleet.path("depot")).unwrap();
    fleet.site.edit("lua/main.lua", "first", "second");
    fleet.published().await;
    browser.sees("label()", "second").await;
    assert_eq!(browser.value("count"), 1);
}

#[tokio::test]
async fn what_no_trusted_key_has_signed_runs_nowhere() {
    let fleet = Fleet::new();
    let server = fleet.serve("one").await;
    fleet.new_key("stranger");
    let (ok, last, _) = fleet.run(fleet.publish_command("stranger", &["--deadline", "1s"])).await;
    assert!(!ok, "{last}");
    server.logged("not signed by a key of fleet.trust").await;
    assert_eq!(get(server.addr(), "/readyz").await.status, 503);
}

#[tokio::test]
async fn a_pointer_that_was_put_back_turns_no_server_back() {
    let fleet = Fleet::new();
    let server = fleet.serve("one").await;
    fleet.published().await;
    let pointers = fleet.path("depot/sites/shop/pointers");
    let old = fs::read(newest(&pointers)).unwrap();
    fleet.site.edit("lua/main.lua", "first", "second");
    fleet.published().await;
    fs::write(pointers.join("00000000000000000900"), old).unwrap();
    server.logged("points to generation 1, and this server has seen 2").await;
    ready(&server, "generation 2").await;
    Browser::open_app(&server).await.sees("label()", "second").await;
}

#[tokio::test]
async fn a_store_that_was_emptied_is_filled_again_and_goes_on_from_what_servers_have_seen() {
    let fleet = Fleet::new();
    let server = fleet.serve("one").await;
    fleet.published().await;
    fleet.site.edit("lua/main.lua", "first", "second");
    fleet.published().await;
    // The server writes its report now and then.
    until("the depot to be removed", async || fs::remove_dir_all(fleet.path("depot")).ok()).await;
    fleet.site.edit("lua/main.lua", "second", "third");
    fleet.published().await;
    Browser::open_app(&server).await.sees("label()", "third").await;
}

#[tokio::test]
async fn a_store_that_was_emptied_while_a_publisher_watches_is_filled_again_by_it() {
    let fleet = Fleet::new();
    let one = fleet.serve("one").await;
    let mut command = fleet.publish_command("key", &["--watch"]);
    let mut publisher = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    ready(&one, "generation 1").await;
    // The server writes its report now and then.
    until("the depot to be removed", async || fs::remove_dir_all(fleet.path("depot")).ok()).await;
    ready(&one, "generation 2").await;
    let two = fleet.serve("two").await;
    Browser::open_app(&two).await.sees("label()", "first").await;
    publisher.kill().unwrap();
    publisher.wait().unwrap();
}

#[tokio::test]
async fn on_a_full_disk_a_release_waits_in_words_and_arrives_when_there_is_room() {
    let fleet = Fleet::new();
    let Some(disk) = SmallDisk::mount(&fleet.path("cache")) else { return };
    let cache = format!("cache = {:?}", disk.0.join("of-one").to_str().unwrap());
    let server = fleet.serve_with("one", &cache).await;
    fleet.published().await;
    let ballast = disk.0.join("ballast");
    let written = fs::write(&ballast, vec![0; 2 << 20]);
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    fleet.site.edit("lua/main.lua", "first", "second");
    let (ok, last, told) = fleet.publish(&["--deadline", "1s"]).await;
    assert!(!ok && last.contains("applied=0"), "{last}\n{told}");
    assert!(told.contains("waits: ") && told.contains("the disk is full; free some space"), "{told}");
    server.logged("generation 2 has to wait").await;
    Browser::open_app(&server).await.sees("label()", "first").await;
    fs::remove_file(&ballast).unwrap();
    // Something to look for, sooner than by itself.
    fs::write(fleet.path("depot/sites/shop/pointers/.hint"), "").unwrap();
    ready(&server, "generation 2").await;
    Browser::open_app(&server).await.sees("label()", "second").await;
    drop(server);
}

#[tokio::test]
async fn the_status_page_of_each_server_shows_all_servers_as_fleet_status_does() {
    let fleet = Fleet::new();
    let more = "[server]\ndebug_pages = true";
    let one = fleet.serve_with("one", &format!("tag = \"0001\"\n{more}")).await;
    let two = fleet.serve_with("two", "tag = \"0002\"\nmax_size = \"1KiB\"").await;
    fleet.site.save("html/large.txt", &"x".repeat(2000));
    fleet.publish(&[]).await;
    let stream = TcpStream::connect(one.addr()).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://{}/_hot/ws", one.addr()), stream).await.unwrap();
    let shows = async {
        loop {
            let message = socket.next().await.unwrap().unwrap();
            let part: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
            let value = &part["value"];
            if part["part"] == "fleet" && value["all"] == 2 && value["servers"][1]["well"] == false {
                return value.clone();
            }
        }
    };
    let value = timeout(DEADLINE, shows).await.unwrap();
    assert!(value["pointer"].as_str().unwrap().starts_with("generation 1 of shop"), "{value}");
    let (first, second) = (value["servers"][0].clone(), value["servers"][1].clone());
    assert!(
        first["text"].as_str().unwrap().contains("-0001: generation 1") && first["well"] == true,
        "{value}"
    );
    let text = second["text"].as_str().unwrap();
    assert!(text.contains("-0002: ") && text.contains("refused: the release has"), "{value}");
    drop(two);
}

#[tokio::test]
async fn a_release_larger_than_a_server_takes_is_refused_there_and_told() {
    let fleet = Fleet::new();
    let server = fleet.serve_with("one", "max_size = \"1KiB\"").await;
    fleet.site.save("html/large.txt", &"x".repeat(2000));
    let (ok, last, told) = fleet.publish(&[]).await;
    assert!(!ok && last.contains("refused=1"), "{last}\n{told}");
    assert!(
        told.contains("1 refused: the release has") && told.contains("fleet.max_size is \"1KiB\""),
        "{told}"
    );
    server.logged("generation 1 refused: the release has").await;
}

#[tokio::test]
async fn content_that_was_exchanged_in_the_depot_does_not_run_and_publishing_again_mends_it() {
    let fleet = Fleet::new();
    let first = fleet.serve("one").await;
    fleet.published().await;
    let name = String::from_utf8(fs::read(fleet.site.path("lua/main.lua")).unwrap()).unwrap();
    let blobs = fs::read_dir(fleet.path("depot/blobs")).unwrap().map(|dir| newest(&dir.unwrap().path()));
    let blob = blobs.into_iter().find(|path| fs::read(path).unwrap() == name.as_bytes()).unwrap();
    fs::write(&blob, "os.exit()").unwrap();
    let joins = fleet.serve("two").await;
    joins.logged("is something else").await;
    assert_eq!(get(joins.addr(), "/readyz").await.status, 503);
    fleet.site.save("lua/more.lua", "return 1");
    let last = fleet.published().await;
    assert!(last.contains("applied=2"), "{last}");
    Browser::open_app(&joins).await.sees("label()", "first").await;
    drop(first);
}

#[tokio::test]
async fn a_person_stops_goes_on_with_and_undoes_a_rollout() {
    let fleet = Fleet::new();
    let (one, two) = (fleet.serve("one").await, fleet.serve("two").await);
    fleet.published().await;
    fleet.site.edit("lua/main.lua", "first", "second");
    let mut publisher = fleet.publish_command("key", &["--canary", "1", "--bake", "1h"]).spawn().unwrap();
    until("the canary to run it", async || {
        let logs = format!("{}{}", one.log(), two.log());
        logs.contains("generation 2 runs").then_some(())
    })
    .await;
    // Its publisher dies.
    publisher.kill().unwrap();
    publisher.wait().unwrap();
    let act = |action: &str| {
        let mut command = SETUP.command();
        command.args(["fleet", action, "--key"]).arg(fleet.path("key")).arg("--dir").arg(fleet.site.dir());
        fleet.run(command)
    };
    let (ok, last, told) = act("pause").await;
    assert!(ok && last == "paused: generation 2", "{last}\n{told}");
    let (ok, _, told) = act("rollback").await;
    assert!(ok, "{told}");
    ready(&one, "generation 3").await;
    ready(&two, "generation 3").await;
    for server in [&one, &two] {
        Browser::open_app(server).await.sees("label()", "first").await;
    }
    let (ok, _, told) = act("resume").await;
    assert!(!ok && told.contains("settled"), "{told}");
}

#[tokio::test]
async fn to_look_at_a_fleet_takes_no_secret_key_where_it_is_said_whom_to_believe() {
    let fleet = Fleet::new();
    fleet.published().await;
    let status = async |trust: &str| {
        let dir = fleet.path("operator");
        fs::create_dir_all(dir.join("config")).unwrap();
        let depot = fleet.path("depot");
        let config = format!("[fleet]\nsite = \"shop\"\ndepot = \"dir:{}\"\n{trust}\n", depot.display());
        fs::write(dir.join("config/config.toml"), config).unwrap();
        let mut command = SETUP.command();
        // Whoever runs the tests may have a key.
        command.env("XDG_CONFIG_HOME", &dir).args(["fleet", "status", "--dir"]).arg(dir);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let (told, other) = (status(&format!("trust = [\"{}\"]", fleet.public)).await, fleet.new_key("other"));
    assert!(told.contains("generation 1 of shop"), "{told}");
    let told = status("").await;
    assert!(told.contains("fleet.trust names the keys to believe, or --key the file of your own"), "{told}");
    let told = status(&format!("trust = [\"{other}\"]")).await;
    assert!(told.contains("not signed by a key of fleet.trust"), "{told}");
}

/// The same fleet with NATS as the depot.
#[cfg(feature = "nats")]
mod on_nats {
    use hotloader_test_support::{
        nats::{NatsServer, Version},
        on_each_nats,
    };

    use super::*;

    on_each_nats! {
        what_is_published_runs_on_servers_that_were_there_before_come_later_or_start_while_nats_is_away,
    }

    fn config(nats: &NatsServer, more: &str) -> String {
        format!(
            "[fleet]\ndepot = \"nats\"\n{more}\n[nats]\nurl = \"{}\"\nprefix = \"fleet\"\nconnect = \"2s\"\n",
            nats.url()
        )
    }

    async fn serve(fleet: &Fleet, nats: &NatsServer, name: &str) -> Server {
        let dir = fleet.path(name);
        fs::create_dir_all(dir.join("config")).unwrap();
        let trust = format!("trust = [\"{}\"]", fleet.public);
        fs::write(dir.join("config/config.toml"), config(nats, &trust)).unwrap();
        let mut command = SETUP.command();
        command.args(["serve", "--site", "shop", "--port", "0", "--dir"]).arg(dir);
        Server::run(command).await
    }

    async fn what_is_published_runs_on_servers_that_were_there_before_come_later_or_start_while_nats_is_away(
        version: Version,
    ) {
        let Some(mut nats) = NatsServer::start(version) else { return };
        let fleet = Fleet::new();
        fleet.site.save("config/config.toml", &config(&nats, "site = \"shop\""));
        let one = serve(&fleet, &nats, "one").await;
        let last = fleet.published().await;
        assert!(last.contains("generation=1 ") && last.contains("applied=1 "), "{last}");
        ready(&one, "generation 1").await;
        let mut browser = Browser::open_app(&one).await;
        browser.counts(1).await;
        let two = serve(&fleet, &nats, "two").await;
        ready(&two, "generation 1").await;

        // An edit is on both, and the session keeps its state.
        fleet.site.edit("lua/main.lua", "first", "second");
        let last = fleet.published().await;
        assert!(last.contains("generation=2 ") && last.contains("applied=2 "), "{last}");
        browser.sees("label()", "second").await;
        browser.counts(2).await;

        // Without NATS they go on, one starts from its cache, and what is published later arrives.
        drop(two);
        nats.kill();
        browser.counts(3).await;
        let two = serve(&fleet, &nats, "two").await;
        ready(&two, "generation 2").await;
        nats.run();
        fleet.site.edit("lua/main.lua", "second", "third");
        let last = fleet.published().await;
        assert!(last.contains("generation=3 "), "{last}");
        ready(&one, "generation 3").await;
        ready(&two, "generation 3").await;
        browser.sees("label()", "third").await;
        browser.counts(4).await;
    }
}
