//! Time stamps of whole seconds.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use crate::Watched;
use hotloader_test_support::mounts::Mount;

/// Writes twice without a change of attributes between, and wants both to be seen.
async fn second_of_two_writes_in_a_second_is_seen(mount: &Mount, write_to: &std::path::Path) {
    let file = mount.front().join("x");
    let attributes = || {
        let is = fs::metadata(&file).unwrap();
        (is.ino(), is.size(), is.mtime(), is.mtime_nsec(), is.ctime(), is.ctime_nsec())
    };
    fs::write(write_to.join("x"), "0").unwrap();
    let mut watched = Watched::new(&[&mount.front()]).await;
    // Until both are within one second.
    loop {
        fs::write(write_to.join("x"), "1").unwrap();
        watched.forget().await;
        let before = attributes();
        fs::write(write_to.join("x"), "2").unwrap();
        if attributes() == before {
            break;
        }
    }
    assert!(watched.barrier().await.unwrap().hints.covers(&file));
}

#[tokio::test]
async fn p4_two_writes_in_one_second_of_ext2_are_both_seen() {
    let Some(mount) = Mount::ext2() else { return };
    fs::write(mount.front().join("x"), "1").unwrap();
    assert_eq!(fs::metadata(mount.front().join("x")).unwrap().ctime_nsec(), 0);
    second_of_two_writes_in_a_second_is_seen(&mount, &mount.front()).await;
    // It is not looked at for ever.
    let mut watched = Watched::new(&[&mount.front()]).await;
    watched.rest().await;
}

#[tokio::test]
async fn f8_p1_two_writes_in_one_second_behind_sshfs_are_both_seen() {
    let Some(mount) = Mount::sshfs("dir_cache=no,attr_timeout=0,entry_timeout=0") else { return };
    assert_eq!(fs::metadata(mount.front().join("x")).unwrap().mtime_nsec(), 0);
    second_of_two_writes_in_a_second_is_seen(&mount, &mount.back()).await;
}

#[tokio::test]
async fn f3_what_sshfs_keeps_is_seen_once_it_lets_go_of_it() {
    let Some(mount) = Mount::sshfs("dcache_timeout=2,attr_timeout=0,entry_timeout=0") else { return };
    let file = mount.front().join("x");
    let (mut watched, _) =
        Watched::with(&[&mount.front()], &[("interval", "50ms"), ("idle_interval", "50ms")]).await;
    watched.forget().await;
    fs::write(mount.back().join("x"), "longer").unwrap();
    fs::write(mount.back().join("new"), "1").unwrap();
    watched
        .until("size", |all| all.hints.covers(&mount.front().join("new")) && all.hints.covers(&file))
        .await;
    let start = Instant::now();
    while fs::read(&file).unwrap() != b"longer" {
        assert!(start.elapsed() < Duration::from_secs(10), "the hint came, the content did not");
    }
}
