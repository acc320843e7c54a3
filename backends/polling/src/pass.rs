//! What is known of all directories of the plan, and passes over them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

use hotloader_backend::{LostCause, Phase, Report, ReportSink, Scope, SkipCause, Skipped, WatchPlan};
use rustix::io::Errno;

use crate::{
    key::Absence,
    listing::{Begun, Clock, Finding, Listing},
};

/// What is known of a directory.
#[derive(Debug)]
enum Known {
    Listed(Listing),
    Gone,
    /// It does not answer. What it has is asked for anew when it does again, so nothing is kept here.
    Silent(Errno),
}

impl Known {
    /// For a listing that was not compared with one before.
    fn mark_young(&mut self, clock: Clock) {
        if let Self::Listed(listing) = self {
            listing.mark_young(clock, SystemTime::now());
        }
    }
}

/// What is known of all directories of the plan.
#[derive(Debug)]
pub(crate) struct Tree {
    dirs: BTreeMap<PathBuf, Known>,
    clock: Clock,
    reports: ReportSink,
}

impl Tree {
    pub(crate) fn new(reports: ReportSink) -> Self {
        Self { dirs: BTreeMap::new(), clock: Clock::new(), reports }
    }

    /// Forgets what the plan no longer has, and lists what is new in it. Changes before that are
    /// nobody's business: who made the plan looks at a directory after it is armed. Returns what could
    /// not be listed; `None` if it was told to stop.
    pub(crate) fn change_to(
        &mut self,
        plan: &WatchPlan,
        is_stopped: impl Fn() -> bool,
    ) -> Option<Vec<Skipped>> {
        self.dirs.retain(|dir, _| plan.dirs.contains(dir));
        for dir in &plan.dirs {
            if is_stopped() {
                return None;
            }
            if !self.dirs.contains_key(dir) {
                let mut now = look(dir);
                now.mark_young(self.clock);
                self.dirs.insert(dir.clone(), now);
            }
        }
        let skipped = |(dir, known): (&PathBuf, &Known)| {
            let reason = match known {
                Known::Listed(_) => return None,
                Known::Gone => "it does not exist".to_owned(),
                Known::Silent(errno) => errno.to_string(),
            };
            Some(Skipped { dir: dir.clone(), cause: SkipCause::Unreachable, reason })
        };
        Some(self.dirs.iter().filter_map(skipped).collect())
    }

    /// Looks at all directories and reports what differs. Returns whether anything did; `None` if it
    /// was told to stop.
    pub(crate) fn pass(&mut self, is_stopped: impl Fn() -> bool) -> Option<bool> {
        let mut changed = false;
        let mut silent = Silent::default();
        for (dir, known) in &mut self.dirs {
            if is_stopped() {
                return None;
            }
            let begun = Begun::now(self.clock);
            changed |= follow(known, dir, look(dir), self.clock, begun, &self.reports, &mut silent);
        }
        silent.tell();
        Some(changed)
    }
}

/// Directories that ceased to answer in this pass: one line for all, since a server that is away takes
/// thousands with it.
#[derive(Debug, Default)]
struct Silent {
    count: usize,
    first: Option<(PathBuf, Errno)>,
}

impl Silent {
    fn tell(self) {
        if let Some((dir, errno)) = self.first {
            tracing::warn!(target: "watch", dir = %dir.display(), error = %errno, dirs = self.count,
                "a watched directory does not answer; what is known of it stays until it does");
        }
    }
}

fn look(dir: &Path) -> Known {
    match Listing::read(dir) {
        Ok(listing) => Known::Listed(listing),
        Err(errno) if Absence::from(errno) == Absence::Gone => Known::Gone,
        Err(errno) => Known::Silent(errno),
    }
}

