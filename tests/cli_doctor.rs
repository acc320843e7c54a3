//! `lua-hotloader doctor` from outside: what it finds, what it proposes, and that it leaves no trace.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lua-hotloader");

struct Diagnosis {
    code: Option<i32>,
    text: String,
}

impl Diagnosis {
    /// Of what a command prints.
    fn by(command: &mut Command) -> Self {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HOTLOADER_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        Self { code: output.status.code(), text: String::from_utf8(output.stdout).unwrap() }
    }

    fn of(dir: &Path) -> Self {
        Self::by(Command::new(PROGRAM).arg("doctor").arg(dir))
    }

    /// The problem whose line has `words`, with its remedies.
    fn problem(&self, words: &str) -> String {
        let mut lines =
            self.text.lines().skip_while(|line| !(line.starts_with("PROBLEM") && line.contains(words)));
        let first = lines.next().unwrap_or_else(|| panic!("no problem with {words:?} in\n{}", self.text));
        let fixes = lines.take_while(|line| line.starts_with("  "));
        assert_eq!(self.code, Some(1));
        [first].into_iter().chain(fixes).collect::<Vec<_>>().join("\n")
    }
}

fn site(config: &str) -> TempDir {
    let site = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("lua/main.lua", ""),
        ("lua/sub/x.lua", ""),
        ("viewdefs/A.B.html", ""),
        ("config/config.toml", config),
    ] {
        let path = site.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    site
}

/// Every path with the times of its last change.
fn state(dir: &Path) -> Vec<(PathBuf, i64, i64)> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.push((path, metadata.ctime(), metadata.ctime_nsec()));
    }
    found.sort();
    found
}

#[test]
fn a_site_that_is_well_is_described_measured_and_not_touched() {
    let site = site("[watch]\nquiet = \"10ms\"\n");
    let before = state(site.path());
    let diagnosis = Diagnosis::of(site.path());
    assert_eq!(state(site.path()), before);
    let text = &diagnosis.text;
    for part in [
        "(a site)",
        "fs.inotify.max_user_watches",
        "watchman\n",
        "auto: inotify",
        "is a local file system",
        "ms at the median of 9",
        "no problems found",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert_eq!(diagnosis.code, Some(0), "{text}");
    assert!(text.is_ascii() && text.lines().all(|line| line == line.trim_end()), "{text}");
    let lua = format!("  lua       {}/lua ", site.path().display());
    assert!(text.contains(&lua) && text.contains("  viewdefs  "), "{text}");
}

#[test]
fn any_directory_can_be_examined_and_one_that_does_not_exist_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let diagnosis = Diagnosis::of(dir.path());
    assert!(diagnosis.text.contains("no site") && diagnosis.code == Some(0), "{}", diagnosis.text);
    let late = dir.path().join("late");
    let problem = Diagnosis::of(&late).problem("no such directory");
    assert!(problem.ends_with(&format!("fix: mkdir -p {}", late.display())), "{problem}");
}

#[test]
fn a_broken_configuration_is_a_problem_and_the_rest_is_looked_at_all_the_same() {
    let site = site("[watch]\nqiet = \"10ms\"\n");
    let diagnosis = Diagnosis::of(site.path());
    let problem = diagnosis.problem("wrong configuration");
    assert!(problem.contains("did you mean watch.quiet?") && problem.contains("  fix: mend "), "{problem}");
    assert!(diagnosis.text.contains("ms at the median"), "{}", diagnosis.text);
}

#[test]
fn a_watch_limit_that_is_too_low_is_told_with_the_command_that_raises_it() {
    let site = site("");
    // Only in a user namespace: the machine's own limit is everybody's.
    let script = "echo 3 > /proc/sys/user/max_inotify_watches && exec \"$0\" doctor \"$1\"";
    let mut command = Command::new("unshare");
    let diagnosis = Diagnosis::by(command.args(["-Ur", "sh", "-c", script, PROGRAM]).arg(site.path()));
    if diagnosis.text.is_empty() {
        eprintln!("skipped: no user namespaces here");
        return;
    }
    let problem = diagnosis.problem("fs.inotify.max_user_watches is 3");
    assert!(problem.contains("  fix: sudo sysctl -w fs.inotify.max_user_watches=524288"), "{problem}");
    assert!(problem.contains("/etc/sysctl.d/"), "{problem}");
}

