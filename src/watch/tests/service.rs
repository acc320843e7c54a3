//! The watcher as a service: delivery, failure, and doing without it.

use super::*;

#[tokio::test]
async fn a_save_arrives_without_a_barrier_and_a_busy_consumer_gets_the_newest() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "0")).await;
    let file = site.root.join("x.lua");
    for i in 1..=50 {
        write(&file, &i.to_string());
    }
    site.wait_for(&[("x.lua", "50")]).await;
    assert!(site.handle.health().covered);
    site.handle.rescan().await.unwrap();
    assert!(site.sync().await.is_empty());
    site.stop().await;
}

#[tokio::test]
async fn a_failed_backend_is_started_again_and_nothing_is_missed() {
    use hotloader_backend::{BackendFailure, BackendInputs, FileWatchBackend};
    use std::{future::Future, pin::Pin, sync::Arc};
    use tokio::sync::Notify;

    struct Mortal(Box<dyn FileWatchBackend>, Arc<Notify>);

    impl FileWatchBackend for Mortal {
        fn name(&self) -> &'static str {
            "mortal"
        }

        fn run(
            self: Box<Self>,
            inputs: BackendInputs,
        ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
            Box::pin(async move {
                tokio::select! {
                    result = self.0.run(inputs) => result,
                    () = self.1.notified() => panic!("on purpose"),
                }
            })
        }
    }

    let death = Arc::new(Notify::new());
    let mut registry = Registry::with_builtin();
    let bell = death.clone();
    let notify = registry.find("notify").unwrap();
    registry.register("mortal", move |settings| Ok(Box::new(Mortal(notify.make(settings)?, bell.clone()))));

    let keep = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(keep.path()).unwrap();
    write(&root.join("x.lua"), "1");
    let settings = WatchConfig { backend: "mortal".into(), ..settings() };
    let (handle, mut sets) = start(&settings, vec![lua_root(&root)], &registry).await.unwrap();
    assert!(sets.recv().await.unwrap().initial);
    death.notify_one();
    let deadline = Instant::now() + DEADLINE;
    while handle.health().backends.iter().all(|backend| backend.failures == 0) {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    write(&root.join("x.lua"), "2");
    let set = timeout(DEADLINE, sets.recv()).await.unwrap().unwrap();
    assert!(!set.initial);
    assert_eq!(&*set.changes[0].content().unwrap().bytes, b"2");
    handle.barrier().await.unwrap();
    handle.stop().await;
}

#[tokio::test]
async fn without_watching_everything_is_read_once() {
    let keep = tempfile::tempdir().unwrap();
    write(&keep.path().join("lua/sub/x.lua"), "1");
    write(&keep.path().join("lua/empty.lua"), "");
    let set = scan_once(&settings(), vec![lua_root(&keep.path().join("lua"))]).await.unwrap();
    assert!(set.initial);
    let names: Vec<_> = set.changes.iter().map(|change| change.name.to_str().unwrap()).collect();
    assert_eq!(names, ["empty.lua", "sub/x.lua"]);
    assert!(set.get(LUA, Path::new("sub/x.lua")).is_some());
}

