//! What becomes of a watch when something becomes of the daemon. The ids are those of the catalogue of ways
//! file watching goes wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its helpers cannot go on"
)]

mod harness;

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    thread,
    time::{Duration, Instant},
};

use harness::{Daemon, OnDaemon, Site};
use hotloader_backend::{BackendFailure, FailureClass, LostCause, Scope, spawn};
use hotloader_watchman::{WatchmanBackend, probe, watched_roots};
use rustix::process::Signal;
use serde_json::{Value, json};

fn backend(daemon: &Daemon, more: Value) -> Box<WatchmanBackend> {
    Box::new(WatchmanBackend::from_options(&daemon.options_with(more)).unwrap())
}

async fn failure_of_probe(daemon: &Daemon) -> BackendFailure {
    let failure = probe(&daemon.options_with(json!({ "timeout": "300ms" }))).await.unwrap_err();
    assert_eq!(failure.class(), FailureClass::NextBackend, "{failure}");
    failure
}

#[tokio::test]
async fn a_daemon_that_answers_is_named_with_its_roots() {
    let Some(daemon) = Daemon::start() else { return };
    let info = probe(&daemon.options()).await.unwrap();
    assert!(info.version.starts_with(|first: char| first.is_ascii_digit()));
    assert_eq!(info.to_string(), format!("Watchman {} at {}", info.version, daemon.sock().display()));
    let mut site = Site::watch(daemon.backend()).await;
    assert_eq!(site.handle.vitals().detail, info.to_string());
    assert_eq!(watched_roots(&daemon.options()).await.unwrap(), [site.root()]);
    site.works().await;
}

#[tokio::test]
async fn w1_without_a_daemon_the_failure_says_how_to_start_one() {
    let Some(mut daemon) = Daemon::absent() else { return };
    for is_stale in [false, true] {
        let failure = failure_of_probe(&daemon).await.to_string();
        for part in ["`watchman watch-list`", "watch.watchman.spawn = true", daemon.sock().to_str().unwrap()]
        {
            assert!(failure.contains(part), "{failure}");
        }
        if !is_stale {
            assert!(daemon.run());
            daemon.kill();
            assert!(daemon.sock().exists(), "a stale socket");
        }
    }
    let (mut handle, _stream) = spawn(daemon.backend());
    assert_eq!(handle.failed().await.class(), FailureClass::NextBackend);
}

#[tokio::test]
async fn w1_a_program_that_is_missing_is_named() {
    let options = std::collections::BTreeMap::from([("binary".to_owned(), "/nowhere/watchman".into())]);
    if std::env::var_os("WATCHMAN_SOCK").is_none() {
        let failure = probe(&options).await.unwrap_err();
        assert_eq!(failure.class(), FailureClass::NextBackend);
        let text = failure.to_string();
        assert!(text.contains("/nowhere/watchman") && text.contains("watch.watchman.binary"), "{text}");
    }
}

#[tokio::test]
async fn w1_a_daemon_is_started_if_that_is_wanted() {
    let Some(daemon) = Daemon::absent() else { return };
    let mut site = Site::watch(backend(&daemon, json!({ "spawn": true }))).await;
    site.works().await;
    site.handle.stop().await;
    daemon.end_spawned();
}

/// As somebody else: root may use every socket.
#[test]
fn w2_a_socket_that_is_not_permitted_is_said_to_be() {
    let Some(daemon) = Daemon::start() else { return };
    fs::set_permissions(daemon.sock(), fs::Permissions::from_mode(0o600)).unwrap();
    let Some(output) = harness::as_nobody("child_that_is_not_permitted", &daemon) else { return };
    assert!(output.contains("failure: not permitted to use the Watchman socket"), "{output}");
    assert!(output.contains("watch.watchman.sockname"), "{output}");
}

#[tokio::test]
#[ignore = "run by another, as somebody else"]
async fn child_that_is_not_permitted() {
    let options = [("sockname".to_owned(), std::env::var("TEST_SOCK").unwrap().into())].into();
    println!("failure: {}", probe(&options).await.unwrap_err());
}

/// Answers what a Watchman does that lacks something, in its binary format (version 2).
#[tokio::test]
async fn w3_a_daemon_that_cannot_do_what_is_needed_is_unsuitable() {
    let keep = tempfile::tempdir().unwrap();
    let sock = keep.path().join("sock");
    let listener = UnixListener::bind(&sock).unwrap();
    let old = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        assert!(client.read(&mut [0; 4096]).unwrap() > 0);
        let string =
            |text: &str| [&[0x0d, 0x03, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let mut object = vec![0x01, 0x03, 2];
        for (key, value) in [("version", "3.0.0"), ("error", "client required capability `x`")] {
            object.extend([string(key), string(value)].concat());
        }
        let head = [0, 2, 0, 0, 0, 0, 3, u8::try_from(object.len()).unwrap()];
        client.write_all(&[&head[..], &object].concat()).unwrap();
    });
    let options = [("sockname".to_owned(), sock.to_str().unwrap().into())].into();
    let failure = probe(&options).await.unwrap_err();
    assert_eq!(failure.class(), FailureClass::NextBackend);
    let text = failure.to_string();
    assert!(text.contains("required capability") && text.contains("4.9 or later"), "{text}");
    old.join().unwrap();
}

