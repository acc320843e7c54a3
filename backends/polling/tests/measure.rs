//! How long a pass takes, beside a bare walk of the same tree in the same run.
//!
//! `cargo test --release -p hotloader-polling --test measure -- --ignored --nocapture`

#![allow(clippy::unwrap_used, reason = "a measurement ends where its tree cannot be read")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use hotloader_backend::{WatchPlan, spawn};
use hotloader_polling::PollingBackend;

const DIRS: usize = 1000;
const FILES: usize = 10;
const ROUNDS: usize = 21;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// What nobody can do without: a listing, and the state of each entry.
fn walk(dirs: &BTreeSet<impl AsRef<Path>>) -> u64 {
    let entries = dirs.iter().flat_map(|dir| fs::read_dir(dir.as_ref()).unwrap());
    entries.map(|entry| entry.unwrap().metadata().unwrap().ino()).fold(0, u64::wrapping_add)
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_pass_over_ten_thousand_files() {
    let site = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(site.path()).unwrap();
    let mut dirs = BTreeSet::from([root.clone()]);
    for dir in 0..DIRS {
        let dir = root.join(format!("directory-{dir}"));
        fs::create_dir(&dir).unwrap();
        (0..FILES).for_each(|file| fs::write(dir.join(format!("module_{file}.lua")), "return 1").unwrap());
        dirs.insert(dir);
    }
    let options = BTreeMap::from([("interval".to_owned(), "1h".into())]);
    let (handle, mut stream) = spawn(Box::new(PollingBackend::from_options(&options).unwrap()));
    let begun = Instant::now();
    handle.set_plan(WatchPlan::new(1, dirs.clone()));
    while stream.next().await.unwrap().armed.is_none() {}
    println!("armed after {:?}", begun.elapsed());
    let (mut passes, mut walks) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        handle.barrier().await.unwrap();
        passes.push(begun.elapsed());
        let begun = Instant::now();
        std::hint::black_box(walk(&dirs));
        walks.push(begun.elapsed());
    }
    println!("pass: {:?}; bare walk: {:?} (medians of {ROUNDS})", median(passes), median(walks));
    handle.stop().await;
}
