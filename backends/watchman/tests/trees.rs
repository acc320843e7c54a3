//! What becomes of a watch when something becomes of the tree, or when others use the same daemon. The ids
//! are those of the catalogue of ways file watching goes wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its helpers cannot go on"
)]

mod harness;

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use harness::{Daemon, OnDaemon, Site};
use hotloader_backend::{LostCause, Scope, SkipCause, WatchPlan, spawn};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

#[tokio::test]
async fn an_empty_tree_is_armed() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch_prepared("root", daemon.backend(), |base| {
        fs::remove_file(base.join("root/x")).unwrap();
        fs::remove_dir(base.join("root/sub")).unwrap();
    })
    .await;
    site.works().await;
}

#[tokio::test]
async fn a_file_that_comes_is_told_without_everything_beside_it() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    while !site.is_silent(Duration::from_millis(100)).await {}
    let file = site.root().join("sub/new");
    fs::write(&file, "1").unwrap();
    let told = site.told().await;
    assert!(told.hints.covers(&file) && !told.hints.covers(&site.root().join("sub")), "{told:?}");
    // Nor is it told a second time.
    assert!(site.is_silent(Duration::from_millis(400)).await);
}

#[tokio::test]
async fn what_watchman_has_waited_for_is_told_as_settled() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    let (begun, mut settled) = (Instant::now(), false);
    // Now and then the daemon is asked in the middle of the time that it waits.
    while !settled {
        assert!(begun.elapsed() < hotloader_test_support::DEADLINE, "it never is");
        fs::write(site.file(), format!("{:?}", begun.elapsed())).unwrap();
        let file = site.file();
        let told = site.told_by_itself("a change", |told| told.hints.covers(&file)).await;
        settled = told.hints.is_settled();
    }
}

#[tokio::test]
async fn what_is_saved_together_in_several_trees_is_told_together() {
    let Some(daemon) = Daemon::start() else { return };
    let keep = tempfile::tempdir().unwrap();
    let base = fs::canonicalize(keep.path()).unwrap();
    let trees = ["a", "b", "c"].map(|name| base.join(name));
    trees.iter().for_each(|tree| fs::create_dir(tree).unwrap());
    let (handle, mut stream) = spawn(daemon.backend());
    let mut plan = WatchPlan::new(1, trees.clone());
    plan.trees = trees.clone().into();
    handle.set_plan(plan);
    while stream.next().await.unwrap().armed.is_none() {}
    for round in 0..20 {
        trees.iter().for_each(|tree| fs::write(tree.join("x.lua"), round.to_string()).unwrap());
        let told = tokio::time::timeout(hotloader_test_support::DEADLINE, stream.next()).await;
        let told = told.expect("nothing is told").unwrap();
        let missing = trees.iter().filter(|tree| !told.hints.covers(&tree.join("x.lua"))).count();
        assert_eq!(missing, 0, "round {round}: {:?}", told.hints);
        handle.barrier().await.unwrap();
        stream.take();
    }
}

#[tokio::test]
async fn w6_a_recrawl_is_a_loss_of_sync_told_once() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    for _ in 0..2 {
        daemon.ask(json!(["debug-recrawl", site.root()]));
        fs::write(site.file(), "meanwhile").unwrap();
        let told = site.told_by_itself("the recrawl", |told| !told.lost.is_empty()).await;
        assert_eq!(told.lost[0].scope, Scope::Below(site.root().to_owned()));
        assert!(matches!(told.lost[0].cause, LostCause::Recrawl | LostCause::FreshInstance), "{told:?}");
        site.works().await;
        assert!(site.told().await.lost.is_empty());
    }
    // Who comes later finds a warning that is none for him.
    let mut later = Site::watch(daemon.backend()).await;
    assert!(later.told().await.lost.is_empty());
}

#[tokio::test]
async fn w8_a_root_that_goes_is_told_and_watched_again_when_it_is_back() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    let root = site.root().to_owned();
    for _ in 0..2 {
        fs::remove_dir_all(&root).unwrap();
        let told = site.told().await;
        assert!(told.hints.covers(&root), "{told:?}");
        site.plan().await;
        fs::create_dir(&root).unwrap();
        fs::write(site.file(), "1").unwrap();
        let told = site.told_by_itself("the new root", |told| told.hints.covers(&root)).await;
        assert!(told.hints.covers(&site.file()));
        site.plan().await;
        site.works().await;
    }
}