#[tokio::test]
async fn w4_a_killed_daemon_is_waited_for_and_then_given_up() {
    let Some(mut daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    daemon.kill();
    let begun = Instant::now();
    let failure = site.failure().await;
    assert!(failure.contains("watch.watchman.spawn = true"), "{failure}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(site.handle.barrier().await.is_err());
}

#[tokio::test]
async fn w4_a_killed_daemon_that_comes_back_in_time_is_used_again() {
    let Some(mut daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    daemon.kill();
    fs::write(site.file(), "while nobody watched").unwrap();
    assert!(daemon.run());
    let root = site.root().to_owned();
    let told = site.told_by_itself("the loss", |told| !told.lost.is_empty()).await;
    // W7: a new daemon does not know what was before.
    assert_eq!(told.lost[0].cause, LostCause::FreshInstance);
    assert_eq!(told.lost[0].scope, Scope::Below(root));
    site.works().await;
}

#[tokio::test]
async fn w4_a_killed_daemon_is_started_again_if_that_is_wanted() {
    let Some(mut daemon) = Daemon::start() else { return };
    let mut site = Site::watch(backend(&daemon, json!({ "spawn": true }))).await;
    daemon.kill();
    // A barrier that is asked for meanwhile says nothing too early.
    fs::write(site.file(), "while nobody watched").unwrap();
    let told = site.told().await;
    assert!(told.hints.covers(&site.file()), "{told:?}");
    site.works().await;
    site.handle.stop().await;
    daemon.end_spawned();
}

#[tokio::test]
async fn w4_a_daemon_that_is_shut_down_is_like_a_killed_one() {
    let Some(mut daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    daemon.ask(json!(["shutdown-server"]));
    daemon.reap();
    assert!(site.failure().await.contains("no Watchman daemon answers"));
}

#[tokio::test]
async fn w5_a_daemon_that_hangs_is_given_up_within_the_timeout() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(backend(&daemon, json!({ "timeout": "600ms" }))).await;
    daemon.suspend();
    let begun = Instant::now();
    let barrier = site.handle.barrier();
    let failure = site.failure().await;
    assert!(failure.contains("did not answer within 600ms"), "{failure}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(barrier.await.is_err(), "nothing was proved");
    assert!(failure_of_probe(&daemon).await.to_string().contains("did not answer"));
    daemon.signal(Signal::CONT);
    Site::watch(daemon.backend()).await.works().await;
}

#[tokio::test]
async fn w5_a_short_stop_of_the_daemon_is_sat_out() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    daemon.suspend();
    fs::write(site.file(), "while it was stopped").unwrap();
    let barrier = site.handle.barrier();
    assert!(tokio::time::timeout(Duration::from_millis(400), barrier).await.is_err(), "too early");
    daemon.signal(Signal::CONT);
    let told = site.told().await;
    assert!(told.hints.covers(&site.file()) && told.lost.is_empty(), "{told:?}");
    site.works().await;
}

#[tokio::test]
async fn w13_a_poisoned_daemon_is_given_up_with_what_helps() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    daemon.ask(json!(["debug-poison", site.root()]));
    for failure in [site.failure().await, failure_of_probe(&daemon).await.explain()] {
        for part in ["debug-poison(", "fs.inotify.max_user_watches", "watchman shutdown-server"] {
            assert!(failure.contains(part), "{failure}");
        }
    }
}

/// The limit of a user namespace of its own; it poisons the daemon, which says yes all the same.
#[tokio::test]
async fn w13_l3_a_watch_limit_is_a_reason_for_another_backend() {
    let script = "echo 20 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
    let Some(daemon) = Daemon::start_by(&["unshare", "-Ur", "sh", "-c", script, "sh"]) else { return };
    let mut site = Site::begin("root", daemon.backend(), |base| {
        (0..40).for_each(|i| fs::create_dir(base.join(format!("root/{i}"))).unwrap());
    });
    site.send_plan();
    let failure = site.failure().await;
    assert!(failure.contains("max_user_watches"), "{failure}");
    assert!(site.armed.is_none(), "nothing was promised");
}

#[tokio::test]
async fn w18_restarts_leave_no_subscription_behind() {
    let Some(daemon) = Daemon::start() else { return };
    let mut kept = Site::watch(daemon.backend()).await;
    let root = kept.root().to_owned();
    let subscribers =
        || daemon.ask(json!(["debug-get-subscriptions", root]))["subscribers"].as_array().unwrap().len();
    let alone = subscribers();
    for i in 0..20 {
        let (handle, mut stream) = spawn(daemon.backend());
        let mut plan = hotloader_backend::WatchPlan::new(1, [root.clone()]);
        plan.trees.insert(root.clone());
        handle.set_plan(plan);
        while stream.next().await.unwrap().armed.is_none() {}
        assert!(subscribers() > alone);
        // Stopped in an orderly way, and not.
        if i % 2 == 0 {
            handle.stop().await;
        } else {
            drop(handle);
        }
    }
    let begun = Instant::now();
    while subscribers() != alone {
        assert!(begun.elapsed() < hotloader_test_support::DEADLINE, "{} subscriptions", subscribers());
        tokio::task::yield_now().await;
    }
    kept.works().await;
}
