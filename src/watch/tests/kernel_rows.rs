//! Rows of the lists of ways in which links and saves go wrong that are the watcher's own doing, so that one backend
//! is enough.

use super::*;

/// The inodes that are watched by whichever inotify instance of this process.
fn kernel_watches() -> std::collections::BTreeSet<u64> {
    let mut watched = std::collections::BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fdinfo").unwrap() {
        // Other tests close descriptors meanwhile.
        let Ok(text) = fs::read_to_string(entry.unwrap().path()) else { continue };
        let inode = |line: &str| {
            line.split(' ').find_map(|field| u64::from_str_radix(field.strip_prefix("ino:")?, 16).ok())
        };
        watched.extend(text.lines().filter(|line| line.starts_with("inotify ")).filter_map(inode));
    }
    watched
}

#[tokio::test]
async fn hundreds_of_flips_leave_no_watch_behind() {
    use std::os::unix::fs::MetadataExt;
    let mut site = Site::with(|base| {
        for version in ["1", "2"] {
            write(&base.join(format!("ext/{version}/deep/a.lua")), version);
        }
        link("../ext/1", &base.join("lua/d"));
        link("../ext/1/deep/a.lua", &base.join("lua/x.lua"));
    })
    .await;
    let before = site.handle.links();
    for flip in 0..300 {
        let version = 2 - flip % 2;
        relink(&format!("../ext/{version}"), &site.root.join("d"));
        relink(&format!("../ext/{version}/deep/a.lua"), &site.root.join("x.lua"));
        site.sync().await;
    }
    assert_eq!(site.handle.links(), before);
    let inode = |dir: &Path| fs::metadata(dir).unwrap().ino();
    let dirs =
        ["", "lua", "ext", "ext/1", "ext/1/deep", "ext/2", "ext/2/deep"].map(|dir| site.base.join(dir));
    // The backend removes watches after it has confirmed the plan.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let watched = kernel_watches();
        let wrong: Vec<_> = dirs
            .iter()
            .filter(|dir| {
                watched.contains(&inode(dir)) != before.watched_dirs.contains(dir.components().as_path())
            })
            .collect();
        if wrong.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "watched, or not, and should not be, or be: {wrong:?}");
        tokio::task::yield_now().await;
    }
    site.stop().await;
}

#[tokio::test]
async fn e19_a_checkout_is_waited_for_and_arrives_as_one() {
    let settings = WatchConfig { max_hold: DEADLINE, ..settings() };
    let mut site = Site::with_settings(&settings, |base| {
        fs::create_dir(base.join(".git")).unwrap();
        write(&base.join("lua/x.lua"), "1");
        write(&base.join("lua/y.lua"), "1");
    })
    .await;
    let lock = site.base.join(".git/index.lock");
    write(&lock, "");
    write(&site.root.join("x.lua"), "2");
    assert!(timeout(Duration::from_millis(150), site.sets.recv()).await.is_err());
    write(&site.root.join("y.lua"), "2");
    fs::remove_file(&lock).unwrap();
    let set = timeout(DEADLINE, site.sets.recv()).await.unwrap().unwrap();
    assert_eq!(set.changes.len(), 2);
    site.stop().await;
}

#[tokio::test]
async fn e19_a_lock_that_stays_is_waited_for_once() {
    let hold = Duration::from_secs(1);
    let settings = WatchConfig { max_hold: hold, ..settings() };
    let mut site = Site::with_settings(&settings, |base| {
        write(&base.join("lua/x.lua"), "1");
        write(&base.join(".git/index.lock"), "");
    })
    .await;
    write(&site.root.join("x.lua"), "2");
    let set = timeout(DEADLINE, site.sets.recv()).await.unwrap().unwrap();
    assert!(set.timing.settle >= hold);
    write(&site.root.join("x.lua"), "3");
    let set = timeout(DEADLINE, site.sets.recv()).await.unwrap().unwrap();
    assert!(set.timing.settle < hold);
    site.stop().await;
}

#[tokio::test]
async fn e2_an_absence_during_a_save_is_not_told() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "1")).await;
    let x = site.root.join("x.lua");
    for version in ["2", "3", "4"] {
        fs::rename(&x, site.root.join("x.lua~")).unwrap();
        assert!(site.sync().await.is_empty());
        write(&x, "");
        assert!(site.sync().await.is_empty());
        write(&x, version);
        site.check(&[("x.lua", version)]).await;
    }
    site.stop().await;
}
