//! Plans, barriers, silence and the stop.

use std::fs;

use hotloader_backend::SkipCause;

use crate::{View, tools::write};

pub async fn a_directory_made_after_it_was_planned(mut view: View) {
    let late = view.root().join("late");
    let armed = view.plan_also(late.clone()).await;
    // Who watches whole trees has it already, and need not name it.
    if let Some(skipped) = armed.skipped.iter().find(|skipped| skipped.dir == late) {
        assert_eq!(skipped.cause, SkipCause::Unreachable, "no other backend could watch it");
    }
    fs::create_dir(&late).unwrap();
    assert!(view.hints().await.is_some_and(|told| told.hints.covers(&late)), "it came, and nothing was told");
    write(&late.join("x"), "1");
    assert!(view.hints().await.is_some_and(|told| told.hints.covers(&late.join("x"))));
    let armed = view.plan_again().await;
    assert!(armed.skipped.iter().all(|skipped| skipped.dir != late), "it is there now");
    view.stop().await;
}

pub async fn each_plan_is_answered(mut view: View) {
    fs::create_dir(view.root().join("d")).unwrap();
    view.check("making").await;
    for _ in 0..3 {
        view.plan_again().await;
        assert_eq!(view.plan_again().await.skipped, [], "nothing is wrong with any of them");
    }
    write(&view.root().join("d/x"), "1");
    view.check("plans that change nothing").await;
    view.stop().await;
}

pub async fn barriers_at_once_are_all_passed(mut view: View) {
    for round in ["1", "2", "3"] {
        write(&view.root().join("x"), round);
        view.barriers(40).await;
        view.check("forty barriers").await;
    }
    view.stop().await;
}

pub async fn nothing_is_told_at_rest(mut view: View) {
    fs::create_dir_all(view.root().join("d/e")).unwrap();
    write(&view.root().join("d/e/x"), "1");
    view.rest().await;
    for _ in 0..20 {
        assert!(view.hints().await.is_none(), "nothing changed");
    }
    view.plan_again().await;
    view.rest().await;
    view.stop().await;
}

pub async fn only_what_changed_is_told(mut view: View) {
    let at = |name: &str| view.root().join(name);
    let (changed, sibling) = (at("d/x"), at("d/y"));
    fs::create_dir_all(at("d")).unwrap();
    fs::create_dir_all(at("e")).unwrap();
    for file in [&changed, &sibling, &at("e/z")] {
        write(file, "1");
    }
    view.rest().await;
    write(&changed, "2");
    view.only(&[&changed], "writing").await;
    view.rest().await;
    fs::remove_file(&changed).unwrap();
    view.only(&[&changed], "removing").await;
    view.rest().await;
    fs::rename(&sibling, &changed).unwrap();
    view.only(&[&changed, &sibling], "renaming").await;
    view.stop().await;
}

/// How many events that is is nobody's business.
pub async fn l6_a_hundred_writes_are_one_state(mut view: View) {
    let file = view.root().join("x");
    for i in 0..100 {
        write(&file, i.to_string());
    }
    view.check("all of them").await;
    write(&file, "last");
    view.check("one more").await;
    view.stop().await;
}

/// Numbers of watches are used again, and what is still in a queue belongs to the one before.
pub async fn i1_i2_watched_and_forgotten_many_times(mut view: View) {
    let dir = view.root().join("d");
    fs::create_dir(&dir).unwrap();
    let beside = view.outside();
    for round in 0..100 {
        view.plan_also(beside.clone()).await;
        write(&beside.join("x"), round.to_string());
        view.plan_no_longer(&beside).await;
        write(&dir.join("x"), round.to_string());
        view.check("watching and forgetting").await;
    }
    view.plan_also(beside.clone()).await;
    view.rest().await;
    write(&beside.join("x"), "last");
    assert!(view.hints().await.is_some_and(|told| told.hints.covers(&beside.join("x"))));
    view.stop().await;
}

/// Whoever is told of its own reading never comes to rest.
pub async fn i4_reading_is_no_change(mut view: View) {
    let dir = view.root().join("d");
    fs::create_dir(&dir).unwrap();
    write(&dir.join("x"), "1");
    view.rest().await;
    for _ in 0..20 {
        fs::read(dir.join("x")).unwrap();
        fs::read_dir(&dir).unwrap().for_each(drop);
        fs::metadata(dir.join("x")).unwrap();
        assert!(view.hints().await.is_none(), "reading is told as a change");
    }
    write(&dir.join("x"), "2");
    view.check("writing").await;
    view.stop().await;
}

pub async fn a_stopped_backend_lets_go(mut view: View) {
    write(&view.root().join("x"), "1");
    view.check("writing").await;
    let root = view.root().to_owned();
    // Waits for the end of the task and of the reports, and fails if one does not come.
    view.stop().await;
    assert!(!root.exists());
}
