//! From a save to the last browser: `cargo bench --bench reload` (`-- --quick` for a short run,
//! `-- --crowd` for the 1000 sessions only).
//!
//! The real server runs as a process of its own; this process is the one client, with 1, 10, 100 and
//! 1000 real WebSockets, each of its own session. A save's time begins just before `write(2)` or
//! `rename(2)` and ends when the last browser has received the new value. Both processes share the
//! machine's processors, so with many sessions the client's work is part of what is measured.
//! Machines differ and are noisy: compare figures of one run with each other.

mod browsers;
mod connect;
mod server;

use std::{error::Error, time::Duration};

use browsers::Browsers;
use server::{Save, Server};

const MS: Duration = Duration::from_millis(1);
const KIB: f64 = 1024.0;
/// `watch.quiet` as it is by default.
const QUIET: Duration = Duration::from_millis(20);
/// Sessions are left in peace that long before their memory and their idleness are measured.
const REST: Duration = Duration::from_secs(1);
/// After this long without a save, a session lets go of what it keeps for the next one.
const EDITED: Duration = Duration::from_secs(25);

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let mut args = std::env::args().skip(1);
    // `cargo test` starts benchmarks, too, without this.
    if !args.any(|arg| arg == "--bench") {
        println!("nothing measured; run it with: cargo bench --bench reload");
        return Ok(());
    }
    let has = |flag: &str| std::env::args().any(|arg| arg == flag);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("from a save until the last browser has the new value, in ms (+: beyond quiet)\n");
    println!("{}", Row::HEAD);
    runtime.block_on(async {
        let few = if has("--crowd") { None } else { Some(few(if has("--quick") { 6 } else { 40 }).await?) };
        let many = if has("--quick") { crowd(200, 6).await? } else { crowd(1000, 30).await? };
        compare(few, &many);
        Ok(())
    })
}

/// 1, 10 and 100 sessions. Returns the times of one session, and of one without a quiet time.
async fn few(saves: u32) -> Fallible<(Times, Times)> {
    let one = series(1, QUIET, saves).await?;
    let at_once = series(1, Duration::ZERO, saves).await?;
    series(10, QUIET, saves).await?;
    series(100, QUIET, saves).await?;
    Ok((one, at_once))
}

/// What was measured, and what is to be reached.
fn compare(few: Option<(Times, Times)>, many: &Crowd) {
    println!("\n{:<58}{:>12}{:>12}", "", "measured", "target");
    let ms = |what: &str, time: Duration, target: f64| judge(what, time.as_secs_f64() * 1e3, target, "ms");
    if let Some((one, at_once)) = few {
        ms("1 session, beyond quiet, median", one.median().saturating_sub(QUIET), 3.0);
        ms("1 session with quiet = \"0ms\", median", at_once.median(), 3.0);
    }
    let last = format!("last of {} sessions, beyond quiet, median", many.sessions);
    ms(&last, many.times.median().saturating_sub(QUIET), 60.0);
    println!(
        "{:<58}{:>8.2} ms",
        "    processor time of the server for each of these saves",
        many.work.as_secs_f64() * 1e3
    );
    judge("memory per idle session", many.memory / KIB, 48.0, "KiB");
    // No growth is the aim; what is allowed here is the grain of the allocator. Likewise, idle is some ticks.
    let growth = format!("growth of it by {} reloads", many.times.0.len());
    judge(&growth, many.growth / KIB, 4.0, "KiB");
    let idle = format!("processor while {} sessions idle", many.sessions);
    judge(&idle, many.idle * 100.0, 1.0, "%");
}

fn judge(what: &str, measured: f64, target: f64, unit: &str) {
    let verdict = if measured <= target { "met" } else { "MISSED" };
    println!("{what:<58}{measured:>8.2} {unit:<3}{target:>8} {unit:<3}  {verdict}");
}

/// The times of some saves.
struct Times(Vec<(Save, Duration)>);

