//! `lua-hotloader publish`: a site to the servers of a fleet.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::runtime;

use super::{
    CliError, keys,
    publish_lines::{line, result, state},
    say, signals,
};
use crate::{
    check,
    config::{self, Config, Overrides},
    fleet::{
        self, Canaries, Digest, Ended, Overview, Packed, Plan, Pointer, Progress, Publisher, SecretKey,
        Tally, open_depot,
    },
    server, telemetry,
    watch::{self, Registry},
};

/// How long stopping may take. What is published stays published.
const STOPPING: Duration = Duration::from_millis(1500);
/// Whether the depot still has what was published last is looked at so often.
const LOOK: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory of the site; the current one if it is not given
    dir: Option<PathBuf>,
    /// Publish again whenever something is saved
    #[arg(long)]
    watch: bool,
    /// How the site is called in the fleet [fleet.site]
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Servers that run it first: a number, or names with commas between. It then goes on to one of ten, and to all
    #[arg(long, value_name = "SERVERS", value_parser = canaries)]
    canary: Option<Canaries>,
    /// How long each wave has to go well before the next
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration, requires = "canary")]
    bake: Duration,
    /// How many of a wave's sessions may keep the version before
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = share, requires = "canary")]
    tolerate: u16,
    /// How long the servers of a wave may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    deadline: Duration,
    /// File of the key to sign with; ~/.config/lua-hotloader/fleet.key if it is not given
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Configuration file, in place of config/config.toml of the site
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn canaries(text: &str) -> Result<Canaries, String> {
    if let Ok(count) = text.parse() {
        return if count == 0 { Err("at least 1 server".into()) } else { Ok(Canaries::Count(count)) };
    }
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err("a number of servers, or their names with commas between".into());
    }
    Ok(Canaries::Names(names))
}

/// Of a thousand.
fn share(text: &str) -> Result<u16, String> {
    let percent: f64 = text.trim_end_matches('%').parse().map_err(|_| "a percentage such as 2% or 0.5%")?;
    if !(0.0..=100.0).contains(&percent) {
        return Err("between 0% and 100%".into());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is at most 1000")]
    Ok((percent * 10.0).round() as u16)
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let dir = args.dir.clone().unwrap_or_else(|| ".".into());
    if !dir.is_dir() {
        return Err(CliError::NoSuchSite(dir));
    }
    let config = configured(&dir, args.config.as_deref(), args.site.clone())?;
    let publisher = publisher(overview(&dir, &config)?, args.key.as_deref())?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::System)?;
    let stop = signals::first(STOPPING).map_err(CliError::System)?;
    let work = Work {
        dir,
        config,
        publisher,
        plan: plan(args),
        canaries: args.canary.clone().unwrap_or(Canaries::None),
    };
    let done = runtime.block_on(async {
        tokio::select! {
            _ = stop => Ok(()),
            done = work.run(args.watch) => done,
        }
    });
    runtime.shutdown_background();
    done
}

/// The configuration in a directory, with `--site`; the log goes where it says.
pub(super) fn configured(
    dir: &Path,
    file: Option<&Path>,
    fleet_site: Option<String>,
) -> Result<Config, CliError> {
    let flags = Overrides { fleet_site, ..Overrides::default() };
    let config = config::load(dir, file, &flags, &Registry::with_builtin()).map_err(CliError::Config)?;
    telemetry::init(&config.logging);
    Ok(config)
}

/// What can be seen of the fleet that a configuration names.
pub(super) fn overview(dir: &Path, config: &Config) -> Result<Overview, CliError> {
    if config.fleet.site.is_empty() {
        return Err(CliError::NoFleetSite);
    }
    let depot = open_depot(dir, config).map_err(CliError::Depot)?;
    let trust = config.fleet.trust.iter().map(|key| key.parse());
    let trust = trust.collect::<Result<_, _>>().map_err(CliError::Key)?;
    Ok(Overview::new(depot, config.fleet.site.clone(), trust))
}

/// Who publishes to it.
pub(super) fn publisher(overview: Overview, key: Option<&Path>) -> Result<Publisher, CliError> {
    let place = key.map_or_else(keys::place, |key| Ok(key.to_owned()))?;
    let key = SecretKey::read(&place).map_err(CliError::Key)?;
    Ok(Publisher::new(overview, Arc::new(key)))
}

fn plan(args: &Args) -> Plan {
    let ms = |time: Duration| time.as_millis().try_into().unwrap_or(u64::MAX);
    let canary = match &args.canary {
        None => 0,
        Some(Canaries::Names(names)) => names.len().try_into().unwrap_or(u16::MAX),
        Some(Canaries::Count(count)) => *count,
        Some(Canaries::None) => 0,
    };
    let named = matches!(args.canary, Some(Canaries::Names(_)));
    Plan { canary, bake: ms(args.bake), patience: ms(args.deadline), tolerate: args.tolerate, named }
}

struct Work {
    dir: PathBuf,
    config: Config,
    publisher: Publisher,
    plan: Plan,
    canaries: Canaries,
}