#[tokio::test]
async fn what_a_backend_does_not_tell_of_files_in_use_is_seen_all_the_same() {
    use hotloader_backend::{Armed, BackendFailure, BackendInputs, FileWatchBackend, Report};
    use std::{future::Future, pin::Pin, sync::Arc};

    /// Watches everything, and tells nothing.
    struct Deaf;

    impl FileWatchBackend for Deaf {
        fn name(&self) -> &'static str {
            "deaf"
        }

        fn run(
            self: Box<Self>,
            mut inputs: BackendInputs,
        ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
            Box::pin(async move {
                loop {
                    tokio::select! {
                        () = inputs.stop.cancelled() => return Ok(()),
                        Ok(()) = inputs.plan.changed() => {
                            let revision = inputs.plan.borrow_and_update().revision;
                            inputs.reports.report(Report::Armed(Armed { revision, skipped: Vec::new() }));
                        }
                        Some(request) = inputs.barriers.recv() => request.complete(),
                    }
                }
            })
        }
    }

    let mut registry = Registry::with_builtin();
    registry.register("deaf", |_| Ok(Box::new(Deaf)));
    let keep = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(keep.path()).unwrap();
    write(&root.join("x.lua"), "1");
    write(&root.join("other.lua"), "1");
    let settings = WatchConfig { backend: "deaf".into(), recheck: Duration::from_millis(20), ..settings() };
    let (handle, mut sets) = start(&settings, vec![lua_root(&root)], &registry).await.unwrap();
    assert!(sets.recv().await.unwrap().initial);
    handle.in_use().send_replace(Arc::new([root.join("x.lua")].into()));
    for text in ["by nobody told", "and once more"] {
        write(&root.join("other.lua"), text);
        write(&root.join("x.lua"), text);
        // An audit begins after ten seconds.
        let set = timeout(Duration::from_secs(8), sets.recv()).await.expect("it is not seen").unwrap();
        let names: Vec<&Path> = set.changes.iter().map(|change| change.name.as_path()).collect();
        assert_eq!(names, [Path::new("x.lua")]);
    }
    assert!(handle.health().missed == 0 && handle.health().rechecked > 0);
    handle.stop().await;
}

#[tokio::test]
async fn what_is_in_use_reaches_the_backends_and_is_no_other_plan() {
    use hotloader_backend::{Armed, BackendFailure, BackendInputs, FileWatchBackend, Report, WatchPlan};
    use std::{future::Future, pin::Pin, sync::Arc};
    use tokio::sync::mpsc;

    /// Hands on each plan, and confirms it once.
    struct Telling(mpsc::UnboundedSender<Arc<WatchPlan>>);

    impl FileWatchBackend for Telling {
        fn name(&self) -> &'static str {
            "telling"
        }

        fn run(
            self: Box<Self>,
            mut inputs: BackendInputs,
        ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
            Box::pin(async move {
                let mut armed = 0;
                loop {
                    tokio::select! {
                        () = inputs.stop.cancelled() => return Ok(()),
                        Ok(()) = inputs.plan.changed() => {
                            let plan = inputs.plan.borrow_and_update().clone();
                            let revision = plan.revision;
                            self.0.send(plan).unwrap();
                            if revision != armed {
                                armed = revision;
                                inputs.reports.report(Report::Armed(Armed { revision, skipped: Vec::new() }));
                            }
                        }
                        Some(request) = inputs.barriers.recv() => request.complete(),
                    }
                }
            })
        }
    }

    let (sender, mut plans) = mpsc::unbounded_channel();
    let mut registry = Registry::with_builtin();
    registry.register("telling", move |_| Ok(Box::new(Telling(sender.clone()))));
    let keep = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(keep.path()).unwrap();
    let x = root.join("x.lua");
    write(&x, "1");
    let settings =
        WatchConfig { backend: "telling".into(), recheck: Duration::from_millis(20), ..settings() };
    let (handle, mut sets) = start(&settings, vec![lua_root(&root)], &registry).await.unwrap();
    assert!(sets.recv().await.unwrap().initial);
    let mut first = plans.recv().await.unwrap();
    assert!(first.in_use.is_empty());
    handle.in_use().send_replace(Arc::new([x.clone()].into()));
    let next = loop {
        let next = timeout(DEADLINE, plans.recv()).await.unwrap().unwrap();
        if !next.in_use.is_empty() {
            break next;
        }
        first = next;
    };
    assert_eq!((next.revision, &next.dirs, &next.trees), (first.revision, &first.dirs, &first.trees));
    assert_eq!(*next.in_use, [x.clone()].into());
    // What has changed is in use as well, whoever tells of it.
    handle.in_use().send_replace(Arc::default());
    while !timeout(DEADLINE, plans.recv()).await.unwrap().unwrap().in_use.is_empty() {}
    handle.in_use().send_replace(Arc::new([x.clone()].into()));
    write(&x, "another");
    timeout(DEADLINE, sets.recv()).await.unwrap().unwrap();
    handle.in_use().send_replace(Arc::default());
    let begun = Instant::now();
    while handle.health().in_use != 1 {
        assert!(begun.elapsed() < DEADLINE);
        tokio::task::yield_now().await;
    }
    handle.barrier().await.unwrap();
    handle.stop().await;
}
