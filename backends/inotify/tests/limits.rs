//! What the kernel's limits do, where this backend differs from others.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in the helpers too, not only in test functions")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use hotloader_backend::{FileWatchBackend, SkipCause};
use hotloader_conformance::kernel::{Site, limited};
use hotloader_inotify::InotifyBackend;

fn backend() -> Box<dyn FileWatchBackend> {
    Box::new(InotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap())
}

/// By an event instead of a plan: what is skipped changes, so the revision is told again.
#[test]
fn l5_a_directory_replaced_when_the_limit_is_reached_is_told_as_skipped() {
    limited("max_inotify_watches", 10, "replaced_at_the_limit");
}

#[tokio::test]
#[ignore = "run by the test above, where limits are low"]
async fn replaced_at_the_limit() {
    let mut site = Site::new(&backend);
    let dir = site.root.join("d");
    fs::create_dir(&dir).unwrap();
    site.arm(BTreeSet::from([site.root.clone(), dir.clone()])).await;
    // Held open, so that the old one keeps its watch until it is given up.
    let held = fs::File::open(&dir).unwrap();
    let other = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).unwrap();
    let many = tempfile::tempdir().unwrap();
    for i in 0..7 {
        let dir = many.path().join(i.to_string());
        fs::create_dir(&dir).unwrap();
        rustix::fs::inotify::add_watch(&other, dir, rustix::fs::inotify::WatchFlags::CREATE).unwrap();
    }
    let new = site.root.join("new");
    fs::create_dir(&new).unwrap();
    // In one step: nobody may find the place empty, and the watch of the old one free.
    fs::rename(&new, &dir).unwrap();
    let armed = site.told_again().await;
    assert_eq!(armed.revision, 1);
    assert_eq!((&armed.skipped[0].dir, armed.skipped[0].cause), (&dir, SkipCause::Limit));
    drop(held);
    site.handle.stop().await;
}

/// Whoever has the watches that are left has them for a while only.
#[test]
fn l5_without_a_watch_for_barriers_they_are_refused_with_the_reason_and_changes_are_still_reported() {
    limited("max_inotify_watches", 20, "no_watch_for_barriers");
}

#[tokio::test]
#[ignore = "run by the test above, where limits are low"]
async fn no_watch_for_barriers() {
    let mut site = Site::new(&backend);
    site.arm(BTreeSet::from([site.root.clone()])).await;
    let limit = |value: &str| fs::write("/proc/sys/user/max_inotify_watches", value).unwrap();
    limit("1");
    site.handle.barrier().await.unwrap();
    let error = site.handle.barrier().await.unwrap_err().to_string();
    assert!(error.contains("raise fs.inotify.max_user_watches, now "), "{error}");
    let file = site.root.join("x");
    fs::write(&file, "1").unwrap();
    assert!(site.stream.next().await.unwrap().hints.covers(&file));
    limit("20");
    fs::write(&file, "2").unwrap();
    assert!(site.hints().await.covers(&file));
    site.handle.stop().await;
}
