//! A Watchman daemon of the test's own: its socket, state and log are in a directory that goes with it.
//! Nobody else's daemon is ever asked or ended.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::DEADLINE;

/// A daemon, which ends with the test.
pub struct Daemon {
    keep: TempDir,
    wrapper: Vec<String>,
    child: Option<Child>,
}

/// Whether there is a Watchman to test with. Where there is none, says so, and fails where all tests have
/// to run.
pub fn is_here() -> bool {
    let is_here = Command::new("watchman").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_here {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "there is no watchman to test with");
        // Not by a macro, whose output would be kept back.
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no watchman to test with");
    }
    is_here
}

impl Daemon {
    /// Starts one. `None` where there is no Watchman.
    pub fn start() -> Option<Self> {
        let daemon = Self::start_by(&[]);
        assert!(daemon.is_some() || !is_here(), "the daemon does not start");
        daemon
    }

    /// Prepares one that is not running yet.
    pub fn absent() -> Option<Self> {
        Self::new(&[])
    }

    /// Starts one by a program that takes its command line as arguments; also `None` where that program
    /// cannot.
    pub fn start_by(wrapper: &[&str]) -> Option<Self> {
        let mut daemon = Self::new(wrapper)?;
        daemon.run().then_some(daemon)
    }

    fn new(wrapper: &[&str]) -> Option<Self> {
        is_here().then(|| {
            let keep = tempfile::Builder::new().prefix("watchman-").tempdir().unwrap();
            // The daemon may run as somebody else.
            fs::set_permissions(keep.path(), fs::Permissions::from_mode(0o777)).unwrap();
            let wrapper = wrapper.iter().map(|&argument| argument.to_owned()).collect();
            Self { keep, wrapper, child: None }
        })
    }

    /// Starts it, also again after its end. Returns whether it runs.
    pub fn run(&mut self) -> bool {
        assert!(self.child.is_none());
        let mut line: Vec<String> = self.wrapper.clone();
        line.push("watchman".into());
        let place = self.keep.path().display();
        for (argument, file) in
            [("sockname", "sock"), ("logfile", "log"), ("pidfile", "pid"), ("statefile", "state")]
        {
            line.push(format!("--{argument}={place}/{file}"));
        }
        line.push("--foreground".into());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let begun = Instant::now();
        while self.try_ask(&json!(["version"])).is_none() {
            if begun.elapsed() > DEADLINE || self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// The directory of its own.
    pub fn dir(&self) -> &Path {
        self.keep.path()
    }

    /// Its socket.
    pub fn sock(&self) -> PathBuf {
        self.keep.path().join("sock")
    }

    /// All it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.keep.path().join("log")).unwrap_or_default()
    }

    /// What a client of the command line is answered; `None` if it is not.
    pub fn try_ask(&self, request: &Value) -> Option<Value> {
        let mut client = Command::new("watchman")
            .arg(format!("--sockname={}", self.sock().display()))
            .args(["--no-spawn", "--no-local", "-j"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It may not take it.
        let _ = client.stdin.take().unwrap().write_all(request.to_string().as_bytes());
        serde_json::from_slice(&client.wait_with_output().unwrap().stdout).ok()
    }

    /// What a client of the command line is answered.
    pub fn ask(&self, request: Value) -> Value {
        self.try_ask(&request).unwrap_or_else(|| panic!("no answer to {request}\n{}", self.log()))
    }

    /// The trees that it watches.
    pub fn roots(&self) -> Vec<PathBuf> {
        serde_json::from_value(self.ask(json!(["watch-list"]))["roots"].clone()).unwrap()
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Stops it until it gets SIGCONT.
    pub fn suspend(&self) {
        hotloader_conformance::suspend(self.child.as_ref().unwrap());
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ends one that a backend has started.
    pub fn end_spawned(&self) {
        self.ask(json!(["shutdown-server"]));
        let begun = Instant::now();
        while self.try_ask(&json!(["version"])).is_some() {
            assert!(begun.elapsed() < DEADLINE, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end of one that ends by itself.
    pub fn reap(&mut self) {
        self.child.take().unwrap().wait().unwrap();
    }

    /// The options of a backend on it.
    pub fn options(&self) -> BTreeMap<String, Value> {
        self.options_with(json!({}))
    }

    /// These options, and more.
    pub fn options_with(&self, more: Value) -> BTreeMap<String, Value> {
        let mut options = BTreeMap::from([("sockname".to_owned(), self.sock().to_str().unwrap().into())]);
        options.extend(more.as_object().unwrap().clone());
        options
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A stopped one dies of this as well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
