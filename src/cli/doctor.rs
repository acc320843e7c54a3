//! `lua-hotloader doctor`: what decides whether changes are noticed here, measured, with the command that
//! mends what is wrong. Nothing is written into the directories it looks at.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::{runtime, time::timeout};

use super::{
    CliError, DoctorArgs,
    doctor_limits::Limits,
    doctor_places::{self, Place, places},
    doctor_report::{Problem, Report, print, section},
    doctor_watchman::Watchman,
};
use crate::{
    config::{self, BackendChoice, Config, LoggingConfig, Overrides, WatchConfig},
    server, telemetry,
    watch::{
        self, ChangeSet, LinkView, MountTable, POLLING, Registry, Root, RootId, WATCHMAN, WatchHandle,
        watchman_options,
    },
};

/// Beyond this, the file system is taken as not answering.
const PATIENCE: Duration = Duration::from_secs(20);
/// Beyond this, the watcher is taken as not working. A polling pass may take a while.
const SLOW: Duration = Duration::from_secs(1);
const BARRIERS: usize = 9;

pub(super) fn run(args: &DoctorArgs) -> Result<(), CliError> {
    // What the watcher warns of, links that lead in a circle for example.
    telemetry::init(&LoggingConfig { level: "warn".into(), ..LoggingConfig::default() });
    let mut report = Report::default();
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::System)?;
    let subject = Subject::choose(args, &mut report);
    runtime.block_on(examine(&subject, &mut report));
    // A thread may be stuck in a file system that does not answer.
    runtime.shutdown_background();
    match report.finish() {
        0 => Ok(()),
        count => Err(CliError::Unwell { count }),
    }
}

/// What is examined.
struct Subject {
    dir: PathBuf,
    /// Whether it is the directory of a site.
    is_site: bool,
    /// The configuration file, whether or not it is there.
    file: PathBuf,
    settings: WatchConfig,
    roots: Vec<Root>,
}

impl Subject {
    fn choose(args: &DoctorArgs, report: &mut Report) -> Self {
        let given = args.path.clone().unwrap_or_else(|| ".".into());
        let dir = std::path::absolute(&given).unwrap_or(given);
        let file = args.config.clone().unwrap_or_else(|| dir.join(config::FILE));
        let loaded =
            config::load(&dir, args.config.as_deref(), &Overrides::default(), &Registry::with_builtin());
        let config = loaded.unwrap_or_else(|error| {
            let fix = format!("mend {}; what follows holds for the defaults", file.display());
            report.problem(Problem::new(format!("wrong configuration:\n{error}"), [&fix]));
            Config::default()
        });
        let is_site = args.config.is_some() || server::is_site(&dir, &config);
        let roots = if is_site {
            server::roots(&dir, &config)
        } else {
            let dir = dir.clone();
            vec![Root {
                id: RootId("path"),
                dir,
                extensions: &[],
                recursive: true,
                max_file: Root::MAX_FILE,
                optional: false,
            }]
        };
        Self { settings: config.watch_in(&dir), dir, is_site, file, roots }
    }

    /// Names of backends in the order in which they are tried.
    fn configured(&self) -> Vec<String> {
        self.settings.backend.names().to_vec()
    }

    fn header(&self) {
        let what = if self.is_site { "a site" } else { "no site: the directory itself is looked at" };
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let is_container = ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists());
        let (system, container) = (std::env::consts::OS, if is_container { ", in a container" } else { "" });
        print(&[
            ["lua-hotloader".into(), env!("CARGO_PKG_VERSION").into()],
            ["system".into(), format!("{system} {}{container}", kernel.trim())],
            ["directory".into(), format!("{} ({what})", self.dir.display())],
            ["watch.backend".into(), self.configured().join(", ")],
        ]);
    }
}

async fn examine(subject: &Subject, report: &mut Report) {
    subject.header();
    let (mounts, watchman, limits) =
        (MountTable::read(), Watchman::ask(&watchman_options(&subject.settings)), Limits::read());
    section("limits", &limits.rows());
    section("watchman", &watchman.rows());
    let Some(watched) = watched(subject, report).await else {
        // The mount table tells this without asking a file system that hangs.
        show_places(&places(&subject.roots, &LinkView::default(), &mounts), subject, report);
        return;
    };
    for root in &subject.roots {
        // The site works without viewdefs.
        if root.id.0 != "viewdefs" && !root.optional && !root.dir.is_dir() {
            let what = format!("{}: no such directory; it is waited for", root.dir.display());
            report.problem(Problem::new(what, [&format!("mkdir -p {}", root.dir.display())]));
        }
    }
    let links = watched.handle.links();
    let places = places(&subject.roots, &links, &mounts);
    show_places(&places, subject, report);
    let by_kernel = |place: &Place| place.choice.backends[0] != POLLING;
    let needs_watches = subject.configured()[0] != POLLING && places.iter().any(by_kernel);
    let dirs = if needs_watches { links.watched_dirs.len() } else { 0 };
    limits.problems(dirs).into_iter().for_each(|problem| report.problem(problem));
    let by_config = subject.configured().iter().any(|name| name == WATCHMAN);
    let wanting = places.iter().filter(|place| by_config || place.wants_watchman());
    let wanting: Vec<PathBuf> = wanting.map(|place| place.dir().to_owned()).collect();
    watchman.problems(&wanting, by_config).into_iter().for_each(|problem| report.problem(problem));
    let files: Vec<PathBuf> = watched.first.changes.iter().map(|file| file.path.clone()).collect();
    let on_disk = doctor_places::problems_on_disk(&links, files.iter().map(PathBuf::as_path), &mounts);
    on_disk.into_iter().for_each(|problem| report.problem(problem));
    round_trip(watched, subject, report).await;
}

