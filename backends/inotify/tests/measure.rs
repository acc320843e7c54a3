//! How long much takes, here and by way of the `notify` crate. Run by hand, on a machine that does nothing else:
//! `cargo test --release -p hotloader-inotify --test measure -- --ignored --nocapture`

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in the helpers too, not only in test functions")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Instant,
};

use hotloader_backend::FileWatchBackend;
use hotloader_conformance::kernel::{Backend, Site};
use hotloader_inotify::InotifyBackend;
use hotloader_notify::NotifyBackend;

fn inotify() -> Box<dyn FileWatchBackend> {
    Box::new(InotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap())
}

fn notify() -> Box<dyn FileWatchBackend> {
    Box::new(NotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap())
}

const BOTH: [fn() -> Box<dyn FileWatchBackend>; 2] = [inotify, notify];

fn tree(site: &Site, dirs: usize) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::from([site.root.clone()]);
    for i in 0..dirs {
        let group = site.root.join(format!("{}", i / 100));
        let dir = group.join(i.to_string());
        fs::create_dir_all(&dir).unwrap();
        all.extend([group, dir]);
    }
    all
}

#[tokio::test]
#[ignore = "measures"]
async fn ten_thousand_directories() {
    for backend in BOTH {
        println!("{}", backend().name());
        one_with_ten_thousand_directories(&backend).await;
    }
}

async fn one_with_ten_thousand_directories(backend: Backend<'_>) {
    let mut site = Site::new(backend);
    let all = tree(&site, 10_000);
    let start = Instant::now();
    site.arm(all.clone()).await;
    println!("armed {} directories in {:?}", all.len(), start.elapsed());
    let start = Instant::now();
    site.arm(all.clone()).await;
    println!("the same plan again: {:?}", start.elapsed());
    let start = Instant::now();
    site.arm(BTreeSet::from([site.root.clone()])).await;
    println!("given up: {:?}", start.elapsed());
    site.arm(all.clone()).await;
    site.hints().await;
    let start = Instant::now();
    for _ in 0..100 {
        site.hints().await;
    }
    println!("a barrier: {:?}", start.elapsed() / 100);
    site.handle.stop().await;
}

#[tokio::test]
#[ignore = "measures"]
async fn five_thousand_directories_go_and_come() {
    for backend in BOTH {
        println!("{}", backend().name());
        five_thousand_go_and_come(&backend).await;
    }
}

async fn five_thousand_go_and_come(backend: Backend<'_>) {
    let mut site = Site::new(backend);
    let all = tree(&site, 5000);
    site.arm(all.clone()).await;
    site.hints().await;
    for round in 1..=2 {
        let start = Instant::now();
        for group in fs::read_dir(&site.root).unwrap() {
            fs::remove_dir_all(group.unwrap().path()).unwrap();
        }
        let removed = start.elapsed();
        site.hints().await;
        println!(
            "round {round}: rm -rf took {removed:?}, and the barrier behind it {:?}",
            start.elapsed() - removed
        );
        let start = Instant::now();
        tree(&site, 5000);
        let made = start.elapsed();
        site.hints().await;
        println!(
            "round {round}: mkdir took {made:?}, and the barrier behind it {:?}",
            start.elapsed() - made
        );
    }
    site.handle.stop().await;
}
