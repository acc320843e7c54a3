//! What fails while pages use a session: told to each page as it is there, and once to the log.
//!
//! What a page shows or calls is known from its variables (`variables::problem`); timers are the session's own.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use super::SessionId;
use crate::{
    lua::TimerHandle,
    reload::{Diagnostic, Faults, Telling},
    variables::{Found, ProblemKind},
    wire::{Outgoing, ProblemReport},
};

/// A page is told of so many at once.
const MAX_TOLD: usize = 20;
/// So many timers are remembered.
const MAX_TIMERS: usize = 50;
/// So many different problems of one version of the code are logged.
const MAX_LOGGED: usize = 200;

/// What fails in a session.
#[derive(Debug)]
pub(super) struct Problems {
    session: String,
    /// Timers that failed when they fired last, and how often in a row.
    timers: BTreeMap<TimerHandle, (Diagnostic, usize)>,
    /// Another one whenever the timers above are others.
    version: u64,
    /// Hashes of what the log has been told.
    logged: HashSet<u64>,
    hasher: RandomState,
    /// Counts what fails.
    faults: Arc<Faults>,
    /// Logged last, for the status page.
    last: Option<Diagnostic>,
}

/// What fails on one page, as it has been told.
#[derive(Debug, Default)]
pub(super) struct PageProblems {
    found: Vec<Found>,
    timers: u64,
    /// It has been told of a problem that it may still show.
    is_told: bool,
}

impl Problems {
    pub(super) fn new(session: &SessionId, faults: Arc<Faults>) -> Self {
        Self {
            session: session.short(),
            timers: BTreeMap::new(),
            version: 0,
            logged: HashSet::new(),
            hasher: RandomState::new(),
            faults,
            last: None,
        }
    }

    /// A timer has fired, and failed or not.
    pub(super) fn timer_ran(&mut self, handle: TimerHandle, failed: Option<&Diagnostic>) {
        match failed {
            Some(diagnostic) => {
                let count = self.timers.get(&handle).map_or(0, |(_, count)| *count);
                if self.timers.len() >= MAX_TIMERS && count == 0 {
                    return;
                }
                self.timers.insert(handle, (diagnostic.clone(), count + 1));
                // A page need not hear of each of them.
                if !(count + 1).is_power_of_two() {
                    return;
                }
            }
            None if self.timers.remove(&handle).is_none() => return,
            None => {}
        }
        self.version += 1;
    }

    /// Other code runs from now on: what fails in it is news, and timers of the old one may be gone.
    pub(super) fn code_is_new(&mut self) {
        self.logged.clear();
        if !std::mem::take(&mut self.timers).is_empty() {
            self.version += 1;
        }
    }

    /// What was logged since the last time, the last of it.
    pub(super) fn take_last(&mut self) -> Option<Diagnostic> {
        self.last.take()
    }

    /// What a page is told, if its problems are others than they were.
    pub(super) fn news_for(
        &mut self,
        page: &mut PageProblems,
        found: Option<Vec<Found>>,
        telling: &Telling,
    ) -> Option<Outgoing> {
        let found = found.filter(|found| *found != page.found);
        if found.is_none() && page.timers == self.version {
            return None;
        }
        page.timers = self.version;
        if let Some(found) = found {
            page.found = found;
            self.log(&page.found);
        }
        let problems = self.reports(&page.found, telling);
        let is_told = !problems.is_empty() && !telling.is_concealing;
        let was_told = std::mem::replace(&mut page.is_told, is_told);
        (is_told || was_told).then_some(Outgoing::Problems { problems })
    }

    fn reports(&self, found: &[Found], telling: &Telling) -> Vec<ProblemReport> {
        let editor =
            |diagnostic: &Diagnostic| telling.editor.as_ref().and_then(|editor| editor.to(diagnostic));
        let of_page = found.iter().map(|found| ProblemReport {
            kind: name(found.problem.kind),
            diagnostic: found.problem.diagnostic.clone(),
            path: found.path.clone(),
            count: found.count,
            var_ids: found.variables.clone(),
            editor: editor(&found.problem.diagnostic),
        });
        let of_timers = self.timers.values().map(|(diagnostic, count)| ProblemReport {
            kind: "timer",
            diagnostic: diagnostic.clone(),
            path: String::new(),
            count: *count,
            var_ids: Vec::new(),
            editor: editor(diagnostic),
        });
        of_page.chain(of_timers).take(MAX_TOLD).collect()
    }

    /// Each once. Handlers have been logged when they failed.
    fn log(&mut self, found: &[Found]) {
        for Found { problem, path, count, .. } in found {
            let diagnostic = &problem.diagnostic;
            let hash = self.hasher.hash_one((diagnostic.position(), &diagnostic.message));
            if problem.kind == ProblemKind::Handler
                || self.logged.len() >= MAX_LOGGED
                || !self.logged.insert(hash)
            {
                continue;
            }
            let (session, details) = (&self.session, diagnostic.details());
            let places = if *count > 1 { format!(", in {count} places") } else { String::new() };
            match problem.kind {
                ProblemKind::Path | ProblemKind::Page => {
                    tracing::warn!(target: "lua", session, limited_by = session, details, "{diagnostic}{places}");
                }
                kind => {
                    self.faults.note(diagnostic);
                    let kind = name(kind);
                    tracing::warn!(target: "lua", session, limited_by = session, details, "a {kind} failed: {diagnostic} ({path:?}{places})");
                }
            }
            self.last = Some(diagnostic.clone());
        }
    }
}

fn name(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Page => "page",
        ProblemKind::Path => "path",
        ProblemKind::Getter => "getter",
        ProblemKind::Handler => "handler",
        ProblemKind::Wrapper => "wrapper",
    }
}
