//! `lua-hotloader watch` from outside: what it prints, and how it ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lua-hotloader"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HOTLOADER_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

struct Watching {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Watching {
    /// Starts it on `path`.
    fn start(path: &Path, args: &[&str]) -> Self {
        let mut command = program(&["watch", path.to_str().unwrap()]);
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    fn ended(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < Duration::from_secs(5), "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tree() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("tree/sub")).unwrap();
    fs::write(dir.path().join("tree/a.lua"), "1").unwrap();
    fs::write(dir.path().join("tree/sub/x.lua"), "1").unwrap();
    dir
}

#[test]
fn each_change_set_is_one_line_with_logical_names() {
    for backend in ["notify", "polling"] {
        let dir = tree();
        let root = dir.path().join("tree");
        let mut watching = Watching::start(&root, &["--json", "--watch-backend", backend]);
        let ready = watching.json();
        let ready = &ready["ready"];
        assert_eq!((&ready["files"], &ready["generation"]), (&json!(2), &json!(1)), "{ready}");
        assert_eq!(ready["backends"][0]["name"], backend);
        assert!(ready["backends"][0]["why"].as_str().unwrap().contains("watch.backend"), "{ready}");
        assert!(ready["dirs"].as_u64().unwrap() >= 2 && ready["ms"].is_u64(), "{ready}");

        fs::write(root.join("sub/x.lua"), "2").unwrap();
        let modified = json!({ "generation": 2, "added": [], "modified": ["sub/x.lua"], "removed": [] });
        assert_eq!(watching.json(), modified);
        fs::remove_file(root.join("a.lua")).unwrap();
        let removed = json!({ "generation": 3, "added": [], "modified": [], "removed": ["a.lua"] });
        assert_eq!(watching.json(), removed);
        // A link from the tree to what lies beside it.
        fs::create_dir(dir.path().join("ext")).unwrap();
        fs::write(dir.path().join("ext/t.txt"), "1").unwrap();
        symlink("../ext", root.join("link")).unwrap();
        let added = json!({ "generation": 4, "added": ["link/t.txt"], "modified": [], "removed": [] });
        assert_eq!(watching.json(), added);
        fs::write(dir.path().join("ext/t.txt"), "2").unwrap();
        assert_eq!(watching.json()["modified"], json!(["link/t.txt"]));
    }
}

#[test]
fn of_a_site_only_what_the_server_acts_on_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path();
    for dir in ["lua/views", "html", "config"] {
        fs::create_dir_all(site.join(dir)).unwrap();
    }
    fs::write(site.join("config/config.toml"), "viewdefs.path = \"lua/views\"").unwrap();
    fs::write(site.join("lua/main.lua"), "").unwrap();
    fs::write(site.join("README.md"), "").unwrap();
    let mut watching = Watching::start(site, &["--json"]);
    assert_eq!(watching.json()["ready"]["files"], 1);
    for (noise, file) in [
        ("README.md", "lua/main.lua"),
        ("lua/.main.lua.swp", "lua/views/App.DEFAULT.html"),
        ("lua/main copy.lua", "html/site.css"),
        ("html/film.mp4", "html/index.html"),
        ("html/.site.css.swp", "lua/new.lua"),
    ] {
        fs::write(site.join(noise), "noise").unwrap();
        fs::write(site.join(file), "<template></template>").unwrap();
        let line = watching.json();
        let named: Vec<_> =
            ["added", "modified"].iter().flat_map(|kind| line[*kind].as_array().unwrap()).collect();
        assert_eq!(named, [file], "{noise}: {line}");
    }
}

#[test]
fn names_that_are_not_text_are_escaped() {
    let dir = tree();
    let root = dir.path().join("tree");
    let mut watching = Watching::start(&root, &["--json"]);
    watching.json();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"\xff\\\n.lua")), "1").unwrap();
    assert_eq!(watching.json()["added"], json!(["\\xFF\\\\\n.lua"]));
}

#[test]
fn a_directory_that_does_not_exist_yet_is_waited_for_and_a_link_is_followed() {
    let dir = tree();
    symlink("late/tree", dir.path().join("link")).unwrap();
    let mut watching = Watching::start(&dir.path().join("link"), &["--json"]);
    assert_eq!(watching.json()["ready"]["files"], 0);
    fs::create_dir(dir.path().join("new")).unwrap();
    fs::rename(dir.path().join("tree"), dir.path().join("new/tree")).unwrap();
    fs::rename(dir.path().join("new"), dir.path().join("late")).unwrap();
    assert_eq!(watching.json()["added"], json!(["a.lua", "sub/x.lua"]));
}

#[test]
fn people_get_short_lines_with_the_time() {
    let dir = tree();
    let mut watching = Watching::start(&dir.path().join("tree"), &[]);
    let ready = watching.line();
    assert!(ready.starts_with("watching ") && ready.contains("2 files"), "{ready}");
    fs::write(dir.path().join("tree/a.lua"), "2").unwrap();
    let line = watching.line();
    let (time, names) = line.trim_end().split_once("  ").unwrap();
    assert_eq!((time.len(), names), ("12:34:56.789".len(), "~a.lua"));
}

#[test]
fn a_signal_ends_it_with_0() {
    for signal in [Signal::INT, Signal::TERM] {
        let dir = tree();
        let mut watching = Watching::start(dir.path(), &[]);
        watching.line();
        kill_process(Pid::from_child(&watching.child), signal).unwrap();
        assert_eq!(watching.ended(), Some(0));
    }
}

#[test]
fn it_ends_when_nobody_reads_without_waiting_for_another_change() {
    let dir = tree();
    let mut watching = Watching::start(dir.path(), &["--json"]);
    watching.line();
    let Watching { child, out } = &mut watching;
    // Something else takes the place of the pipe, which is closed with it.
    let mut other = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    *out = BufReader::new(other.stdout.take().unwrap());
    other.wait().unwrap();
    assert!(child.id() > 0);
    assert_eq!(watching.ended(), Some(0));
}

#[test]
fn a_file_or_an_unknown_backend_ends_it_with_2_and_says_what_to_do() {
    let dir = tree();
    let file = dir.path().join("tree/a.lua");
    for (args, part) in [
        (&["watch", file.to_str().unwrap()][..], "name the directory"),
        (&["watch", "--watch-backend", "notfy", "."], "notify"),
        (&["watch", "--config", "no-such.toml", "."], "no-such.toml"),
    ] {
        let output = program(args).current_dir(dir.path()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(part) && output.stdout.is_empty(), "{stderr}");
    }
}

#[test]
fn the_configuration_decides_what_is_looked_at() {
    let dir = tree();
    let config = dir.path().join("c.toml");
    fs::write(&config, "[watch]\nignore = [\"sub\"]\nbackend = \"polling\"\n").unwrap();
    let root = dir.path().join("tree");
    let mut watching = Watching::start(&root, &["--json", "--config", config.to_str().unwrap()]);
    let ready = watching.json();
    assert_eq!(ready["ready"]["files"], 1);
    assert_eq!(ready["ready"]["backends"][0]["name"], "polling");
}
