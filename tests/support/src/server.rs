//! [`Server`]: the real program on a site, with its log.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{sync::watch, time::timeout};

use crate::{
    DEADLINE,
    setup::{Equipment, Setup},
    until,
};

/// A running server, which ends with the test.
pub struct Server {
    child: Child,
    addr: SocketAddr,
    stdout: watch::Receiver<String>,
    log: watch::Receiver<String>,
    _equipment: Option<Equipment>,
}

impl Server {
    /// Starts it on `site`, with hot loading, on a free port.
    pub async fn start(setup: Setup, site: &Path) -> Self {
        Self::with(setup, site, &["--hotload"]).await
    }

    /// Starts it with these flags, on a free port unless they say another.
    pub async fn with(setup: Setup, site: &Path, flags: &[&str]) -> Self {
        let equipment = Equipment::new(setup);
        let mut command = setup.command();
        command.args(["serve", "--dir"]).arg(site).args(flags);
        command.envs(equipment.variables.iter().map(|(name, value)| (name, value)));
        if !flags.contains(&"--port") {
            command.args(["--port", "0"]);
        }
        if !flags.contains(&"--watch-backend") {
            command.args(&equipment.flags);
        }
        let mut server = Self::run(command).await;
        server._equipment = Some(equipment);
        server
    }

    /// Starts it without hot loading, in so many bytes of address space.
    pub async fn limited(setup: Setup, site: &Path, address_space: u64) -> Self {
        let program = setup.command();
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={address_space}")).arg(program.get_program());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).args(["serve", "--port", "0", "--dir"]).arg(site);
        Self::run(command).await
    }

    /// Runs any command that comes to listening.
    pub async fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = follow(child.stdout.take().unwrap());
        let mut said = stdout.clone();
        let log = follow(child.stderr.take().unwrap());
        let listens = said.wait_for(|text| text.contains("listening on http://") && text.ends_with('\n'));
        let line = match timeout(DEADLINE, listens).await {
            Ok(Ok(text)) => text.lines().last().unwrap().to_owned(),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("it does not serve:\n{}{}", *stdout.borrow(), *log.borrow());
            }
        };
        // What follows is `server.base`.
        let addr =
            line.trim_start_matches("listening on http://").split('/').next().unwrap().parse().unwrap();
        Self { child, addr, stdout, log, _equipment: None }
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its address for a browser, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// All it has printed.
    pub fn stdout(&self) -> String {
        self.stdout.borrow().clone()
    }

    /// All it has logged.
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits until the log has this text.
    pub async fn logged(&self, text: &str) {
        let mut log = self.log.clone();
        let found = timeout(DEADLINE, log.wait_for(|log| log.contains(text))).await;
        assert!(matches!(found, Ok(Ok(_))), "waited {DEADLINE:?} for {text:?} in the log:\n{}", self.log());
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops the process until it gets SIGCONT.
    pub fn suspend(&self) {
        hotloader_conformance::suspend(&self.child);
    }

    /// Waits for its end, and measures how long that takes.
    pub async fn ended(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        let status = until("the server to end", async || self.child.try_wait().unwrap()).await;
        (status, start.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::TERM);
            // Its own limit is two seconds.
            let start = Instant::now();
            while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(4) {
                thread::sleep(Duration::from_millis(2));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("--- log of the server\n{}---", self.log());
        }
    }
}

/// Everything the pipe has said so far. A thread reads it, so that the program never waits for us.
fn follow(pipe: impl Read + Send + 'static) -> watch::Receiver<String> {
    let (sender, receiver) = watch::channel(String::new());
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            sender.send_modify(|text| text.push_str(&String::from_utf8_lossy(&line)));
            line.clear();
        }
    });
    receiver
}
