//! The watcher and its supervisor over backends that misbehave, on a real tree: after the fault, each save
//! is told exactly once, and what is known is what is on the disk.

use std::sync::atomic::{AtomicUsize, Ordering};

use hotloader_backend::{FailureClass, FileWatchBackend};
use hotloader_conformance::faults::{
    Delaying, Duplicating, Dying, Hanging, Limited, Lossy, NeverArmed, Reordering,
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{backends::Patience, start::start_with},
    *,
};

type Backend = Box<dyn FileWatchBackend>;

/// Shorter than in the server, so that a fault is found while a test runs.
const PATIENCE: Patience = Patience {
    barrier: Duration::from_secs(1),
    heartbeat: Duration::from_millis(200),
    arming: Duration::from_millis(500),
    limit: Duration::from_millis(500),
    look: Duration::from_secs(10),
};

/// A site watched by `faulty`, which is notify in that wrapper, and by whoever stands behind it in `choice`.
/// The wrapper is told how often the backend was made before.
async fn site(choice: &str, wrap: impl Fn(Backend, usize) -> Backend + Send + Sync + 'static) -> Site {
    let mut registry = Registry::with_builtin();
    let notify = registry.find("notify").unwrap();
    let made = AtomicUsize::new(0);
    registry.register("faulty", move |settings| {
        Ok(wrap(notify.make(settings)?, made.fetch_add(1, Ordering::Relaxed)))
    });
    let mut settings = WatchConfig { backend: choice.into(), ..settings() };
    settings.options_mut("polling").insert("interval".into(), "20ms".into());
    settings.options_mut("polling").insert("max_cpu".into(), 0.5.into());
    let keep = tempfile::tempdir().unwrap();
    let base = fs::canonicalize(keep.path()).unwrap();
    let root = base.join("lua");
    for name in ["x", "sub/x", "sub/deep/x"] {
        write(&root.join(format!("{name}.lua")), "first");
    }
    let (handle, mut sets) = start_with(&settings, vec![lua_root(&root)], &registry, PATIENCE).await.unwrap();
    let first = sets.recv().await.unwrap();
    assert!(first.initial);
    let mut site = Site { _keep: keep, base, root, handle, sets, known: BTreeMap::new() };
    site.learn(&first);
    site
}

impl Site {
    /// Saves in several ways, one after the other without asking for anything: each save is told, and at
    /// the end it turns out that each was told once.
    async fn each_save_is_told_once(&mut self, round: &str) {
        let mut told = 0;
        let mut saves = 0;
        for (n, name) in ["x.lua", "sub/x.lua", "sub/deep/x.lua", "x.lua", "sub/x.lua"].iter().enumerate() {
            let (path, text) = (self.root.join(name), format!("{round} {n}"));
            if n % 2 == 0 {
                write(&path, &text);
            } else {
                write(&path.with_extension("new"), &text);
                fs::rename(path.with_extension("new"), &path).unwrap();
            }
            saves += 1;
            told += self.told_until(|known| known.get(*name) == Some(&text)).await;
        }
        // In a directory that is new, too; and gone again.
        let late = format!("{round}/late.lua");
        write(&self.root.join(&late), round);
        told += self.told_until(|known| known.contains_key(&late)).await;
        fs::remove_dir_all(self.root.join(round)).unwrap();
        told += self.told_until(|known| !known.contains_key(&late)).await;
        saves += 2;
        told += self.sync_soon().await;
        assert_eq!(told, saves, "{round}");
        assert_eq!(self.known, self.on_disk().await);
    }

    /// How many changes were told until that is known.
    async fn told_until(&mut self, is_known: impl Fn(&BTreeMap<String, String>) -> bool) -> usize {
        let deadline = Instant::now() + DEADLINE;
        let mut told = 0;
        while !is_known(&self.known) {
            let left = deadline.saturating_duration_since(Instant::now());
            let set = timeout(left, self.sets.recv()).await;
            let set = set.unwrap_or_else(|_| panic!("nothing more is told than {:?}", self.known)).unwrap();
            told += set.changes.len();
            self.learn(&set);
        }
        told
    }

