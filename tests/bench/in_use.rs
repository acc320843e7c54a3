//! Saves of files that are in use, on file systems whose changes nobody tells of: polling, beside notify's
//! `PollWatcher` and chokidar. Each measurement is a process of its own.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use lua_hotloader::{
    config::{BackendChoice, WatchConfig},
    watch::{self, Registry, Root, RootId},
};
use notify::{PollWatcher, RecursiveMode, Watcher};
use tokio::time::{sleep, timeout};

use crate::{
    Fallible, MS, QUIET, Verdict,
    cached_mount::CachedMount,
    ms,
    others::Chokidar,
    process,
    slow_mount::SlowMount,
    trees::{self, Saves, Tree},
};

/// The argument of a process that measures one thing.
pub(crate) const CHILD: &str = "--measure-in-use";

/// How many files are in use.
const USED: usize = 50;

/// How many are saved together.
const TOGETHER: usize = 1000;

/// What the others look as often as we look at what is in use.
const INTERVAL: Duration = Duration::from_millis(100);

/// What another has not seen after so long counts as not seen.
const PATIENCE: Duration = Duration::from_secs(10);

/// After so many that it has not seen it is given up on.
const MISSES: usize = 3;

const DEADLINE: Duration = Duration::from_secs(120);

/// All of it: trees in memory, and the same seen through mounts.
pub(crate) fn measure(
    within: &Path,
    sizes: &[usize],
    saves: usize,
    chokidar: &Fallible<Chokidar>,
) -> Fallible<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    for &dirs in sizes {
        let tree = Tree::new(within, dirs)?;
        let files = tree.files();
        let walk = trees::bare_walk(&tree.dir, 3)?;
        println!("{files} files, {USED} of them in use; bare parallel walk {:.1} ms", ms(walk));
        let row =
            Row { what: format!("{files} files, polling"), front: &tree.dir, tree: &tree, saves, chokidar };
        row.measure(150.0, &mut verdicts);
        match crate::others::watchman(&tree.dir, tree.dirs, saves) {
            Ok(figures) => {
                println!("{:<34}{:>9.1} ms", "Watchman's own client", figures.median.map_or(f64::NAN, ms))
            }
            Err(error) => verdicts.push(Verdict::missing("Watchman's own client", &error)),
        }
        println!();
        // Of a large tree the first look alone takes minutes where each answer takes a millisecond.
        let mounted = if files > 10_000 {
            CachedMount::over(&tree.dir).map(|mount| {
                let row = Row { what: format!("{files} files, bindfs, polling"), front: &mount.front, ..row };
                row.measure_mounted("bindfs", &mut verdicts)
            })
        } else {
            SlowMount::over(&tree.dir, MS).map(|mount| {
                let row = Row { what: format!("{files} files, FUSE, polling"), front: &mount.front, ..row };
                row.measure_mounted("a FUSE mount, 1 ms for each request", &mut verdicts)
            })
        };
        match mounted {
            Ok(measured) => measured?,
            Err(error) => verdicts.push(Verdict::missing(&format!("{files} files on a FUSE mount"), &error)),
        }
    }
    Ok(verdicts)
}

/// A tree, seen at some place, by all who poll.
struct Row<'a> {
    what: String,
    front: &'a Path,
    tree: &'a Tree,
    saves: usize,
    chokidar: &'a Fallible<Chokidar>,
}

