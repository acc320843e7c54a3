//! Attributes and content that do not tell the truth, or not yet.

use std::time::{Duration, Instant};

use crate::{Watched, lying::Lying};

#[tokio::test]
async fn f4_content_that_comes_after_its_attributes_is_hinted_again() {
    let Some(lying) = Lying::new() else { return };
    let (dir, x) = (lying.dir(), lying.dir().join("x"));
    let mut watched = Watched::with(&[&dir], &[("interval", "50ms"), ("idle_interval", "50ms")]).await.0;
    watched.forget().await;
    lying.x(|x| x.mtime += Duration::from_secs(1));
    watched.hinted(&x).await;
    let changed = Instant::now();
    // Longer than any two writes could leave the same stamps.
    while changed.elapsed() < Duration::from_millis(600) {
        watched.barrier().await;
    }
    lying.x(|x| x.content = "two");
    watched.hinted(&x).await;
    assert!(changed.elapsed() < Duration::from_secs(10), "{:?}", changed.elapsed());
}

#[tokio::test]
async fn f4_content_without_attributes_is_seen_where_content_is_verified() {
    let Some(lying) = Lying::new() else { return };
    let (dir, x) = (lying.dir(), lying.dir().join("x"));
    let mut attributes = Watched::new(&[&dir]).await;
    let mut content = Watched::with(&[&dir], &[("interval", "1h"), ("verify", "content")]).await.0;
    attributes.forget().await;
    content.forget().await;
    lying.x(|x| x.content = "two");
    assert!(attributes.barrier().await.is_none());
    assert!(content.barrier().await.unwrap().hints.covers(&x));
}

#[tokio::test]
async fn f7_an_inode_that_changes_is_at_most_a_false_alarm() {
    let Some(lying) = Lying::new() else { return };
    let (dir, x) = (lying.dir(), lying.dir().join("x"));
    let mut watched = Watched::new(&[&dir]).await;
    watched.forget().await;
    for ino in 8..12 {
        lying.x(|x| x.ino = ino);
        let hints = watched.barrier().await.unwrap().hints;
        assert!(hints.covers(&x) && !hints.covers(&dir));
    }
}

#[tokio::test]
async fn p2_p5_times_that_jump_in_any_direction_are_changes() {
    let Some(lying) = Lying::new() else { return };
    let (dir, x) = (lying.dir(), lying.dir().join("x"));
    let mut watched = Watched::new(&[&dir]).await;
    watched.forget().await;
    for mtime in [4_070_908_800, 900, 1_000_000_000] {
        lying.x(|x| x.mtime = Duration::new(mtime, 5));
        assert!(watched.barrier().await.unwrap().hints.covers(&x), "{mtime}");
    }
}

#[tokio::test]
async fn p3_of_a_file_without_time_stamps_size_and_inode_tell() {
    let Some(lying) = Lying::new() else { return };
    let (dir, x) = (lying.dir(), lying.dir().join("x"));
    lying.x(|x| x.mtime = Duration::ZERO);
    let mut watched = Watched::new(&[&dir]).await;
    assert!(watched.barrier().await.is_none(), "not looked at again and again");
    lying.x(|x| x.size = 4);
    assert!(watched.barrier().await.unwrap().hints.covers(&x));
}
