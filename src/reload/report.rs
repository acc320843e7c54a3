//! What a reload did in all sessions: for the log and for every browser.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;

use super::{Diagnostic, Generation};

/// So many files are named in a line of the log.
const SHOWN: usize = 8;

/// What one session made of a generation.
#[derive(Debug)]
pub struct ReloadOutcome {
    /// The number of the generation it has now.
    pub generation: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// Changed files that it had run in this very version, as people know them.
    pub unchanged: Vec<String>,
    /// What the developer should know, one line each.
    pub notes: Vec<String>,
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
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReloadReport {
    /// The number of the generation.
    pub generation: u64,
    /// In one word.
    pub status: ReloadStatus,
    /// The changed files, as people know them.
    pub files: Vec<String>,
    /// From the first hint that something changed to the last session.
    #[serde(rename = "durationMs", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// What the developer should know, one line each.
    pub notes: Vec<String>,
    /// What is wrong, the most widespread first.
    pub errors: Vec<ErrorReport>,
    /// Where the time went.
    #[serde(skip)]
    pub stages: Stages,
    /// Those of `files` that were removed.
    #[serde(skip)]
    pub removed: Vec<String>,
    /// Changed Lua files that ran in some session.
    #[serde(skip)]
    pub ran: BTreeSet<String>,
    /// Changed Lua files that some session had run in this very version.
    #[serde(skip)]
    pub unchanged: BTreeSet<String>,
    /// Sessions that were asked.
    #[serde(skip)]
    pub sessions: usize,
    /// Sessions that ran new code.
    #[serde(skip)]
    pub applied: usize,
    /// Sessions that kept what they had because of an error.
    #[serde(skip)]
    pub kept: usize,
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
    /// How many sessions keep the previous version because of it.
    pub sessions: usize,
}

/// How a reload went, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadStatus {
    /// Every session has the new generation.
    Ok,
    /// Some sessions kept the previous version.
    Partial,
    /// Nobody runs the new code.
    Failed,
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
        // A template that is broken is old in every session; a Lua file, in those that have loaded it,
        // and they say so.
        let error = |sessions| {
            move |diagnostic: &Diagnostic| ErrorReport { diagnostic: diagnostic.clone(), sessions }
        };
        let templates = generation.viewdef_errors.values().map(error(sessions));
        let errors: Vec<ErrorReport> = generation.file_errors().map(error(0)).chain(templates).collect();
        let (files, removed) = (generation.touched(), generation.removed.clone());
        Self { files, removed, ..Self::sum_up(generation.number, errors, sessions, outcomes, duration) }
    }

    fn sum_up(
        generation: u64,
        mut errors: Vec<ErrorReport>,
        sessions: usize,
        outcomes: &[ReloadOutcome],
        duration: Duration,
    ) -> Self {
        let mut notes: Vec<String> = Vec::new();
        let (mut applied, mut kept) = (0, 0);
        let (mut ran, mut unchanged) = (BTreeSet::new(), BTreeSet::new());
        for outcome in outcomes {
            match &outcome.outcome {
                Outcome::Applied { files } => {
                    applied += 1;
                    add_new(&mut ran, files);
                }
                Outcome::Kept { diagnostic, .. } => {
                    kept += 1;
                    match errors.iter_mut().find(|error| error.diagnostic == **diagnostic) {
                        Some(error) => error.sessions += 1,
                        None => errors.push(ErrorReport { diagnostic: (**diagnostic).clone(), sessions: 1 }),
                    }
                }
                Outcome::NothingToRun => {}
            }
            add_new(&mut unchanged, &outcome.unchanged);
            notes.extend(
                outcome.notes.iter().filter(|note| !notes.contains(note)).cloned().collect::<Vec<_>>(),
            );
        }
        errors.sort_by_key(|error| std::cmp::Reverse(error.sessions));
        let status = match (errors.is_empty(), applied) {
            (true, _) => ReloadStatus::Ok,
            (false, 0) => ReloadStatus::Failed,
            (false, _) => ReloadStatus::Partial,
        };
        let (files, removed, stages) = (Vec::new(), Vec::new(), Stages::default());
        Self {
            generation,
            status,
            files,
            duration,
            notes,
            errors,
            removed,
            stages,
            ran,
            unchanged,
            sessions,
            applied,
            kept,
        }
    }

    /// That a session could not start.
    pub fn of_start(generation: u64, error: Diagnostic) -> Self {
        let kept = Outcome::Kept { diagnostic: Box::new(error), exhausted: false };
        let outcome = ReloadOutcome { generation, outcome: kept, unchanged: Vec::new(), notes: Vec::new() };
        Self::sum_up(generation, Vec::new(), 1, &[outcome], Duration::ZERO)
    }

    /// The frame that tells browsers.
    pub fn frame(&self) -> String {
        serde_json::json!([{ "type": "reload", "data": self }]).to_string()
    }

    /// One line (or, for errors, a few) for the log: who has what, and why.
    pub fn log(&self) {
        for error in &self.errors {
            let diagnostic = &error.diagnostic;
            let kept = match error.sessions {
                0 => "no session is affected yet".to_owned(),
                1 => "1 session keeps the previous version".to_owned(),
                n => format!("{n} sessions keep the previous version"),
            };
            tracing::error!(target: "hot", "[hot] ERROR {diagnostic}; {kept}{}", excerpt(diagnostic));
        }
        let ms = self.duration.as_millis();
        let (applied, sessions) = (self.applied, self.sessions);
        if !self.ran.is_empty() {
            let ran = list(self.ran.iter());
            tracing::info!(target: "hot", "[hot] reloaded {ran} in {applied}/{sessions} sessions, {ms} ms");
        }
        let broken = |file: &String| self.errors.iter().any(|error| error.diagnostic.file == *file);
        let rest = self.files.iter().filter(|file| !self.ran.contains(*file) && !broken(file));
        let (gone, rest): (Vec<_>, Vec<_>) = rest.partition(|file| self.removed.contains(*file));
        if !gone.is_empty() {
            tracing::info!(target: "hot", "[hot] removed {}", list(gone.into_iter()));
        }
        let (templates, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|file| file.ends_with(".html"));
        // Where a session keeps its generation, its templates wait, too.
        if !templates.is_empty() && self.kept == 0 {
            let templates = list(templates.into_iter());
            tracing::info!(target: "hot", "[hot] {templates}: sent where it is shown, in {sessions} sessions, {ms} ms");
        }
        // A batch with an error is undone as a whole: the error says why these did not run.
        if self.errors.is_empty() {
            for file in rest {
                let why = match (self.unchanged.contains(file), sessions) {
                    (true, _) => "sessions run this very version",
                    (false, 0) => "no session is active; new ones start with it",
                    (false, _) => "not loaded by any session",
                };
                tracing::info!(target: "hot", "[hot] skipped {file}: {why}");
            }
        }
        for note in &self.notes {
            tracing::info!(target: "hot", "[hot] note {note}");
        }
    }
}

