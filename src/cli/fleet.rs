//! `lua-hotloader fleet`: what its servers run, and what is under way.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;
use tokio::runtime;

use super::{
    CliError, keys,
    publish::{configured, lead, overview, publisher},
    say,
};
use crate::{
    fleet::{Overview, Publisher, SecretKey},
    telemetry,
};

/// A little more than a heartbeat.
const CENSUS: Duration = Duration::from_secs(11);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    /// How the site is called in the fleet [fleet.site]
    #[arg(long, value_name = "NAME", global = true)]
    site: Option<String>,
    /// File of your key; ~/.config/lua-hotloader/fleet.key if it is not given. `status` needs none where fleet.trust
    /// names whom to believe
    #[arg(long, value_name = "FILE", global = true)]
    key: Option<PathBuf>,
    /// Directory whose configuration names the fleet; the current one if it is not given
    #[arg(long, value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
    /// Configuration file, in place of config/config.toml there
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What is published, how far it is, and what each server runs; takes a heartbeat, 11 s, to tell who is there
    Status,
    /// Stop the rollout that is under way; who runs it, still does
    Pause,
    /// Go on with a rollout that is paused, or whose publisher is gone
    Resume,
    /// Go back to the release before, on every server
    Rollback,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let dir = args.dir.clone().unwrap_or_else(|| ".".into());
    let config = configured(&dir, args.config.as_deref(), args.site.clone())?;
    let overview = overview(&dir, &config)?;
    let key = args.key.as_deref();
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::System)?;
    let done = runtime.block_on(async {
        match args.command {
            Command::Status => status(&believing_own_key(overview, key)?).await,
            Command::Pause => pause(&publisher(overview, key)?).await,
            Command::Resume => resume(&publisher(overview, key)?).await,
            Command::Rollback => roll_back(&publisher(overview, key)?).await,
        }
    });
    runtime.shutdown_background();
    done
}

/// To look takes no key: servers' operators have none. Who has one believes it.
fn believing_own_key(overview: Overview, key: Option<&Path>) -> Result<Overview, CliError> {
    let own = match key {
        Some(key) => Some(SecretKey::read(key).map_err(CliError::Key)?),
        None => keys::place().ok().and_then(|key| SecretKey::read(&key).ok()),
    };
    let overview = match own {
        Some(key) => overview.trusting(key.public()),
        None => overview,
    };
    if overview.trusts_nobody() { Err(CliError::NobodyTrusted) } else { Ok(overview) }
}

async fn pause(publisher: &Publisher) -> Result<(), CliError> {
    let pointer = publisher.pause().await.map_err(CliError::Publish)?;
    say(&format!("paused: generation {}", pointer.seq));
    Ok(())
}

async fn resume(publisher: &Publisher) -> Result<(), CliError> {
    let (revision, pointer) = publisher.resume().await.map_err(CliError::Publish)?;
    lead(publisher, revision, pointer).await
}

async fn roll_back(publisher: &Publisher) -> Result<(), CliError> {
    let (_, pointer) = publisher.roll_back("asked for").await.map_err(CliError::Publish)?;
    say(&format!("generation {}: {}", pointer.seq, pointer.note));
    Ok(())
}

async fn status(overview: &Overview) -> Result<(), CliError> {
    match overview.newest().await.map_err(CliError::Publish)? {
        Some((_, pointer)) => say(&pointer.in_words()),
        None => say("nothing is published yet"),
    }
    for (report, is_there) in overview.census(CENSUS).await.map_err(CliError::Publish)? {
        say(&telemetry::printable(&report.in_words(is_there)));
    }
    Ok(())
}
