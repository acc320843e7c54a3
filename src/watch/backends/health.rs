//! How the watcher is, for the log, `/readyz`, metrics and the status page.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use hotloader_backend::Vitals;

/// How the watcher is.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Whether everything that should be is watched, by backends that answer.
    pub covered: bool,
    /// What is in the way of that.
    pub trouble: Option<String>,
    /// Each backend that works or should.
    pub backends: Vec<BackendHealth>,
    /// When a barrier was passed last: proof of life.
    pub last_barrier: Option<Instant>,
    /// How often a look at everything found what no backend had reported.
    pub missed: u64,
    /// How many files are in use, so that they are looked at more often than others.
    pub in_use: usize,
    /// How often a file in use was looked at, whoever watches it.
    pub rechecked: u64,
    /// Files that are not taken yet, as somebody is still writing them or has emptied them.
    pub unfinished: Vec<PathBuf>,
}

/// What the supervisor tells the watcher beside reports.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// Every wanted directory is watched by a backend that answers.
    pub(crate) covered: bool,
    /// What is in the way of that.
    pub(crate) trouble: Option<String>,
    pub(crate) backends: Vec<BackendHealth>,
}

/// How one backend is.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendHealth {
    /// Its name in the configuration.
    pub name: String,
    /// What it is doing.
    pub state: BackendState,
    /// Since when it runs; now for one that does not.
    pub since: Instant,
    /// How many directories it watches.
    pub dirs: usize,
    /// How many it should watch and cannot, for a limit: another backend has them.
    pub limited: usize,
    /// Why it was chosen.
    pub why: String,
    /// When it passed a barrier last, and how long that took.
    pub barrier: Option<(Instant, Duration)>,
    /// How often it failed.
    pub failures: u64,
    /// Why it failed last.
    pub last_failure: Option<String>,
    /// What it tells of itself.
    pub vitals: Vitals,
}

/// What a backend is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendState {
    /// It was started and does not watch yet.
    Starting,
    /// It watches.
    Working,
    /// It failed before and has to prove itself; another one watches meanwhile.
    OnTrial,
    /// It does not answer.
    Silent(String),
    /// It failed and will be tried again after that time; `None`: not before the configuration changes.
    Down {
        /// From now.
        retry_in: Option<Duration>,
    },
}

impl BackendState {
    /// In one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Working => "working",
            Self::OnTrial => "on trial",
            Self::Silent(_) => "silent",
            Self::Down { .. } => "down",
        }
    }
}

impl Health {
    /// Takes over how the backends are.
    pub(crate) fn take(&mut self, standing: Standing) {
        let Standing { covered, trouble, backends } = standing;
        let last_barrier = backends.iter().filter_map(|backend| backend.barrier).map(|(at, _)| at).max();
        self.last_barrier = self.last_barrier.max(last_barrier);
        (self.covered, self.trouble, self.backends) = (covered, trouble, backends);
    }

    /// Which backends watch, and why, in one line: `inotify (12 directories; ext4: …)`.
    pub fn summary(&self) -> String {
        let at_work = self.backends.iter().filter(|backend| backend.dirs > 0);
        let parts: Vec<String> = at_work
            .map(|BackendHealth { name, dirs, why, .. }| {
                format!("{name} ({dirs} director{}; {why})", if *dirs == 1 { "y" } else { "ies" })
            })
            .collect();
        if parts.is_empty() { "nothing is watched".into() } else { parts.join(", ") }
    }

    /// The names of the backends that watch.
    pub fn names(&self) -> Vec<&str> {
        self.backends.iter().filter(|backend| backend.dirs > 0).map(|backend| backend.name.as_str()).collect()
    }
}