fn list<'a>(files: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = files.len().saturating_sub(SHOWN);
    let shown: Vec<&str> = files.take(SHOWN).map(String::as_str).collect();
    match more {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

/// A thousand sessions say the same: only what is new is copied.
fn add_new(set: &mut BTreeSet<String>, files: &[String]) {
    for file in files {
        if !set.contains(file) {
            set.insert(file.clone());
        }
    }
}

fn excerpt(diagnostic: &Diagnostic) -> String {
    let line = |excerpt: &super::ExcerptLine| {
        let mark = if Some(excerpt.line) == diagnostic.line { '>' } else { ' ' };
        format!("\n {mark} {:>4} | {}", excerpt.line, excerpt.text)
    };
    let trace = diagnostic.traceback.lines().map(|frame| format!("\n        {frame}"));
    diagnostic.excerpt.iter().map(line).chain(trace).collect()
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(message: &str) -> ReloadOutcome {
        let diagnostic = Box::new(Diagnostic::about("lua/a.lua", Some(1), message));
        let outcome = Outcome::Kept { diagnostic, exhausted: false };
        ReloadOutcome { generation: 2, outcome, unchanged: vec![], notes: vec!["n".into()] }
    }

    fn report(outcomes: &[ReloadOutcome]) -> ReloadReport {
        let generation = Generation { number: 2, changed: vec!["lua/a.lua".into()], ..Generation::default() };
        ReloadReport::new(&generation, outcomes.len(), outcomes, Duration::from_millis(14))
    }

    #[test]
    fn equal_errors_are_told_once_with_the_number_of_sessions() {
        let report = report(&[kept("a"), kept("b"), kept("b")]);
        assert_eq!(report.status, ReloadStatus::Failed);
        let counts: Vec<_> =
            report.errors.iter().map(|e| (e.diagnostic.message.as_str(), e.sessions)).collect();
        assert_eq!(counts, [("b", 2), ("a", 1)]);
        assert_eq!(report.notes, ["n"]);
    }

    #[test]
    fn some_sessions_with_new_code_make_it_partial() {
        let applied = ReloadOutcome {
            generation: 2,
            outcome: Outcome::Applied { files: vec![] },
            unchanged: vec![],
            notes: vec![],
        };
        assert_eq!(report(&[kept("a"), applied]).status, ReloadStatus::Partial);
    }

    #[test]
    fn the_frame_has_the_shape_of_the_protocol() {
        let frame: serde_json::Value = serde_json::from_str(&report(&[kept("a")]).frame()).unwrap();
        assert_eq!(frame[0]["type"], "reload");
        let data = &frame[0]["data"];
        assert_eq!((&data["status"], &data["durationMs"]), (&"failed".into(), &14.0.into()));
        assert_eq!(data["errors"][0]["file"], "lua/a.lua");
        assert_eq!(data["errors"][0]["sessions"], 1);
    }
}