/// Takes over what a directory is now and reports what differs. Returns whether anything did.
fn follow(
    known: &mut Known,
    dir: &Path,
    mut now: Known,
    clock: Clock,
    begun: Begun,
    reports: &ReportSink,
    silent: &mut Silent,
) -> bool {
    let mut changed = false;
    match (&*known, &mut now) {
        (Known::Silent(_), Known::Silent(_)) | (Known::Gone, Known::Gone) => {}
        (Known::Listed(_) | Known::Gone, Known::Silent(errno)) => {
            silent.count += 1;
            silent.first.get_or_insert_with(|| (dir.to_owned(), *errno));
        }
        (Known::Silent(_), Known::Listed(_) | Known::Gone) => {
            changed = true;
            now.mark_young(clock);
            reports.report(Report::LostSync {
                scope: Scope::Below(dir.to_owned()),
                cause: LostCause::Reconnected,
            });
        }
        (Known::Listed(before), Known::Listed(listing)) if listing.is_same_directory(before) => {
            listing.compare(before, clock, begun, |name, finding| {
                let path = dir.join(name);
                changed |= finding != Finding::Racy;
                if finding == Finding::Back {
                    reports.report(Report::LostSync {
                        scope: Scope::Below(path),
                        cause: LostCause::Reconnected,
                    });
                } else {
                    reports.hint(path, Phase::Complete);
                }
            });
        }
        // It came, went or was replaced.
        (Known::Listed(_) | Known::Gone, Known::Listed(_) | Known::Gone) => {
            changed = true;
            now.mark_young(clock);
            reports.hint(dir, Phase::Complete);
        }
    }
    *known = now;
    changed
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Follow {
        known: Known,
        sink: ReportSink,
        stream: hotloader_backend::ReportStream,
    }

    impl Follow {
        fn new(known: Known) -> Self {
            let (sink, stream) = ReportSink::new();
            Self { known, sink, stream }
        }

        fn to(&mut self, now: Known) -> Option<hotloader_backend::Collected> {
            let clock = Clock::new();
            let mut silent = Silent::default();
            let begun = Begun::now(clock);
            follow(&mut self.known, Path::new("/d"), now, clock, begun, &self.sink, &mut silent);
            self.stream.take()
        }
    }

    fn listed() -> Known {
        Known::Listed(Listing::default())
    }

    #[test]
    fn a_directory_that_does_not_answer_is_not_gone_and_lost_sync_is_told_when_it_is_back() {
        for errno in [Errno::STALE, Errno::IO, Errno::NOTCONN, Errno::ACCESS, Errno::TIMEDOUT] {
            let mut dir = Follow::new(listed());
            assert!(dir.to(Known::Silent(errno)).is_none());
            assert!(dir.to(Known::Silent(Errno::IO)).is_none());
            let back = dir.to(listed()).unwrap();
            assert_eq!(back.lost[0].scope, Scope::Below("/d".into()));
            assert!(back.hints.covers(Path::new("/d/any")));
            assert!(dir.to(listed()).is_none());
        }
    }

    #[test]
    fn a_directory_that_went_or_came_is_hinted_once() {
        let mut dir = Follow::new(listed());
        assert!(dir.to(Known::Gone).unwrap().hints.covers(Path::new("/d")));
        assert!(dir.to(Known::Gone).is_none());
        assert!(dir.to(listed()).unwrap().hints.covers(Path::new("/d")));
        assert!(dir.to(listed()).is_none());
    }

    #[test]
    fn what_cannot_be_listed_is_named_and_a_change_of_plan_keeps_what_is_known() {
        let keep = tempfile::tempdir().unwrap();
        let (here, late) = (keep.path().join("here"), keep.path().join("late"));
        fs::create_dir(&here).unwrap();
        let (sink, mut stream) = ReportSink::new();
        let mut tree = Tree::new(sink);
        let mut plan = WatchPlan::new(1, [here.clone()]);
        assert!(tree.change_to(&plan, || false).unwrap().is_empty());
        fs::write(here.join("x"), "1").unwrap();
        plan.dirs.insert(late.clone());
        assert_eq!(tree.change_to(&plan, || false).unwrap()[0].dir, late);
        assert_eq!(tree.pass(|| false), Some(true));
        assert!(stream.take().unwrap().hints.covers(&here.join("x")), "made between the two plans");
        assert_eq!(tree.pass(|| true), None);
    }
}