    /// Passes a barrier, as soon as one can be; returns how many changes came up to it.
    async fn sync_soon(&mut self) -> usize {
        let deadline = Instant::now() + 3 * DEADLINE;
        let mut told = 0;
        loop {
            let passed = {
                let barrier = self.handle.barrier();
                tokio::pin!(barrier);
                loop {
                    tokio::select! {
                        passed = &mut barrier => break passed,
                        Some(set) = self.sets.recv() => {
                            told += set.changes.len();
                        }
                    }
                }
            };
            while let Ok(set) = self.sets.try_recv() {
                told += set.changes.len();
            }
            match passed {
                Ok(()) => return told,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
    }

    async fn on_disk(&self) -> BTreeMap<String, String> {
        let set = scan_once(&settings(), vec![lua_root(&self.root)]).await.unwrap();
        let text = |change: &Change| String::from_utf8(change.content().unwrap().bytes.to_vec()).unwrap();
        set.changes.iter().map(|change| (change.name.to_str().unwrap().to_owned(), text(change))).collect()
    }

    /// Waits until these backends watch, and all is watched.
    async fn watched_by(&self, names: &[&str]) {
        let mut health = self.handle.follow_health();
        let is_so = health.wait_for(|health| health.covered && health.names() == names);
        let is_so = timeout(DEADLINE, is_so).await.is_ok();
        assert!(is_so, "watched by {:?}", self.handle.health());
    }
}

#[tokio::test]
async fn a_backend_that_drops_hints_and_says_so_costs_nothing() {
    let mut site = site("faulty", |backend, _| Lossy::over(backend)).await;
    site.each_save_is_told_once("a").await;
    site.each_save_is_told_once("b").await;
    site.stop().await;
}

#[tokio::test]
async fn what_is_said_twice_is_told_once() {
    let mut site = site("faulty", |backend, _| Duplicating::over(backend)).await;
    site.each_save_is_told_once("a").await;
    site.stop().await;
}

#[tokio::test]
async fn what_is_said_out_of_order_is_told_once_and_the_heartbeat_brings_what_is_held_back() {
    let mut site = site("faulty", |backend, _| Reordering::over(backend)).await;
    site.each_save_is_told_once("a").await;
    site.stop().await;
}

#[tokio::test]
async fn what_is_said_late_is_told_once() {
    let late = Duration::from_millis(50);
    let mut site = site("faulty", move |backend, _| Delaying::over(backend, late)).await;
    site.each_save_is_told_once("a").await;
    site.stop().await;
}

#[tokio::test]
async fn what_is_said_after_the_end_of_a_checkout_still_belongs_to_it() {
    let late = Duration::from_millis(80);
    let mut site = site("faulty", move |backend, _| Delaying::over(backend, late)).await;
    let lock = site.base.join(".git/index.lock");
    write(&lock, "");
    write(&site.root.join("x.lua"), "2");
    assert!(timeout(3 * late, site.sets.recv()).await.is_err(), "the lock is there");
    write(&site.root.join("sub/x.lua"), "2");
    fs::remove_file(&lock).unwrap();
    let set = timeout(DEADLINE, site.sets.recv()).await.unwrap().unwrap();
    assert_eq!(set.changes.len(), 2);
    site.stop().await;
}

#[tokio::test]
async fn a_backend_that_dies_is_replaced_and_used_again_when_it_lives() {
    for class in [FailureClass::Retry, FailureClass::NextBackend] {
        let death = CancellationToken::new();
        let now = death.clone();
        let wrap = move |backend, made| match made {
            0 => Dying::over(backend, now.clone(), class),
            _ => backend,
        };
        let mut site = site("faulty,polling", wrap).await;
        site.each_save_is_told_once("alive").await;
        site.watched_by(&["faulty"]).await;
        death.cancel();
        // At once, before anybody may have noticed.
        site.each_save_is_told_once("dead").await;
        site.watched_by(&["faulty"]).await;
        assert_eq!(site.handle.health().backends[0].failures, 1);
        site.each_save_is_told_once("back").await;
        site.stop().await;
    }
}

#[tokio::test]
async fn a_backend_that_only_a_person_can_mend_is_replaced_for_good() {
    let death = CancellationToken::new();
    let now = death.clone();
    let wrap = move |backend, _| Dying::over(backend, now.clone(), FailureClass::Fatal);
    let mut site = site("faulty,polling", wrap).await;
    death.cancel();
    site.each_save_is_told_once("dead").await;
    site.watched_by(&["polling"]).await;
    site.each_save_is_told_once("later").await;
    site.stop().await;
}

/// Dies after so many answers, whatever it is doing then: arming, passing a barrier, proving itself.
#[tokio::test]
async fn a_backend_may_die_at_any_point_again_and_again() {
    let wrap = |backend, made| match made {
        0..8 => Dying::over(backend, 3 + made as u64, FailureClass::Retry),
        _ => backend,
    };
    let mut site = site("faulty,polling", wrap).await;
    for round in ["a", "b", "c"] {
        site.each_save_is_told_once(round).await;
    }
    site.watched_by(&["faulty"]).await;
    site.each_save_is_told_once("d").await;
    site.stop().await;
}

#[tokio::test]
async fn a_backend_that_hangs_is_found_out_by_the_heartbeat_and_replaced() {
    let stuck = CancellationToken::new();
    let now = stuck.clone();
    let mut site = site("faulty,polling", move |backend, _| Hanging::over(backend, now.clone())).await;
    site.each_save_is_told_once("well").await;
    stuck.cancel();
    site.each_save_is_told_once("stuck").await;
    site.watched_by(&["polling"]).await;
    site.each_save_is_told_once("later").await;
    site.stop().await;
}

#[tokio::test]
async fn a_backend_that_never_confirms_its_plan_is_replaced_at_the_start() {
    let mut site = site("faulty,polling", |backend, _| NeverArmed::over(backend)).await;
    site.watched_by(&["polling"]).await;
    site.each_save_is_told_once("a").await;
    site.stop().await;
}

#[tokio::test]
async fn directories_beyond_a_limit_have_another_backend_and_the_others_stay() {
    let mut site = site("faulty,polling", |backend, _| Limited::over(backend, 2)).await;
    site.watched_by(&["faulty", "polling"]).await;
    // Each try to give them back ends at the limit again.
    for round in ["a", "b", "c"] {
        site.each_save_is_told_once(round).await;
    }
    let health = site.handle.health();
    assert!(health.covered && health.backends.iter().all(|backend| backend.failures == 0), "{health:?}");
    assert_eq!(health.backends[0].dirs, 2, "{health:?}");
    site.stop().await;
}

#[tokio::test]
async fn the_only_backend_may_die_again_and_again_and_what_was_saved_meanwhile_is_found() {
    let death = CancellationToken::new();
    let now = death.clone();
    let wrap = move |backend, made| match made {
        0 => Dying::over(backend, now.clone(), FailureClass::Retry),
        1..4 => Dying::over(backend, 1, FailureClass::Retry),
        _ => backend,
    };
    let mut site = site("faulty", wrap).await;
    death.cancel();
    // Nobody watches for a while: what is saved then is found when somebody does.
    site.each_save_is_told_once("alone").await;
    site.watched_by(&["faulty"]).await;
    assert_eq!(site.handle.health().backends[0].failures, 4);
    site.each_save_is_told_once("back").await;
    site.stop().await;
}

/// One that drops hints and says nothing passes its barriers: no heartbeat can tell. The audit finds what it
/// lost within its time, or a look that somebody asks for finds it before.
#[tokio::test]
async fn what_a_backend_drops_without_a_word_is_found_by_any_look_at_everything() {
    let mut site = site("faulty,polling", |backend, _| Lossy::silent(backend, 1)).await;
    write(&site.root.join("x.lua"), "lost");
    assert_eq!(site.sync_soon().await, 0, "a barrier does not bring it");
    assert!(site.handle.health().covered, "nor does anybody notice");
    site.handle.rescan().await.unwrap();
    assert_eq!(site.told_until(|known| known["x.lua"] == "lost").await, 1);
    assert_eq!(site.known, site.on_disk().await);
    site.stop().await;
}

#[tokio::test]
async fn what_a_backend_drops_without_a_word_is_found_by_the_audit_and_counted_as_missed() {
    let mut site = site("faulty,polling", |backend, _| Lossy::silent(backend, 1)).await;
    write(&site.root.join("x.lua"), "lost");
    fs::remove_file(site.root.join("sub/x.lua")).unwrap();
    // An audit is due ten seconds after the last one.
    let mut health = site.handle.follow_health();
    timeout(3 * DEADLINE, health.wait_for(|health| health.missed > 0))
        .await
        .expect("nobody finds it")
        .unwrap();
    site.told_until(|known| known["x.lua"] == "lost" && !known.contains_key("sub/x.lua")).await;
    assert_eq!(site.handle.health().missed, 2);
    site.stop().await;
}
