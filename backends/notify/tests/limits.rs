//! The limits of inotify, lowered for a child process in a user namespace of its own (and never for the
//! machine). Where the system allows no such namespace there is nothing to test, which is said.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in the helpers too, not only in test functions")]

mod common;

use std::{collections::BTreeSet, fs, path::PathBuf};

use common::{Site, in_a_child};
use hotloader_backend::{FailureClass, SkipCause, spawn};

/// The first of 40 directories, and how many were made so that all of them are in the tree.
fn forty(site: &Site) -> BTreeSet<PathBuf> {
    let dirs: BTreeSet<_> = (0..40).map(|i| site.root.join(format!("{i:02}"))).collect();
    dirs.iter().for_each(|dir| fs::create_dir(dir).unwrap());
    dirs
}

fn limited(limit: &str, value: u32, child: &str) -> bool {
    in_a_child(&["-Ur"], &format!("echo {value} > /proc/sys/user/{limit} && exec \"$0\" \"$@\""), child)
}

#[test]
fn l3_what_is_over_the_limit_is_named_and_the_rest_stays_watched() {
    limited("max_inotify_watches", 20, "few_watches");
}

#[tokio::test]
#[ignore = "run by the test above, where limits are low"]
async fn few_watches() {
    let mut site = Site::new();
    let dirs = forty(&site);
    let armed = site.arm(dirs.clone()).await;
    // One watch is for the barriers.
    assert_eq!(armed.skipped.len(), 21);
    for skipped in &armed.skipped {
        assert_eq!(skipped.cause, SkipCause::Limit);
        let path = skipped.dir.display().to_string();
        assert!(
            skipped.reason.starts_with(&format!("cannot watch {path}: the limit of watches")),
            "{skipped:?}"
        );
        assert!(skipped.reason.contains("raise fs.inotify.max_user_watches, now "), "{skipped:?}");
        assert!(skipped.reason.contains("watch.backend = \"polling\""), "{skipped:?}");
    }
    let watched = dirs.iter().next().unwrap();
    fs::write(watched.join("x"), "1").unwrap();
    assert!(site.hints().await.covers(&watched.join("x")));
    // A plan that gives some up has room for as many others, in the same step.
    let fewer: BTreeSet<_> = dirs.iter().skip(15).cloned().collect();
    let armed = site.arm(fewer.clone()).await;
    assert_eq!(armed.skipped.len(), 6);
    let last_watched = fewer.iter().nth(18).unwrap();
    fs::write(last_watched.join("x"), "1").unwrap();
    assert!(site.hints().await.covers(&last_watched.join("x")));
    site.handle.stop().await;
}

/// Another program of the same user takes what is left, as in a container beside this one.
#[test]
fn l5_a_limit_that_is_reached_later_is_told_and_a_new_plan_tries_again() {
    limited("max_inotify_watches", 30, "used_up_later");
}

#[tokio::test]
#[ignore = "run by the test above, where limits are low"]
async fn used_up_later() {
    let mut site = Site::new();
    let dirs: Vec<_> = forty(&site).into_iter().take(20).collect();
    let armed = site.arm(dirs.iter().cloned().collect()).await;
    assert!(armed.skipped.is_empty());
    // A directory that goes frees its watch, and somebody else takes that and all others.
    fs::remove_dir(&dirs[3]).unwrap();
    let armed = site.told_again().await;
    assert_eq!(armed.skipped[0].cause, SkipCause::Unreachable);
    let other = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).unwrap();
    let taken: Vec<_> = (20..40)
        .map_while(|i| {
            let dir = site.root.join(format!("{i:02}"));
            rustix::fs::inotify::add_watch(&other, dir, rustix::fs::inotify::WatchFlags::CREATE).ok()
        })
        .collect();
    assert_eq!(taken.len(), 10);
    // It comes again, and there is no watch for it.
    fs::create_dir(&dirs[3]).unwrap();
    // The parent is not watched, so nothing tells: a plan does.
    let armed = site.arm(dirs.iter().cloned().collect()).await;
    assert_eq!(armed.skipped.len(), 1);
    assert_eq!((&armed.skipped[0].dir, armed.skipped[0].cause), (&dirs[3], SkipCause::Limit));
    fs::write(dirs[4].join("x"), "1").unwrap();
    assert!(site.hints().await.covers(&dirs[4].join("x")), "the others are watched as before");
    drop(other);
    let armed = site.arm(dirs.iter().cloned().collect()).await;
    assert!(armed.skipped.is_empty(), "{armed:?}");
    fs::write(dirs[3].join("x"), "1").unwrap();
    assert!(site.hints().await.covers(&dirs[3].join("x")));
    site.handle.stop().await;
}

/// The same by an event instead of a plan: what is skipped changes, so the revision is told again.
#[test]
fn l5_a_directory_replaced_when_the_limit_is_reached_is_told_as_skipped() {
    limited("max_inotify_watches", 10, "replaced_at_the_limit");
}

#[tokio::test]
#[ignore = "run by the test above, where limits are low"]
async fn replaced_at_the_limit() {
    let mut site = Site::new();
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

#[test]
fn l4_too_few_watchers_ask_for_another_backend() {
    limited("max_inotify_instances", 0, "nothing_can_be_watched");
}

#[test]
fn l4_too_few_descriptors_ask_for_another_backend() {
    in_a_child(&[], "ulimit -n 9 && exec \"$0\" \"$@\"", "nothing_can_be_watched");
}

#[test]
fn l3_no_watch_at_all_asks_for_another_backend() {
    limited("max_inotify_watches", 0, "nothing_can_be_watched");
}

#[tokio::test]
#[ignore = "run by the tests above, where limits are low"]
async fn nothing_can_be_watched() {
    let (mut handle, _stream) = spawn(common::backend());
    let failure = handle.failed().await;
    assert_eq!(failure.class(), FailureClass::NextBackend);
    let text = failure.explain();
    assert!(text.contains("fs.inotify.max_user_") && text.contains(", now "), "{text}");
    assert!(text.contains("watch.backend = \"polling\""), "{text}");
}

#[test]
fn barriers_need_no_directory_to_write_to() {
    let line = "SITE=$(mktemp -d) && export SITE && TMPDIR=/nowhere \"$0\" \"$@\"; rm -r \"$SITE\"";
    in_a_child(&[], line, "no_temporary_directory");
}

#[tokio::test]
#[ignore = "run by the test above, where there is none"]
async fn no_temporary_directory() {
    let mut site = Site::at(PathBuf::from(std::env::var_os("SITE").unwrap()));
    assert!(!std::env::temp_dir().exists());
    site.arm(BTreeSet::from([site.root.clone()])).await;
    for name in ["x", "y"] {
        fs::write(site.root.join(name), "1").unwrap();
        assert!(site.hints().await.covers(&site.root.join(name)));
    }
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
    let mut site = Site::new();
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
