//! Backends that fail on demand, and a supervisor over them.

use std::{future::Future, pin::Pin, sync::Arc};

use hotloader_backend::{
    Armed, BackendFailure, BackendHandle, BackendInputs, BarrierRequest, Collected, FileWatchBackend,
    LostCause, Report, ReportStream, SkipCause, Skipped, WatchPlan, spawn,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Duration, Instant, timeout},
};

use crate::{
    config::WatchConfig,
    watch::backends::{Patience, Registry, Standing, Supervisor},
};

/// What a backend does from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
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
pub(super) struct Stage {
    pub(super) a: watch::Sender<Mood>,
    pub(super) b: watch::Sender<Mood>,
    _polling: watch::Sender<Mood>,
    pub(super) diary: mpsc::UnboundedReceiver<String>,
    pub(super) settings: watch::Sender<Arc<WatchConfig>>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) handle: BackendHandle,
    pub(super) reports: ReportStream,
}

pub(super) fn settings(backend: &str) -> Arc<WatchConfig> {
    Arc::new(WatchConfig { backend: backend.into(), ..WatchConfig::default() })
}

impl Stage {
    pub(super) fn new(choice: &str, mood: Mood) -> Self {
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
    pub(super) async fn watching(choice: &str) -> Self {
        let mut stage = Self::new(choice, Mood::Well);
        stage.plan(1, 3);
        assert!(stage.armed(1).await.skipped.is_empty());
        stage
    }

    pub(super) fn plan(&self, revision: u64, dirs: usize) {
        self.handle.set_plan(WatchPlan::new(revision, (0..dirs).map(|n| format!("/{n}").into())));
    }

    pub(super) async fn collected(&mut self) -> Collected {
        timeout(Duration::from_secs(600), self.reports.next())
            .await
            .expect("nothing is said")
            .expect("it ended")
    }

    pub(super) async fn armed(&mut self, revision: u64) -> Armed {
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

    pub(super) async fn handover(&mut self) {
        let handover = async {
            while !self.collected().await.lost.iter().any(|lost| lost.cause == LostCause::Handover) {}
        };
        timeout(Duration::from_secs(3600), handover).await.expect("nobody takes over");
    }

    /// Reads the diary up to a line.
    pub(super) async fn noted(&mut self, line: &str) -> Vec<String> {
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
    pub(super) async fn delays(&mut self, count: usize) -> Vec<u64> {
        let mut delays = Vec::new();
        self.noted("a fails").await;
        for _ in 0..count {
            let before = Instant::now();
            self.noted("a fails").await;
            delays.push(before.elapsed().as_millis() as u64);
        }
        delays
    }

    pub(super) async fn stands(&mut self, wanted: impl Fn(&Standing) -> bool) {
        let found = timeout(Duration::from_secs(3600), self.standing.wait_for(wanted)).await.is_ok();
        assert!(found, "it stands like this: {:?}", self.standing.borrow());
    }

    pub(super) fn serving(&self) -> Vec<(String, usize)> {
        let standing = self.standing.borrow();
        let backends = standing.backends.iter().filter(|backend| backend.dirs > 0);
        backends.map(|backend| (backend.name.clone(), backend.dirs)).collect()
    }
}
