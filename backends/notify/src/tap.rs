//! notify's callback. It runs on the thread that empties the kernel's queue, so it only folds.

use std::{
    collections::BTreeSet,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hotloader_backend::{LostCause, Phase, Report, ReportSink, Scope};
use notify::{
    Event, EventHandler, EventKind,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::{Notify, oneshot};

/// What the callback noticed that concerns the watches themselves.
#[derive(Debug, Default)]
pub(crate) struct Noticed {
    /// Paths at or above watched directories that came, went or changed: the watches may be dead.
    pub(crate) suspects: BTreeSet<PathBuf>,
    /// The newest cookie seen; stays.
    pub(crate) cookie: u64,
    /// Events were lost, and perhaps a cookie with them.
    pub(crate) overflow: bool,
    /// Reading the queue failed.
    pub(crate) error: Option<notify::Error>,
}

/// The notes that the callback leaves for the task.
pub(crate) struct Notes {
    cookies: PathBuf,
    wanted: Mutex<BTreeSet<PathBuf>>,
    noticed: Mutex<Noticed>,
    /// There is something to take.
    pub(crate) wake: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notes {
    pub(crate) fn new(cookies: PathBuf) -> Self {
        Self { cookies, wanted: Mutex::default(), noticed: Mutex::default(), wake: Notify::new() }
    }

    /// Which directories matter from now on.
    pub(crate) fn want(&self, dirs: &BTreeSet<PathBuf>) {
        *lock(&self.wanted) = dirs.clone();
    }

    /// Takes what was noticed.
    pub(crate) fn take(&self) -> Noticed {
        let mut noticed = lock(&self.noticed);
        let cookie = noticed.cookie;
        std::mem::replace(&mut *noticed, Noticed { cookie, ..Noticed::default() })
    }

    fn note(&self, change: impl FnOnce(&mut Noticed)) {
        change(&mut lock(&self.noticed));
        self.wake.notify_one();
    }

    fn suspect(&self, path: &Path) {
        let matters = lock(&self.wanted)
            .range::<Path, _>((Bound::Included(path), Bound::Unbounded))
            .next()
            .is_some_and(|dir| dir.starts_with(path));
        if matters {
            self.note(|noticed| {
                noticed.suspects.insert(path.to_owned());
            });
        }
    }
}

/// The callback. notify drops it as the last thing on its thread, which closes `_alive`.
pub(crate) struct Tap {
    reports: ReportSink,
    notes: Arc<Notes>,
    _alive: oneshot::Sender<()>,
}

impl Tap {
    pub(crate) fn new(reports: ReportSink, notes: Arc<Notes>, alive: oneshot::Sender<()>) -> Self {
        Self { reports, notes, _alive: alive }
    }

    fn lost(&self) {
        self.reports.report(Report::LostSync { scope: Scope::Everything, cause: LostCause::Overflow });
        // Directories that went and came meanwhile have no watch any more: renew all of them.
        self.notes.note(|noticed| {
            noticed.overflow = true;
            noticed.suspects.insert(PathBuf::from("/"));
        });
    }

    fn event(&self, event: Event) {
        if event.need_rescan() {
            self.lost();
        }
        let phase = match event.kind {
            // Opening and reading: our own reads would feed back.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Phase::Complete,
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Data(_)) => Phase::Writing,
            _ => Phase::Complete,
        };
        let content = matches!(event.kind, EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_)));
        for path in event.paths {
            if let Ok(name) = path.strip_prefix(&self.notes.cookies) {
                if let Some(number) = name.to_str().and_then(|name| name.parse().ok()) {
                    self.notes.note(|noticed| noticed.cookie = noticed.cookie.max(number));
                }
                continue;
            }
            if !content {
                self.notes.suspect(&path);
            }
            self.reports.hint(path, phase);
        }
    }
}

impl EventHandler for Tap {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        match event {
            Ok(event) => self.event(event),
            Err(error) => {
                self.lost();
                self.notes.note(|noticed| noticed.error = Some(error));
            }
        }
    }
}
