//! Saves of files that are in use, on file systems whose changes nobody tells of: polling, beside notify's
//! `PollWatcher`. Each measurement is a process of its own.

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
    Fallible, MS, QUIET, Verdict, ms, process,
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

/// After so many that it has not seen it is given up on.
const MISSES: usize = 3;

const DEADLINE: Duration = Duration::from_secs(120);

/// All of it: trees in memory, and the small one seen through a slow mount.
pub(crate) fn measure(within: &Path, sizes: &[usize], saves: usize) -> Fallible<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    for &dirs in sizes {
        let tree = Tree::new(within, dirs)?;
        let files = tree.files();
        let walk = trees::bare_walk(&tree.dir, 3)?;
        println!("{files} files, {USED} of them in use; bare parallel walk {:.1} ms", ms(walk));
        if let Some(median) = show(&tree.dir, &tree, saves) {
            let what = format!("{files} files, polling: save of a file in use, median");
            verdicts.push(Verdict::ms(&what, median, 150.0));
        }
        match crate::others::watchman(&tree.dir, tree.dirs, saves) {
            Ok(figures) => {
                println!("{:<34}{:>9.1} ms", "Watchman's own client", figures.median.map_or(f64::NAN, ms))
            }
            Err(error) => println!("Watchman's own client: skipped, {error}"),
        }
        println!();
        // Of a larger one the first look alone takes minutes.
        if files > 10_000 {
            continue;
        }
        match SlowMount::over(&tree.dir, MS) {
            Ok(mount) => {
                let walk = trees::bare_walk(&mount.front, 1)?;
                println!(
                    "{files} files on a FUSE mount, 1 ms for each request; saved behind it; bare parallel walk {:.1} ms",
                    ms(walk)
                );
                if let Some(median) = show(&mount.front, &tree, saves) {
                    let what = format!("{files} files, FUSE, polling: save of a file in use, median");
                    verdicts.push(Verdict::ms(&what, median, 2.0 * ms(INTERVAL)));
                }
                println!("Watchman, chokidar: not measured; they see no save that is made behind a mount\n");
            }
            Err(error) => println!("a FUSE mount: skipped, {error}\n"),
        }
    }
    Ok(verdicts)
}

/// Shows each row, and returns the median of ours.
fn show(front: &Path, tree: &Tree, saves: usize) -> Option<Duration> {
    let mut ours = None;
    for who in [hotloader_polling::NAME, "PollWatcher"] {
        match child(who, front, tree, saves) {
            Ok((text, median)) => {
                println!("{who:<22}{text}");
                if who == hotloader_polling::NAME {
                    ours = Some(median);
                }
            }
            Err(error) => println!("{who:<22}{error}"),
        }
    }
    ours
}

fn child(who: &str, front: &Path, tree: &Tree, saves: usize) -> Fallible<(String, Duration)> {
    let output = Command::new(std::env::current_exe()?)
        .args([CHILD, who])
        .args([front, &tree.dir])
        .args([&tree.dirs.to_string(), &saves.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let (median, text) =
        text.trim_end().split_once(' ').ok_or_else(|| format!("no figures, but {text:?}"))?;
    Ok((text.to_owned(), Duration::from_micros(median.parse()?)))
}

/// In that process: files are watched at `front` and saved at `back`.
pub(crate) async fn in_child(
    who: &str,
    front: &Path,
    back: &Path,
    dirs: usize,
    saves: usize,
) -> Fallible<String> {
    if who == hotloader_polling::NAME {
        ours(front, back, dirs, saves).await
    } else {
        poll_watcher(front, back, dirs, saves)
    }
}

async fn ours(front: &Path, back: &Path, dirs: usize, saves: usize) -> Fallible<String> {
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
    let text = row(&mut times, share);
    Ok(format!("{text}; {TOGETHER} together after {:.0} ms", ms(together)))
}

fn poll_watcher(front: &Path, back: &Path, dirs: usize, saves: usize) -> Fallible<String> {
    let own = std::process::id();
    let (sender, events) = mpsc::channel();
    let config = notify::Config::default().with_poll_interval(INTERVAL);
    let mut watcher = PollWatcher::new(sender, config)?;
    watcher.watch(front, RecursiveMode::Recursive)?;
    std::thread::sleep(Duration::from_secs(2));
    let (began, before) = (Instant::now(), process::processor(own)?);
    let mut times = Vec::new();
    let mut saver = Saves::new(back, dirs);
    let mut missed = 0;
    for number in 0..saves.min(USED) {
        // It takes the kernel's word, which may be a minute old: that is seen by now.
        if missed == MISSES {
            break;
        }
        std::thread::sleep(300 * MS + MS * u32::try_from(number * 137 % 700)?);
        let (path, saved) = saver.save()?;
        let path = front.join(path.strip_prefix(back)?);
        missed += 1;
        while saved.elapsed() < 10_000 * MS {
            let Ok(event) = events.recv_timeout(1000 * MS) else { continue };
            if event?.paths.contains(&path) {
                times.push(saved.elapsed());
                missed -= 1;
                break;
            }
        }
    }
    let share = (process::processor(own)? - before).as_secs_f64() / began.elapsed().as_secs_f64();
    let text = row(&mut times, share);
    Ok(format!("{text}; {missed} of {} not seen in 10 s", times.len() + missed))
}

/// The median for the parent, and the row for people.
fn row(times: &mut [Duration], share: f64) -> String {
    times.sort();
    let at = |at: usize| times.get(at).copied().unwrap_or_default();
    let (median, most) = (at(times.len() / 2), at(times.len().saturating_sub(1)));
    let (percent, count) = (share * 100.0, times.len());
    format!(
        "{} {:>9.1} ms at the median of {count}, {:.1} ms at most; {percent:.1} % of a processor",
        median.as_micros(),
        ms(median),
        ms(most)
    )
}
