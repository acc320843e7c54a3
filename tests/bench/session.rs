//! Sessions without a server: `cargo bench --bench session` (`-- --quick` for fewer sessions and rounds,
//! `-- --few` without the crowd, `-- --lines 20` for reloads of that file only, `--objects 0`, `--sessions 1`
//! and `--rounds 30` for less of them: to profile).
//!
//! What a reload, a state and a click cost, beside the same done by bare mlua in the same run: as many
//! states that load the same bytecode and call it, on the same thread, in turns. Figures are medians; where
//! there is a ratio, that is what holds on other machines. Then a crowd of sessions of the sample
//! application, from a save until the last of them runs it.

mod click;
mod crowd;
mod flags;
mod process;
mod reloading;

use std::{error::Error, time::Duration};

use flags::Flags;
use lua_hotloader::session::{LuaSession, SessionHandle};

// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KIB: f64 = 1024.0;
/// The module files are saved in sessions with so many objects of theirs.
const INSTANCES: usize = 100;

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let Some(flags) = Flags::of("session") else { return Ok(()) };
    let quick = flags.has("--quick");
    let number = |flag: &str| -> Option<usize> { flags.value(flag)?.parse().ok() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut verdicts = Vec::new();
    // First: memory is that of the process.
    let only = number("--lines");
    if !flags.has("--few") && only.is_none() {
        let crowd =
            runtime.block_on(crowd::measure(if quick { 500 } else { 10_000 }, if quick { 3 } else { 9 }))?;
        crowd.judge(&mut verdicts);
    }
    let (sessions, rounds) = if quick { (20, 10) } else { (100, 40) };
    let (sessions, rounds) = (number("--sessions").unwrap_or(sessions), number("--rounds").unwrap_or(rounds));
    println!("{}", reloading::Figures::HEAD);
    for (lines, instances, target) in
        [(1000, INSTANCES, Some(3.0)), (20, 0, Some(5.0)), (20, INSTANCES, None), (200, INSTANCES, None)]
    {
        if only.is_some_and(|only| only != lines) || number("--objects").is_some_and(|only| only != instances)
        {
            continue;
        }
        let figures = runtime.block_on(reloading::measure(lines, instances, sessions, rounds))?;
        figures.print();
        if let Some(target) = target {
            let what = format!("reload of {lines} lines with {instances} objects, of bare mlua");
            verdicts.push(Verdict { what, measured: figures.ratio(), target, unit: "x" });
        }
    }
    if only.is_some() {
        return Ok(());
    }
    let growth = runtime.block_on(reloading::growth(if quick { 50 } else { 200 }))?;
    verdicts.push(Verdict {
        what: "left by each reload of 1,000 lines".into(),
        measured: growth / KIB,
        target: 1.0,
        unit: "KiB",
    });
    let (bare, hooked) = runtime.block_on(click::measure(if quick { 50 } else { 300 }))?;
    println!("\na click takes {:.2} µs by bare mlua, {:.2} µs in a session", micros(bare), micros(hooked));
    verdicts.push(Verdict {
        what: "a click with deadline and budgets, of bare mlua".into(),
        measured: hooked.as_secs_f64() / bare.as_secs_f64(),
        target: 1.25,
        unit: "x",
    });
    println!("\n{:<58}{:>12}{:>12}", "", "measured", "target");
    verdicts.iter().for_each(Verdict::print);
    Ok(())
}

/// Does something on the session's thread.
async fn within<R: Send + 'static>(
    handle: &SessionHandle,
    work: impl FnOnce(&mut LuaSession) -> R + Send + 'static,
) -> Fallible<R> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    handle.execute(move |session| drop(sender.send(work(session))))?;
    Ok(receiver.await?)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// What was measured against what is to be reached.
struct Verdict {
    what: String,
    measured: f64,
    target: f64,
    unit: &'static str,
}

impl Verdict {
    fn print(&self) {
        let Self { what, measured, target, unit } = self;
        let verdict = if measured <= target { "met" } else { "MISSED" };
        println!("{what:<58}{measured:>8.2} {unit:<3}{target:>8} {unit:<3}  {verdict}");
    }
}
