//! What others do on the same tree: Watchman by its own client, and chokidar.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use crate::{Fallible, Figures, MS, process, trees::Saves};

const DEADLINE: Duration = Duration::from_secs(120);

/// A process of ours that ends with it.
pub(crate) struct Kept(pub(crate) Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines(stdout: ChildStdout) -> Receiver<(Instant, String)> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send((Instant::now(), line)).is_err() {
                break;
            }
        }
    });
    receiver
}

fn wait(lines: &Receiver<(Instant, String)>, wanted: impl Fn(&str) -> bool) -> Fallible<Instant> {
    loop {
        let (at, line) = lines.recv_timeout(DEADLINE)?;
        if wanted(&line) {
            return Ok(at);
        }
    }
}

struct Measured<'a> {
    dir: &'a Path,
    dirs: usize,
    saves: usize,
    ready: Duration,
    pid: u32,
    memory_before: u64,
}

impl Measured<'_> {
    fn figures(&self, lines: &Receiver<(Instant, String)>) -> Fallible<Figures> {
        std::thread::sleep(500 * MS);
        let memory = process::memory(self.pid)?.saturating_sub(self.memory_before);
        let (before, span) = (process::processor(self.pid)?, Duration::from_secs(3));
        std::thread::sleep(span);
        let idle = (process::processor(self.pid)? - before).as_secs_f64() / span.as_secs_f64();
        let mut times = Vec::new();
        let mut saver = Saves::new(self.dir, self.dirs);
        for number in 0..self.saves {
            std::thread::sleep(50 * MS + MS * u32::try_from(number * 37 % 100)?);
            let (path, began) = saver.save()?;
            let relative = path.strip_prefix(self.dir)?.to_str().ok_or("not UTF-8")?.to_owned();
            times.push(wait(lines, |line| line.contains(&relative))?.saturating_duration_since(began));
        }
        times.sort();
        let median = times.get(times.len() / 2).copied();
        Ok(Figures {
            files: self.dirs * crate::trees::FILES_IN_DIR,
            ready: self.ready,
            settled: None,
            memory,
            median,
            idle,
        })
    }
}

/// A Watchman of our own: the user's may be busy, or not be there.
pub(crate) struct Daemon {
    process: Kept,
    options: [String; 4],
    pub(crate) socket: PathBuf,
    _keep: tempfile::TempDir,
}

impl Daemon {
    pub(crate) fn start() -> Fallible<Self> {
        let keep = tempfile::tempdir()?;
        let at = |name: &str| keep.path().join(name);
        let socket = at("socket");
        let named = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let options = [
            named("sockname", &socket),
            named("logfile", &at("log")),
            named("statefile", &at("state")),
            named("pidfile", &at("pid")),
        ];
        let process = Command::new("watchman")
            .args(&options)
            .arg("--foreground")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let process = Kept(process);
        let deadline = Instant::now() + DEADLINE;
        // Its socket is there before anybody listens.
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if Instant::now() > deadline {
                return Err("the daemon does not start".into());
            }
            std::thread::sleep(10 * MS);
        }
        Ok(Self { process, options, socket, _keep: keep })
    }
}

/// How often it is measured when Watchman is ready: the best counts, as for ours.
const TRIES: usize = 3;

/// Watchman by its own client, each time with a daemon of its own.
pub(crate) fn watchman(dir: &Path, dirs: usize, saves: usize) -> Fallible<Figures> {
    let mut figures = watchman_once(dir, dirs, saves)?;
    for _ in 1..TRIES {
        figures.ready = figures.ready.min(watchman_once(dir, dirs, 0)?.ready);
    }
    Ok(figures)
}

/// A daemon of its own, and a subscription by the client that comes with it.
fn watchman_once(dir: &Path, dirs: usize, saves: usize) -> Fallible<Figures> {
    let daemon = Daemon::start()?;
    let pid = daemon.process.0.id();
    let memory_before = process::memory(pid)?;
    let client = |request: serde_json::Value| -> Fallible<Kept> {
        // Its output is held back until there is much of it, unless it is told otherwise.
        let mut client = Command::new("stdbuf")
            .args(["-oL", "watchman"])
            .args(&daemon.options)
            .args(["--no-spawn", "--persistent", "--json-command", "--server-encoding=json", "--no-pretty"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        // It reads to the end before it does anything.
        writeln!(client.stdin.take().ok_or("no input")?, "{request}")?;
        Ok(Kept(client))
    };
    let began = Instant::now();
    let mut watch = client(serde_json::json!(["watch", dir]))?;
    wait(&lines(watch.0.stdout.take().ok_or("no output")?), |line| line.contains("\"watch\""))?;
    drop(watch);
    let mut subscription = client(serde_json::json!(["subscribe", dir, "bench", { "fields": ["name"] }]))?;
    let lines = lines(subscription.0.stdout.take().ok_or("no output")?);
    let ready = wait(&lines, |line| line.contains("\"files\""))?.saturating_duration_since(began);
    Measured { dir, dirs, saves, ready, pid, memory_before }.figures(&lines)
}

/// Installs it with npm in a directory of its own.
pub(crate) struct Chokidar {
    _keep: tempfile::TempDir,
    dir: PathBuf,
}

const SCRIPT: &str = "
const { watch } = await import('chokidar');
const [dir, interval] = process.argv.slice(2);
const polling = interval === undefined ? {} : { usePolling: true, interval: Number(interval) };
const watcher = watch(dir, { ignoreInitial: true, ...polling });
watcher.on('ready', () => console.log('READY'));
watcher.on('all', (event, path) => console.log(event, path));
";

impl Chokidar {
    pub(crate) fn install() -> Fallible<Self> {
        let keep = tempfile::tempdir()?;
        let dir = keep.path().to_owned();
        fs::write(dir.join("package.json"), r#"{"type":"module"}"#)?;
        fs::write(dir.join("watch.mjs"), SCRIPT)?;
        let npm = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "chokidar"])
            .current_dir(&dir)
            .stdout(Stdio::null())
            .status()?;
        if npm.success() { Ok(Self { _keep: keep, dir }) } else { Err("npm could not install it".into()) }
    }

    pub(crate) fn measure(&self, dir: &Path, dirs: usize, saves: usize) -> Fallible<Figures> {
        let began = Instant::now();
        let watching = self.watch(dir, None)?;
        let ready = began.elapsed();
        let pid = watching.pid();
        Measured { dir, dirs, saves, ready, pid, memory_before: 0 }.figures(&watching.lines)
    }

    /// Has it watch a directory, by polling if there is an interval; returns when it is ready.
    pub(crate) fn watch(&self, dir: &Path, interval: Option<Duration>) -> Fallible<Watching> {
        let node = Command::new("node")
            .arg(self.dir.join("watch.mjs"))
            .arg(dir)
            .args(interval.map(|interval| interval.as_millis().to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut node = Kept(node);
        let lines = lines(node.0.stdout.take().ok_or("no output")?);
        wait(&lines, |line| line == "READY")?;
        Ok(Watching { node, lines })
    }
}

/// chokidar at work.
pub(crate) struct Watching {
    node: Kept,
    lines: Receiver<(Instant, String)>,
}

impl Watching {
    pub(crate) fn pid(&self) -> u32 {
        self.node.0.id()
    }

    /// Waits for an event of a file, for so long at most.
    pub(crate) fn hears_of(&self, path: &Path, most: Duration) -> Fallible<bool> {
        let path = path.to_str().ok_or("not UTF-8")?;
        let until = Instant::now() + most;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((_, line)) if line.contains(path) => return Ok(true),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => return Err("it has ended".into()),
            }
        }
    }
}
