//! What a reload did in all sessions: for the log and for every browser.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

use super::{Diagnostic, Generation, Note};
use crate::config::NoteLevel;

/// What one session made of a generation.
#[derive(Debug)]
pub struct ReloadOutcome {
    /// The number of the generation it has now.
    pub generation: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// Changed files that it had run in this very version, as people know them.
    pub unchanged: Vec<String>,
    /// What it did beside running files.
    pub effects: Effects,
}

/// What a session did to take up new code, beside running it.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// What the developer should know.
    pub notes: Vec<Note>,
    /// Objects that were migrated, by the name of their prototype.
    pub migrated: BTreeMap<String, usize>,
    /// Timers of replaced versions that ended.
    pub timers_replaced: usize,
    /// No browser is connected to the session.
    pub alone: bool,
    /// Its main file has not run yet: there is no previous version that it could keep.
    pub unstarted: bool,
    /// What is wrong with files that it has loaded, beside what it kept its version for.
    pub broken: Vec<Diagnostic>,
    /// It failed three times in a row, or ran out of time or memory: a restart may help.
    pub offer_restart: bool,
}

/// What came of a generation in one session.
#[derive(Debug)]
pub enum Outcome {
    /// It ran these files, and has all of the generation.
    Applied {
        /// As people know them: `lua/app.lua`.
        files: Vec<String>,
    },
    /// It has loaded none of the changed Lua files.
    NothingToRun,
    /// It kept everything as it was.
    Kept {
        /// Why.
        diagnostic: Box<Diagnostic>,
        /// It ran out of time or memory: others would, too.
        exhausted: bool,
    },
}

impl ReloadOutcome {
    /// Why the session kept what it had, if it did.
    pub fn kept(&self) -> Option<&Diagnostic> {
        match &self.outcome {
            Outcome::Kept { diagnostic, .. } => Some(diagnostic),
            _ => None,
        }
    }

    /// Whether it kept what it had because the new code ran out of time or memory.
    pub fn is_exhaustion(&self) -> bool {
        matches!(self.outcome, Outcome::Kept { exhausted: true, .. })
    }
}

/// What a reload did in all sessions.
#[derive(Debug, Clone, Default)]
pub struct ReloadReport {
    /// The number of the generation.
    pub generation: u64,
    /// In one word.
    pub status: ReloadStatus,
    /// The changed files, as people know them.
    pub files: Vec<String>,
    /// From the first hint that something changed to the last session.
    pub duration: Duration,
    /// What the developer should know, one line each.
    pub notes: Vec<Note>,
    /// Whether a restart may help: some session failed three times in a row, or ran out of time or memory.
    pub offer_restart: bool,
    /// What is wrong, the most widespread first.
    pub errors: Vec<ErrorReport>,
    /// Where the time went.
    pub stages: Stages,
    /// Those of `files` that were removed.
    pub removed: Vec<String>,
    /// Changed Lua files that ran in some session.
    pub ran: BTreeSet<String>,
    /// Changed Lua files that some session had run in this very version.
    pub unchanged: BTreeSet<String>,
    /// Objects that were migrated, in all sessions, by the name of their prototype.
    pub migrated: BTreeMap<String, usize>,
    /// Timers of replaced versions that ended, in all sessions.
    pub timers_replaced: usize,
    /// Sessions that were asked.
    pub sessions: usize,
    /// Sessions that ran new code.
    pub applied: usize,
    /// Sessions that kept what they had because of an error.
    pub kept: usize,
    /// Those of `sessions` that no browser is connected to.
    pub alone: usize,
    /// Those of `applied` that no browser is connected to.
    pub applied_alone: usize,
}

/// Where the time of a reload went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stages {
    /// First hint until it was quiet.
    pub settle: Duration,
    /// Reading the disk.
    pub reconcile: Duration,
    /// Parsing, once for all sessions.
    pub compile: Duration,
    /// In sessions, until the last one is done.
    pub apply: Duration,
}

/// One error, however many sessions have it.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorReport {
    /// What and where.
    #[serde(flatten)]
    pub diagnostic: Diagnostic,
    /// How many sessions with a browser keep the previous version because of it.
    pub sessions: usize,
    /// How many others do.
    #[serde(skip_serializing_if = "is_zero")]
    pub alone: usize,
    /// How many could not start because of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub unstarted: usize,
    /// A link that opens the place in the developer's editor (`hotload.editor`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub editor: Option<String>,
}

/// How a reload went, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadStatus {
    /// Every session has the new generation.
    #[default]
    Ok,
    /// Some sessions kept the previous version.
    Partial,
    /// Nobody runs the new code.
    Failed,
}

