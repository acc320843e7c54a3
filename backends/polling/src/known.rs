//! What is known of one directory, and what follows from another look at it.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use hotloader_backend::{LostCause, Phase, Report, ReportSink, Scope, SkipCause, Skipped};
use rustix::io::Errno;

use crate::{
    clock::PassTime,
    listing::{Finding, Listing, Record},
};

/// What is known of a directory.
#[derive(Debug)]
pub(crate) enum Known {
    /// Nothing so far.
    New,
    Listed(Record),
    Gone,
    /// It does not answer. What it has is asked for anew when it does again, so nothing is kept here.
    Silent(Errno),
}

/// What a look at a directory brought.
pub(crate) enum Seen<'a> {
    Listed(&'a mut Listing),
    Gone,
    Silent(Errno),
}

impl Seen<'_> {
    /// For one that there is nothing to compare with.
    pub(crate) fn into_known(self, time: PassTime) -> Known {
        match self {
            Self::Listed(listing) => {
                listing.mark_young(time, SystemTime::now());
                Known::Listed(listing.record())
            }
            Self::Gone => Known::Gone,
            Self::Silent(errno) => Known::Silent(errno),
        }
    }
}

impl Known {
    pub(crate) fn len(&self) -> usize {
        if let Self::Listed(listing) = self { listing.len() } else { 0 }
    }

    pub(crate) fn skipped(&self, dir: &Path) -> Option<Skipped> {
        let reason = match self {
            Self::New | Self::Listed(_) => return None,
            Self::Gone => "it does not exist".to_owned(),
            Self::Silent(errno) => errno.to_string(),
        };
        Some(Skipped { dir: dir.to_owned(), cause: SkipCause::Unreachable, reason })
    }
}

/// Directories that ceased to answer in this pass: one line for all, since a server that is away takes
/// thousands with it.
#[derive(Debug, Default)]
pub(crate) struct Silent {
    count: usize,
    first: Option<(PathBuf, Errno)>,
}

impl Silent {
    pub(crate) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }

    pub(crate) fn tell(&self) {
        if let Some((dir, errno)) = &self.first {
            tracing::warn!(target: "watch", dir = %dir.display(), error = %errno, dirs = self.count,
                "a watched directory does not answer; what is known of it stays until it does");
        }
    }
}

/// Takes over what a directory is now and reports what differs. Returns whether anything did.
pub(crate) fn follow(
    known: &mut Known,
    dir: &Path,
    now: Seen<'_>,
    time: PassTime,
    reports: &ReportSink,
    silent: &mut Silent,
) -> bool {
    match (&mut *known, now) {
        (Known::Listed(before), Seen::Listed(listing)) if listing.is_same_directory(before) => {
            let mut changed = false;
            before.update(listing, time, |name, finding| {
                let path = dir.join(name);
                changed |= finding != Finding::Again;
                match finding {
                    Finding::Changed => reports.hint(path, Phase::Complete),
                    Finding::Again => reports.remind(path),
                    Finding::Back => lost(reports, path),
                }
            });
            return changed;
        }
        (Known::Silent(errno), Seen::Silent(now)) => {
            *errno = now;
            return false;
        }
        (Known::Gone, Seen::Gone) => return false,
        (Known::Listed(_) | Known::Gone | Known::New, Seen::Silent(errno)) => {
            silent.count += 1;
            silent.first.get_or_insert_with(|| (dir.to_owned(), errno));
            let was_listed = matches!(known, Known::Listed(_));
            *known = Known::Silent(errno);
            // Somebody has closed it, which is a change: the file system is there and says so.
            if !was_listed || !matches!(errno, Errno::ACCESS | Errno::PERM) {
                return false;
            }
            reports.hint(dir, Phase::Complete);
        }
        // There is nothing to find more of: another look for that would be a second walk at the start.
        (Known::New, seen) => {
            *known = seen.into_known(time);
            return false;
        }
        (Known::Silent(_), seen) => {
            *known = seen.into_known(time);
            lost(reports, dir.to_owned());
        }
        // It came, went or was replaced.
        (Known::Listed(_) | Known::Gone, seen) => {
            *known = seen.into_known(time);
            reports.hint(dir, Phase::Complete);
        }
    }
    true
}

/// What happened there meanwhile, nobody knows.
fn lost(reports: &ReportSink, path: PathBuf) {
    reports.report(Report::LostSync { scope: Scope::Below(path), cause: LostCause::Reconnected });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hotloader_backend::{Collected, ReportStream};

    use super::*;
    use crate::clock::Clock;

    struct Follow {
        known: Known,
        sink: ReportSink,
        stream: ReportStream,
    }

    impl Follow {
        fn new() -> Self {
            let (sink, stream) = ReportSink::new();
            Self { known: Known::Listed(Listing::default().record()), sink, stream }
        }

        fn to(&mut self, now: Seen<'_>) -> Option<Collected> {
            let time = PassTime { clock: Clock::new(), begun: 1, previous: 0, echo: Duration::ZERO };
            follow(&mut self.known, Path::new("/d"), now, time, &self.sink, &mut Silent::default());
            self.stream.take()
        }

        fn listed(&mut self) -> Option<Collected> {
            self.to(Seen::Listed(&mut Listing::default()))
        }
    }

    #[test]
    fn p8_a_directory_that_does_not_answer_is_not_gone_and_lost_sync_is_told_when_it_is_back() {
        for errno in [Errno::STALE, Errno::IO, Errno::NOTCONN, Errno::TIMEDOUT] {
            let mut dir = Follow::new();
            assert!(dir.to(Seen::Silent(errno)).is_none());
            assert!(dir.to(Seen::Silent(Errno::IO)).is_none());
            let back = dir.listed().unwrap();
            assert_eq!(back.lost[0].scope, Scope::Below("/d".into()));
            assert!(back.hints.covers(Path::new("/d/any")));
            assert!(dir.listed().is_none());
        }
    }

    #[test]
    fn x1_a_directory_that_was_closed_is_hinted_and_lost_until_it_is_opened() {
        let mut dir = Follow::new();
        assert!(dir.to(Seen::Silent(Errno::ACCESS)).unwrap().hints.covers(Path::new("/d")));
        assert!(dir.to(Seen::Silent(Errno::ACCESS)).is_none());
        assert_eq!(dir.listed().unwrap().lost[0].scope, Scope::Below("/d".into()));
    }

    #[test]
    fn a_directory_that_went_or_came_is_hinted_once() {
        let mut dir = Follow::new();
        assert!(dir.to(Seen::Gone).unwrap().hints.covers(Path::new("/d")));
        assert!(dir.to(Seen::Gone).is_none());
        assert!(dir.listed().unwrap().hints.covers(Path::new("/d")));
        assert!(dir.listed().is_none());
    }
}
