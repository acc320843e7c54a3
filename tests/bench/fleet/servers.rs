//! From the publisher until the last of many servers has a release, and the publisher knows.

use std::time::{Duration, Instant};

use hotloader_test_support::nats::NatsServer;

use crate::{
    Fallible, Verdict, bare,
    fakes::{Fakes, site, text},
    median, millis, process, scratch,
};

/// Modules of the site, and bytes of each.
const MODULES: usize = 20;
const MODULE: usize = 4 << 10;
/// Between two releases: what the last one has begun is over.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn measure(
    nats: &NatsServer,
    count: usize,
    rounds: u32,
    verdicts: &mut Vec<Verdict>,
) -> Fallible<()> {
    let dir = scratch()?;
    let mut fakes = Fakes::new(nats, "many")?;
    let mut files = site(MODULES, MODULE, "first");
    fakes.publish_alone(&files).await?;
    // The pool of threads, the allocator and the publisher are no server's.
    fakes.start(count / 10, &dir.path().join("warm")).await?;
    tokio::time::sleep(PAUSE).await;
    let before = process::memory(std::process::id())?;
    let began = Instant::now();
    fakes.start(count - count / 10, dir.path()).await?;
    fakes.all_reached(count).await?;
    println!("{count} servers start, 50 at a time: {:.1} s", began.elapsed().as_secs_f64());
    tokio::time::sleep(PAUSE * 4).await;
    let memory = process::memory(std::process::id())?.saturating_sub(before);
    verdicts.push(Verdict {
        what: format!("memory of one of {count} servers that wait, of a site of {MODULES} files"),
        measured: memory as f64 / (count - count / 10) as f64 / 1024.0,
        target: 100.0,
        bare: None,
        unit: "KiB",
        at_least: false,
    });
    // As much as announces the small change, and the large one.
    let bare = bare::core_message(nats, count, rounds.min(11), &[6 << 10, 1 << 20]).await?;

    let mut small = Vec::new();
    for round in 0..rounds {
        tokio::time::sleep(PAUSE).await;
        files.insert("lua/modules/m7.lua".into(), text(MODULE, &format!("round {round}")));
        small.push(fakes.publish(&files).await?);
    }
    for took in &small {
        println!("4 KB: {:.1} ms, answers {:.1} ms later", millis(took.reach), millis(took.answers));
    }
    let mut large = Vec::new();
    for round in 0..rounds.min(5) {
        tokio::time::sleep(PAUSE).await;
        let took = fakes.publish(&site(250, MODULE, &format!("large {round}"))).await?;
        println!("1 MB: {:.1} ms, answers {:.1} ms later", millis(took.reach), millis(took.answers));
        large.push(took);
    }
    for (what, took, target, bare) in
        [("4 KB in one file", small, 100.0, bare[0]), ("1 MB in 250 files", large, 2000.0, bare[1])]
    {
        let (reach, answers) = took.iter().map(|took| (took.reach, took.answers)).unzip();
        verdicts.push(Verdict {
            what: format!("{what}: publisher -> last of {count} servers, median"),
            measured: millis(median(reach)),
            target,
            bare: Some(millis(bare)),
            unit: "ms",
            at_least: false,
        });
        verdicts.push(Verdict {
            what: format!("{what}: all {count} answers at the publisher after that, median"),
            measured: millis(median(answers)),
            target: 1000.0,
            bare: None,
            unit: "ms",
            at_least: false,
        });
    }
    fakes.stop().await;
    Ok(())
}

/// Servers that have nothing yet, of a site of 10 MB.
pub(crate) async fn cold_start(nats: &NatsServer, count: usize, verdicts: &mut Vec<Verdict>) -> Fallible<()> {
    const FILES: usize = 40;
    const FILE: usize = 256 << 10;
    let bare = bare::gets(nats, count, FILES, FILE).await?;
    let dir = scratch()?;
    let mut fakes = Fakes::new(nats, "cold")?;
    fakes.publish_alone(&site(FILES, FILE, "first")).await?;
    let began = Instant::now();
    fakes.start(count, dir.path()).await?;
    let last = fakes.all_reached(count).await?;
    let bytes = (count * FILES * FILE) as f64;
    verdicts.push(Verdict {
        what: format!("cold start of {count} servers at once, of a site of 10 MB"),
        measured: bytes / (last - began).as_secs_f64() / 1e6,
        target: 200.0,
        bare: Some(bare / 1e6),
        unit: "MB/s",
        at_least: true,
    });
    fakes.stop().await;
    Ok(())
}
