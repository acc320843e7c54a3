//! How long a pass takes, beside a bare walk of the same tree by as many threads in the same run, and how
//! much memory the backend takes.
//!
//! `cargo test --release -p hotloader-polling --test measure -- --ignored --nocapture`

#![allow(clippy::unwrap_used, reason = "a measurement ends where its tree cannot be read")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use hotloader_backend::{WatchPlan, spawn};
use hotloader_polling::PollingBackend;

const DIRS: usize = 10_000;
const FILES: usize = 10;
const ROUNDS: usize = 15;

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// What nobody can do without: a listing, and the state of each entry. By two threads, which is what the
/// backend takes on a machine with two processors.
fn walk(dirs: &[PathBuf]) -> u64 {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut sum = 0u64;
        while let Some(dir) = dirs.get(next.fetch_add(1, Ordering::Relaxed)) {
            for entry in fs::read_dir(dir).unwrap() {
                sum = sum.wrapping_add(entry.unwrap().metadata().unwrap().ino());
            }
        }
        sum
    };
    thread::scope(|scope| {
        let other = scope.spawn(work);
        work().wrapping_add(other.join().unwrap())
    })
}

/// Resident, in bytes.
fn memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_pass_over_a_hundred_thousand_files() {
    let site = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(site.path()).unwrap();
    let mut dirs = vec![root.clone()];
    for dir in 0..DIRS {
        let dir = root.join(format!("group-{}", dir / 100)).join(format!("directory-{dir}"));
        fs::create_dir_all(&dir).unwrap();
        (0..FILES).for_each(|file| fs::write(dir.join(format!("module_{file}.lua")), "return 1").unwrap());
        dirs.push(dir);
    }
    dirs.extend((0..DIRS / 100).map(|group| root.join(format!("group-{group}"))));
    dirs.sort();
    std::hint::black_box(walk(&dirs));
    let options = BTreeMap::from([("interval".to_owned(), "1h".into())]);
    let (handle, mut stream) = spawn(Box::new(PollingBackend::from_options(&options).unwrap()));
    let plan = WatchPlan::new(1, dirs.iter().cloned());
    let (begun, before) = (Instant::now(), memory());
    handle.set_plan(plan);
    while stream.next().await.unwrap().armed.is_none() {}
    println!("armed after {:?}", begun.elapsed());
    handle.barrier().await.unwrap();
    let grown = memory().saturating_sub(before);
    println!("memory: {grown} bytes, {} for each file", grown / (DIRS * FILES));
    let (mut passes, mut walks) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        std::hint::black_box(walk(&dirs));
        walks.push(begun.elapsed());
        let begun = Instant::now();
        handle.barrier().await.unwrap();
        passes.push(begun.elapsed());
    }
    let (pass, walk) = (median(&mut passes), median(&mut walks));
    println!(
        "pass: {pass:?}; bare walk: {walk:?} (medians of {ROUNDS}); {:.2} times",
        pass.as_secs_f64() / walk.as_secs_f64()
    );
    println!("{:?}", handle.vitals());
    handle.stop().await;
}

/// What a small site costs at the default interval, some time after the last change.
#[tokio::test]
#[ignore = "a measurement"]
async fn the_processor_time_of_two_thousand_files_at_rest() {
    let site = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(site.path()).unwrap();
    let dirs: Vec<_> = (0..100).map(|dir| root.join(format!("directory-{dir}"))).collect();
    for dir in &dirs {
        fs::create_dir(dir).unwrap();
        (0..20).for_each(|file| fs::write(dir.join(format!("module_{file}.lua")), "return 1").unwrap());
    }
    let (handle, mut stream) = spawn(Box::new(PollingBackend::from_options(&BTreeMap::new()).unwrap()));
    handle.set_plan(WatchPlan::new(1, dirs));
    while stream.next().await.unwrap().armed.is_none() {}
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        println!("{:?}", handle.vitals());
    }
    handle.stop().await;
}
