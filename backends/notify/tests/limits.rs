//! The limits of inotify, lowered for a child process in a user namespace of its own. Where the
//! system allows no such namespace there is nothing to test.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use hotloader_backend::{FailureClass, WatchPlan, spawn};
use hotloader_notify::NotifyBackend;

/// Runs `child` of this file where `limit` is `value`; the output, if that can be done.
fn with_limit(limit: &str, value: u32) -> Option<String> {
    let script =
        format!("echo {value} > /proc/sys/user/{limit} && exec \"$0\" --ignored --exact child --nocapture");
    let this = std::env::current_exe().ok()?;
    let run = Command::new("unshare").args(["-Ur", "sh", "-c", &script]).arg(this).output().ok()?;
    let output = String::from_utf8_lossy(&run.stdout).into_owned();
    output.contains("running 1 test").then_some(output)
}

#[tokio::test]
#[ignore = "run by the others, where limits are low"]
async fn child() {
    let site = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(site.path()).unwrap();
    let dirs: BTreeSet<_> = (0..40).map(|i| root.join(i.to_string())).collect();
    dirs.iter().for_each(|dir| fs::create_dir(dir).unwrap());
    let (mut handle, _stream) =
        spawn(Box::new(NotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap()));
    handle.set_plan(WatchPlan::new(1, dirs));
    let failure = handle.failed().await;
    assert_eq!(failure.class(), FailureClass::NextBackend);
    println!("failure: {}", failure.explain());
}

#[test]
fn l3_too_few_watches_ask_for_another_backend() {
    if let Some(output) = with_limit("max_inotify_watches", 20) {
        assert!(output.contains("raise fs.inotify.max_user_watches, now "), "{output}");
        assert!(output.contains("watch.backend = \"polling\""), "{output}");
    }
}

#[test]
fn l4_too_few_watchers_ask_for_another_backend() {
    if let Some(output) = with_limit("max_inotify_instances", 0) {
        assert!(output.contains("fs.inotify.max_user_instances, now "), "{output}");
        assert!(output.contains("watch.backend = \"polling\""), "{output}");
    }
}
