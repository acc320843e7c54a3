//! What the process holds is counted, so this has a process of its own.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use hotloader_backend::{WatchPlan, spawn};

use super::site::Backend;

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn threads(begin: &str) -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .filter(|name| name.starts_with(begin))
        .count()
}

async fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_so() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Watches a thousand directories and stops. `thread` is how the names of the backend's threads begin.
pub async fn releases_all(backend: Backend<'_>, thread: &str) {
    let site = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(site.path()).unwrap();
    let mut dirs = BTreeSet::new();
    for i in 0..1000 {
        let dir = root.join(i.to_string());
        fs::create_dir(&dir).unwrap();
        dirs.insert(dir);
    }
    let before = descriptors();
    let (handle, mut stream) = spawn(backend());
    let start = Instant::now();
    handle.set_plan(WatchPlan::new(1, dirs));
    while stream.next().await.unwrap().armed.is_none() {}
    // Bounded generously: machines are slow at times.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // A list of threads may lack one while others end: those that helped to arm do.
    until(|| threads(thread) == 1).await;
    assert!(descriptors() > before);
    handle.stop().await;
    assert_eq!(descriptors(), before);
    // The thread's last instructions come after it has dropped what it held.
    until(|| threads(thread) == 0).await;
    assert!(stream.next().await.is_none());
}
