//! The supervisor over backends that fail on demand, with a paused clock.

use std::{future::Future, pin::Pin, sync::Arc};

use hotloader_backend::{
    Armed, BackendFailure, BackendHandle, BackendInputs, BarrierRequest, Collected, FailureClass,
    FileWatchBackend, LostCause, Report, ReportStream, SkipCause, Skipped, WatchPlan, spawn,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Duration, Instant, sleep, timeout},
};

use super::super::backends::{BackendState, Patience, Registry, Standing, Supervisor};
use crate::config::WatchConfig;

/// What a backend does from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// It ends: what helps is another one.
    Broken,
    /// It ends: the same may work again.
    CutOff,
    Fatal,
    /// It takes plans and answers no barrier.
    Silent,
    /// It says of each barrier that it cannot tell.
    Refuses,
    /// It never confirms a plan.
    NeverArms,
    /// What it confirms is the plan before.
    ConfirmsTheLast,
    /// It takes so many directories.
    Limited(usize),
}

/// A backend without a disk under it.
struct Fake {
    name: &'static str,
    mood: watch::Receiver<Mood>,
    /// What it is doing, in the order of all of them.
    diary: mpsc::UnboundedSender<String>,
}

impl Fake {
    fn note(&self, what: &str) {
        let _ = self.diary.send(format!("{} {what}", self.name));
    }

    fn end(&self) -> Option<BackendFailure> {
        match *self.mood.borrow() {
            Mood::Broken => Some(BackendFailure::next_backend("broken")),
            Mood::CutOff => Some(BackendFailure::retry("cut off")),
            Mood::Fatal => Some(BackendFailure::fatal("wrong option")),
            _ => None,
        }
    }

    fn confirm(&self, plan: &WatchPlan, inputs: &BackendInputs) {
        let mood = *self.mood.borrow();
        if mood == Mood::NeverArms {
            return;
        }
        let taken = if let Mood::Limited(dirs) = mood { dirs } else { usize::MAX };
        let skipped = plan.dirs.iter().skip(taken).map(|dir| Skipped {
            dir: dir.to_path_buf(),
            cause: SkipCause::Limit,
            reason: "too many".into(),
        });
        self.note(&format!("watches {}", plan.dirs.len().min(taken)));
        let revision = plan.revision - u64::from(mood == Mood::ConfirmsTheLast);
        inputs.reports.report(Report::Armed(Armed { revision, skipped: skipped.collect() }));
    }
}

impl FileWatchBackend for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(
        mut self: Box<Self>,
        mut inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
        Box::pin(async move {
            let mut waiting: Vec<BarrierRequest> = Vec::new();
            loop {
                if let Some(failure) = self.end() {
                    self.note("fails");
                    return Err(failure);
                }
                let mood = *self.mood.borrow();
                match mood {
                    Mood::Silent => {}
                    Mood::Refuses => waiting.drain(..).for_each(|request| request.refuse("no place")),
                    _ => waiting.drain(..).for_each(BarrierRequest::complete),
                }
                tokio::select! {
                    biased;
                    () = inputs.stop.cancelled() => {
                        self.note("stops");
                        return Ok(());
                    }
                    Ok(()) = inputs.plan.changed() => {
                        let plan = inputs.plan.borrow_and_update().clone();
                        self.confirm(&plan, &inputs);
                    }
                    Some(request) = inputs.barriers.recv() => waiting.push(request),
                    Ok(()) = self.mood.changed() => {}
                }
            }
        })
    }
}

/// The supervisor over the backends `a` and `b`, and one that is called `polling`, since that can have
/// options.
struct Stage {
    a: watch::Sender<Mood>,
    b: watch::Sender<Mood>,
    _polling: watch::Sender<Mood>,
    diary: mpsc::UnboundedReceiver<String>,
    settings: watch::Sender<Arc<WatchConfig>>,
    standing: watch::Receiver<Standing>,
    handle: BackendHandle,
    reports: ReportStream,
}

fn settings(backend: &str) -> Arc<WatchConfig> {
    Arc::new(WatchConfig { backend: backend.into(), ..WatchConfig::default() })
}

impl Stage {
    fn new(choice: &str, mood: Mood) -> Self {
        let (note, diary) = mpsc::unbounded_channel();
        let mut registry = Registry::with_builtin();
        let [a, b, polling] = ["a", "b", "polling"].map(|name| {
            let (sender, receiver) = watch::channel(Mood::Well);
            let note = note.clone();
            registry.register(name, move |_| {
                Ok(Box::new(Fake { name, mood: receiver.clone(), diary: note.clone() }))
            });
            sender
        });
        a.send_replace(mood);
        let (settings, settings_inbox) = watch::channel(settings(choice));
        let (standing_outbox, standing) = watch::channel(Standing::default());
        let (handle, reports) =
            spawn(Box::new(Supervisor::new(registry, settings_inbox, standing_outbox, Patience::default())));
        Self { a, b, _polling: polling, diary, settings, standing, handle, reports }
    }

    /// With three directories, watched.
    async fn watching(choice: &str) -> Self {
        let mut stage = Self::new(choice, Mood::Well);
        stage.plan(1, 3);
        assert!(stage.armed(1).await.skipped.is_empty());
        stage
    }

    fn plan(&self, revision: u64, dirs: usize) {
        self.handle.set_plan(WatchPlan::new(revision, (0..dirs).map(|n| format!("/{n}").into())));
    }

    async fn collected(&mut self) -> Collected {
        timeout(Duration::from_secs(600), self.reports.next())
            .await
            .expect("nothing is said")
            .expect("it ended")
    }

