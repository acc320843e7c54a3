//! How fast changes are told, and what the rest costs.
//!
//! `cargo test --release -p hotloader-watchman --test measure -- --ignored --nocapture`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement ends where its tree cannot be read"
)]

mod harness;

use std::{
    fs,
    time::{Duration, Instant},
};

use harness::{Daemon, OnDaemon, Site};

const DIRS: usize = 1000;
const FILES: usize = 10;
const ROUNDS: usize = 101;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn measure(config: &str) {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::begin("root", daemon.backend(), |base| {
        fs::write(base.join("root/.watchmanconfig"), config).unwrap();
        for dir in 0..DIRS {
            let dir = base.join(format!("root/directory-{dir}"));
            fs::create_dir(&dir).unwrap();
            (0..FILES)
                .for_each(|file| fs::write(dir.join(format!("module_{file}.lua")), "return 1").unwrap());
        }
    });
    let begun = Instant::now();
    site.plan().await;
    println!("{} files, .watchmanconfig {config}: armed after {:?}", DIRS * FILES, begun.elapsed());
    let file = site.root().join("directory-7/module_7.lua");
    let (mut barriers, mut latencies) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let begun = Instant::now();
        site.told().await;
        barriers.push(begun.elapsed());
        let begun = Instant::now();
        fs::write(&file, round.to_string()).unwrap();
        site.told_by_itself("a change", |told| told.hints.covers(&file)).await;
        latencies.push(begun.elapsed());
    }
    println!(
        "  barrier {:?}, change to hint {:?} (medians of {ROUNDS})",
        median(barriers),
        median(latencies)
    );
    site.handle.stop().await;
}

#[tokio::test]
#[ignore = "a measurement"]
async fn ten_thousand_files() {
    measure("{}").await;
    measure(r#"{ "settle": 1 }"#).await;
}
