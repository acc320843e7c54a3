//! The fleet of `examples/compose.yml`. It cannot be started here: it is parsed, what it names is there, and what its
//! containers run is run.

use std::{fs, path::Path};

use yaml_rust2::{Yaml, YamlLoader};

use crate::{read, root, said, tool};

fn compose() -> Yaml {
    YamlLoader::load_from_str(&read("examples/compose.yml")).unwrap().remove(0)
}

fn texts(list: &Yaml) -> Vec<String> {
    list.as_vec().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

const SERVERS: [&str; 2] = ["one", "two"];

#[test]
fn all_that_the_containers_are_made_of_is_there() {
    let compose = compose();
    let services = compose["services"].as_hash().unwrap();
    let names: Vec<_> = services.keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, ["nats", "one", "two", "proxy"]);
    let examples = root().join("examples");
    for (name, service) in services {
        if let Some(build) = service["build"].as_hash() {
            let value = |key: &str| build[&Yaml::String(key.into())].as_str().unwrap();
            assert!(examples.join(value("context")).join(value("dockerfile")).is_file(), "{name:?}");
        }
        for mount in texts(&service["volumes"]) {
            let from = mount.split(':').next().unwrap();
            let is_there = if from.starts_with('.') {
                examples.join(from).exists()
            } else {
                !compose["volumes"][from].is_badvalue()
            };
            assert!(is_there, "{mount}");
        }
    }
    for name in SERVERS {
        assert_eq!(services[&Yaml::String(name.into())]["read_only"].as_bool(), Some(true), "{name}");
    }
}

#[test]
fn the_proxy_knows_each_server_by_its_tag() {
    let compose = compose();
    let map = read("examples/compose/tags.map");
    let proxy = read("examples/compose/haproxy.cfg");
    for name in SERVERS {
        let tag = compose["services"][name]["environment"]["HOTLOADER_SERVER__TAG"].as_str().unwrap();
        assert!(map.lines().any(|line| line == format!("{tag} {name}")), "{map}");
        assert!(proxy.contains(&format!("server {name} {name}:8080\n")), "{proxy}");
    }
    let dir = tempfile::tempdir().unwrap();
    let (tags, file) = (dir.path().join("tags.map"), dir.path().join("haproxy.cfg"));
    fs::write(&tags, map).unwrap();
    fs::write(&file, proxy.replace("/usr/local/etc/haproxy/tags.map", tags.to_str().unwrap())).unwrap();
    let Some(checked) = tool("haproxy", &["-c", "-f", file.to_str().unwrap()]) else { return };
    assert!(checked.status.success(), "{}", said(&checked));
}

#[test]
fn nats_takes_its_command() {
    let dir = tempfile::tempdir().unwrap();
    let words: Vec<_> = texts(&compose()["services"]["nats"]["command"])
        .into_iter()
        .map(|word| word.replace("/data", dir.path().to_str().unwrap()))
        .collect();
    // It tests what is in a file; flags count beside it.
    let empty = dir.path().join("empty");
    fs::write(&empty, "").unwrap();
    let args: Vec<_> =
        ["-t", "-c", empty.to_str().unwrap()].into_iter().chain(words.iter().map(String::as_str)).collect();
    let Some(checked) = tool("nats-server", &args) else { return };
    assert!(checked.status.success(), "{}", said(&checked));
}

#[cfg(feature = "nats")]
mod running {
    use std::process::Command;

    use hotloader_test_support::{
        client::Browser,
        http::get,
        nats::{NatsServer, Version},
        server::Server,
        until,
    };

    use super::*;
    use crate::{PROGRAM, packaging};

    /// A configuration of the example, with this NATS.
    fn configured(name: &str, nats: &NatsServer, state: &Path) -> String {
        let text = read(name);
        let url = text.lines().find_map(|line| line.strip_prefix("url = ")).unwrap();
        let text = text.replace(url, &format!("{:?}", nats.url()));
        text.replace("/var/lib/lua-hotloader", state.to_str().unwrap())
    }

    async fn serve(name: &str, nats: &NatsServer, trust: &str, place: &Path) -> Server {
        let service = compose()["services"][name].clone();
        let (site, state) = (place.join("site"), place.join("state"));
        fs::create_dir_all(site.join("config")).unwrap();
        fs::create_dir_all(&state).unwrap();
        let config = configured("examples/compose/server/config/config.toml", nats, &state);
        fs::write(site.join("config/config.toml"), config).unwrap();
        let mut words = packaging::entrypoint();
        words.extend(texts(&service["command"]));
        let words = words.iter().map(|word| match word.as_str() {
            "/site" => site.to_str().unwrap(),
            // Nobody else's here.
            "0.0.0.0" => "127.0.0.1",
            word => word,
        });
        let mut command = Command::new(PROGRAM);
        command.args(words.skip(1)).args(["--port", "0"]);
        for (key, value) in service["environment"].as_hash().unwrap() {
            let value = value.as_str().unwrap();
            let value = match (value.find("${"), value.find('}')) {
                (Some(from), Some(to)) => format!("{}{trust}{}", &value[..from], &value[to + 1..]),
                _ => value.to_owned(),
            };
            command.env(key.as_str().unwrap(), value);
        }
        Server::run(command).await
    }

    fn run(args: &[&str]) -> String {
        let output = Command::new(PROGRAM).args(args).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn its_servers_run_what_is_published_as_it_says() {
        let Some(nats) = NatsServer::start(Version::Current) else { return };
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let trust = run(&["keys", "new", &path("key")]);
        let mut servers = Vec::new();
        for name in SERVERS {
            servers.push(serve(name, &nats, trust.trim(), &dir.path().join(name)).await);
        }
        run(&["new", &path("shop")]);
        fs::write(path("publish.toml"), configured("examples/compose/publish.toml", &nats, dir.path()))
            .unwrap();
        let (shop, config, key) = (path("shop"), path("publish.toml"), path("key"));
        let told =
            tokio::task::spawn_blocking(move || run(&["publish", &shop, "--config", &config, "--key", &key]));
        assert!(told.await.unwrap().contains("state=settled servers=2 applied=2"));
        for (server, tag) in servers.iter().zip(["a1b2", "c3d4"]) {
            let ready = async || (get(server.addr(), "/readyz").await.status == 200).then_some(());
            until("it to be ready", ready).await;
            let browser = Browser::open(server).await;
            assert!(browser.session.starts_with(tag), "{}", browser.session);
        }
    }
}
