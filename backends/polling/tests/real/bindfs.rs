//! A mount that is changed from behind, dies, hangs, goes and comes back.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use hotloader_backend::Collected;
use hotloader_test_support::mounts::Mount;
use rustix::process::Signal;

use crate::{Watched, is_lost, skipped};

#[tokio::test]
async fn f1_a_change_from_behind_is_seen() {
    let Some(mount) = Mount::bindfs() else { return };
    let mut watched = Watched::new(&[&mount.front(), &mount.above()]).await;
    watched.forget().await;
    fs::write(mount.back().join("x"), "2").unwrap();
    let hints = watched.barrier().await.unwrap().hints;
    assert!(hints.covers(&mount.front().join("x")) && !hints.covers(&mount.front()));
}

/// A bindfs of which the kernel remembers attributes and names for a minute.
fn remembered() -> Option<Mount> {
    let mut mount = Mount::bindfs()?;
    mount.unmount();
    mount.kill();
    assert!(mount.mount_bindfs("attr_timeout=60,entry_timeout=60"));
    Some(mount)
}

/// What is young is hinted again for caution, whether it is seen to differ or not.
async fn until_old(file: &Path) {
    let age = || fs::metadata(file).unwrap().modified().unwrap().elapsed().unwrap_or_default();
    while age() < Duration::from_millis(100) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn f3_what_the_kernel_would_remember_for_a_minute_is_seen_at_the_next_pass() {
    let Some(mount) = remembered() else { return };
    let (front, back) = (mount.front(), mount.back());
    fs::write(back.join("y"), "1").unwrap();
    fs::write(back.join("z"), "1").unwrap();
    until_old(&back.join("z")).await;
    let mut watched = Watched::new(&[&front]).await;
    let (mut trusting, _) = Watched::with(&[&front], &[("interval", "1h"), ("sync", "never")]).await;
    trusting.forget().await;
    watched.forget().await;

    fs::write(back.join("x"), "in place").unwrap();
    assert!(
        trusting.barrier().await.is_none_or(|told| !told.hints.covers(&front.join("x"))),
        "it is not remembered"
    );
    assert!(watched.barrier().await.unwrap().hints.covers(&front.join("x")));
    fs::write(back.join("new"), "1").unwrap();
    assert!(watched.barrier().await.unwrap().hints.covers(&front.join("new")));
    fs::rename(back.join("new"), back.join("y")).unwrap();
    let told = watched.barrier().await.unwrap().hints;
    assert!(told.covers(&front.join("new")) && told.covers(&front.join("y")), "{told:?}");
    fs::remove_file(back.join("z")).unwrap();
    assert!(watched.barrier().await.unwrap().hints.covers(&front.join("z")));
    assert!(watched.handle.vitals().requests > 0 && trusting.handle.vitals().requests == 0);
}

#[tokio::test]
async fn f3_no_more_is_asked_of_a_server_than_is_allowed_and_all_is_seen_in_turn() {
    const FILES: usize = 300;
    let Some(mount) = remembered() else { return };
    let (front, back) = (mount.front(), mount.back());
    (0..FILES).for_each(|file| fs::write(back.join(file.to_string()), "1").unwrap());
    let options = [("interval", "20ms"), ("idle_interval", "20ms"), ("max_requests", "100")];
    let begun = Instant::now();
    let (mut watched, _) = Watched::with(&[&front], &options).await;
    (0..FILES).for_each(|file| fs::write(back.join(file.to_string()), "edited").unwrap());
    let is_seen = |all: &Collected| (0..FILES).all(|file| all.hints.covers(&front.join(file.to_string())));
    watched.until("all files", is_seen).await;
    let seconds = begun.elapsed().as_secs_f64();
    let requests = watched.handle.vitals().requests;
    assert!(requests as f64 <= 100.0 * (seconds + 1.0), "{requests} in {seconds} s");
}

#[tokio::test]
async fn f6_a_mount_that_died_is_no_deletion_and_is_looked_at_when_it_is_back() {
    let Some(mut mount) = Mount::bindfs() else { return };
    let (above, front) = (mount.above(), mount.front());
    let mut watched = Watched::new(&[&front, &above]).await;
    watched.forget().await;
    mount.kill();
    assert!(fs::read_dir(&front).is_err(), "not connected");
    let dead = watched.barrier().await.unwrap();
    assert!(!dead.hints.covers(&front.join("x")), "nothing is said to have changed: {:?}", dead.hints);
    assert_eq!(skipped(&dead.armed.unwrap()), std::slice::from_ref(&front));
    mount.unmount();
    assert!(mount.mount_bindfs("attr_timeout=0,entry_timeout=0"));
    let back = watched.barrier().await.unwrap();
    assert!(back.hints.covers(&front.join("x")));
    assert!(is_lost(&back, &front), "{:?}", back.lost);
    assert_eq!(back.armed.unwrap().skipped, []);
    // The save made after that is an ordinary one.
    fs::write(mount.back().join("x"), "22").unwrap();
    let hints = watched.barrier().await.unwrap().hints;
    assert!(hints.covers(&front.join("x")) && !hints.covers(&front));
}

#[tokio::test]
async fn f6_a_mount_that_was_gone_and_back_is_seen_at_the_next_pass() {
    let Some(mut mount) = Mount::bindfs() else { return };
    let (above, front) = (mount.above(), mount.front());
    let (mut watched, _) =
        Watched::with(&[&front, &above], &[("interval", "50ms"), ("idle_interval", "50ms")]).await;
    watched.forget().await;
    mount.unmount();
    mount.kill();
    // What is seen now is the directory that it was mounted on: a change, for others to make sense of.
    watched.hinted(&front).await;
    fs::write(mount.back().join("late"), "1").unwrap();
    assert!(mount.mount_bindfs("attr_timeout=0,entry_timeout=0"));
    watched.hinted(&front.join("late")).await;
}

#[tokio::test]
async fn p7_one_hung_mount_holds_up_nobody_else() {
    let Some(mount) = Mount::bindfs() else { return };
    let (above, front) = (mount.above(), mount.front());
    let here = above.join("here");
    fs::create_dir(&here).unwrap();
    let (mut watched, _) =
        Watched::with(&[&front, &above, &here], &[("interval", "50ms"), ("idle_interval", "50ms")]).await;
    watched.forget().await;
    mount.suspend();

    let proof = watched.handle.barrier();
    let proof = tokio::spawn(proof);
    fs::write(here.join("x"), "1").unwrap();
    watched.hinted(&here.join("x")).await;
    // The listing above it does not ask the mount point.
    fs::write(above.join("y"), "1").unwrap();
    watched.hinted(&above.join("y")).await;
    let (_, armed) = watched.armed(|armed| !armed.skipped.is_empty()).await;
    assert_eq!((armed.revision, skipped(&armed)), (1, vec![front.clone()]));
    assert!(armed.skipped[0].reason.contains("does not answer"), "{armed:?}");
    assert!(watched.handle.vitals().detail.contains("does not answer"), "{:?}", watched.handle.vitals());

    let later = above.join("later");
    fs::create_dir(&later).unwrap();
    watched.plan(2, &[&front, &above, &here, &later]);
    let (_, armed) = watched.armed(|armed| armed.revision == 2).await;
    assert_eq!(skipped(&armed), std::slice::from_ref(&front));
    assert!(!proof.is_finished(), "nothing is proved while it hangs");

    fs::write(mount.back().join("x"), "22").unwrap();
    mount.signal(Signal::CONT);
    let (back, armed) = watched.armed(|armed| armed.skipped.is_empty()).await;
    assert_eq!(armed.revision, 2);
    assert!(is_lost(&back, &front), "{:?}", back.lost);
    proof.await.unwrap().unwrap();
    watched.forget().await;
    fs::write(mount.back().join("x"), "333").unwrap();
    watched.hinted(&front.join("x")).await;
}

#[tokio::test]
async fn p7_a_hung_mount_that_is_unmounted_holds_up_no_barrier_any_more() {
    let Some(mount) = Mount::bindfs() else { return };
    let (above, front) = (mount.above(), mount.front());
    let (mut watched, _) =
        Watched::with(&[&front, &above], &[("interval", "50ms"), ("idle_interval", "50ms")]).await;
    mount.suspend();
    watched.armed(|armed| !armed.skipped.is_empty()).await;
    mount.unmount();
    let (moved, armed) = watched.armed(|armed| armed.skipped.is_empty()).await;
    assert_eq!(armed.revision, 1);
    assert!(is_lost(&moved, &front), "{:?}", moved.lost);
    watched.forget().await;
    fs::write(front.join("z"), "1").unwrap();
    watched.hinted(&front.join("z")).await;
}

#[tokio::test]
async fn p7_a_mount_that_hangs_holds_up_neither_the_stop_nor_the_end_of_the_reports() {
    let Some(mount) = Mount::bindfs() else { return };
    let mut watched = Watched::new(&[&mount.front()]).await;
    mount.suspend();
    let barrier = tokio::time::timeout(Duration::from_millis(200), watched.handle.barrier()).await;
    assert!(barrier.is_err(), "nothing is proved while it hangs");
    let start = Instant::now();
    watched.handle.stop().await;
    while watched.stream.next().await.is_some() {}
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
