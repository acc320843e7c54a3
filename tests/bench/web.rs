//! From a click to the page: `cargo bench --bench web` (`-- --quick` for a short run, `-- --only NAME` for
//! one part of it: clicks, pass, paint or idle).
//!
//! The real server runs as a process of its own. This process is its browsers: real WebSockets on one
//! thread, which look for the value in a frame and parse nothing. Both share the processors of the machine,
//! and what the client takes of them is part of every figure but two: the AfterBatch pass is timed on the
//! session's own thread, without a server, and the first paint by Chromium.
//!
//! For the sockets of all the idle sessions server and client need some 10,100 descriptors each
//! (`ulimit -n`); with fewer, fewer sessions are opened, and the line says how many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what drives the browser is shared with the tests")]

mod clicks;
mod connect;
mod flags;
mod idle;
mod paint;
mod pass;
mod process;

use std::{error::Error, time::Duration};

use flags::Flags;
use hotloader_test_support::setup::Setup;

// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SETUP: Setup = Setup::auto(env!("CARGO_BIN_EXE_lua-hotloader"));

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let Some(flags) = Flags::of("web") else { return Ok(()) };
    let quick = flags.has("--quick");
    let wanted = |part: &str| flags.value("--only").is_none_or(|only| only == part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut verdicts = Vec::new();
    runtime.block_on(async {
        if wanted("clicks") {
            clicks::alone(if quick { 3_000 } else { 30_000 }, &mut verdicts).await?;
            clicks::crowd(Duration::from_secs(if quick { 2 } else { 10 }), &mut verdicts).await?;
        }
        if wanted("pass") {
            pass::measure(if quick { 200 } else { 2_000 }, &mut verdicts).await?;
        }
        if wanted("paint") {
            paint::measure(if quick { 5 } else { 25 }, &mut verdicts).await?;
        }
        if wanted("idle") {
            idle::measure(if quick { 1_000 } else { 10_000 }, &mut verdicts).await?;
        }
        Fallible::Ok(())
    })?;
    println!("\n{:<66}{:>12}{:>14}", "", "measured", "target");
    verdicts.iter().for_each(Verdict::print);
    Ok(())
}

/// What was measured against what is to be reached.
struct Verdict {
    what: String,
    measured: f64,
    target: f64,
    unit: &'static str,
    /// More is better.
    at_least: bool,
}

impl Verdict {
    fn at_most(what: impl Into<String>, measured: f64, target: f64, unit: &'static str) -> Self {
        Self { what: what.into(), measured, target, unit, at_least: false }
    }

    fn at_least(what: impl Into<String>, measured: f64, target: f64, unit: &'static str) -> Self {
        Self { what: what.into(), measured, target, unit, at_least: true }
    }

    fn print(&self) {
        let Self { what, measured, target, unit, at_least } = self;
        let is_met = if *at_least { measured >= target } else { measured <= target };
        let verdict = if is_met { "met" } else { "MISSED" };
        println!("{what:<66}{measured:>9.1} {unit:<3}{target:>10} {unit:<3} {verdict}");
    }
}

/// The smallest of them that at least that share does not exceed.
fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let rank = (share * times.len() as f64).ceil() as usize;
    times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
