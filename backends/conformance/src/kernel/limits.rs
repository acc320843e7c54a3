//! The limits of inotify, lowered for a child process in a user namespace of its own.

use std::{collections::BTreeSet, fs, path::PathBuf};

use hotloader_backend::{FailureClass, SkipCause, spawn};

use super::site::{Backend, Site, forty};

/// Where there are 20 watches, for 40 directories.
pub async fn few_watches(backend: Backend<'_>) {
    let mut site = Site::new(backend);
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

/// Where there are 30 watches, and somebody else takes those that are left.
pub async fn used_up_later(backend: Backend<'_>) {
    let mut site = Site::new(backend);
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

/// Where there is no watch, no watcher, or no descriptor.
pub async fn nothing_can_be_watched(backend: Backend<'_>) {
    let (mut handle, _stream) = spawn(backend());
    let failure = handle.failed().await;
    assert_eq!(failure.class(), FailureClass::NextBackend);
    let text = failure.explain();
    assert!(text.contains("fs.inotify.max_user_") && text.contains(", now "), "{text}");
    assert!(text.contains("watch.backend = \"polling\""), "{text}");
}

/// Where `TMPDIR` leads nowhere.
pub async fn no_temporary_directory(backend: Backend<'_>) {
    let mut site = Site::at(backend, PathBuf::from(std::env::var_os("SITE").unwrap()));
    assert!(!std::env::temp_dir().exists());
    site.arm(BTreeSet::from([site.root.clone()])).await;
    for name in ["x", "y"] {
        fs::write(site.root.join(name), "1").unwrap();
        assert!(site.hints().await.covers(&site.root.join(name)));
    }
    site.handle.stop().await;
}
