//! The suite over wrappers that keep the contract; that it fails over one that does not; and what each
//! wrapper does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in the helpers too, not only in test functions")]

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::Duration,
};

use hotloader_backend::{
    BackendHandle, FailureClass, FileWatchBackend, LostCause, ReportStream, SkipCause, WatchPlan, spawn,
};
use hotloader_conformance::{faults::*, run};
use hotloader_notify::NotifyBackend;
use tokio_util::sync::CancellationToken;

fn real() -> Box<dyn FileWatchBackend> {
    Box::new(NotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap())
}

mod lossy {
    hotloader_conformance::conformance_suite!(|| super::Lossy::over(super::real()), 100);
}

mod duplicating {
    hotloader_conformance::conformance_suite!(|| super::Duplicating::over(super::real()), 100);
}

mod reordering {
    hotloader_conformance::conformance_suite!(|| super::Reordering::over(super::real()), 100);
}

mod delaying {
    use std::time::Duration;
    hotloader_conformance::conformance_suite!(
        || super::Delaying::over(super::real(), Duration::from_millis(3)),
        100
    );
}

/// Asks for silence.
const DEAF_IS_ENOUGH: [&str; 1] = ["nothing_is_told_at_rest"];

macro_rules! each_fails {
    (; $($topic:ident::$scenario:ident)*) => {
        $(
            let result = catch_unwind(AssertUnwindSafe(|| {
                run(hotloader_conformance::scenarios::$topic::$scenario, || Lossy::silent(real(), 1));
            }));
            let passed = result.is_ok();
            assert_eq!(
                passed, DEAF_IS_ENOUGH.contains(&stringify!($scenario)),
                "{} passes: {passed}, over a backend that hints nothing", stringify!($scenario)
            );
        )*
    };
}

#[test]
fn every_scenario_fails_over_a_backend_that_hints_nothing() {
    hotloader_conformance::for_each_scenario!(each_fails,);
}

#[test]
#[should_panic(expected = "the view is wrong")]
fn the_random_operations_find_a_hint_that_was_dropped_now_and_then() {
    run(|view| hotloader_conformance::random::operations(view, 0, 2000), || Lossy::silent(real(), 8));
}

struct Site {
    keep: tempfile::TempDir,
    handle: BackendHandle,
    stream: ReportStream,
}

impl Site {
    fn new(backend: Box<dyn FileWatchBackend>) -> Self {
        let (handle, stream) = spawn(backend);
        Self { keep: tempfile::tempdir().unwrap(), handle, stream }
    }

    fn dirs(&self, count: usize) -> Vec<PathBuf> {
        let top = std::fs::canonicalize(self.keep.path()).unwrap();
        let dirs: Vec<PathBuf> = (0..count).map(|i| top.join(i.to_string())).collect();
        dirs.iter().for_each(|dir| std::fs::create_dir_all(dir).unwrap());
        dirs
    }

    async fn arm(&mut self, revision: u64, dirs: Vec<PathBuf>) -> hotloader_backend::Armed {
        self.handle.set_plan(WatchPlan::new(revision, dirs));
        loop {
            if let Some(armed) = self.stream.next().await.unwrap().armed {
                return armed;
            }
        }
    }
}

#[tokio::test]
async fn what_is_lost_is_owned_up_to() {
    let mut site = Site::new(Lossy::over(real()));
    let dirs = site.dirs(1);
    site.arm(1, dirs.clone()).await;
    std::fs::write(dirs[0].join("x"), "1").unwrap();
    site.handle.barrier().await.unwrap();
    let collected = site.stream.take().unwrap();
    assert_eq!(collected.lost[0].cause, LostCause::Overflow);
    assert!(collected.hints.is_everywhere());
    site.handle.stop().await;
}

#[tokio::test]
async fn one_dies_after_so_many_answers_or_when_it_is_told_to() {
    let mut site = Site::new(Dying::over(real(), 2, FailureClass::NextBackend));
    let dirs = site.dirs(1);
    site.arm(1, dirs).await;
    site.handle.barrier().await.unwrap();
    assert!(site.handle.barrier().await.is_err(), "the third answer is never given");
    assert_eq!(site.handle.failed().await.class(), FailureClass::NextBackend);
    let now = CancellationToken::new();
    let mut site = Site::new(Dying::over(real(), now.clone(), FailureClass::Retry));
    site.handle.barrier().await.unwrap();
    now.cancel();
    assert_eq!(site.handle.failed().await.class(), FailureClass::Retry);
}

#[tokio::test]
async fn one_that_hangs_answers_nothing_and_can_be_stopped() {
    let now = CancellationToken::new();
    let mut site = Site::new(Hanging::over(real(), now.clone()));
    let dirs = site.dirs(1);
    site.arm(1, dirs.clone()).await;
    now.cancel();
    let barrier = site.handle.barrier();
    assert!(tokio::time::timeout(Duration::from_millis(100), barrier).await.is_err());
    site.handle.set_plan(WatchPlan::new(2, dirs));
    assert!(tokio::time::timeout(Duration::from_millis(100), site.stream.next()).await.is_err());
    site.handle.stop().await;
}

#[tokio::test]
async fn one_is_never_armed_and_hints_all_the_same() {
    let mut site = Site::new(NeverArmed::over(real()));
    let dirs = site.dirs(1);
    site.handle.set_plan(WatchPlan::new(1, dirs.clone()));
    // The plan and the barrier come by different ways; once something is hinted, it has been taken.
    let mut hints = 0;
    while hints == 0 {
        std::fs::write(dirs[0].join("x"), "1").unwrap();
        site.handle.barrier().await.unwrap();
        if let Some(collected) = site.stream.take() {
            assert!(collected.armed.is_none());
            hints += collected.hints.len();
        }
    }
    site.handle.stop().await;
}

#[tokio::test]
async fn a_limited_one_names_what_is_over_its_limit() {
    let mut site = Site::new(Limited::over(real(), 2));
    let dirs = site.dirs(4);
    let armed = site.arm(7, dirs.clone()).await;
    assert_eq!(armed.revision, 7);
    let skipped: Vec<_> = armed.skipped.iter().map(|skipped| (&skipped.dir, skipped.cause)).collect();
    assert_eq!(skipped, [(&dirs[2], SkipCause::Limit), (&dirs[3], SkipCause::Limit)]);
    for (dir, is_hinted) in dirs.iter().zip([true, true, false, false]) {
        std::fs::write(dir.join("x"), "1").unwrap();
        site.handle.barrier().await.unwrap();
        assert_eq!(site.stream.take().is_some(), is_hinted, "{}", dir.display());
    }
    site.handle.stop().await;
}
