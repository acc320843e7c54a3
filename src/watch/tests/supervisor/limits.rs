//! Directories that a backend cannot take.

use super::stage::{Mood, Stage};

#[tokio::test(start_paused = true)]
async fn what_is_beyond_a_limit_goes_to_the_next_backend_and_comes_back() {
    let mut stage = Stage::new("a,b", Mood::Limited(2));
    stage.plan(1, 3);
    assert!(stage.armed(1).await.skipped.is_empty());
    assert_eq!(stage.serving(), [("a".into(), 2), ("b".into(), 1)]);
    stage.handle.barrier().await.unwrap();
    stage.a.send_replace(Mood::Well);
    stage.handover().await;
    assert_eq!(stage.serving(), [("a".into(), 3)]);
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_nobody_can_take_holds_up_no_other() {
    let mut stage = Stage::watching("a").await;
    stage.a.send_replace(Mood::Limited(3));
    stage.plan(2, 4);
    let armed = stage.armed(2).await;
    assert_eq!(armed.skipped.len(), 1);
    assert!(!stage.standing.borrow().covered);
    stage.a.send_replace(Mood::Well);
    stage.handover().await;
    assert!(stage.standing.borrow().covered);
    stage.handle.stop().await;
}
