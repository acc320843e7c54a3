//! Topics and the store: `cargo bench --bench hub` (`-- --few` for fewer sessions and rounds, `-- --only NAME`
//! for one part of it: topics, throughput, store, or, with `--features nats`, nats).
//!
//! The real server runs as a process of its own, on a site on the disk. This process is its browsers: real
//! WebSockets on one thread. Both share the processors of the machine. Beside each figure stands the bare
//! engine in the same run: a tokio channel, rusqlite with the same settings, and a core message of NATS.

#[path = "hub/bare.rs"]
mod bare;
#[cfg(feature = "nats")]
#[path = "fleet/bare.rs"]
mod bare_nats;
mod connect;
mod flags;
#[path = "hub/pages.rs"]
mod pages;
mod process;
#[path = "hub/store.rs"]
mod store;
#[path = "hub/topics.rs"]
mod topics;
#[cfg(feature = "nats")]
#[path = "hub/two_servers.rs"]
mod two_servers;

use std::{error::Error, time::Duration};

use flags::Flags;
use hotloader_test_support::setup::Setup;

// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SETUP: Setup = Setup::auto(env!("CARGO_BIN_EXE_lua-hotloader"));

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let Some(flags) = Flags::of("hub") else { return Ok(()) };
    let few = flags.has("--few");
    let wanted = |part: &str| flags.value("--only").is_none_or(|only| only == part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut verdicts = Vec::new();
    runtime.block_on(async {
        if wanted("topics") {
            let rounds = if few { 20 } else { 200 };
            for (others, target) in [(1, 1.0), (100, 5.0), (if few { 300 } else { 1000 }, 50.0)] {
                topics::latency(others, rounds, target, &mut verdicts).await?;
            }
        }
        if wanted("throughput") {
            topics::throughput(Duration::from_secs(if few { 2 } else { 10 }), &mut verdicts).await?;
        }
        if wanted("store") {
            store::measure(if few { 200 } else { 2_000 }, &mut verdicts).await?;
        }
        if wanted("nats") {
            #[cfg(feature = "nats")]
            two_servers::latency(if few { 20 } else { 200 }, &mut verdicts).await?;
            #[cfg(not(feature = "nats"))]
            println!("two servers on NATS are not measured: that takes --features nats");
        }
        Fallible::Ok(())
    })?;
    println!("\n{:<66}{:>12}{:>15}{:>19}", "", "measured", "target", "bare engine");
    verdicts.iter().for_each(Verdict::print);
    Ok(())
}

/// What was measured against what is to be reached, and what the engine takes by itself.
struct Verdict {
    what: String,
    measured: f64,
    target: f64,
    bare: f64,
    unit: &'static str,
    /// More is better.
    at_least: bool,
}

impl Verdict {
    fn print(&self) {
        let Self { what, measured, target, bare, unit, at_least } = self;
        let is_met = if *at_least { measured >= target } else { measured <= target };
        let verdict = if is_met { "met" } else { "MISSED" };
        println!("{what:<66}{measured:>9.2} {unit:<3}{target:>10} {unit:<3} {bare:>9.2} {unit:<3} {verdict}");
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
