//! What the tests of this backend stand on: a tree that is watched, and the backend on a daemon.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "not every test needs all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its helpers cannot go on"
)]

mod site;

use std::{fs, io::Write, process::Command};

use hotloader_backend::{BackendInputs, FileWatchBackend};
pub use hotloader_test_support::daemon::Daemon;
use hotloader_watchman::WatchmanBackend;

pub use site::Site;

/// The backend on a daemon.
pub trait OnDaemon {
    fn backend(&self) -> Box<WatchmanBackend>;
}

impl OnDaemon for Daemon {
    fn backend(&self) -> Box<WatchmanBackend> {
        Box::new(WatchmanBackend::from_options(&self.options()).unwrap())
    }
}

/// A backend that takes its daemon with it.
pub struct WithDaemon(pub Daemon);

impl FileWatchBackend for WithDaemon {
    fn name(&self) -> &'static str {
        hotloader_watchman::NAME
    }

    fn run(
        self: Box<Self>,
        inputs: BackendInputs,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), hotloader_backend::BackendFailure>> + Send>> {
        Box::pin(async move {
            let daemon = self.0;
            daemon.backend().run(inputs).await
        })
    }
}

/// Runs an ignored test of this file as an unprivileged user; its output, if that can be done.
pub fn as_nobody(test: &str, daemon: &Daemon) -> Option<String> {
    // Whoever it is must be able to read the program.
    let this = daemon.dir().join("test");
    fs::copy(std::env::current_exe().unwrap(), &this).unwrap();
    let run = Command::new(NOBODY[0])
        .args(&NOBODY[1..])
        .arg(this)
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env("TEST_SOCK", daemon.sock())
        .output()
        .ok()?;
    let output = String::from_utf8_lossy(&run.stdout).into_owned();
    if output.contains("running 1 test") {
        return Some(output);
    }
    let _ = writeln!(std::io::stderr(), "SKIPPED: cannot be somebody else");
    None
}

/// Begins the command line of what runs as an unprivileged user.
pub const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
