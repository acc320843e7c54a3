//! Watching alone: `cargo bench --bench watch` (`-- --quick` for the small tree and few saves, `-- --dir
//! DIR` for a tree elsewhere than in memory, `-- --only in-use` or `-- --only trees` for one part).
//!
//! A tree of 100,000 files in 10,000 directories and one of 2,000 files, watched by each backend: how long
//! until it is ready, how much memory that takes, how long from a save to its change set, and what it costs
//! to wait. Beside it, in the same run, a bare walk over the same tree, Watchman by its own client, and
//! chokidar. Then saves of files that are in use, by polling, also behind FUSE mounts (one whose every answer takes a
//! millisecond, and bindfs over a large tree), beside notify's `PollWatcher` and chokidar. A save's time begins just before `write(2)` or `rename(2)`. Machines differ and are noisy:
//! compare figures of one run with each other.

mod cached_mount;
mod in_use;
mod others;
mod ours;
mod process;
mod slow_mount;
mod trees;

use std::{
    error::Error,
    fmt::Display,
    path::{Path, PathBuf},
    time::Duration,
};

use lua_hotloader::watch::{KERNEL, Registry};
use others::Chokidar;
use trees::Tree;

// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MS: Duration = Duration::from_millis(1);
/// `watch.quiet` as it is by default.
const QUIET: Duration = Duration::from_millis(20);

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if let [ours::CHILD, backend, dir, dirs, saves] = args[..] {
        let figures =
            runtime.block_on(ours::child(backend, Path::new(dir), dirs.parse()?, saves.parse().ok()))?;
        println!("{}", figures.to_line());
        return Ok(());
    }
    if let [in_use::CHILD, who, front, back, dirs, saves] = args[..] {
        let (front, back) = (Path::new(front), Path::new(back));
        let row = in_use::in_child(who, front, back, dirs.parse()?, saves.parse()?);
        println!("{}", runtime.block_on(row)?);
        return Ok(());
    }
    // `cargo test` starts benchmarks, too, without this.
    if !args.contains(&"--bench") {
        println!("nothing measured; run it with: cargo bench --bench watch");
        return Ok(());
    }
    let quick = args.contains(&"--quick");
    let within = args.iter().position(|arg| *arg == "--dir").and_then(|at| args.get(at + 1));
    let within = within.map_or_else(default_dir, PathBuf::from);
    println!("trees in {}; quiet is {} ms\n", within.display(), QUIET.as_millis());
    let sizes: &[usize] = if quick { &[200] } else { &[200, 10_000] };
    let saves = if quick { 10 } else { 50 };
    let mut verdicts = Vec::new();
    let chokidar = Chokidar::install();
    if let Err(error) = &chokidar {
        verdicts.push(Verdict::missing("chokidar", error));
    }
    let only = args.iter().position(|arg| *arg == "--only").and_then(|at| args.get(at + 1).copied());
    if only.is_none_or(|only| only == "trees") {
        all_trees(&within, sizes, saves, &chokidar, &runtime, &mut verdicts)?;
        flips(&within, if quick { 5 } else { 20 }, &runtime, &mut verdicts)?;
    }
    if only.is_none_or(|only| only == "in-use") {
        verdicts.extend(in_use::measure(&within, sizes, saves, &chokidar)?);
    }
    println!("{:<62}{:>12}{:>12}", "", "measured", "target");
    verdicts.iter().for_each(Verdict::print);
    Ok(())
}

fn all_trees(
    within: &Path,
    sizes: &[usize],
    saves: usize,
    chokidar: &Fallible<Chokidar>,
    runtime: &tokio::runtime::Runtime,
    verdicts: &mut Vec<Verdict>,
) -> Fallible<()> {
    for &dirs in sizes {
        let tree = Tree::new(within, dirs)?;
        measure(within, &tree, saves, chokidar, runtime, verdicts)?;
    }
    Ok(())
}

