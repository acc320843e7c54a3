//! A complete watch backend: it looks at everything again and again. `docs/writing-a-backend.md` explains
//! it part by part, and `tests/example_backend.rs` proves it by the conformance suite.
//!
//! The backend is `MinimalBackend` with `Stamp`, `Seen`, `look` and `entries`: under 100 lines. What
//! stands beside it only runs it: `main` registers it, watches a directory and prints what changed.
//!
//!     cargo run --example minimal_backend -- DIR

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hotloader_backend::{
    Armed, BackendFailure, BackendInputs, FileWatchBackend, Phase, Report, SkipCause, Skipped, WatchPlan,
};
use lua_hotloader::{
    config::WatchConfig,
    watch::{self, Registry, Root, RootId},
};

/// What tells two states of a directory entry apart: inode, mode, size, and two times in nanoseconds.
type Stamp = (u64, u32, u64, [i64; 4]);
/// For each directory its entries. A directory that cannot be listed has none.
type Seen = BTreeMap<Arc<Path>, BTreeMap<PathBuf, Stamp>>;

pub(crate) struct MinimalBackend {
    pub(crate) interval: Duration,
}

impl FileWatchBackend for MinimalBackend {
    fn name(&self) -> &'static str {
        "minimal"
    }

    fn run(
        self: Box<Self>,
        mut inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
        Box::pin(async move {
            let (mut seen, mut armed) = (Seen::new(), 0);
            loop {
                let mut barrier = None;
                tokio::select! {
                    () = inputs.stop.cancelled() => return Ok(()),
                    Some(request) = inputs.barriers.recv() => barrier = Some(request),
                    Ok(()) = inputs.plan.changed() => {}
                    () = tokio::time::sleep(self.interval) => {}
                }
                let plan = inputs.plan.borrow_and_update().clone();
                let revision = plan.revision;
                let look = tokio::task::spawn_blocking(move || look(&plan, &seen)).await;
                let panicked = |error| BackendFailure::retry("looking at the disk panicked").because(error);
                let (now, changed, skipped) = look.map_err(panicked)?;
                seen = now;
                changed.into_iter().for_each(|path| inputs.reports.hint(path, Phase::Complete));
                if revision != armed {
                    armed = revision;
                    inputs.reports.report(Report::Armed(Armed { revision, skipped }));
                }
                if let Some(barrier) = barrier {
                    barrier.complete();
                }
            }
        })
    }
}

/// What is there now, what differs from what was seen before, and what could not be looked at.
fn look(plan: &WatchPlan, before: &Seen) -> (Seen, Vec<PathBuf>, Vec<Skipped>) {
    let (mut seen, mut changed, mut skipped) = (Seen::new(), Vec::new(), Vec::new());
    let second_ago = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64 - 1);
    for dir in &plan.dirs {
        let now = entries(dir).unwrap_or_else(|error| {
            let (dir, reason) = (dir.to_path_buf(), error.to_string());
            skipped.push(Skipped { dir, cause: SkipCause::Unreachable, reason });
            BTreeMap::new()
        });
        // What is new in the plan is listed by whoever made the plan, once it is armed.
        if let Some(old) = before.get(dir) {
            changed.extend(old.keys().filter(|path| !now.contains_key(*path)).cloned());
            // Times are coarse: what is this young may have changed once more within the same tick.
            let is_changed = |(path, stamp): &(&PathBuf, &Stamp)| {
                old.get(*path) != Some(*stamp) || stamp.3[2] >= second_ago
            };
            changed.extend(now.iter().filter(is_changed).map(|(path, _)| path.clone()));
        }
        seen.insert(dir.clone(), now);
    }
    (seen, changed, skipped)
}

fn entries(dir: &Path) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    // What vanishes between the two calls is not there.
    let stamps = fs::read_dir(dir)?.flatten().filter_map(|entry| {
        let meta = entry.metadata().ok()?;
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        Some((entry.path(), (meta.ino(), meta.mode(), meta.size(), times)))
    });
    Ok(stamps.collect())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os().nth(1).ok_or("usage: minimal_backend DIR")?.into();
    let mut registry = Registry::with_builtin();
    registry.register("minimal", |_| Ok(Box::new(MinimalBackend { interval: Duration::from_millis(200) })));
    let settings = WatchConfig { backend: "minimal".into(), ..WatchConfig::default() };
    let root = Root {
        id: RootId("dir"),
        dir,
        extensions: &[],
        recursive: true,
        max_file: Root::MAX_FILE,
        optional: false,
    };
    let (_watching, mut sets) = watch::start(&settings, vec![root], &registry).await?;
    while let Some(set) = sets.recv().await {
        if set.initial {
            println!("{} files", set.changes.len());
        } else {
            println!("{:?}", set.changes.iter().map(|change| &change.name).collect::<Vec<_>>());
        }
    }
    Ok(())
}
