//! The unit of systemd, the container file, and the archive of a release.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use hotloader_test_support::{http, server::Server};
use rustix::process::Signal;

use crate::{PROGRAM, read, root, said, site, tool};

/// Within it a server starts, or stops, however busy the machine is.
const DEADLINE: Duration = Duration::from_secs(60);

// --------------------------------------------------------------------------------------------------- systemd

#[tokio::test]
async fn systemd_is_told_when_the_server_is_ready_and_when_it_stops() {
    let site = site();
    let path = site.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let told = || {
        let mut text = [0; 256];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let mut command = Command::new(PROGRAM);
    command.env("NOTIFY_SOCKET", &path).args(["serve", "--port", "0", "--dir"]).arg(site.path());
    let mut server = Server::run(command).await;
    assert_eq!(told().trim(), "READY=1");
    assert_eq!(http::get(server.addr(), "/healthz").await.status, 200);
    server.signal(Signal::TERM);
    assert_eq!(told().trim(), "STOPPING=1");
    assert!(server.ended().await.0.success());
}

#[test]
fn systemd_takes_the_unit_and_finds_it_well_closed() {
    let unit = read("examples/lua-hotloader.service");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lua-hotloader.service");
    fs::write(&path, unit.replace("/usr/local/bin/lua-hotloader", PROGRAM)).unwrap();
    let path = path.to_str().unwrap();
    let Some(verified) = tool("systemd-analyze", &["verify", "--man=no", path]) else { return };
    let told = said(&verified);
    assert!(verified.status.success() && !told.contains("lua-hotloader.service"), "{told}");
    // In tenths of the exposure that systemd counts: up to 2.0 of 10.
    let exposed = tool("systemd-analyze", &["security", "--offline=true", "--threshold=20", path]).unwrap();
    assert!(exposed.status.success(), "{}", said(&exposed));
}

#[tokio::test]
async fn the_command_of_the_unit_starts_a_server() {
    let unit = read("examples/lua-hotloader.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    let (site, state) = (site(), tempfile::tempdir().unwrap());
    let config = site.path().join("config.toml");
    fs::write(&config, "").unwrap();
    let line = value("ExecStart=")
        .replace("/srv/site", site.path().to_str().unwrap())
        .replace("/etc/lua-hotloader.toml", config.to_str().unwrap());
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("/usr/local/bin/lua-hotloader"));
    let mut command = Command::new(PROGRAM);
    command.args(words).args(["--port", "0"]);
    for setting in unit.lines().filter_map(|line| line.strip_prefix("Environment=")) {
        let (name, value) = setting.split_once('=').unwrap();
        let value = value.replace("/var/lib/lua-hotloader", state.path().to_str().unwrap());
        command.env(name, value.replace("/run/lua-hotloader", state.path().to_str().unwrap()));
    }
    let server = Server::run(command).await;
    assert_eq!(http::get(server.addr(), "/readyz").await.status, 200);
}

// ------------------------------------------------------------------------------------------- container file

/// The instructions, with their arguments in one line.
fn instructions() -> Vec<(String, String)> {
    let text = read("examples/Containerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, rest)| (name.into(), rest.trim().into()))
        .collect()
}

fn argument(name: &str) -> String {
    let all = instructions();
    let found: Vec<_> = all.iter().filter(|(found, _)| found == name).collect();
    assert_eq!(found.len(), 1, "{name}");
    found[0].1.clone()
}

/// What a container runs, before what is added to it.
#[cfg(feature = "nats")]
pub(crate) fn entrypoint() -> Vec<String> {
    words(&argument("ENTRYPOINT"))
}

/// The words of `["a", "b"]`, after what stands before.
fn words(json: &str) -> Vec<String> {
    serde_json::from_str(&json[json.find('[').unwrap()..]).unwrap()
}

#[test]
fn the_container_is_built_in_stages_and_runs_as_a_user_of_its_own() {
    let known =
        ["FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"];
    let all = instructions();
    for (name, rest) in &all {
        assert!(known.contains(&name.as_str()), "{name} {rest}");
    }
    let stages: Vec<_> = all.iter().filter(|(name, _)| name == "FROM").map(|(_, image)| image).collect();
    assert!(
        stages.len() == 2 && stages[0].ends_with(" AS build") && stages[0].contains("rust:"),
        "{stages:?}"
    );
    let after = |name: &str| all.iter().position(|(found, _)| found == name).unwrap();
    assert!(argument("USER").parse::<u32>().unwrap() >= 1000);
    assert!(
        after("USER") < after("ENTRYPOINT")
            && after("USER") > all.iter().rposition(|(n, _)| n == "RUN").unwrap()
    );
    assert!(argument("ENV").contains(&format!("{}/", argument("VOLUME"))), "the store is in the volume");
}

#[test]
fn what_is_run_while_the_container_is_built_can_be_run() {
    let mut count = 0;
    for (_, command) in instructions().iter().filter(|(name, _)| name == "RUN") {
        for part in command.split("&&").map(str::trim) {
            let Some(args) = part.strip_prefix("target/release/lua-hotloader ") else { continue };
            let args = args.split(" > ").next().unwrap();
            let output = Command::new(PROGRAM).args(args.split(' ')).output().unwrap();
            assert!(output.status.success() && output.stdout.len() > 500, "{part}");
            count += 1;
        }
    }
    assert_eq!(count, 2);
    let build = instructions().into_iter().find(|(_, rest)| rest.starts_with("cargo build")).unwrap().1;
    assert!(build.contains("--release --locked"), "{build}");
    let manifest = read("Cargo.toml");
    for feature in build.split("--features ").nth(1).iter().flat_map(|rest| rest.split(' ').next()) {
        assert!(manifest.contains(&format!("\n{feature} = [")), "there is no feature {feature}");
    }
}

#[tokio::test]
async fn the_container_serves_and_its_health_check_tells_whether_it_does() {
    let (site, state) = (site(), tempfile::tempdir().unwrap());
    let entry = words(&argument("ENTRYPOINT"));
    assert_eq!(entry[0], "lua-hotloader");
    let of_site =
        |word: &String| if word == "/site" { site.path().to_str().unwrap().into() } else { word.clone() };
    let mut command = Command::new(PROGRAM);
    command.args(entry[1..].iter().map(of_site)).args(["--port", "0"]);
    let (name, value) = argument("ENV").split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
    command.env(name, value.replace("/var/lib/lua-hotloader", state.path().to_str().unwrap()));
    let mut server = Server::run(command).await;
    assert!(argument("EXPOSE") == "8080" && argument("HEALTHCHECK").contains("127.0.0.1:8080"));
    let port = server.addr().port().to_string();
    let check = words(&argument("HEALTHCHECK"));
    let args: Vec<_> = check[1..].iter().map(|word| word.replace("8080", &port)).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let Some(well) = tool(&check[0], &args) else { return };
    assert!(well.status.success(), "{}", said(&well));
    server.signal(Signal::TERM);
    server.ended().await;
    assert!(!tool(&check[0], &args).unwrap().status.success());
}

// ---------------------------------------------------------------------------------------------------- archive

#[test]
fn the_archive_of_a_release_has_the_program_its_completions_manual_and_pages() {
    let to = tempfile::tempdir().unwrap();
    // Stands for the program, which is large before it is optimized.
    let program = to.path().join("program");
    fs::write(&program, format!("#!/bin/sh\nexec '{PROGRAM}' \"$@\"\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut pack = Command::new(root().join(".ci/release"));
    let packed = pack.arg(to.path()).env("LUA_HOTLOADER", &program).output().unwrap();
    assert!(packed.status.success(), "{}", said(&packed));
    let archive = PathBuf::from(String::from_utf8(packed.stdout).unwrap().lines().last().unwrap());
    let listed = Command::new("tar").args(["--list", "--gzip", "--file"]).arg(&archive).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let name = archive.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.gz").unwrap();
    assert!(name.starts_with(&format!("lua-hotloader-{}-", env!("CARGO_PKG_VERSION"))), "{name}");
    for file in [
        "lua-hotloader",
        "completions/lua-hotloader.bash",
        "completions/lua-hotloader.fish",
        "completions/_lua-hotloader",
        "man/lua-hotloader.1",
        "README.md",
        "LICENSE",
        "docs/operations.md",
        "examples/lua-hotloader.service",
    ] {
        assert!(
            listed.lines().any(|line| line == format!("{name}/{file}")),
            "{file} is missing in\n{listed}"
        );
    }
}
