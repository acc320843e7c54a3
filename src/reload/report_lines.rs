//! What the log says of a reload: a line for the batch, the errors, and what became of every saved file.

use std::{collections::BTreeMap, fmt};

use super::{Generation, ReloadReport};

/// At most this many files are named in a line.
const SHOWN: usize = 8;

impl ReloadReport {
    /// A line for the batch (for an error, with the lines around it) and one for each note. What was
    /// saved and did not run is among them, with the reason.
    pub fn log(&self) {
        for line in self.lines().into_iter().chain(self.advice()) {
            match line {
                Line::Error { text, details } => tracing::error!(target: "hot", details, "[hot] {text}"),
                Line::Warning(text) => tracing::warn!(target: "hot", "[hot] {text}"),
                Line::Info(text) => tracing::info!(target: "hot", "[hot] {text}"),
            }
        }
    }

    fn advice(&self) -> Option<Line> {
        let advice = "a restart may help: the button of the overlay, or lua-hotloader restart --all";
        self.offer_restart.then(|| Line::Warning(advice.into()))
    }

    /// What [`log`](Self::log) writes, but for what to do about it.
    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for error in &self.errors {
            let diagnostic = &error.diagnostic;
            let (with, all) = (error.sessions, self.sessions.saturating_sub(self.alone));
            let kept = match (with, all) {
                (0, _) if error.unstarted == 1 => "1 session could not start".to_owned(),
                (0, _) if error.unstarted > 1 => format!("{} sessions could not start", error.unstarted),
                (0, _) if error.alone == 1 => {
                    "1 session without a browser keeps the previous version".to_owned()
                }
                (0, _) if error.alone > 1 => {
                    format!("{} sessions without a browser keep the previous version", error.alone)
                }
                (0, _) => "no session is affected yet".to_owned(),
                (1, 1) => "1 session keeps the previous version".to_owned(),
                (1, all) => format!("1 of {all} sessions keeps the previous version"),
                (n, all) if n < all => format!("{n} of {all} sessions keep the previous version"),
                (n, _) => format!("{n} sessions keep the previous version"),
            };
            let kept = if error.alone > 0 && with > 0 {
                format!("{kept} (and {} without a browser)", error.alone)
            } else {
                kept
            };
            let text = format!("ERROR {diagnostic}; {kept}");
            lines.push(Line::Error { text, details: diagnostic.details() });
        }
        let ms = self.duration.as_millis();
        let sessions = self.sessions;
        if !self.ran.is_empty() {
            let (ran, done, place) = (list(self.ran.iter()), self.done(), self.place());
            lines.push(Line::Info(format!("reloaded {ran} in {place}, {ms} ms{done}")));
        }
        let broken = |file: &String| self.errors.iter().any(|error| error.diagnostic.file == *file);
        let rest = self.files.iter().filter(|file| !self.ran.contains(*file) && !broken(file));
        let (gone, rest): (Vec<_>, Vec<_>) = rest.partition(|file| self.removed.contains(*file));
        if !gone.is_empty() {
            lines.push(Line::Info(format!("removed {}", list(gone.into_iter()))));
        }
        let (templates, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|file| file.ends_with(".html"));
        // Where a session keeps its generation, its templates wait, too.
        let moved = sessions - self.kept.min(sessions);
        let (sent, waiting) =
            if moved > 0 || sessions == 0 { (templates, Vec::new()) } else { (Vec::new(), templates) };
        if !sent.is_empty() {
            let sent = list(sent.into_iter());
            lines.push(Line::Info(format!("{sent}: sent where it is shown, in {moved} sessions, {ms} ms")));
        }
        for (why, files) in self.skipped(rest.into_iter().chain(waiting)) {
            lines.push(Line::Info(format!("skipped {}: {why}", list(files.into_iter()))));
        }
        for note in &self.notes {
            let text = format!("note {note}");
            lines.push(if note.is_warning() { Line::Warning(text) } else { Line::Info(text) });
        }
        lines
    }

    /// In which sessions it ran: those with a browser, and the others apart.
    fn place(&self) -> String {
        let (applied, sessions) =
            (self.applied - self.applied_alone, self.sessions.saturating_sub(self.alone));
        match (self.alone, sessions) {
            (0, _) => format!("{applied}/{sessions} sessions"),
            (alone, 0) => format!("{}/{alone} sessions without a browser", self.applied_alone),
            _ => format!("{applied}/{sessions} sessions (and {} without a browser)", self.applied_alone),
        }
    }

    /// What happened beside running the files, in brackets.
    fn done(&self) -> String {
        let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        let migrated = self.migrated.iter().filter(|(_, n)| **n > 0);
        let mut done: Vec<String> = migrated
            .map(|(name, n)| format!("{name}: {} migrated", count(*n, "object", "objects")))
            .collect();
        if self.timers_replaced > 0 {
            done.push(format!("{} replaced", count(self.timers_replaced, "timer", "timers")));
        }
        if done.is_empty() { String::new() } else { format!(" ({})", done.join(", ")) }
    }

    /// Why files that were saved did not run, with the files.
    fn skipped<'a>(&'a self, files: impl Iterator<Item = &'a String>) -> BTreeMap<String, Vec<&'a String>> {
        let mut reasons = BTreeMap::<String, Vec<&String>>::new();
        for file in files {
            let is_rejected = self.kept > 0 && self.applied == 0;
            let why = match (self.unchanged.contains(file), self.sessions) {
                (true, _) => "unchanged, sessions run this very version".to_owned(),
                // A batch with an error is undone as a whole.
                (false, _) if is_rejected => format!("rejected together with {}", self.culprit()),
                (false, 0) => "no session is active; new ones start with it".to_owned(),
                (false, _) => "not loaded by any session".to_owned(),
            };
            reasons.entry(why).or_default().push(file);
        }
        reasons
    }

    /// The Lua file that failed: a broken template keeps no file from running.
    fn culprit(&self) -> &str {
        let mut files = self.errors.iter().map(|error| error.diagnostic.file.as_str());
        files.find(|file| !file.ends_with(".html") && !file.is_empty()).unwrap_or("a file that failed")
    }
}

