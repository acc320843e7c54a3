//! A nats-server of the test's own: on a free port, with a directory that goes with it. Nobody else's is asked.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::DEADLINE;

/// Which nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// That of Debian, 2.9 in Debian 12.
    Packaged,
    /// The current one, which `tests/run` puts beside the build.
    Current,
}

impl Version {
    /// The program. `None`, and a word about it, where there is none; with `CI=true` that is a failure.
    fn program(self) -> Option<PathBuf> {
        let found = match self {
            Self::Packaged => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
                dirs.map(|dir| dir.join("nats-server")).find(|program| program.is_file())
            }
            Self::Current => {
                let test = std::env::current_exe().unwrap();
                let beside = test.ancestors().map(|dir| dir.join("nats-server/bin/nats-server"));
                beside.into_iter().find(|program| program.is_file())
            }
        };
        if found.is_none() {
            assert!(
                std::env::var_os("CI").is_none_or(|ci| ci != "true"),
                "there is no nats-server: {self:?}"
            );
            let _ = writeln!(std::io::stderr(), "SKIPPED: there is no nats-server to test with: {self:?}");
        }
        found
    }
}

/// A nats-server with JetStream, which ends with the test.
pub struct NatsServer {
    keep: TempDir,
    program: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts one. `None` where there is no such version.
    pub fn start(version: Version) -> Option<Self> {
        Self::start_with(version, "jetstream { store_dir: $DIR/store }")
    }

    /// Starts one with more in its configuration; `$DIR` is the directory of its own.
    pub fn start_with(version: Version, config: &str) -> Option<Self> {
        let program = version.program()?;
        let keep = tempfile::Builder::new().prefix("nats-").tempdir().unwrap();
        let mut server = Self { keep, program, port: 0, child: None };
        // Somebody else may take the port before it does.
        for _ in 0..10 {
            server.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            server.configure(config);
            if server.try_run() {
                return Some(server);
            }
        }
        panic!("nats-server does not start:\n{}", server.log())
    }

    fn configure(&self, config: &str) {
        let mut text = format!("listen: 127.0.0.1:{}\n", self.port);
        let dir = self.keep.path().to_str().unwrap();
        writeln!(text, "log_file: {dir}/log\n{}", config.replace("$DIR", dir)).unwrap();
        fs::write(self.keep.path().join("config"), text).unwrap();
    }

    fn try_run(&mut self) -> bool {
        assert!(self.child.is_none());
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.keep.path().join("config"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        while !self.answers() {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(begun.elapsed() < DEADLINE, "nats-server does not answer:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
        self.child = Some(child);
        true
    }

    fn answers(&self) -> bool {
        let Ok(stream) = TcpStream::connect(self.addr()) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).is_ok_and(|_| line.starts_with("INFO "))
    }

    /// Starts it again after its end, on the same port and with what it has kept.
    pub fn run(&mut self) {
        assert!(self.try_run(), "nats-server does not start again:\n{}", self.log());
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The directory of its own.
    pub fn dir(&self) -> &Path {
        self.keep.path()
    }

    /// All it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.keep.path().join("log")).unwrap_or_default()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Forgets all that it has kept. It must not run.
    pub fn wipe(&self) {
        assert!(self.child.is_none());
        fs::remove_dir_all(self.keep.path().join("store")).unwrap();
    }

    /// Stops it until [`resume`](Self::resume).
    pub fn suspend(&self) {
        hotloader_conformance::suspend(self.child.as_ref().unwrap());
    }

    /// Lets it go on.
    pub fn resume(&self) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), Signal::CONT).unwrap();
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A stopped one dies of this as well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Makes tests of functions that take a [`Version`]: for each version one, in a module named like it.
#[macro_export]
macro_rules! on_each_nats {
    ($($test:ident,)+) => {
        mod packaged {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test($crate::nats::Version::Packaged).await;
                }
            )+
        }
        mod current {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test($crate::nats::Version::Current).await;
                }
            )+
        }
    };
}
