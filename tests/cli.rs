//! The program from outside: what it prints, and with which code it ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The program in directory `dir`, out of reach of the environment of whoever runs the tests.
fn program(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lua-hotloader"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HOTLOADER_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).args(args).stdin(Stdio::null());
    command
}

fn ended(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    result(&program(dir, args).output().unwrap())
}

fn result(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

fn site(config: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("lua/main.lua", ""), ("config/config.toml", config)] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// A server that is ended with the test.
struct Serving {
    child: Child,
    stdout: Vec<String>,
}

impl Serving {
    fn start(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut serving = Self { child, stdout: Vec::new() };
        for line in BufReader::new(serving.child.stdout.take().unwrap()).lines() {
            serving.stdout.push(line.unwrap());
            if serving.stdout.last().unwrap().starts_with("listening on ") {
                return serving;
            }
        }
        panic!("it ended without serving: {:?}", serving.stdout);
    }

    fn stopped_by(mut self, signal: Signal) -> Option<i32> {
        let start = Instant::now();
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let status = self.child.wait().unwrap();
        assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
        status.code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_wrong_configuration_ends_with_2_and_tells_every_mistake_with_its_place() {
    let site = site("[server]\nprot = 8081\nhost = 127\n");
    let output = program(site.path(), &["serve", "--watch-backend", "notfy"])
        .env("HOTLOADER_WATCH__QUIET", "20")
        .output()
        .unwrap();
    let expected = r#"lua-hotloader: wrong configuration:
config/config.toml:2: unknown key server.prot; did you mean server.port?
config/config.toml:3: server.host = 127: must be text in quotes
environment variable HOTLOADER_WATCH__QUIET: watch.quiet = "20": must be a duration such as "20ms", "5s" or "24h"
"#;
    let (code, stderr) = result(&output);
    assert_eq!(code, Some(2));
    let (first, last) = stderr.split_at(expected.len());
    assert_eq!(first, expected);
    // Which other backends there are is not this test's to know.
    assert!(last.starts_with("--watch-backend: watch.backend = \"notfy\": must be "), "{last}");
    assert!(output.stdout.is_empty());
}

#[test]
fn text_that_is_not_toml_is_shown_with_a_mark_under_the_place() {
    let site = site("[server]\nport 8081\n");
    let (code, stderr) = ended(site.path(), &["serve"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("config/config.toml:2:"), "{stderr}");
    assert!(stderr.contains("\n2 | port 8081\n  | "), "{stderr}");
}

#[test]
fn files_and_directories_that_are_named_must_exist() {
    let site = site("");
    for args in [&["serve", "--config", "other.toml"][..], &["serve", "--dir", "other"]] {
        let (code, stderr) = ended(site.path(), args);
        assert_eq!(code, Some(2));
        assert!(stderr.contains(args[2]), "{stderr}");
    }
}

#[test]
fn a_port_in_use_ends_with_1_and_says_how_to_take_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let site = site("");
    let (code, stderr) = ended(site.path(), &["serve", "--port", &port]);
    assert_eq!(code, Some(1));
    for part in [port.as_str(), "--port N", "HOTLOADER_SERVER__PORT", "server.port"] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
}

#[test]
fn a_signal_ends_the_server_with_0_within_two_seconds() {
    for signal in [Signal::TERM, Signal::INT] {
        let site = site("server.port = 0");
        let serving = Serving::start(program(site.path(), &["serve"]));
        let [line] = &serving.stdout[..] else { panic!("{:?}", serving.stdout) };
        let port = line.strip_prefix("listening on http://127.0.0.1:").unwrap().strip_suffix('/').unwrap();
        assert_ne!(port.parse::<u16>().unwrap(), 0);
        assert_eq!(serving.stopped_by(signal), Some(0));
    }
}

#[test]
fn outside_a_site_the_sample_is_served_and_new_is_named() {
    let (empty, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copies = || {
        let names = fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("lua-hotloader-")).count()
    };
    let mut command = program(empty.path(), &["serve", "--port", "0"]);
    command.env("TMPDIR", temporary.path());
    let serving = Serving::start(command);
    assert!(serving.stdout.concat().contains("lua-hotloader new DIR"), "{:?}", serving.stdout);
    assert_eq!(copies(), 1);
    assert_eq!(serving.stopped_by(Signal::TERM), Some(0));
    assert_eq!(copies(), 0, "the copy is removed");
}

#[test]
fn a_new_site_can_be_served_and_is_not_written_over() {
    let parent = tempfile::tempdir().unwrap();
    let output = program(parent.path(), &["new", "mine"]).output().unwrap();
    assert_eq!(result(&output), (Some(0), String::new()));
    assert!(String::from_utf8(output.stdout).unwrap().contains("lua-hotloader serve mine --hotload"));

    let (code, stderr) = ended(parent.path(), &["new", "mine"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("mine: not empty"), "{stderr}");

    let serving = Serving::start(program(parent.path(), &["serve", "mine", "--port", "0"]));
    assert_eq!(serving.stdout.len(), 1);
    assert_eq!(serving.stopped_by(Signal::TERM), Some(0));
}

#[test]
fn sessions_of_a_running_server_are_restarted_from_outside() {
    let site = site("server.port = 0");
    let serving = Serving::start(program(site.path(), &["serve", "--hotload"]));
    let address =
        serving.stdout[0].strip_prefix("listening on http://").unwrap().trim_end_matches('/').to_owned();
    let port = address.rsplit(':').next().unwrap();
    let restart = |args: &[&str]| {
        let output = program(site.path(), &[&["restart", "--port", port], args].concat()).output().unwrap();
        (result(&output), String::from_utf8(output.stdout).unwrap())
    };
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let id = answer.lines().find_map(|line| line.strip_prefix("location: /")).unwrap();

    assert_eq!(restart(&["--all"]), ((Some(0), String::new()), "1 session restarted\n".into()));
    assert_eq!(restart(&[&id[..12]]).1, "1 session restarted\n");
    let ((code, stderr), _) = restart(&["ffffffff"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("There is no session ffffffff."), "{stderr}");

    assert_eq!(serving.stopped_by(Signal::TERM), Some(0));
    let ((code, stderr), _) = restart(&["--all"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&format!("no server answers at 127.0.0.1:{port}")), "{stderr}");
}

#[test]
fn check_names_what_is_wrong_with_a_site_and_says_nothing_of_a_new_one() {
    let parent = tempfile::tempdir().unwrap();
    assert_eq!(ended(parent.path(), &["new", "mine"]), (Some(0), String::new()));
    let output = program(parent.path(), &["check", "mine"]).output().unwrap();
    assert_eq!(result(&output), (Some(0), String::new()));
    assert!(output.stdout.starts_with(b"no problems found: "));

    let site = parent.path().join("mine");
    let edit = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(site.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(site.join(file), text.replacen(from, to, 1)).unwrap();
    };
    edit("lua/viewdefs/Card.list-item.html", "ui-value=\"title\"", "ui-value=\"titel\"");
    fs::write(site.join("lua/unused.lua"), "\nfunction x(").unwrap();
    fs::write(site.join("lua/viewdefs/Crad.DEFAULT.html"), "<template></template>").unwrap();
    std::os::unix::fs::symlink("nowhere", site.join("lua/link.lua")).unwrap();
    let output = program(&site, &["check", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let told: Vec<_> = told["problems"].as_array().unwrap().iter().collect();
    let told: Vec<_> =
        told.iter().map(|one| [&one["kind"], &one["file"]].map(|text| text.as_str().unwrap())).collect();
    assert_eq!(
        told,
        [
            ["link", "lua/link.lua"],
            ["syntax", "lua/unused.lua"],
            ["binding", "lua/viewdefs/Card.list-item.html"],
            ["binding", "lua/viewdefs/Crad.DEFAULT.html"],
        ]
    );
    let output = program(&site, &["check"]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("Card has no field or method \"titel\"; did you mean \"title\"?\n"), "{told}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "lua-hotloader: problems found: 4\n");

    edit("lua/main.lua", "local App =", "nothing.there = 1\nlocal App =");
    let output = program(&site, &["check"]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("lua/main.lua:22: attempt to index a nil value (global 'nothing')\n"), "{told}");

    edit("config/config.toml", "[viewdefs]", "[viewdfes]");
    let output = program(&site, &["check"]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("config/config.toml:"), "{told}");
    assert_eq!(ended(&site, &["check", "nowhere"]).0, Some(2));
}

#[test]
fn shells_and_man_are_told_of_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    for (args, word) in
        [(&["completions", "bash"][..], "--hotload"), (&["man"], ".TH"), (&["man", "serve"], "hotload")]
    {
        let output = program(dir.path(), args).output().unwrap();
        assert_eq!(result(&output), (Some(0), String::new()));
        assert!(String::from_utf8(output.stdout).unwrap().contains(word), "{args:?}");
    }
    assert_eq!(ended(dir.path(), &["man", "sreve"]).0, Some(2));
}

/// Opens a session as a browser does; gives its id.
fn open_session(address: &str) -> String {
    let get = |path: &str, cookies: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookies}\r\n");
        write!(stream, "{head}Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = get("/", "none=1");
    let values =
        |name: &str| answer.lines().filter_map(move |line| line.strip_prefix(name)).collect::<Vec<_>>();
    let cookies: Vec<_> =
        values("set-cookie: ").iter().map(|cookie| cookie.split(';').next().unwrap()).collect();
    let id = values("location: /")[0].trim_end().to_owned();
    let page = get(&format!("/{id}"), &cookies.join("; "));
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    id
}

/// A program whose sockets are in a directory of its own.
fn with_sockets_in(run: &TempDir, mut command: Command) -> Command {
    command.env("XDG_RUNTIME_DIR", run.path()).env("XDG_STATE_HOME", run.path());
    command
}

fn type_into(mut command: Command, lines: &str) -> (Option<i32>, String, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have ended already.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn sockets(run: &TempDir) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(run.path().join("lua-hotloader")).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "sock"))
        .collect()
}

#[test]
fn code_is_typed_into_a_session_of_a_running_server_by_its_own_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let (site, run) = (site("server.port = 0"), tempfile::tempdir().unwrap());
    fs::write(site.path().join("lua/main.lua"), "count = 1").unwrap();
    let console = |args: &[&str], lines: &str| {
        let command = program(site.path(), &[&["console"], args].concat());
        type_into(with_sockets_in(&run, command), lines)
    };
    let (code, _, stderr) = console(&[], "");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("no server of yours answers"), "{stderr}");

    let serving = Serving::start(with_sockets_in(&run, program(site.path(), &["serve"])));
    let address =
        serving.stdout[0].strip_prefix("listening on http://").unwrap().trim_end_matches('/').to_owned();
    assert!(console(&[], "1").2.contains("no session runs; open the page first"));
    let first = open_session(&address);
    let typed = console(&[], "count + 1\ncount = 7\nfor i = 1, 2 do\nprint(i)\nend\n");
    assert_eq!(typed, (Some(0), "2\n1\n2\n".into(), String::new()));
    assert_eq!(console(&[], "count").1, "7\n");
    let (code, told, _) = console(&[], "error('no')\n");
    assert_eq!((code, told.lines().next()), (Some(1), Some("console:1: no")));

    let second = open_session(&address);
    assert!(console(&[], "count").2.contains("2 sessions run, so name one:"));
    assert_eq!(console(&[&second[..12]], "count").1, "1\n");
    assert_eq!(console(&[&first], "count").1, "7\n");

    let [socket] = &sockets(&run)[..] else { panic!("one socket") };
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(socket), mode(socket.parent().unwrap())), (0o600, 0o700));
    assert_eq!(serving.stopped_by(Signal::TERM), Some(0));
    assert_eq!(sockets(&run), [""; 0].map(std::path::PathBuf::from));
}

#[test]
fn there_is_no_console_where_it_is_off_or_its_place_is_not_private() {
    use std::os::unix::fs::PermissionsExt;
    let run = tempfile::tempdir().unwrap();
    let site = site("server = { port = 0, console = false }");
    let serving = Serving::start(with_sockets_in(&run, program(site.path(), &["serve"])));
    assert!(!run.path().join("lua-hotloader").exists());
    drop(serving);

    let open = run.path().join("lua-hotloader");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(site.path().join("config/config.toml"), "server.port = 0").unwrap();
    let serving = Serving::start(with_sockets_in(&run, program(site.path(), &["serve"])));
    assert_eq!(sockets(&run).len(), 0);
    let (code, _, stderr) = type_into(with_sockets_in(&run, program(site.path(), &["console"])), "1\n");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("others may enter it"), "{stderr}");
    assert_eq!(serving.stopped_by(Signal::TERM), Some(0));
}

#[test]
fn the_control_socket_reads_no_line_without_end_and_serves_a_few_at_a_time() {
    use std::os::unix::net::UnixStream;
    let (site, run) = (site("server.port = 0"), tempfile::tempdir().unwrap());
    let _serving = Serving::start(with_sockets_in(&run, program(site.path(), &["serve"])));
    let connect = || {
        let stream = UnixStream::connect(&sockets(&run)[0]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    };
    let ask = |stream: &mut UnixStream, line: &str| {
        stream.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer
    };
    // Twice hub.max_value, and 64 KiB beside it.
    assert!(ask(&mut connect(), &"x".repeat(192 << 10)).contains("196608 bytes at most"));
    assert!(ask(&mut connect(), "nonsense\n").contains("not a request"));

    let mut served: Vec<_> = (0..8).map(|_| connect()).collect();
    for stream in &mut served {
        assert!(ask(stream, "{\"do\":\"sessions\"}\n").contains("\"sessions\":[]"));
    }
    let mut waiting = connect();
    waiting.write_all(b"{\"do\":\"sessions\"}\n").unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(waiting.read(&mut [0; 10]).is_err(), "it waits");
    drop(served);
    waiting.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(waiting.read(&mut [0; 10]).unwrap() > 0);
}