/// Nobody makes a new plan meanwhile.
#[tokio::test]
async fn w8_a_root_that_was_away_is_watched_without_a_new_plan() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    let (root, away) = (site.root().to_owned(), site.base().join("away"));
    fs::rename(&root, &away).unwrap();
    site.told_by_itself("the root that went", |told| told.hints.covers(&root)).await;
    fs::write(away.join("x"), "elsewhere").unwrap();
    fs::rename(&away, &root).unwrap();
    site.told_by_itself("the root that came", |told| !told.lost.is_empty()).await;
    site.works().await;
    assert!(site.armed.as_ref().unwrap().skipped.is_empty());
}

/// It comes back with its inode, so that nothing else tells it from the directory it was before.
#[tokio::test]
async fn a_directory_that_was_a_file_after_a_loss_of_sync_is_told_when_it_is_back() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    let (root, away, kept) = (site.root().to_owned(), site.base().join("away"), site.base().join("kept"));
    fs::rename(&root, &away).unwrap();
    fs::rename(away.join("sub"), &kept).unwrap();
    fs::write(away.join("sub"), "a file").unwrap();
    fs::rename(&away, &root).unwrap();
    site.told_by_itself("the root that came", |told| !told.lost.is_empty()).await;
    site.plan().await;
    site.rest().await;
    let sub = root.join("sub");
    renameat_with(CWD, &sub, CWD, &kept, RenameFlags::EXCHANGE).unwrap();
    let told = site.told().await;
    assert!(told.hints.covers(&sub), "{told:?}");
}

/// The daemon says nothing of the directory that is its root.
#[tokio::test]
async fn x1_a_tree_that_is_closed_or_opened_is_told() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    let root = site.root().to_owned();
    for mode in [0, 0o755] {
        site.rest().await;
        fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
        let told = site.told().await;
        assert!(told.hints.covers(&root), "{mode:o}: {told:?}");
    }
}

#[tokio::test]
async fn w9_a_parent_that_is_replaced_is_noticed() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch_at("parent/site", daemon.backend()).await;
    let parent = site.base().join("parent");
    for i in 0..2 {
        fs::rename(&parent, site.base().join(format!("old{i}"))).unwrap();
        fs::create_dir_all(site.root().join("sub")).unwrap();
        fs::write(site.file(), "another").unwrap();
        let begun = Instant::now();
        let told = site.told().await;
        assert!(told.hints.covers(&site.file()), "{told:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "no waiting for a cookie that never comes");
        site.works().await;
    }
}

/// The watch of the daemon hangs on a directory that was moved away before this backend came.
#[tokio::test]
async fn w9_a_watch_that_was_stale_before_is_made_anew() {
    let Some(daemon) = Daemon::start() else { return };
    let options = daemon.options_with(json!({ "timeout": "500ms" }));
    let backend = Box::new(hotloader_watchman::WatchmanBackend::from_options(&options).unwrap());
    let mut site = Site::watch_prepared("parent/site", backend, |base| {
        daemon.ask(json!(["watch-project", base.join("parent/site")]));
        fs::rename(base.join("parent"), base.join("old")).unwrap();
        fs::create_dir_all(base.join("parent/site/sub")).unwrap();
    })
    .await;
    site.works().await;
}

#[tokio::test]
async fn w10_an_endless_writer_does_not_hold_back_what_it_writes() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    let (stop, noise) = (Arc::new(AtomicBool::new(false)), site.root().join("noise"));
    let writer = thread::spawn({
        let stop = stop.clone();
        move || {
            let mut file = fs::File::create(noise).unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.write_all(b".").unwrap();
                thread::sleep(Duration::from_millis(2));
            }
        }
    });
    for i in 0..3 {
        let file = site.file();
        fs::write(&file, "x".repeat(i)).unwrap();
        let begun = Instant::now();
        site.told_by_itself("a change beside it", |told| told.hints.covers(&file)).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}

