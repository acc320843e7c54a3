//! A fleet on NATS: `cargo bench --bench fleet --features nats` (`-- --few` for fewer servers and rounds,
//! `-- --only NAME` for one part of it: servers, cold or browsers).
//!
//! A thousand servers in this process, each with a connection, a cache and the real code of hearing, checking, fetching
//! and answering; only what runs a release is left out, as it is nobody's but a server's own. Their caches are in
//! memory: a thousand servers have a thousand disks. A real nats-server is beside them, and the publisher is in this
//! process, so all share the processors of the machine. Then three real servers with 200 browsers each. Beside each
//! figure stands the bare engine in the same run: messages or requests of the same size.

#[path = "fleet/bare.rs"]
mod bare;
#[path = "fleet/browsers.rs"]
mod browsers;
mod connect;
#[path = "fleet/fakes.rs"]
mod fakes;
mod flags;
mod process;
#[path = "fleet/servers.rs"]
mod servers;

use std::{error::Error, fs, time::Duration};

use flags::Flags;
use hotloader_test_support::{
    nats::{NatsServer, Version},
    setup::Setup,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;

// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SETUP: Setup = Setup::auto(env!("CARGO_BIN_EXE_lua-hotloader"));
/// Where there is a disk in memory.
const MEMORY: &str = "/dev/shm";

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let Some(flags) = Flags::of("fleet") else { return Ok(()) };
    let few = flags.has("--few");
    let wanted = |part: &str| flags.value("--only").is_none_or(|only| only == part);
    let nats = NatsServer::start(Version::Current).or_else(|| NatsServer::start(Version::Packaged));
    let nats = nats.ok_or("there is no nats-server to measure with; `tests/run` installs one")?;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    // A thread for each server that writes at the same moment would be counted as memory of servers.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(8).build()?;
    let mut verdicts = Vec::new();
    runtime.block_on(async {
        let count = if few { 100 } else { 1000 };
        if wanted("servers") {
            servers::measure(&nats, count, if few { 5 } else { 21 }, &mut verdicts).await?;
        }
        if wanted("cold") {
            servers::cold_start(&nats, if few { 4 } else { 20 }, &mut verdicts).await?;
        }
        if wanted("browsers") {
            browsers::measure(&nats, if few { 20 } else { 200 }, if few { 5 } else { 21 }, &mut verdicts)
                .await?;
        }
        Fallible::Ok(())
    })?;
    println!("\n{:<76}{:>12}{:>15}{:>20}", "", "measured", "target", "bare engine");
    verdicts.iter().for_each(Verdict::print);
    Ok(())
}

/// What was measured against what is to be reached, and what the engine takes by itself.
struct Verdict {
    what: String,
    measured: f64,
    target: f64,
    bare: Option<f64>,
    unit: &'static str,
    /// More is better.
    at_least: bool,
}

impl Verdict {
    fn print(&self) {
        let Self { what, measured, target, bare, unit, at_least } = self;
        let is_met = if *at_least { measured >= target } else { measured <= target };
        let verdict = if is_met { "met" } else { "MISSED" };
        let bare = bare.map_or_else(|| format!("{:>14}", "-"), |bare| format!("{bare:>9.1} {unit:<4}"));
        println!("{what:<76}{measured:>9.1} {unit:<4}{target:>9} {unit:<4} {bare} {verdict}");
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A directory for what is no disk's to be slow at.
fn scratch() -> Fallible<TempDir> {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("hotloader-fleet-");
        builder
    };
    if fs::metadata(MEMORY).is_ok_and(|dir| dir.is_dir()) {
        return Ok(builder().tempdir_in(MEMORY)?);
    }
    println!("there is no {MEMORY}: the caches are on a disk, which makes everything slower");
    Ok(builder().tempdir()?)
}
