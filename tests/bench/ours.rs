//! What is measured of our own watcher. Each measurement is a process of its own, so that its memory is
//! nobody else's.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use hotloader_backend::{FileWatchBackend, WatchPlan, spawn};
use hotloader_polling::PollingBackend;
use lua_hotloader::{
    config::{BackendChoice, WatchConfig},
    watch::{self, ChangeSet, Registry, Root, RootId},
};
use tokio::{
    sync::mpsc::Receiver,
    time::{sleep, timeout},
};

use crate::{Fallible, Figures, MS, QUIET, others::Daemon, process, trees::Saves};

const DEADLINE: Duration = Duration::from_secs(60);

/// The argument of a process that measures one thing.
pub(crate) const CHILD: &str = "--measure";

/// In the place of the number of saves: nothing but the time until all is ready.
const ONLY_READY: &str = "-";

/// Where that process finds the daemon that was started for it.
const SOCKET: &str = "HOTLOADER_BENCH_WATCHMAN";

/// How often it is measured when all is ready: the best counts, as for the bare walk.
const TRIES: usize = 3;

/// Measures one backend, each time in a process of its own.
pub(crate) fn measure(backend: &str, dir: &Path, dirs: usize, saves: usize) -> Fallible<Figures> {
    let mut figures = measure_once(backend, dir, dirs, &saves.to_string())?;
    for _ in 1..TRIES {
        figures.ready = figures.ready.min(measure_once(backend, dir, dirs, ONLY_READY)?.ready);
    }
    Ok(figures)
}

fn measure_once(backend: &str, dir: &Path, dirs: usize, saves: &str) -> Fallible<Figures> {
    let daemon = if backend == hotloader_watchman::NAME { Some(Daemon::start()?) } else { None };
    let socket = daemon.as_ref().map(|daemon| (SOCKET, &daemon.socket));
    let output = Command::new(std::env::current_exe()?)
        .args([CHILD, backend])
        .arg(dir)
        .args([&dirs.to_string(), saves])
        .envs(socket)
        // What was freed is given back at once: what the watcher needs is measured, not what its allocator
        // keeps for later.
        .env("MIMALLOC_PURGE_DELAY", "0")
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    Figures::parse(&text).ok_or_else(|| format!("{backend}: no figures, but {text:?}").into())
}

/// In that process. Without a number of saves it is over when all is ready.
pub(crate) async fn child(backend: &str, dir: &Path, dirs: usize, saves: Option<usize>) -> Fallible<Figures> {
    let own = std::process::id();
    let before = process::memory(own)?;
    let began = Instant::now();
    let root = Root {
        id: RootId("tree"),
        dir: dir.to_owned(),
        extensions: &[],
        recursive: true,
        max_file: Root::MAX_FILE,
        optional: false,
    };
    let mut settings =
        WatchConfig { backend: BackendChoice::from(backend), quiet: QUIET, ..WatchConfig::default() };
    if let Ok(socket) = std::env::var(SOCKET) {
        settings.options_mut("watchman").insert("sockname".into(), socket.into());
    }
    let (handle, mut sets) = watch::start(&settings, vec![root], &Registry::with_builtin()).await?;
    let first = next(&mut sets).await?;
    let ready = began.elapsed();
    let files = first.changes.len();
    drop(first);
    let Some(saves) = saves else {
        handle.stop().await;
        return Ok(Figures { files, ready, settled: None, memory: 0, median: None, idle: 0.0 });
    };
    // Saves that come before the contents are known are heard as well, and later ones are what is usual.
    let settled = quiet_processor(own).await?;
    let memory = process::memory(own)?.saturating_sub(before);
    let (idle, span) = (process::processor(own)?, Duration::from_secs(3));
    sleep(span).await;
    let idle = (process::processor(own)? - idle).as_secs_f64() / span.as_secs_f64();
    let mut times = Vec::new();
    let saves = if dirs == 0 { 0 } else { saves + 1 };
    let mut saver = Saves::new(dir, dirs);
    for number in 0..saves {
        // Without a beat, or a poller might keep step with it.
        sleep(50 * MS + MS * u32::try_from(number * 37 % 100)?).await;
        let (path, saved) = saver.save()?;
        loop {
            let set = next(&mut sets).await?;
            if set.changes.iter().any(|change| change.path == path) {
                break;
            }
        }
        if number > 0 {
            times.push(saved.elapsed());
        }
    }
    times.sort();
    handle.stop().await;
    Ok(Figures {
        files,
        ready,
        settled: Some(settled),
        memory,
        median: times.get(times.len() / 2).copied(),
        idle,
    })
}