/// The lines for the log, for a program that has none.
impl fmt::Display for ReloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in self.lines().iter().enumerate() {
            let (text, details) = match line {
                Line::Error { text, details } => (text, details.as_str()),
                Line::Warning(text) | Line::Info(text) => (text, ""),
            };
            write!(f, "{}[hot] {text}{details}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// Says that a batch waits for busy sessions. Silence would look like a lost save.
pub(super) fn log_queued(generation: &Generation, waiting: usize) {
    let files = generation.touched();
    let sessions = if waiting == 1 { "1 session is" } else { &format!("{waiting} sessions are") };
    tracing::info!(target: "hot", "[hot] queued {}: {sessions} busy", list(files.iter()));
}

/// A line of the log, by how much it matters.
#[derive(Debug, PartialEq)]
enum Line {
    /// With the lines that stand below it.
    Error {
        text: String,
        details: String,
    },
    Warning(String),
    Info(String),
}

fn list<'a>(files: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = files.len().saturating_sub(SHOWN);
    let shown: Vec<&str> = files.take(SHOWN).map(String::as_str).collect();
    match more {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::reload::{Diagnostic, Effects, FileEntry, Note, Outcome, ReloadOutcome, StaleKind};

    fn kept(message: &str) -> ReloadOutcome {
        let diagnostic = Box::new(Diagnostic::about("lua/a.lua", Some(1), message));
        let outcome = Outcome::Kept { diagnostic, exhausted: false };
        ReloadOutcome { generation: 2, outcome, unchanged: vec![], effects: Effects::default() }
    }

    fn applied(files: &[&str], effects: Effects) -> ReloadOutcome {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        ReloadOutcome { generation: 2, outcome: Outcome::Applied { files }, unchanged: vec![], effects }
    }

    fn saved(files: &[&str]) -> Generation {
        let changed = files.iter().map(|file| (*file).to_owned()).collect();
        Generation { number: 2, changed, ..Generation::default() }
    }

    fn lines(generation: &Generation, outcomes: &[ReloadOutcome]) -> Vec<Line> {
        ReloadReport::new(generation, outcomes.len(), outcomes, Duration::from_millis(14)).lines()
    }

    fn info(text: &str) -> Line {
        Line::Info(text.into())
    }

    #[test]
    fn a_batch_is_one_line_however_many_sessions_and_files() {
        let files = ["lua/app.lua", "lua/util.lua"];
        let effects = |objects: usize, timers_replaced| Effects {
            migrated: BTreeMap::from([("App".to_owned(), objects)]),
            timers_replaced,
            ..Effects::default()
        };
        let outcomes = [
            applied(&files, effects(5, 1)),
            applied(&files, effects(7, 0)),
            applied(&files, Effects::default()),
        ];
        assert_eq!(
            lines(&saved(&files), &outcomes),
            [info(
                "reloaded lua/app.lua, lua/util.lua in 3/3 sessions, 14 ms (App: 12 objects migrated, 1 timer replaced)"
            )]
        );
    }

    #[test]
    fn sessions_that_nobody_looks_at_are_counted_apart() {
        let alone = || Effects { alone: true, ..Effects::default() };
        let ran = |effects| applied(&["lua/a.lua"], effects);
        let told = |outcomes: &[ReloadOutcome]| lines(&saved(&["lua/a.lua"]), outcomes);
        let mixed = [ran(Effects::default()), ran(alone()), ran(alone())];
        assert_eq!(
            told(&mixed),
            [info("reloaded lua/a.lua in 1/1 sessions (and 2 without a browser), 14 ms")]
        );
        let nobody = [ran(alone()), ran(alone())];
        assert_eq!(told(&nobody), [info("reloaded lua/a.lua in 2/2 sessions without a browser, 14 ms")]);
        let failed = [kept("no"), ReloadOutcome { effects: alone(), ..kept("no") }];
        let error = "ERROR lua/a.lua:1: no; 1 session keeps the previous version (and 1 without a browser)";
        assert_eq!(told(&failed), [Line::Error { text: error.into(), details: String::new() }]);
        let nobody = [ReloadOutcome { effects: alone(), ..kept("no") }];
        let error = "ERROR lua/a.lua:1: no; 1 session without a browser keeps the previous version";
        assert_eq!(told(&nobody), [Line::Error { text: error.into(), details: String::new() }]);
    }

    #[test]
    fn an_error_is_told_with_the_lines_around_it_and_how_many_keep_the_old() {
        let failed = || {
            let text = "lua/app.lua:42: no x\nstack traceback:\n\tlua/app.lua:42: in function 'f'\n\tlua/app.lua:50: in main chunk";
            let source = "\n".repeat(40) + "  local x = find(id)\n  return x.name";
            let diagnostic = Box::new(Diagnostic::from_lua(text).with_excerpt(source.as_bytes()));
            let outcome = Outcome::Kept { diagnostic, exhausted: false };
            ReloadOutcome { generation: 2, outcome, unchanged: vec![], effects: Effects::default() }
        };
        let text = "ERROR lua/app.lua:42: no x; 2 sessions keep the previous version".to_owned();
        let details = [
            "",
            "   40 |",
            "   41 |   local x = find(id)",
            " > 42 |   return x.name",
            "   from lua/app.lua:42: in function 'f'",
            "   from lua/app.lua:50: in main chunk",
        ];
        let told = lines(&saved(&["lua/app.lua"]), &[failed(), failed()]);
        assert_eq!(told, [Line::Error { text, details: details.join("\n") }]);
    }

    #[test]
    fn how_many_of_all_sessions_keep_the_old_is_told() {
        let told = lines(&saved(&["lua/a.lua"]), &[kept("no"), applied(&["lua/a.lua"], Effects::default())]);
        let error = "ERROR lua/a.lua:1: no; 1 of 2 sessions keeps the previous version";
        let error = Line::Error { text: error.into(), details: String::new() };
        assert_eq!(told[..2], [error, info("reloaded lua/a.lua in 1/2 sessions, 14 ms")]);
    }

    #[test]
    fn what_was_saved_and_did_not_run_is_told_with_the_reason() {
        let files = ["lua/lazy.lua", "lua/same.lua"];
        let mut outcome = applied(&[], Effects::default());
        outcome.unchanged = vec!["lua/same.lua".into()];
        assert_eq!(
            lines(&saved(&files), &[outcome]),
            [
                info("skipped lua/lazy.lua: not loaded by any session"),
                info("skipped lua/same.lua: unchanged, sessions run this very version")
            ]
        );
        assert_eq!(
            lines(&saved(&files[..1]), &[]),
            [info("skipped lua/lazy.lua: no session is active; new ones start with it")]
        );
        let told = lines(&saved(&["lua/a.lua", "lua/b.lua", "A.DEFAULT.html"]), &[kept("no")]);
        assert_eq!(told[1], info("skipped lua/b.lua, A.DEFAULT.html: rejected together with lua/a.lua"));
    }

    #[test]
    fn notes_of_many_sessions_that_differ_in_a_number_are_one() {
        let notes = |count| {
            let again =
                Note::RanAgain { file: "lua/m.lua".into(), took: "LIMIT".into(), of: "lua/util.lua".into() };
            let stale = Note::StaleCode { kind: StaleKind::Timer, count, file: "lua/x.lua".into(), line: 40 };
            applied(&["lua/m.lua"], Effects { notes: vec![again, stale], ..Effects::default() })
        };
        let outcomes: Vec<_> = (1..=100).map(|_| notes(1)).collect();
        let told = lines(&saved(&["lua/m.lua"]), &outcomes);
        assert_eq!(
            told[1..],
            [
                info("note lua/m.lua ran again: it took LIMIT from lua/util.lua when it loaded"),
                Line::Warning("note 100 timers still run the previous version of lua/x.lua:40".into()),
            ]
        );
    }

    #[test]
    fn a_session_that_never_started_keeps_nothing() {
        let unstarted = || {
            let effects = Effects { unstarted: true, alone: true, ..Effects::default() };
            ReloadOutcome { effects, ..kept("no") }
        };
        let error = |text: &str| Line::Error {
            text: format!("ERROR lua/a.lua:1: no; {text}"),
            details: String::new(),
        };
        let told = |outcomes: &[ReloadOutcome]| lines(&saved(&["lua/a.lua"]), outcomes).remove(0);
        assert_eq!(told(&[unstarted()]), error("1 session could not start"));
        assert_eq!(told(&[unstarted(), unstarted()]), error("2 sessions could not start"));
        assert_eq!(told(&[unstarted(), kept("no")]), error("1 session keeps the previous version"));
    }

    #[test]
    fn of_two_broken_files_that_a_session_has_loaded_both_concern_it() {
        let failed = |file: &str| Diagnostic::about(file, Some(1), "no");
        let entry = |file: &str| FileEntry { good: None, failed: Some(Arc::new(failed(file))) };
        let files = ["lua/a.lua", "lua/b.lua", "lua/unused.lua"];
        let mut generation = saved(&files);
        generation.files = files.map(|file| (file.into(), entry(file))).into();
        let effects = Effects { broken: vec![failed("lua/b.lua")], ..Effects::default() };
        let told = lines(&generation, &[ReloadOutcome { effects, ..kept("no") }]);
        let texts: Vec<_> = told
            .iter()
            .filter_map(|line| if let Line::Error { text, .. } = line { Some(&**text) } else { None })
            .collect();
        assert_eq!(
            texts,
            [
                "ERROR lua/a.lua:1: no; 1 session keeps the previous version",
                "ERROR lua/b.lua:1: no; 1 session keeps the previous version",
                "ERROR lua/unused.lua:1: no; no session is affected yet",
            ]
        );
    }

    #[test]
    fn that_a_restart_may_help_is_told_if_it_is_offered() {
        for offer_restart in [true, false] {
            let effects = Effects { offer_restart, ..Effects::default() };
            let outcome = ReloadOutcome { effects, ..kept("no") };
            let report = ReloadReport::new(&saved(&["lua/a.lua"]), 1, &[outcome], Duration::ZERO);
            let told = matches!(report.advice(), Some(Line::Warning(text)) if text.contains("restart"));
            assert_eq!(told, offer_restart);
        }
    }
}
