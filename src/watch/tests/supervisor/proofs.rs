//! What a backend has confirmed or proved before others rely on it: plans and barriers.

use tokio::time::{Duration, sleep, timeout};

use super::stage::{Mood, Stage, settings};

#[tokio::test(start_paused = true)]
async fn what_is_confirmed_of_an_earlier_plan_does_not_count_for_this_one() {
    let mut stage = Stage::watching("a").await;
    stage.a.send_replace(Mood::ConfirmsTheLast);
    stage.plan(2, 4);
    assert!(timeout(Duration::from_secs(20), stage.armed(2)).await.is_err());
    stage.a.send_replace(Mood::Well);
    stage.plan(3, 5);
    stage.armed(3).await;
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_confirms_its_plan_and_passes_no_barrier_takes_nothing_over() {
    let mut stage = Stage::watching("a").await;
    stage.b.send_replace(Mood::Silent);
    stage.settings.send_replace(settings("b"));
    assert_eq!(stage.noted("b watches 3").await, ["a watches 3", "b watches 3"]);
    sleep(Duration::from_secs(4)).await;
    assert!(stage.diary.try_recv().is_err(), "the old one goes on");
    stage.b.send_replace(Mood::Well);
    stage.handover().await;
    stage.noted("a stops").await;
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_backend_that_is_on_trial() {
    let mut stage = Stage::watching("a,b").await;
    stage.a.send_replace(Mood::Broken);
    stage.handover().await;
    stage.noted("b watches 3").await;
    stage.a.send_replace(Mood::Silent);
    stage.noted("a watches 3").await;
    timeout(Duration::from_secs(1), stage.handle.barrier()).await.expect("it waits").unwrap();
    assert_eq!(stage.serving(), [("b".into(), 3)]);
    // It passes no barrier, so it gets nothing, however long it is tried.
    stage.noted("a stops").await;
    assert_eq!(stage.serving(), [("b".into(), 3)]);
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_barrier_is_passed_by_all_who_watch() {
    let mut stage = Stage::new("a,b", Mood::Limited(2));
    stage.plan(1, 3);
    stage.armed(1).await;
    stage.b.send_replace(Mood::Silent);
    let barrier = tokio::spawn(stage.handle.barrier());
    sleep(Duration::from_secs(1)).await;
    assert!(!barrier.is_finished());
    stage.b.send_replace(Mood::Well);
    barrier.await.unwrap().unwrap();
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_cannot_pass_barriers_goes_on_watching_and_whoever_asks_is_told_why() {
    let stage = Stage::watching("a,b").await;
    stage.a.send_replace(Mood::Refuses);
    let error = stage.handle.barrier().await.unwrap_err().to_string();
    assert!(error.ends_with("no place"), "{error}");
    // Heartbeats are barriers as well.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(stage.serving(), [("a".into(), 3)]);
    assert!(stage.standing.borrow().covered);
    stage.a.send_replace(Mood::Well);
    stage.handle.barrier().await.unwrap();
    stage.handle.stop().await;
}