/// `site` as seen through bindfs, until it is dropped.
struct Mounted {
    front: TempDir,
    bindfs: Child,
}

impl Mounted {
    fn new(site: &Path) -> Option<Self> {
        let front = tempfile::tempdir().unwrap();
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let before = device(front.path());
        let mut command = Command::new("bindfs");
        command.arg("-f").arg(site).arg(front.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut mounted = Self { bindfs: command.spawn().ok()?, front };
        let start = Instant::now();
        while device(mounted.front.path()) == before {
            if mounted.bindfs.try_wait().unwrap().is_some() || start.elapsed() > Duration::from_secs(10) {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
        Some(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // It may not be mounted any more.
        let _ = Command::new("fusermount3").args(["-q", "-u", "-z"]).arg(self.front.path()).status();
        let _ = self.bindfs.kill();
        let _ = self.bindfs.wait();
    }
}

#[test]
fn f1_a_file_system_that_reports_nothing_is_found_with_the_backend_that_sees_it() {
    let site = site("[watch]\nbackend = \"notify\"\n");
    let Some(mounted) = Mounted::new(site.path()) else {
        eprintln!("skipped: bindfs cannot be mounted here");
        return;
    };
    let diagnosis = Diagnosis::of(mounted.front.path());
    let problem = diagnosis.problem("does not see what others change");
    assert!(problem.contains("is served by a program"), "{problem}");
    assert!(problem.contains("  fix: watch.backend = \"polling\""), "{problem}");
    assert!(diagnosis.text.contains("auto: polling"), "{}", diagnosis.text);

    fs::write(site.path().join("config/config.toml"), "[watch]\nbackend = \"polling\"\n").unwrap();
    let mended = Diagnosis::of(mounted.front.path());
    assert_eq!(mended.code, Some(0), "{}", mended.text);
}

#[test]
fn f10_a_single_file_that_is_mounted_is_told() {
    let site = site("");
    let file = site.path().join("lua/main.lua");
    let script = "mount --bind \"$1/lua/sub/x.lua\" \"$1/lua/main.lua\" && exec \"$0\" doctor \"$1\"";
    let mut command = Command::new("unshare");
    let diagnosis = Diagnosis::by(command.args(["-Urm", "sh", "-c", script, PROGRAM]).arg(site.path()));
    if diagnosis.text.is_empty() {
        eprintln!("skipped: nothing can be mounted here");
        return;
    }
    let problem = diagnosis.problem("this single file is mounted");
    assert!(
        problem.contains(file.to_str().unwrap()) && problem.contains("fix: mount the directory"),
        "{problem}"
    );
}

#[test]
fn a_watchman_that_hangs_is_a_problem_where_it_is_wanted() {
    let (site, bin) = (site(""), tempfile::tempdir().unwrap());
    let program = bin.path().join("watchman");
    fs::write(&program, "#!/bin/sh\n[ \"$1\" = --version ] && echo 4.9.0 && exit\nexec sleep 60\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let examine = || Diagnosis::by(Command::new(PROGRAM).arg("doctor").arg(site.path()).env("PATH", &path));
    let unwanted = examine();
    assert!(unwanted.text.contains("does not answer") && unwanted.code == Some(0), "{}", unwanted.text);
    fs::write(site.path().join(".watchmanconfig"), "{}").unwrap();
    assert!(examine().problem("Watchman").contains("  fix: watchman shutdown-server"));
}

#[test]
fn a_file_that_is_not_ours_to_read_is_a_problem() {
    let site = site("");
    let file = site.path().join("lua/main.lua");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = match rustix::process::geteuid().is_root() {
        // root may read everything.
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM]);
            command
        }
        false => Command::new(PROGRAM),
    };
    let diagnosis = Diagnosis::by(command.arg("doctor").arg(site.path()));
    let problem = diagnosis.problem("lua/main.lua: not ours to read, and so not loaded");
    assert!(problem.contains(&format!("chmod o+r {}", file.display())), "{problem}");
}