#[tokio::test]
async fn w11_a_state_that_another_client_holds_does_not_silence_us() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    // It is held as long as its client lives.
    let mut client = Command::new("watchman")
        .arg(format!("--sockname={}", daemon.sock().display()))
        .args(["--no-spawn", "--no-local", "-p", "-j"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let enter = json!(["state-enter", site.root(), "hg.update"]);
    writeln!(client.stdin.as_mut().unwrap(), "{enter}").unwrap();
    let mut answer = String::new();
    BufReader::new(client.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
    // Another one may not enter it.
    let again = daemon.ask(json!(["state-enter", site.root(), "hg.update"]));
    assert!(again["error"].as_str().is_some_and(|error| error.contains("already")), "{again}");
    site.works().await;
    client.kill().unwrap();
    client.wait().unwrap();
    site.works().await;
}

#[tokio::test]
async fn a_lock_of_git_does_not_silence_us() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch_prepared("root", daemon.backend(), |base| {
        fs::create_dir(base.join("root/.git")).unwrap()
    })
    .await;
    let lock = site.root().join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    site.works().await;
    fs::remove_file(&lock).unwrap();
    site.works().await;
}

/// Watchman looks into `.git` no deeper than it needs.
#[tokio::test]
async fn a_directory_that_watchman_ignores_is_watched_nevertheless() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch_prepared("root", daemon.backend(), |base| {
        for dir in [".git/hooks", "build/out"] {
            fs::create_dir_all(base.join("root").join(dir)).unwrap();
        }
        fs::write(base.join("root/.watchmanconfig"), r#"{ "ignore_dirs": ["build"] }"#).unwrap();
    })
    .await;
    site.works().await;
    for file in [".git/hooks/x", "build/x", "build/out/x"] {
        let file = site.root().join(file);
        fs::write(&file, "1").unwrap();
        let told = site.told().await;
        assert!(told.hints.covers(&file), "{file:?}: {told:?}");
    }
}

#[tokio::test]
async fn w12_a_name_that_is_no_utf8_is_told_and_harms_nobody() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    let odd = site.root().join(OsStr::from_bytes(b"\xff.lua"));
    fs::write(&odd, "1").unwrap();
    let told = site.told().await;
    assert!(told.hints.covers(&odd), "{told:?}");
    fs::write(&odd, "22").unwrap();
    site.told_by_itself("the odd one", |told| told.hints.covers(&odd)).await;
    site.works().await;
}

/// The client cannot put it into a request.
#[tokio::test]
async fn n7_a_tree_whose_own_name_is_no_utf8_is_left_to_another_backend() {
    let Some(daemon) = Daemon::start() else { return };
    let name = OsStr::from_bytes(b"\xffroot");
    let mut site = Site::watch_at(name, daemon.backend()).await;
    let skipped = &site.armed.as_ref().unwrap().skipped;
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    assert!(skipped.iter().all(|skipped| skipped.cause == SkipCause::Limit), "{skipped:?}");
    let beside = site.base().join("beside");
    fs::write(&beside, "1").unwrap();
    assert!(site.told().await.hints.covers(&beside));
}