impl Row<'_> {
    fn measure_mounted(&self, on: &str, verdicts: &mut Vec<Verdict>) -> Fallible<()> {
        let (files, walk) = (self.tree.files(), trees::bare_walk(self.front, 1)?);
        println!("{files} files on {on}; saved behind it; bare parallel walk {:.1} ms", ms(walk));
        self.measure(2.0 * ms(INTERVAL), verdicts);
        println!("Watchman: not measured; it sees no save that is made behind a mount\n");
        Ok(())
    }

    /// Prints each row; the median of ours is to be so many milliseconds at most.
    fn measure(&self, target: f64, verdicts: &mut Vec<Verdict>) {
        let what = &self.what;
        match self.child(hotloader_polling::NAME) {
            Ok(saved) => {
                println!("{:<22}{}", hotloader_polling::NAME, saved.text);
                let median = format!("{what}: save of a file in use, median");
                verdicts.push(Verdict::ms(&median, saved.median, target));
                let share = format!("{what}: processor meanwhile");
                verdicts.push(Verdict::new(&share, saved.share * 100.0, 5.0, "%"));
            }
            Err(error) => verdicts.push(Verdict::missing(what, &error)),
        }
        match self.child("PollWatcher") {
            Ok(saved) => println!("{:<22}{}", "PollWatcher", saved.text),
            Err(error) => verdicts.push(Verdict::missing(&format!("{what}: PollWatcher"), &error)),
        }
        match self.chokidar.as_ref().map(|chokidar| self.by_chokidar(chokidar)) {
            Ok(Ok(saved)) => println!("{:<22}{}", "chokidar, polling", saved.text),
            Ok(Err(error)) => verdicts.push(Verdict::missing(&format!("{what}: chokidar"), &error)),
            Err(error) => println!("chokidar: NOT MEASURED: {error}"),
        }
    }

    fn child(&self, who: &str) -> Fallible<Saved> {
        let output = Command::new(std::env::current_exe()?)
            .args([CHILD, who])
            .args([self.front, &self.tree.dir])
            .args([&self.tree.dirs.to_string(), &self.saves.to_string()])
            .stderr(Stdio::inherit())
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        Saved::parse(&text).ok_or_else(|| format!("no figures, but {text:?}").into())
    }

    fn by_chokidar(&self, chokidar: &Chokidar) -> Fallible<Saved> {
        let watching = chokidar.watch(self.front, Some(INTERVAL))?;
        let hears_of = |path: &Path, most| watching.hears_of(path, most);
        let Tree { dir, dirs, .. } = self.tree;
        saves_of_others((self.front, dir), *dirs, self.saves, watching.pid(), hears_of)
    }
}

/// In that process: files are watched at `front` and saved at `back`.
pub(crate) async fn in_child(
    who: &str,
    front: &Path,
    back: &Path,
    dirs: usize,
    saves: usize,
) -> Fallible<String> {
    let saved = if who == hotloader_polling::NAME {
        ours(front, back, dirs, saves).await
    } else {
        poll_watcher(front, back, dirs, saves)
    };
    Ok(saved?.to_line())
}

async fn ours(front: &Path, back: &Path, dirs: usize, saves: usize) -> Fallible<Saved> {
    let own = std::process::id();
    let root = Root {
        id: RootId("tree"),
        dir: front.to_owned(),
        extensions: &[],
        recursive: true,
        max_file: Root::MAX_FILE,
        optional: false,
    };
    let backend = BackendChoice::from(hotloader_polling::NAME);
    let settings = WatchConfig { backend, quiet: QUIET, ..WatchConfig::default() };
    let (handle, mut sets) = watch::start(&settings, vec![root], &Registry::with_builtin()).await?;
    let mut seen = async |wanted: &mut BTreeSet<PathBuf>| -> Fallible<()> {
        while !wanted.is_empty() {
            let set = timeout(DEADLINE, sets.recv()).await?.ok_or("the watcher ended")?;
            set.changes.iter().for_each(|change| {
                wanted.remove(&change.path);
            });
        }
        Ok(())
    };
    let used: Vec<PathBuf> = (1..=USED).map(|number| Saves::path(front, dirs, number)).collect();
    seen(&mut used.iter().cloned().collect()).await?;
    handle.in_use().send_replace(Arc::new(used.into_iter().collect()));
    sleep(2000 * MS).await;
    let (began, before) = (Instant::now(), process::processor(own)?);
    let mut times = Vec::new();
    let mut saver = Saves::new(back, dirs);
    for number in 0..saves.min(USED) {
        // Without a beat, or a poller might keep step with it.
        sleep(300 * MS + MS * u32::try_from(number * 137 % 700)?).await;
        let (path, saved) = saver.save()?;
        seen(&mut BTreeSet::from([front.join(path.strip_prefix(back)?)])).await?;
        times.push(saved.elapsed());
    }
    let share = (process::processor(own)? - before).as_secs_f64() / began.elapsed().as_secs_f64();
    let mut many = BTreeSet::new();
    let saved = Instant::now();
    for _ in 0..TOGETHER {
        many.insert(front.join(saver.save()?.0.strip_prefix(back)?));
    }
    seen(&mut many).await?;
    let together = saved.elapsed();
    handle.stop().await;
    Ok(Saved::new(times, share).and(&format!("{TOGETHER} together after {:.0} ms", ms(together))))
}

