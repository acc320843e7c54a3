//! Another configuration while backends watch.

use std::sync::Arc;

use tokio::time::{Duration, sleep};

use super::stage::{Mood, Stage, settings};

#[tokio::test(start_paused = true)]
async fn other_settings_are_taken_over_without_a_gap() {
    let mut stage = Stage::watching("a").await;
    stage.settings.send_replace(settings("b"));
    stage.handover().await;
    let order = stage.noted("a stops").await;
    assert_eq!(order, ["a watches 3", "b watches 3", "a stops"]);
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn settings_that_do_not_work_leave_what_works() {
    let mut stage = Stage::watching("a").await;
    stage.b.send_replace(Mood::Fatal);
    stage.settings.send_replace(settings("b"));
    stage.noted("b fails").await;
    stage.stands(|standing| standing.backends.iter().any(|backend| backend.failures > 0)).await;
    assert_eq!(stage.serving(), [("a".into(), 3)]);
    stage.handle.barrier().await.unwrap();
    stage.settings.send_replace(settings("a"));
    stage.stands(|standing| standing.covered && standing.backends.len() == 1).await;
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_only_a_person_can_mend_is_tried_again_when_the_configuration_changes_and_not_before() {
    let mut stage = Stage::watching("a,b").await;
    stage.a.send_replace(Mood::Fatal);
    stage.handover().await;
    stage.a.send_replace(Mood::Well);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(stage.serving(), [("b".into(), 3)]);
    stage.settings.send_modify(|settings| Arc::make_mut(settings).quiet += Duration::from_millis(1));
    stage.handover().await;
    assert_eq!(stage.serving(), [("a".into(), 3)]);
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn other_options_of_a_backend_are_taken_over_without_a_gap_and_equal_ones_change_nothing() {
    let mut stage = Stage::watching("polling").await;
    stage.noted("polling watches 3").await;
    stage.settings.send_modify(|settings| Arc::make_mut(settings).quiet += Duration::from_millis(1));
    sleep(Duration::from_secs(60)).await;
    assert!(stage.diary.try_recv().is_err(), "the same one goes on");
    stage.settings.send_modify(|settings| {
        Arc::make_mut(settings).options_mut("polling").insert("interval".into(), "1s".into());
    });
    stage.handover().await;
    assert_eq!(stage.noted("polling stops").await, ["polling watches 3", "polling stops"]);
    assert_eq!(stage.serving(), [("polling".into(), 3)]);
    stage.handle.stop().await;
}