impl Work {
    async fn run(&self, watch: bool) -> Result<(), CliError> {
        if !watch {
            let packed = self.pack().await?;
            return self.publish(&packed).await;
        }
        let registry = Registry::with_builtin();
        let failed = |source| CliError::Watch { path: self.dir.clone(), source };
        let roots = server::roots(&self.dir, &self.config);
        let (_handle, mut sets) =
            watch::start(&self.config.watch_in(&self.dir), roots, &registry).await.map_err(failed)?;
        let mut last = None::<Packed>;
        let mut leading = None;
        loop {
            // A save ends the wait for answers to the one before.
            let is_saved = tokio::select! {
                set = sets.recv() => set.map(|_| true).ok_or_else(|| failed(watch::WatchError::Stopped))?,
                done = async { match &mut leading { Some(lead) => lead.await, None => std::future::pending().await } } => {
                    tell(done);
                    leading = None;
                    continue;
                }
                () = tokio::time::sleep(LOOK), if leading.is_none() => false,
            };
            if is_saved {
                match self.pack().await {
                    Ok(packed) if last.as_ref().is_some_and(|last| last.root == packed.root) => continue,
                    Ok(packed) => last = Some(packed),
                    Err(error @ (CliError::Found { .. } | CliError::Release(_))) => {
                        tell(Err(error));
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            } else if self.is_still_there().await {
                continue;
            }
            if let Some(packed) = last.clone() {
                leading = Some(Box::pin(async move { self.publish(&packed).await }));
            }
        }
    }

    /// Whether what was published last is there: this machine has the bytes to fill an empty store again.
    async fn is_still_there(&self) -> bool {
        !matches!(self.publisher.overview().newest().await, Ok(None))
    }

    /// The site as a release, if all of it compiles.
    async fn pack(&self) -> Result<Packed, CliError> {
        let release = match check::of_release(&self.dir, &self.config).await.map_err(CliError::Check)? {
            Ok(release) => release,
            Err(found) => {
                for problem in &found.problems {
                    eprintln!("{}", telemetry::printable(&problem.to_string()));
                    problem
                        .details
                        .lines()
                        .skip(1)
                        .for_each(|line| eprintln!("{}", telemetry::printable(line)));
                }
                return Err(CliError::Found { count: found.problems.len() });
            }
        };
        for warning in &release.warnings {
            eprintln!("left out: {}", telemetry::printable(&warning.to_string()));
        }
        let (files, bytes) =
            (release.files.len(), release.files.values().map(|file| file.len()).sum::<usize>());
        let packed = fleet::pack(&release.files, self.config.fleet.max_size.as_usize() as u64);
        let packed = packed.map_err(CliError::Release)?;
        eprintln!("{files} files, {} KiB: release {}", bytes.div_ceil(1024), packed.root.short());
        Ok(packed)
    }

    async fn publish(&self, packed: &Packed) -> Result<(), CliError> {
        let sent = self.publisher.send(packed, |progress| show(&progress, None)).await;
        let fresh = sent.map_err(CliError::Publish)?;
        let pointed = self.publisher.point(packed.root, self.plan, &self.canaries, &fresh).await;
        let Some((revision, pointer)) = pointed.map_err(CliError::Publish)? else {
            return self.unchanged(packed.root).await;
        };
        lead(&self.publisher, revision, pointer).await
    }

    async fn unchanged(&self, root: Digest) -> Result<(), CliError> {
        if let Ok(Some((_, pointer))) = self.publisher.overview().newest().await {
            eprintln!("nothing has changed: release {} is generation {}", root.short(), pointer.seq);
            say(&result(&pointer, &Tally::default(), "unchanged"));
        }
        Ok(())
    }
}

fn tell(done: Result<(), CliError>) {
    if let Err(error) = done {
        eprintln!("not published: {:#}", anyhow::Error::new(error));
    }
}

fn show(progress: &Progress, pointer: Option<&Pointer>) {
    let line = match (progress, pointer) {
        (Progress::Written(pointer), _) => line(progress, pointer),
        (_, Some(pointer)) => line(progress, pointer),
        (Progress::Sent { blobs, of, bytes }, None) => {
            Some(format!("sent {blobs} of {of} parts, {} KiB", bytes.div_ceil(1024)))
        }
        (Progress::Answers(_), None) => None,
    };
    if let Some(line) = line {
        eprintln!("{}", telemetry::printable(&line));
    }
}

/// Leads a rollout to its end, and tells of it.
pub(super) async fn lead(publisher: &Publisher, revision: u64, pointer: Pointer) -> Result<(), CliError> {
    show(&Progress::Written(Box::new(pointer.clone())), None);
    let (mut newest, mut tally) = (pointer.clone(), Tally::default());
    let ended = publisher
        .lead(revision, pointer.clone(), |progress| {
            show(&progress, Some(&newest));
            match progress {
                Progress::Written(pointer) => newest = *pointer,
                Progress::Answers(answers) => tally = *answers,
                Progress::Sent { .. } => {}
            }
        })
        .await
        .map_err(CliError::Publish)?;
    say(&result(&pointer, &tally, state(&ended)));
    let why = match ended {
        Ended::Settled => return Ok(()),
        Ended::Alone => {
            eprintln!("no server is there; whoever joins runs it");
            return Ok(());
        }
        Ended::RolledBack { why } => format!("it is undone by a {why}"),
        Ended::Partial { why } => why,
        Ended::Paused => {
            "paused; `lua-hotloader fleet resume` goes on with it, `fleet rollback` undoes it".into()
        }
        Ended::Overtaken => {
            "another has published meanwhile, and that counts; `lua-hotloader fleet status` tells".into()
        }
    };
    Err(CliError::NotEverywhere { seq: pointer.seq, why })
}