impl Times {
    fn sorted(&self, kind: impl Fn(Save) -> bool) -> Vec<Duration> {
        let mut times: Vec<_> =
            self.0.iter().filter(|(save, _)| kind(*save)).map(|&(_, time)| time).collect();
        times.sort();
        times
    }

    fn median(&self) -> Duration {
        quantile(&self.sorted(|_| true), 0.5)
    }
}

/// The smallest of them that at least that share does not exceed.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// What a table row shows.
struct Row<'a> {
    sessions: usize,
    quiet: Duration,
    save: Save,
    sorted: &'a [Duration],
}

impl Row<'_> {
    const HEAD: &'static str = "sessions  quiet  saved     times |     min       + |  median       + \
                                |     p95       + |     max       +";

    fn print(&self) {
        let Self { sessions, quiet, save, sorted } = self;
        let kind = if *save == Save::InPlace { "in place" } else { "atomic" };
        print!("{sessions:>8}{:>5}ms  {kind:<9}{:>6}", quiet.as_millis(), sorted.len());
        for share in [0.0, 0.5, 0.95, 1.0] {
            let time = quantile(sorted, share);
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            print!(" |{:>8.2}{:>8.2}", ms(time), ms(time.saturating_sub(*quiet)));
        }
        println!();
    }
}

/// A server of its own with so many sessions, and so many saves.
async fn series(sessions: usize, quiet: Duration, saves: u32) -> Fallible<Times> {
    let server = Server::start(quiet)?;
    let browsers = Browsers::open(&server.address, sessions).await?;
    save_repeatedly(&server, &browsers, sessions, quiet, saves, 100 * MS).await
}

async fn save_repeatedly(
    server: &Server,
    browsers: &Browsers,
    sessions: usize,
    quiet: Duration,
    saves: u32,
    pause: Duration,
) -> Fallible<Times> {
    let mut times = Vec::new();
    // The first one is not counted: some threads start with it.
    for number in 1..=saves + 1 {
        // Without a beat, or timers of the server might keep step with it.
        tokio::time::sleep(pause + pause * (number * 37 % 100) / 100).await;
        let save = if number % 2 == 0 { Save::InPlace } else { Save::Atomic };
        browsers.await_version(number);
        let began = server.save(number, save)?;
        let time = browsers.all().await?.duration_since(began);
        if number > 1 {
            times.push((save, time));
        }
    }
    let times = Times(times);
    for save in [Save::InPlace, Save::Atomic] {
        Row { sessions, quiet, save, sorted: &times.sorted(|kind| kind == save) }.print();
    }
    Ok(times)
}

/// Many sessions: what they cost beside their saves.
struct Crowd {
    sessions: usize,
    times: Times,
    /// Bytes for each session.
    memory: f64,
    growth: f64,
    /// Share of one processor.
    idle: f64,
    /// Processor time of one save, what follows when the browsers are served included.
    work: Duration,
}

async fn crowd(sessions: usize, saves: u32) -> Fallible<Crowd> {
    let server = Server::start(QUIET)?;
    let empty = server.memory()?;
    let browsers = Browsers::open(&server.address, sessions).await?;
    tokio::time::sleep(REST).await;
    let each = |bytes: u64| (bytes as f64 - empty as f64) / sessions as f64;
    let memory = each(server.memory()?);
    let (span, before) = (Duration::from_secs(2), server.processor()?);
    tokio::time::sleep(span).await;
    let idle = (server.processor()? - before).as_secs_f64() / span.as_secs_f64();
    // Each save is met by sessions at rest, as in life: they collect garbage after a reload.
    let before = server.processor()?;
    let times = save_repeatedly(&server, &browsers, sessions, QUIET, saves, 600 * MS).await?;
    tokio::time::sleep(REST).await;
    let work = (server.processor()? - before) / (saves + 1);
    tokio::time::sleep(EDITED).await;
    let growth = each(server.memory()?) - memory;
    Ok(Crowd { sessions, times, memory, growth, idle, work })
}
