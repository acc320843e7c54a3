//! What the thread that empties the kernel's queue leaves for the task.

use std::{
    collections::BTreeSet,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hotloader_backend::{LostCause, Report, ReportSink, Scope, WatchPlan};
use tokio::sync::Notify;

/// What the thread noticed that concerns the watches themselves.
#[derive(Debug, Default)]
pub struct Noticed {
    /// Paths at or above wanted directories that came, went or changed: the watches may be dead. None
    /// of them is below another.
    pub suspects: BTreeSet<PathBuf>,
    /// The newest cookie seen; stays.
    pub cookie: u64,
    /// Events were lost, and perhaps a cookie with them.
    pub overflow: bool,
    /// Reading the queue failed.
    pub error: Option<String>,
}

impl Noticed {
    fn suspect(&mut self, path: &Path) {
        if path.ancestors().any(|above| self.suspects.contains(above)) {
            return;
        }
        let below = (Bound::Included(path), Bound::Unbounded);
        let below: Vec<PathBuf> = self
            .suspects
            .range::<Path, _>(below)
            .take_while(|other| other.starts_with(path))
            .cloned()
            .collect();
        below.iter().for_each(|other| {
            self.suspects.remove(other);
        });
        self.suspects.insert(path.to_owned());
    }
}

/// The notes, and what decides whether one is worth taking.
pub struct Notes {
    reports: ReportSink,
    wanted: Mutex<Arc<WatchPlan>>,
    noticed: Mutex<Noticed>,
    /// There is something to take.
    pub wake: Notify,
}

/// Locks it, whoever panicked.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notes {
    /// None yet; hints go there.
    pub fn new(reports: ReportSink) -> Self {
        Self { reports, wanted: Mutex::default(), noticed: Mutex::default(), wake: Notify::new() }
    }

    /// Where hints go.
    pub fn reports(&self) -> &ReportSink {
        &self.reports
    }

    /// Which directories matter from now on.
    pub fn want(&self, plan: Arc<WatchPlan>) {
        *lock(&self.wanted) = plan;
    }

    /// Takes what was noticed.
    pub fn take(&self) -> Noticed {
        let mut noticed = lock(&self.noticed);
        let cookie = noticed.cookie;
        std::mem::replace(&mut *noticed, Noticed { cookie, ..Noticed::default() })
    }

    fn note(&self, change: impl FnOnce(&mut Noticed)) {
        change(&mut lock(&self.noticed));
        self.wake.notify_one();
    }

    /// Something came, went or changed at a path that is a directory, or was.
    pub fn suspect(&self, path: &Path) {
        let plan = lock(&self.wanted).clone();
        if !plan.dirs.at_and_below(path).is_empty() {
            self.note(|noticed| noticed.suspect(path));
        }
    }

    /// Every watch may be dead.
    pub fn suspect_all(&self) {
        self.note(|noticed| noticed.suspect(Path::new("/")));
    }

    /// A cookie came through the queue.
    pub fn cookie(&self, number: u64) {
        self.note(|noticed| noticed.cookie = noticed.cookie.max(number));
    }

    /// The queue was full.
    pub fn lost(&self) {
        self.reports.report(Report::LostSync { scope: Scope::Everything, cause: LostCause::Overflow });
        // Directories that went and came meanwhile have no watch any more: renew all of them.
        self.note(|noticed| {
            noticed.overflow = true;
            noticed.suspect(Path::new("/"));
        });
    }

    /// The queue cannot be read.
    pub fn failed(&self, error: impl ToString) {
        self.lost();
        self.note(|noticed| noticed.error = Some(error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_stands_for_all_below_it_and_what_nobody_wants_is_none() {
        let (sink, _stream) = ReportSink::new();
        let notes = Notes::new(sink);
        notes.want(Arc::new(WatchPlan::new(1, ["/a/b", "/a/b/c", "/a/d"].map(PathBuf::from))));
        for path in ["/a/b/c", "/a/b/x", "/z", "/a/b", "/a/b/c", "/a/d/e", "/a/d"] {
            notes.suspect(Path::new(path));
        }
        let noticed = notes.take();
        assert_eq!(Vec::from_iter(noticed.suspects), ["/a/b", "/a/d"].map(PathBuf::from));
        notes.suspect(Path::new("/a/d"));
        notes.suspect_all();
        notes.suspect(Path::new("/a/b"));
        assert_eq!(Vec::from_iter(notes.take().suspects), [PathBuf::from("/")]);
    }
}