impl ErrorReport {
    fn new(diagnostic: &Diagnostic, sessions: usize, alone: usize) -> Self {
        Self { diagnostic: diagnostic.clone(), sessions, alone, unstarted: 0, editor: None }
    }
}

impl ReloadStatus {
    /// `ok`, `partial` or `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

impl ReloadReport {
    /// Sums up what `sessions` sessions made of a generation.
    pub fn new(
        generation: &Generation,
        sessions: usize,
        outcomes: &[ReloadOutcome],
        duration: Duration,
    ) -> Self {
        // Every session keeps the old version of a broken template. Of a broken Lua file only those that have
        // loaded it do, and they report it.
        let alone = outcomes.iter().filter(|outcome| outcome.effects.alone).count();
        let files = generation.file_errors().map(|error| ErrorReport::new(error, 0, 0));
        let templates = generation.viewdef_errors.values();
        let templates = templates.map(|error| ErrorReport::new(error, sessions.saturating_sub(alone), alone));
        let errors = files.chain(templates).collect();
        let (files, removed) = (generation.touched(), generation.removed.clone());
        Self { files, removed, ..Self::sum_up(generation.number, errors, sessions, outcomes, duration) }
    }

    fn sum_up(
        generation: u64,
        errors: Vec<ErrorReport>,
        sessions: usize,
        outcomes: &[ReloadOutcome],
        duration: Duration,
    ) -> Self {
        let mut report = Self { generation, errors, sessions, duration, ..Self::default() };
        outcomes.iter().for_each(|outcome| report.add(outcome));
        report.errors.sort_by_key(|error| std::cmp::Reverse(error.sessions + error.alone + error.unstarted));
        report.status = match (report.errors.is_empty(), report.applied) {
            (true, _) => ReloadStatus::Ok,
            (false, 0) => ReloadStatus::Failed,
            (false, _) => ReloadStatus::Partial,
        };
        report
    }

    fn add(&mut self, outcome: &ReloadOutcome) {
        let effects = &outcome.effects;
        let is_alone = usize::from(effects.alone);
        self.alone += is_alone;
        match &outcome.outcome {
            Outcome::Applied { files } => {
                self.applied += 1;
                self.applied_alone += is_alone;
                add_new(&mut self.ran, files);
            }
            Outcome::Kept { diagnostic, .. } => {
                self.kept += 1;
                if !self.errors.iter().any(|error| error.diagnostic.is_like(diagnostic)) {
                    self.errors.push(ErrorReport::new(diagnostic, 0, 0));
                }
                let concerns = |error: &ErrorReport| {
                    let mut all = std::iter::once(&**diagnostic).chain(&effects.broken);
                    all.any(|wrong| error.diagnostic.is_like(wrong))
                };
                for error in self.errors.iter_mut().filter(|error| concerns(error)) {
                    let count = match (effects.unstarted, effects.alone) {
                        (true, _) => &mut error.unstarted,
                        (false, true) => &mut error.alone,
                        (false, false) => &mut error.sessions,
                    };
                    *count += 1;
                }
            }
            Outcome::NothingToRun => {}
        }
        add_new(&mut self.unchanged, &outcome.unchanged);
        for note in &effects.notes {
            if !self.notes.iter_mut().any(|told| absorb(told, note)) {
                self.notes.push(note.clone());
            }
        }
        for (prototype, count) in &effects.migrated {
            *self.migrated.entry(prototype.clone()).or_default() += count;
        }
        self.timers_replaced += effects.timers_replaced;
        self.offer_restart |= effects.offer_restart || outcome.is_exhaustion();
    }

    /// Reports that a session could not start.
    pub fn of_start(generation: u64, error: Diagnostic) -> Self {
        let outcome = Outcome::Kept { diagnostic: Box::new(error), exhausted: false };
        let effects = Effects { unstarted: true, ..Effects::default() };
        let outcome = ReloadOutcome { generation, outcome, unchanged: Vec::new(), effects };
        Self::sum_up(generation, Vec::new(), 1, &[outcome], Duration::ZERO)
    }

    /// Reports that a session is in trouble, and that a restart would help.
    pub fn of_trouble(generation: u64, why: &Diagnostic) -> Self {
        let errors = vec![ErrorReport::new(why, 0, 0)];
        Self { offer_restart: true, ..Self::sum_up(generation, errors, 1, &[], Duration::ZERO) }
    }

