//! What fails or does not answer: who takes over, and when it is tried again.

use hotloader_backend::FailureClass;
use tokio::time::{Duration, sleep, timeout};

use super::stage::{Mood, Stage};
use crate::watch::backends::BackendState;

#[tokio::test(start_paused = true)]
async fn the_next_backend_takes_over_from_one_that_fails_and_everything_is_looked_at() {
    let mut stage = Stage::watching("a,b").await;
    assert_eq!(stage.serving(), [("a".into(), 3)]);
    stage.a.send_replace(Mood::Broken);
    stage.handover().await;
    stage.handle.barrier().await.unwrap();
    assert_eq!(stage.serving(), [("b".into(), 3)]);
    assert!(stage.standing.borrow().covered);
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_goes_back_to_the_preferred_backend_and_that_one_watches_before_the_other_stops() {
    let mut stage = Stage::watching("a,b").await;
    stage.a.send_replace(Mood::Broken);
    stage.handover().await;
    stage.noted("b watches 3").await;
    stage.a.send_replace(Mood::Well);
    stage.handover().await;
    let order = stage.noted("b stops").await;
    assert_eq!(
        order.iter().filter(|line| *line != "a fails").collect::<Vec<_>>(),
        ["a watches 3", "b stops"]
    );
    assert_eq!(stage.serving(), [("a".into(), 3)]);
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_and_again_is_tried_less_and_less_often() {
    let mut stage = Stage::watching("a,b").await;
    stage.a.send_replace(Mood::Broken);
    stage.handover().await;
    let seconds: Vec<u64> = stage.delays(8).await.iter().map(|delay| delay / 1000).collect();
    assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60, 60]);
    assert!(stage.handle.barrier().await.is_ok());
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_worked_for_a_minute_before_it_fails_is_tried_again_as_soon_as_the_first_time() {
    let mut stage = Stage::watching("a,b").await;
    stage.a.send_replace(Mood::CutOff);
    assert!(stage.delays(5).await[4] > 700);
    stage.a.send_replace(Mood::Well);
    stage.noted("b stops").await;
    sleep(Duration::from_secs(61)).await;
    stage.a.send_replace(Mood::CutOff);
    assert!(stage.delays(1).await[0] < 60);
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_only_backend_is_tried_again_soon_and_a_barrier_waits_for_it() {
    let mut stage = Stage::watching("a").await;
    stage.a.send_replace(Mood::CutOff);
    stage.stands(|standing| !standing.covered).await;
    assert!(stage.standing.borrow().trouble.as_ref().unwrap().contains("cut off"));
    let barrier = tokio::spawn(stage.handle.barrier());
    sleep(Duration::from_secs(60)).await;
    assert!(!barrier.is_finished());
    stage.a.send_replace(Mood::Well);
    stage.handover().await;
    barrier.await.unwrap().unwrap();
    assert!(stage.standing.borrow().covered);
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_only_backend_is_never_waited_for_longer_than_five_seconds() {
    let mut stage = Stage::watching("a").await;
    stage.a.send_replace(Mood::Broken);
    let delays = stage.delays(9).await;
    assert!((50..60).contains(&delays[0]), "{delays:?}");
    assert_eq!(delays[8] / 1000, 5, "{delays:?}");
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_answer_is_replaced() {
    let mut stage = Stage::watching("a,b").await;
    stage.a.send_replace(Mood::Silent);
    // Nobody asks for a barrier: the heartbeat finds out.
    stage.handover().await;
    assert_eq!(stage.serving(), [("b".into(), 3)]);
    stage.handle.barrier().await.unwrap();
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_answer_and_has_no_successor_is_waited_for() {
    let mut stage = Stage::watching("a").await;
    stage.a.send_replace(Mood::Silent);
    assert!(stage.handle.barrier().await.is_err(), "nobody is kept waiting");
    stage.stands(|standing| !standing.covered).await;
    assert!(matches!(stage.standing.borrow().backends[0].state, BackendState::Silent(_)));
    stage.a.send_replace(Mood::Well);
    stage.handover().await;
    assert!(stage.standing.borrow().covered);
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_never_confirms_its_plan_is_replaced() {
    let mut stage = Stage::new("a,b", Mood::NeverArms);
    stage.plan(1, 3);
    stage.armed(1).await;
    assert_eq!(stage.serving(), [("b".into(), 3)]);
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_start_a_person_is_told_when_nothing_works() {
    for (choice, mood, wanted, class) in [
        ("a", Mood::Broken, "broken", FailureClass::NextBackend),
        ("a,b", Mood::Fatal, "wrong option", FailureClass::Fatal),
        ("a", Mood::NeverArms, "in time", FailureClass::NextBackend),
        ("a", Mood::Limited(0), "too many", FailureClass::NextBackend),
    ] {
        let mut stage = Stage::new(choice, mood);
        if mood == Mood::Fatal {
            stage.b.send_replace(Mood::Fatal);
        }
        stage.plan(1, 1);
        let failed = timeout(Duration::from_secs(3600), stage.handle.failed()).await;
        let failure = failed.expect("it does not end");
        assert!(failure.to_string().contains(wanted), "{failure}");
        assert_eq!(failure.class(), class, "{failure}");
    }
}