fn flips(
    within: &Path,
    flips: usize,
    runtime: &tokio::runtime::Runtime,
    verdicts: &mut Vec<Verdict>,
) -> Fallible<()> {
    let (time, sets) = runtime.block_on(ours::flip(within, flips))?;
    verdicts.push(Verdict::ms(
        "flip of a link to 1,000 files, beyond quiet, median",
        time.saturating_sub(QUIET),
        50.0,
    ));
    verdicts.push(Verdict::new("change sets of one flip", sets as f64, 1.0, ""));
    Ok(())
}

/// In memory, if there is such a place: a disk that stalls is not what is measured.
fn default_dir() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { PathBuf::from("/var/tmp") }
}

fn measure(
    within: &Path,
    tree: &Tree,
    saves: usize,
    chokidar: &Fallible<Chokidar>,
    runtime: &tokio::runtime::Runtime,
    verdicts: &mut Vec<Verdict>,
) -> Fallible<()> {
    let walk = trees::bare_walk(&tree.dir, 5)?;
    println!("{} files in {} directories; bare parallel walk {:.1} ms", tree.files(), tree.dirs, ms(walk));
    println!("{}", Figures::HEAD);
    let large = tree.dirs > 1000;
    let files = tree.files();
    let mut by_watchman = None;
    for backend in Registry::with_builtin().names() {
        // In the same moment, as the machine may be busier than before.
        let walk = trees::bare_walk(&tree.dir, 3)?;
        // A poller's saves take seconds each.
        let saves = if backend == hotloader_polling::NAME { saves.min(10) } else { saves };
        let figures = match ours::measure(backend, &tree.dir, tree.dirs, saves) {
            Ok(figures) => figures,
            Err(error) => {
                println!("{backend:<22} {error}");
                verdicts.push(Verdict::missing(&format!("{files} files, {backend}"), &error));
                continue;
            }
        };
        figures.print(&format!("ours, {backend}"), walk);
        if [KERNEL, "notify"].contains(&backend) {
            let beyond = figures.median.unwrap_or_default().saturating_sub(QUIET);
            verdicts.push(Verdict::ms(
                &format!("{files} files, {backend}: save, beyond quiet, median"),
                beyond,
                2.0,
            ));
        }
        if backend == hotloader_watchman::NAME {
            by_watchman = Some((figures.ready, figures.median));
        }
        if large {
            let ratio = figures.ready.as_secs_f64() / walk.as_secs_f64();
            verdicts.push(Verdict::times(
                &format!("{files} files, {backend}: ready, of a bare walk"),
                ratio,
                1.5,
            ));
            // Its threads and such are there for an empty tree as well.
            let empty = Tree::new(within, 0)?;
            let none = ours::measure(backend, &empty.dir, 0, 0)?.memory;
            let each = figures.memory.saturating_sub(none + tree.path_bytes() as u64) as f64 / files as f64;
            let what = format!("{files} files, {backend}: memory per file beyond its path");
            verdicts.push(Verdict::new(&what, each, 200.0, "B"));
        }
    }
    if large {
        let walk = trees::bare_walk(&tree.dir, 3)?;
        match runtime.block_on(ours::polling_pass(&tree.dir))? {
            Some(pass) => {
                let ratio = pass.as_secs_f64() / walk.as_secs_f64();
                verdicts.push(Verdict::times(
                    &format!("{files} files, polling: one pass, of a bare walk"),
                    ratio,
                    1.3,
                ));
            }
            None => println!("polling does not tell how long a pass takes; skipped"),
        }
    }
    match others::watchman(&tree.dir, tree.dirs, saves) {
        Ok(figures) => {
            figures.print("Watchman's own client", walk);
            if let Some((ready, median)) = by_watchman {
                let what = format!("{files} files, watchman: ready, of its own client");
                let ratio = ready.as_secs_f64() / figures.ready.as_secs_f64();
                verdicts.push(Verdict::times(&what, ratio, 1.05));
                let what = format!("{files} files, watchman: save, beyond its own client, median");
                let beyond = median.map_or(f64::NAN, ms) - figures.median.map_or(f64::NAN, ms);
                verdicts.push(Verdict::new(&what, beyond, 4.0, "ms"));
            }
        }
        Err(error) => {
            verdicts.push(Verdict::missing(&format!("{files} files, Watchman's own client"), &error))
        }
    }
    match chokidar {
        Ok(chokidar) => match chokidar.measure(&tree.dir, tree.dirs, saves) {
            Ok(figures) => figures.print("chokidar", walk),
            Err(error) => verdicts.push(Verdict::missing(&format!("{files} files, chokidar"), &error)),
        },
        Err(error) => println!("chokidar: NOT MEASURED: {error}"),
    }
    println!();
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What one watcher needs for one tree.
struct Figures {
    files: usize,
    ready: Duration,
    /// From then on until it has nothing more to do.
    settled: Option<Duration>,
    memory: u64,
    median: Option<Duration>,
    /// Share of one processor.
    idle: f64,
}

impl Figures {
    const HEAD: &'static str =
        "                            ready  of walk   then busy     memory  per file   save, median     idle";

    fn print(&self, who: &str, walk: Duration) {
        let per_file = self.memory as f64 / self.files.max(1) as f64;
        let mib = self.memory as f64 / f64::from(1 << 20);
        let of_walk = self.ready.as_secs_f64() / walk.as_secs_f64();
        println!(
            "{who:<22}{:>8.1} ms{of_walk:>8.2}x{:>9} ms{mib:>7.1} MiB{per_file:>8.0} B{:>12.2} ms{:>7.1} %",
            ms(self.ready),
            self.settled.map_or("-".into(), |settled| settled.as_millis().to_string()),
            self.median.map_or(f64::NAN, ms),
            self.idle * 100.0
        );
    }

    fn to_line(&self) -> String {
        let micros = |time: Option<Duration>| time.map_or(0, |time| time.as_micros());
        format!(
            "{} {} {} {} {} {}",
            self.files,
            self.ready.as_micros(),
            micros(self.settled),
            self.memory,
            micros(self.median),
            self.idle
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.lines().last()?.split(' ');
        let micros =
            |fields: &mut std::str::Split<char>| Some(Duration::from_micros(fields.next()?.parse().ok()?));
        Some(Self {
            files: fields.next()?.parse().ok()?,
            ready: micros(&mut fields)?,
            settled: Some(micros(&mut fields)?),
            memory: fields.next()?.parse().ok()?,
            median: Some(micros(&mut fields)?),
            idle: fields.next()?.parse().ok()?,
        })
    }
}

/// What was measured against what is to be reached.
struct Verdict {
    what: String,
    /// Or why there is no figure.
    measured: Result<f64, String>,
    target: f64,
    unit: &'static str,
}

impl Verdict {
    fn new(what: &str, measured: f64, target: f64, unit: &'static str) -> Self {
        Self { what: what.into(), measured: Ok(measured), target, unit }
    }

    fn ms(what: &str, time: Duration, target: f64) -> Self {
        Self::new(what, ms(time), target, "ms")
    }

    fn times(what: &str, measured: f64, target: f64) -> Self {
        Self::new(what, measured, target, "x")
    }

    /// Something that could not be measured here: a row that is not there is easily overlooked.
    fn missing(what: &str, why: &dyn Display) -> Self {
        Self { what: what.into(), measured: Err(why.to_string()), target: f64::NAN, unit: "" }
    }

    fn print(&self) {
        let Self { what, measured, target, unit } = self;
        match measured {
            Ok(measured) => {
                let verdict = if measured <= target { "met" } else { "MISSED" };
                println!("{what:<62}{measured:>9.2} {unit:<2}{target:>9} {unit:<2}  {verdict}");
            }
            Err(why) => println!("{what:<62}NOT MEASURED: {why}"),
        }
    }
}