    async fn armed(&mut self, revision: u64) -> Armed {
        let armed = async {
            loop {
                if let Some(armed) = self.collected().await.armed
                    && armed.revision == revision
                {
                    return armed;
                }
            }
        };
        timeout(Duration::from_secs(3600), armed).await.expect("it is never confirmed")
    }

    async fn handover(&mut self) {
        let handover = async {
            while !self.collected().await.lost.iter().any(|lost| lost.cause == LostCause::Handover) {}
        };
        timeout(Duration::from_secs(3600), handover).await.expect("nobody takes over");
    }

    /// Reads the diary up to a line.
    async fn noted(&mut self, line: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let next = timeout(Duration::from_secs(3600), self.diary.recv()).await;
            let next = next.unwrap_or_else(|_| panic!("{line:?} does not come after {lines:?}")).unwrap();
            let is_it = next == line;
            lines.push(next);
            if is_it {
                return lines;
            }
        }
    }

    /// How long it takes from one failure of `a` to the next, so many times.
    async fn delays(&mut self, count: usize) -> Vec<u64> {
        let mut delays = Vec::new();
        self.noted("a fails").await;
        for _ in 0..count {
            let before = Instant::now();
            self.noted("a fails").await;
            delays.push(before.elapsed().as_millis() as u64);
        }
        delays
    }

    async fn stands(&mut self, wanted: impl Fn(&Standing) -> bool) {
        let found = timeout(Duration::from_secs(3600), self.standing.wait_for(wanted)).await.is_ok();
        assert!(found, "it stands like this: {:?}", self.standing.borrow());
    }

    fn serving(&self) -> Vec<(String, usize)> {
        let standing = self.standing.borrow();
        let backends = standing.backends.iter().filter(|backend| backend.dirs > 0);
        backends.map(|backend| (backend.name.clone(), backend.dirs)).collect()
    }
}

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
async fn a_backend_that_cannot_pass_barriers_goes_on_watching_and_whoever_asks_is_told_why() {
    let stage = Stage::watching("a,b").await;
    stage.a.send_replace(Mood::Refuses);
    let error = stage.handle.barrier().await.unwrap_err().to_string();
    assert!(error.ends_with("no place"), "{error}");
    // Heartbeats are barriers as well.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(stage.serving(), [("a".into(), 3)]);
    assert!(stage.standing.borrow().covered);
    stage.a.send_replace(Mood::Well);
    stage.handle.barrier().await.unwrap();
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
async fn what_is_beyond_a_limit_goes_to_the_next_backend_and_comes_back() {
    let mut stage = Stage::new("a,b", Mood::Limited(2));
    stage.plan(1, 3);
    assert!(stage.armed(1).await.skipped.is_empty());
    assert_eq!(stage.serving(), [("a".into(), 2), ("b".into(), 1)]);
    stage.handle.barrier().await.unwrap();
    stage.a.send_replace(Mood::Well);
    stage.handover().await;
    assert_eq!(stage.serving(), [("a".into(), 3)]);
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_nobody_can_take_holds_up_no_other() {
    let mut stage = Stage::watching("a").await;
    stage.a.send_replace(Mood::Limited(3));
    stage.plan(2, 4);
    let armed = stage.armed(2).await;
    assert_eq!(armed.skipped.len(), 1);
    assert!(!stage.standing.borrow().covered);
    stage.a.send_replace(Mood::Well);
    stage.handover().await;
    assert!(stage.standing.borrow().covered);
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
async fn a_barrier_is_passed_by_all_who_watch() {
    let mut stage = Stage::new("a,b", Mood::Limited(2));
    stage.plan(1, 3);
    stage.armed(1).await;
    stage.b.send_replace(Mood::Silent);
    let barrier = tokio::spawn(stage.handle.barrier());
    sleep(Duration::from_secs(1)).await;
    assert!(!barrier.is_finished());
    stage.b.send_replace(Mood::Well);
    barrier.await.unwrap().unwrap();
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
async fn what_is_confirmed_of_an_earlier_plan_does_not_count_for_this_one() {
    let mut stage = Stage::watching("a").await;
    stage.a.send_replace(Mood::ConfirmsTheLast);
    stage.plan(2, 4);
    assert!(timeout(Duration::from_secs(20), stage.armed(2)).await.is_err());
    stage.a.send_replace(Mood::Well);
    stage.plan(3, 5);
    stage.armed(3).await;
    stage.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_backend_that_is_on_trial() {
    let mut stage = Stage::watching("a,b").await;
    stage.a.send_replace(Mood::Broken);
    stage.handover().await;
    stage.noted("b watches 3").await;
    stage.a.send_replace(Mood::Silent);
    stage.noted("a watches 3").await;
    timeout(Duration::from_secs(1), stage.handle.barrier()).await.expect("it waits").unwrap();
    assert_eq!(stage.serving(), [("b".into(), 3)]);
    // It passes no barrier, so it gets nothing, however long it is tried.
    stage.noted("a stops").await;
    assert_eq!(stage.serving(), [("b".into(), 3)]);
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

#[tokio::test(start_paused = true)]
async fn who_confirms_its_plan_and_passes_no_barrier_takes_nothing_over() {
    let mut stage = Stage::watching("a").await;
    stage.b.send_replace(Mood::Silent);
    stage.settings.send_replace(settings("b"));
    assert_eq!(stage.noted("b watches 3").await, ["a watches 3", "b watches 3"]);
    sleep(Duration::from_secs(4)).await;
    assert!(stage.diary.try_recv().is_err(), "the old one goes on");
    stage.b.send_replace(Mood::Well);
    stage.handover().await;
    stage.noted("a stops").await;
    stage.handle.stop().await;
}