    /// Reports that a session which was stuck goes on.
    pub fn of_relief(generation: u64) -> Self {
        let notes = vec![Note::GoesOn];
        Self { notes, ..Self::sum_up(generation, Vec::new(), 1, &[], Duration::ZERO) }
    }

    /// Keeps only the notes that `hotload.notes` asks for.
    #[must_use]
    pub(super) fn with_notes(mut self, level: NoteLevel) -> Self {
        self.notes.retain(|note| match level {
            NoteLevel::All => true,
            NoteLevel::Warnings => note.is_warning(),
            NoteLevel::Off => false,
        });
        self
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Whether `told` covers `note`, if need be after adding its number: sessions that differ only in a count
/// share one line.
fn absorb(told: &mut Note, note: &Note) -> bool {
    match (told, note) {
        (
            Note::StaleCode { kind, count, file, line },
            Note::StaleCode { kind: kind2, count: count2, file: file2, line: line2 },
        ) if (&*kind, &*file, &*line) == (kind2, file2, line2) => {
            *count += count2;
            true
        }
        (
            Note::MigrationFailed { prototype, count, error },
            Note::MigrationFailed { prototype: prototype2, count: count2, error: error2 },
        ) if (&*prototype, &*error) == (prototype2, error2) => {
            *count += count2;
            true
        }
        (Note::MigrationStopped { left, .. }, Note::MigrationStopped { left: left2, .. }) => {
            *left += left2;
            true
        }
        (told, note) => told == note,
    }
}

/// A thousand sessions name the same files: only new names are copied.
fn add_new(set: &mut BTreeSet<String>, files: &[String]) {
    for file in files {
        if !set.contains(file) {
            set.insert(file.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(message: &str) -> ReloadOutcome {
        let diagnostic = Box::new(Diagnostic::about("lua/a.lua", Some(1), message));
        let outcome = Outcome::Kept { diagnostic, exhausted: false };
        let notes = vec![Note::Gone { file: "lua/b.lua".into() }];
        let effects = Effects { notes, ..Effects::default() };
        ReloadOutcome { generation: 2, outcome, unchanged: vec![], effects }
    }

    fn report(outcomes: &[ReloadOutcome]) -> ReloadReport {
        let generation = Generation { number: 2, changed: vec!["lua/a.lua".into()], ..Generation::default() };
        ReloadReport::new(&generation, outcomes.len(), outcomes, Duration::from_millis(14))
    }

    #[test]
    fn equal_errors_are_told_once_with_the_number_of_sessions() {
        let mut by_another_way = kept("b");
        let Outcome::Kept { diagnostic, .. } = &mut by_another_way.outcome else { panic!() };
        diagnostic.traceback = "lua/c.lua:7: in main chunk".into();
        let report = report(&[kept("a"), kept("b"), by_another_way]);
        assert_eq!(report.status, ReloadStatus::Failed);
        let counts: Vec<_> =
            report.errors.iter().map(|e| (e.diagnostic.message.as_str(), e.sessions)).collect();
        assert_eq!(counts, [("b", 2), ("a", 1)]);
        assert_eq!(report.notes, [Note::Gone { file: "lua/b.lua".into() }]);
    }

    fn applied(files: &[&str], effects: Effects) -> ReloadOutcome {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        ReloadOutcome { generation: 2, outcome: Outcome::Applied { files }, unchanged: vec![], effects }
    }

    #[test]
    fn as_many_notes_are_left_as_are_asked_for() {
        let pruned = Note::Pruned { file: "lua/a.lua".into() };
        let gone = Note::Gone { file: "lua/b.lua".into() };
        let effects = Effects { notes: vec![pruned.clone(), gone.clone()], ..Effects::default() };
        let report = report(&[applied(&[], effects)]);
        assert_eq!(report.clone().with_notes(NoteLevel::All).notes, [pruned, gone.clone()]);
        assert_eq!(report.clone().with_notes(NoteLevel::Warnings).notes, [gone]);
        assert_eq!(report.with_notes(NoteLevel::Off).notes, []);
    }

    #[test]
    fn running_out_of_time_or_memory_offers_a_restart() {
        let mut outcome = kept("a");
        assert!(!report(&[outcome]).offer_restart);
        outcome = kept("a");
        let Outcome::Kept { exhausted, .. } = &mut outcome.outcome else { panic!() };
        *exhausted = true;
        assert!(report(&[outcome]).offer_restart);
    }

    #[test]
    fn some_sessions_with_new_code_make_it_partial() {
        assert_eq!(report(&[kept("a"), applied(&[], Effects::default())]).status, ReloadStatus::Partial);
    }
}
