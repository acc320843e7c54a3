//! What is in use, and when to look at it again, whoever watches: some changes no event tells of.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::change::Change;

/// More files than these are not looked at: each look takes some microseconds, and on a slow mount a request.
const MAX: usize = 1000;

/// What was saved is likely to be saved again for so long.
const LATELY: Duration = Duration::from_secs(300);

/// Which files are in use, and when they were looked at.
#[derive(Debug)]
pub(super) struct InUse {
    /// What the consumer of changes says.
    told: watch::Receiver<Arc<BTreeSet<PathBuf>>>,
    /// What changed, and when.
    lately: BTreeMap<PathBuf, Instant>,
    every: Duration,
    looked: Instant,
}

impl InUse {
    pub(super) fn new(told: watch::Receiver<Arc<BTreeSet<PathBuf>>>, every: Duration, now: Instant) -> Self {
        Self { told, lately: BTreeMap::new(), every, looked: now }
    }

    /// Looks as often as this from now on; never if it is zero.
    pub(super) fn configure(&mut self, every: Duration) {
        self.every = every;
    }

    /// These have just changed.
    pub(super) fn note(&mut self, changes: &[Change], now: Instant) {
        // All of a large change set is not about to be edited.
        if changes.len() <= MAX {
            self.lately.extend(changes.iter().map(|change| (change.path.clone(), now)));
        }
        self.lately.retain(|_, at| now < *at + LATELY);
        if self.lately.len() > MAX {
            let mut times: Vec<Instant> = self.lately.values().copied().collect();
            times.sort_unstable();
            let oldest = times[times.len() - MAX];
            self.lately.retain(|_, at| *at >= oldest);
        }
    }

    /// All of it, as of now.
    pub(super) fn files(&mut self, now: Instant) -> BTreeSet<PathBuf> {
        self.lately.retain(|_, at| now < *at + LATELY);
        let told = self.told.borrow();
        let others = told.iter().filter(|path| !self.lately.contains_key(*path));
        self.lately.keys().chain(others).take(MAX).cloned().collect()
    }

    /// When to look.
    pub(super) fn due(&self) -> Option<Instant> {
        let has_any = !self.lately.is_empty() || !self.told.borrow().is_empty();
        (has_any && !self.every.is_zero()).then(|| self.looked + self.every)
    }

    /// What to look at now.
    pub(super) fn take(&mut self, now: Instant) -> BTreeSet<PathBuf> {
        self.looked = now;
        self.files(now)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::watch::{ChangeKind, RootId};

    const SECOND: Duration = Duration::from_secs(1);

    fn changed(path: &str) -> Change {
        Change { root: RootId("lua"), name: path.into(), path: path.into(), kind: ChangeKind::Removed }
    }

    #[test]
    fn what_is_in_use_and_what_changed_lately_is_looked_at_at_intervals() {
        let (sender, told) = watch::channel(Arc::default());
        let now = Instant::now();
        let mut in_use = InUse::new(told, SECOND, now);
        assert_eq!(in_use.due(), None, "there is nothing to look at");
        in_use.note(&[changed("/saved"), changed("/both")], now);
        sender.send_replace(Arc::new(["/loaded", "/both"].map(PathBuf::from).into()));
        assert_eq!(in_use.due(), Some(now + SECOND));
        assert_eq!(in_use.take(now + SECOND), ["/both", "/saved", "/loaded"].map(PathBuf::from).into());
        assert_eq!(in_use.due(), Some(now + 2 * SECOND));
        assert_eq!(in_use.take(now + LATELY), ["/both", "/loaded"].map(PathBuf::from).into());
        in_use.configure(Duration::ZERO);
        assert_eq!(in_use.due(), None);
    }

    #[test]
    fn no_more_is_looked_at_than_takes_a_few_milliseconds() {
        let (sender, told) = watch::channel(Arc::default());
        let now = Instant::now();
        let mut in_use = InUse::new(told, SECOND, now);
        sender.send_replace(Arc::new((0..2 * MAX).map(|file| format!("/{file:05}").into()).collect()));
        assert_eq!(in_use.take(now).len(), MAX);
        for file in 0..2 * MAX as u32 {
            in_use.note(&[changed(&format!("/saved{file}"))], now + file * Duration::from_micros(1));
        }
        let files = in_use.take(now + SECOND);
        assert!(files.len() == MAX && files.contains(Path::new(&format!("/saved{}", 2 * MAX - 1))));
    }
}