fn show_places(places: &[Place], subject: &Subject, report: &mut Report) {
    section("places", &doctor_places::rows(places));
    section("why", &doctor_places::reasons(places));
    let mend = format!("in {}", subject.file.display());
    let problems = doctor_places::problems(places, &subject.configured(), &mend);
    problems.into_iter().for_each(|problem| report.problem(problem));
}

/// A watcher at work, as the server would have it.
struct Watched {
    handle: WatchHandle,
    first: ChangeSet,
    took: Duration,
}

/// Starts to watch as configured; where that is not possible, at least by looking again and again.
async fn watched(subject: &Subject, report: &mut Report) -> Option<Watched> {
    let (mut settings, polling) = (subject.settings.clone(), BackendChoice::from(POLLING));
    loop {
        match timeout(PATIENCE, start(&settings, &subject.roots)).await {
            Ok(Ok(watched)) => return Some(watched),
            Ok(Err(error)) => {
                let fix = format!("watch.backend = {POLLING:?}   (in {})", subject.file.display());
                report.problem(Problem::new(error.to_string(), [&fix]));
                if settings.backend == polling {
                    return None;
                }
                settings.backend = polling.clone();
            }
            Err(_) => {
                report.problem(Problem::new(
                    format!("looking at the directories takes longer than {PATIENCE:?}: a file system does not answer"),
                    ["mount | grep -e nfs -e cifs -e fuse   (shows which it may be)", "umount -l THE_MOUNT_POINT"],
                ));
                return None;
            }
        }
    }
}

async fn start(settings: &WatchConfig, roots: &[Root]) -> Result<Watched, watch::WatchError> {
    let begun = Instant::now();
    let (handle, mut sets) = watch::start(settings, roots.to_vec(), &Registry::with_builtin()).await?;
    let first = sets.recv().await.ok_or(watch::WatchError::Stopped)?;
    let took = begun.elapsed();
    // A barrier waits until everything before it has been taken.
    tokio::spawn(async move { while sets.recv().await.is_some() {} });
    Ok(Watched { handle, first, took })
}

/// Measures a barrier: how long until the backend has reported all there is.
async fn round_trip(watched: Watched, subject: &Subject, report: &mut Report) {
    let mut times = Vec::new();
    for _ in 0..BARRIERS {
        let begun = Instant::now();
        if let Err(error) = watched.handle.barrier().await {
            let fix = format!("watch.backend = {POLLING:?}   (in {})", subject.file.display());
            report.problem(Problem::new(error.to_string(), [&fix]));
            break;
        }
        times.push(begun.elapsed());
        if times[0] > SLOW {
            break;
        }
    }
    times.sort();
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let barrier = match (times.get(times.len() / 2), times.last()) {
        (Some(&median), Some(&slowest)) => {
            if median > SLOW {
                report.problem(Problem::new(
                    format!(
                        "the watcher takes {} to look at everything; only files in use are seen sooner",
                        ms(median)
                    ),
                    ["take what need not be watched out: watch.ignore, and links to large trees"],
                ));
            }
            format!("{} at the median of {}, {} at most", ms(median), times.len(), ms(slowest))
        }
        _ => "no answer".into(),
    };
    let mut rows = vec![
        [
            "ready".into(),
            format!(
                "after {}: {} files, {} directories watched",
                ms(watched.took),
                watched.first.changes.len(),
                watched.handle.links().watched_dirs.len()
            ),
        ],
        ["barrier".into(), barrier],
    ];
    let health = watched.handle.health();
    for backend in &health.backends {
        let answered =
            backend.barrier.map_or_else(String::new, |(_, took)| format!(", answers in {}", ms(took)));
        let (state, dirs) = (backend.state.name(), backend.dirs);
        rows.push([backend.name.clone(), format!("{state}{answered}; {dirs} directories; {}", backend.why)]);
        if backend.name == POLLING && dirs > 0 {
            rows.push([String::new(), backend.vitals.detail.clone()]);
            rows.push([
                String::new(),
                format!(
                    "a save of a file in use is seen within watch.{POLLING}.interval and a few answers of its file \
                     system; of any other file, when all has been looked at"
                ),
            ]);
        }
        // A Watchman that only a `.watchmanconfig` asks for may be missing: another backend takes its place.
        let is_optional = backend.name == WATCHMAN && subject.settings.backend.is_auto();
        if let Some(failure) = backend.last_failure.as_ref().filter(|_| !is_optional) {
            let mends = "the next one in watch.backend takes over; when this one works again, so does it";
            report.problem(Problem::new(format!("{} failed: {failure}", backend.name), [mends]));
        }
    }
    if let Some(trouble) = health.trouble {
        let fix = format!("watch.backend = \"auto\"   (in {})", subject.file.display());
        report.problem(Problem::new(format!("changes may go unseen: {trouble}"), [&fix]));
    }
    section("round trip", &rows);
    watched.handle.stop().await;
}