async fn next(sets: &mut Receiver<ChangeSet>) -> Fallible<ChangeSet> {
    timeout(DEADLINE, sets.recv()).await?.ok_or_else(|| "the watcher ended".into())
}

/// Waits until the process has nothing to do; returns how long that took.
async fn quiet_processor(own: u32) -> Fallible<Duration> {
    let began = Instant::now();
    loop {
        let before = process::processor(own)?;
        sleep(200 * MS).await;
        if process::processor(own)? - before < 20 * MS || began.elapsed() > DEADLINE {
            return Ok(began.elapsed());
        }
    }
}

/// A link to a directory of 1,000 files is led to another one, several times. Returns the median, and the
/// greatest number of change sets that one flip made.
pub(crate) async fn flip(within: &Path, flips: usize) -> Fallible<(Duration, usize)> {
    const FILES: usize = 1000;
    let keep = tempfile::tempdir_in(within)?;
    let base = fs::canonicalize(keep.path())?;
    for version in ["1", "2"] {
        fs::create_dir_all(base.join(version))?;
        for file in 0..FILES {
            fs::write(base.join(version).join(format!("{file}.lua")), format!("return {version} + {file}"))?;
        }
    }
    let dir = base.join("lua");
    fs::create_dir(&dir)?;
    symlink("../1", dir.join("current"))?;
    let root = Root {
        id: RootId("lua"),
        dir: dir.clone(),
        extensions: &["lua"],
        recursive: true,
        max_file: Root::MAX_FILE,
        optional: false,
    };
    let settings =
        WatchConfig { backend: BackendChoice::from("notify"), quiet: QUIET, ..WatchConfig::default() };
    let (handle, mut sets) = watch::start(&settings, vec![root], &Registry::with_builtin()).await?;
    next(&mut sets).await?;
    let (mut times, mut most) = (Vec::new(), 0);
    for number in 0..flips {
        let temporary: PathBuf = base.join("new");
        symlink(if number % 2 == 0 { "../2" } else { "../1" }, &temporary)?;
        let began = Instant::now();
        fs::rename(&temporary, dir.join("current"))?;
        let (mut seen, mut count) = (0, 0);
        while seen < FILES {
            seen += next(&mut sets).await?.changes.len();
            count += 1;
        }
        times.push(began.elapsed());
        handle.barrier().await?;
        count += usize::from(sets.try_recv().is_ok());
        most = most.max(count);
    }
    times.sort();
    handle.stop().await;
    Ok((times.get(times.len() / 2).copied().unwrap_or_default(), most))
}

/// One pass of the polling backend over a tree, as it says itself.
pub(crate) async fn polling_pass(dir: &Path) -> Fallible<Option<Duration>> {
    let mut dirs = vec![dir.to_owned()];
    let mut at = 0;
    while let Some(dir) = dirs.get(at).cloned() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
            }
        }
        at += 1;
    }
    let options = std::collections::BTreeMap::<String, serde_json::Value>::new();
    let backend = PollingBackend::from_options(&options).map_err(|failure| failure.explain())?;
    let backend: Box<dyn FileWatchBackend> = Box::new(backend);
    let (handle, mut reports) = spawn(backend);
    handle.set_plan(WatchPlan::new(1, dirs));
    while timeout(DEADLINE, reports.next()).await?.ok_or("polling ended")?.armed.is_none() {}
    let mut passes = Vec::new();
    for _ in 0..5 {
        timeout(DEADLINE, handle.barrier()).await??;
        passes.push(handle.vitals().last_pass);
    }
    handle.stop().await;
    passes.sort();
    Ok(passes.first().copied().filter(|pass| !pass.is_zero()))
}
