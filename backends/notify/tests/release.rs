//! What the process holds is counted, so this test has a process of its own.

#![allow(clippy::unwrap_used)] // in the helpers too, not only in test functions

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use hotloader_backend::{WatchPlan, spawn};
use hotloader_notify::NotifyBackend;

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn notify_threads() -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .filter(|name| name.starts_with("notify"))
        .count()
}

async fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_so() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_thousand_directories_are_armed_at_once_and_stopping_releases_thread_and_descriptors() {
    let site = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(site.path()).unwrap();
    let mut dirs = BTreeSet::new();
    for i in 0..1000 {
        let dir = root.join(i.to_string());
        fs::create_dir(&dir).unwrap();
        dirs.insert(dir);
    }
    let before = descriptors();
    let backend = NotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap();
    let (handle, mut stream) = spawn(Box::new(backend));
    let start = Instant::now();
    handle.set_plan(WatchPlan::new(1, dirs));
    while stream.next().await.unwrap().armed.is_none() {}
    // Bounded generously: machines are slow at times.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // A list of threads may lack one while others end: those that helped to arm do.
    until(|| notify_threads() == 1).await;
    assert!(descriptors() > before);
    handle.stop().await;
    assert_eq!(descriptors(), before);
    // The thread's last instructions come after it has dropped what it held.
    until(|| notify_threads() == 0).await;
    assert!(stream.next().await.is_none());
}