fn poll_watcher(front: &Path, back: &Path, dirs: usize, saves: usize) -> Fallible<Saved> {
    let (sender, events) = mpsc::channel();
    let config = notify::Config::default().with_poll_interval(INTERVAL);
    let mut watcher = PollWatcher::new(sender, config)?;
    watcher.watch(front, RecursiveMode::Recursive)?;
    let hears_of = |path: &Path, most: Duration| {
        let until = Instant::now() + most;
        while let Ok(event) = events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if event?.paths.iter().any(|at| at == path) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    saves_of_others((front, back), dirs, saves, std::process::id(), hears_of)
}

/// Saves files, and asks of each whether it is heard of.
fn saves_of_others(
    (front, back): (&Path, &Path),
    dirs: usize,
    saves: usize,
    pid: u32,
    hears_of: impl Fn(&Path, Duration) -> Fallible<bool>,
) -> Fallible<Saved> {
    std::thread::sleep(Duration::from_secs(2));
    let (began, before) = (Instant::now(), process::processor(pid)?);
    let mut times = Vec::new();
    let mut saver = Saves::new(back, dirs);
    let mut missed = 0;
    for number in 0..saves.min(USED) {
        // Who takes the kernel's word hears what may be a minute old: that is seen by now.
        if missed == MISSES {
            break;
        }
        std::thread::sleep(300 * MS + MS * u32::try_from(number * 137 % 700)?);
        let (path, saved) = saver.save()?;
        if hears_of(&front.join(path.strip_prefix(back)?), PATIENCE)? {
            times.push(saved.elapsed());
        } else {
            missed += 1;
        }
    }
    let share = (process::processor(pid)? - before).as_secs_f64() / began.elapsed().as_secs_f64();
    let asked = times.len() + missed;
    Ok(Saved::new(times, share).and(&format!("{missed} of {asked} not seen in {} s", PATIENCE.as_secs())))
}

/// How long saves took to be seen.
struct Saved {
    median: Duration,
    /// Of a processor.
    share: f64,
    /// For people.
    text: String,
}

impl Saved {
    fn new(mut times: Vec<Duration>, share: f64) -> Self {
        times.sort();
        let at = |at: usize| times.get(at).copied().unwrap_or_default();
        let (median, most) = (at(times.len() / 2), at(times.len().saturating_sub(1)));
        let (percent, count) = (share * 100.0, times.len());
        let text = format!(
            "{:>9.1} ms at the median of {count}, {:.1} ms at most; {percent:.1} % of a processor",
            ms(median),
            ms(most)
        );
        Self { median, share, text }
    }

    fn and(mut self, more: &str) -> Self {
        self.text += &format!("; {more}");
        self
    }

    fn to_line(&self) -> String {
        format!("{} {} {}", self.median.as_micros(), self.share, self.text)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.trim_end().splitn(3, ' ');
        let median = Duration::from_micros(fields.next()?.parse().ok()?);
        Some(Self { median, share: fields.next()?.parse().ok()?, text: fields.next()?.to_owned() })
    }
}