#[tokio::test]
async fn a_barrier_is_passed_although_a_tree_leaves_the_plan_meanwhile() {
    let Some(daemon) = Daemon::start() else { return };
    let site = Site::watch(daemon.backend()).await;
    for revision in 10..30 {
        let barriers: Vec<_> = (0..3).map(|_| tokio::spawn(site.handle.barrier())).collect();
        tokio::task::yield_now().await;
        let mut plan = WatchPlan::new(revision, [site.root().to_owned()]);
        plan.trees.extend((revision % 2 == 1).then(|| site.root().to_owned()));
        site.handle.set_plan(plan);
        for barrier in barriers {
            barrier.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn w14_a_link_is_told_as_what_it_is() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    let link = site.root().join("link");
    for target in ["x", "sub"] {
        let _ = fs::remove_file(&link);
        symlink(target, &link).unwrap();
        assert!(site.told().await.hints.covers(&link));
    }
}

/// Its cookies cannot be made, so no barrier could be passed.
#[tokio::test]
async fn w16_a_root_that_the_daemon_may_not_write_to_is_left_to_another_backend() {
    let Some(daemon) = Daemon::start_by(&harness::NOBODY) else { return };
    // Only root may use the daemon of somebody else.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut site = Site::begin("root", daemon.backend(), |base| {
        fs::set_permissions(base, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(base.join("root"), fs::Permissions::from_mode(0o555)).unwrap();
    });
    site.plan().await;
    let armed = site.armed.clone().unwrap();
    let skipped: Vec<_> = armed.skipped.iter().map(|skipped| skipped.dir.clone()).collect();
    assert_eq!(skipped, [site.root().to_owned(), site.root().join("sub")]);
    assert!(armed.skipped.iter().all(|skipped| skipped.cause == SkipCause::Limit));
    assert!(armed.skipped[0].reason.contains("Permission denied"), "{:?}", armed.skipped[0]);
    // What is beside it is watched, and a new plan is a new try.
    let beside = site.base().join("beside");
    fs::write(&beside, "1").unwrap();
    assert!(site.told().await.hints.covers(&beside));
    fs::set_permissions(site.root(), fs::Permissions::from_mode(0o777)).unwrap();
    site.plan().await;
    assert!(site.armed.as_ref().unwrap().skipped.is_empty(), "{:?}", site.armed);
    site.works().await;
}

#[tokio::test]
async fn w17_a_broken_watchmanconfig_is_no_matter() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch_prepared("root", daemon.backend(), |base| {
        fs::write(base.join("root/.watchmanconfig"), "{ broken").unwrap();
    })
    .await;
    site.works().await;
}

#[tokio::test]
async fn w19_a_watch_that_another_client_deletes_is_made_anew() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch(daemon.backend()).await;
    for _ in 0..3 {
        assert_eq!(daemon.ask(json!(["watch-del", site.root()]))["watch-del"], true);
        fs::write(site.file(), "meanwhile").unwrap();
        let told = site.told().await;
        assert!(told.hints.covers(&site.file()), "{told:?}");
        site.works().await;
    }
    assert_eq!(daemon.roots(), [site.root()]);
}

#[tokio::test]
async fn w20_below_a_project_the_names_are_those_of_the_tree() {
    let Some(daemon) = Daemon::start() else { return };
    let mut site = Site::watch_prepared("project/site/root", daemon.backend(), |base| {
        fs::create_dir(base.join("project/.git")).unwrap();
    })
    .await;
    assert_eq!(daemon.roots(), [site.base().join("project")]);
    site.works().await;
    site.rest().await;
    let told = site.told().await;
    assert!(told.hints.is_empty(), "a barrier is no change: {told:?}");
    // The tree goes and comes while the root of the project stays.
    let root = site.root().to_owned();
    fs::remove_dir_all(&root).unwrap();
    assert!(site.told().await.hints.covers(&root));
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(site.file(), "1").unwrap();
    assert!(site.told().await.hints.covers(&site.file()));
    site.works().await;
    // So does the project.
    fs::rename(site.base().join("project"), site.base().join("old")).unwrap();
    fs::create_dir_all(&root).unwrap();
    fs::write(site.file(), "2").unwrap();
    assert!(site.told().await.hints.covers(&site.file()));
    site.works().await;
}

#[tokio::test]
async fn x3_what_a_directory_held_back_is_looked_for_when_it_opens() {
    // Of the same user: root walks through everything.
    let Some(daemon) = Daemon::start_by(&harness::NOBODY) else { return };
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut site = Site::watch_prepared("root", daemon.backend(), |base| {
        fs::set_permissions(base, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(base.join("root"), fs::Permissions::from_mode(0o777)).unwrap();
    })
    .await;
    let dir = site.root().join("sub");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o000)).unwrap();
    site.told().await;
    fs::write(dir.join("x"), "1").unwrap();
    site.told().await;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(site.told().await.hints.covers(&dir.join("x")));
    fs::write(dir.join("x"), "22").unwrap();
    let told = site.told().await;
    assert!(told.hints.covers(&dir.join("x")), "{told:?}");
}
