//! `lua-hotloader watch`: what the server would see of a directory, without the server.

use std::{
    collections::HashSet,
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use tokio::{runtime, sync::oneshot};

use super::{
    CliError, WatchArgs, signals,
    watch_lines::{BackendAtWork, Generation, Ready, time},
};
use crate::{
    config::{self, Config, Overrides},
    server, telemetry,
    watch::{self, BackendHealth, ChangeSet, Registry, Root, RootId, WatchHandle},
};

/// How long stopping may take. Nothing is lost if it takes longer.
const STOPPING: Duration = Duration::from_millis(1500);

pub(super) fn run(args: &WatchArgs) -> Result<(), CliError> {
    if args.path.is_file() {
        return Err(CliError::NotADirectory(args.path.clone()));
    }
    let flags = Overrides {
        watch_backend: args.watch_backend.clone(),
        verbosity: args.verbosity,
        ..Overrides::default()
    };
    let config = config::load(&args.path, args.config.as_deref(), &flags, &Registry::with_builtin())
        .map_err(CliError::Config)?;
    telemetry::init(&config.logging);
    let stop = signals::first(STOPPING).map_err(CliError::System)?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::System)?;
    let result = runtime.block_on(follow(args, &config, stop));
    runtime.shutdown_background();
    result
}

async fn follow(args: &WatchArgs, config: &Config, mut stop: oneshot::Receiver<()>) -> Result<(), CliError> {
    let begun = Instant::now();
    let settings = config.watch.clone().in_site(&args.path);
    let subject = Subject::of(&args.path, config);
    let registry = Registry::with_builtin();
    let failed = |source| CliError::Watch { path: args.path.clone(), source };
    let (handle, mut sets) = tokio::select! {
        biased;
        _ = &mut stop => return Ok(()),
        started = watch::start(&settings, subject.roots.clone(), &registry) => started.map_err(failed)?,
    };
    let Some(mut first) = sets.recv().await else { return Err(failed(watch::WatchError::Stopped)) };
    subject.narrow(&mut first);
    let ready = Ready {
        path: args.path.clone(),
        backends: at_work(&handle),
        generation: 1,
        files: first.changes.len(),
        dirs: handle.links().watched_dirs.len(),
        ms: begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
    };
    drop(first);
    let mut is_read = print(&if args.json { ready.json() } else { ready.text() });
    let mut generation = ready.generation;
    let mut gone = reader_gone().map_err(CliError::System)?;
    while is_read {
        let set = tokio::select! {
            biased;
            _ = &mut stop => break,
            _ = &mut gone => break,
            set = sets.recv() => set,
        };
        let Some(mut set) = set else { return Err(failed(watch::WatchError::Stopped)) };
        subject.narrow(&mut set);
        if set.changes.is_empty() {
            continue;
        }
        generation += 1;
        let lines = Generation::new(generation, &set);
        is_read = print(&if args.json { lines.json() } else { lines.text(&time()) });
    }
    handle.stop().await;
    Ok(())
}

/// What is watched, and which of it counts.
struct Subject {
    /// Absolute.
    dir: PathBuf,
    is_site: bool,
    roots: Vec<Root>,
}

impl Subject {
    /// A site as the server watches it. Of any other directory everything counts.
    fn of(dir: &Path, config: &Config) -> Self {
        let is_site = server::is_site(dir, config);
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let everything = || Root {
            id: RootId("path"),
            dir: dir.clone(),
            extensions: &[],
            recursive: true,
            max_file: Root::MAX_FILE,
            optional: false,
        };
        let roots = if is_site { server::roots(&dir, config) } else { vec![everything()] };
        Self { dir, is_site, roots }
    }

    /// Leaves what the server would act on, by its name below the directory.
    fn narrow(&self, set: &mut ChangeSet) {
        if !self.is_site {
            return;
        }
        server::leave_what_counts(set);
        for change in &mut set.changes {
            let root = self.roots.iter().find(|root| root.id == change.root);
            if let Some(below) = root.and_then(|root| root.dir.strip_prefix(&self.dir).ok()) {
                change.name = below.join(&change.name);
            }
        }
        // A template within the Lua directory is of two roots.
        let mut told = HashSet::new();
        set.changes.retain(|change| told.insert(change.name.clone()));
    }
}

/// Which backends watch, each with the number of its directories and the reason.
fn at_work(handle: &WatchHandle) -> Vec<BackendAtWork> {
    let backends = handle.health().backends.into_iter().filter(|backend| backend.dirs > 0);
    backends.map(|BackendHealth { name, dirs, why, .. }| BackendAtWork { name, dirs, why }).collect()
}

/// Whether somebody still takes the lines.
fn print(line: &str) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

/// Tells when nobody reads stdout any more, so that `watch | head -1` ends without another change. Never
/// does where stdout is something that cannot tell, such as a file.
///
/// By a thread of its own: it waits for as long as the process lives.
fn reader_gone() -> io::Result<oneshot::Receiver<()>> {
    let (tell, told) = oneshot::channel();
    thread::Builder::new().name("stdout".into()).spawn(move || {
        let stdout = io::stdout();
        // `poll` reports that the other end is gone (POLLERR) without being asked for it.
        let mut wanted = [PollFd::new(&stdout, PollFlags::empty())];
        loop {
            match poll(&mut wanted, None) {
                Err(Errno::INTR) => {}
                Err(_) => thread::park(),
                Ok(_) => break,
            }
        }
        let _ = tell.send(());
    })?;
    Ok(told)
}
