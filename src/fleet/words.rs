//! What is published and what a server does with it, in one line each: for `fleet status` and the status page.

use super::{Answer, Outcome, Pointer, Report, Stage, Wave, is_stalled};

impl Pointer {
    /// Which generation it is, whom it is for, and how far that is.
    pub fn in_words(&self) -> String {
        let stage = match self.stage {
            Stage::Settled => "settled",
            Stage::Paused => "paused",
            Stage::Rolling if is_stalled(self) => {
                "stalled: its publisher is gone; `fleet resume` goes on with it, `fleet rollback` undoes it"
            }
            Stage::Rolling => "under way",
        };
        let wave = match &self.wave {
            Wave::All => "all servers".to_owned(),
            Wave::Some { share: 0, names } => format!("{} servers", names.len()),
            Wave::Some { share, .. } => format!("{} of 100 servers", share / 10),
        };
        let note = if self.note.is_empty() { String::new() } else { format!(" ({})", self.note) };
        let (seq, site, root) = (self.seq, &self.site, self.root.short());
        format!("generation {seq} of {site}, release {root}, for {wave}: {stage}{note}")
    }
}

impl Report {
    /// What it runs and how that goes; `is_there`: its heartbeat is heard.
    pub fn in_words(&self, is_there: bool) -> String {
        let runs = self.running.map_or_else(|| "nothing".to_owned(), |root| root.short());
        let there = match (is_there, self.leaving) {
            (true, _) => "",
            (false, true) => ", stopped",
            (false, false) => ", does not answer",
        };
        let failing = match &self.failing {
            failing if failing.errors == 0 => String::new(),
            failing => {
                let usual = if failing.is_unusual() { ", more than with the release before" } else { "" };
                format!("; {} errors since it runs it{usual}, the last: {}", failing.errors, failing.last)
            }
        };
        let outcome = match self.answer.as_ref().map(|Answer { outcome, .. }| outcome) {
            None | Some(Outcome::Accepted) => String::new(),
            Some(Outcome::Applied { sessions, kept, diagnostics }) if *kept > 0 => {
                let first = diagnostics.first().map(|text| format!(": {text}")).unwrap_or_default();
                format!("; {kept} of {sessions} sessions keep the version before{first}")
            }
            Some(Outcome::Applied { .. }) => String::new(),
            Some(Outcome::Refused { why }) => format!("; refused: {why}"),
            Some(Outcome::Waiting { why }) => format!("; waiting: {why}"),
        };
        let Self { server, seen, sessions, .. } = self;
        format!(
            "{server}: generation {}, release {runs}, {sessions} sessions{there}{outcome}{failing}",
            seen.seq
        )
    }

    /// Whether all is well with it, as far as it says.
    pub fn is_well(&self) -> bool {
        let is_refused = self.answer.as_ref().is_some_and(|answer| match &answer.outcome {
            Outcome::Accepted => false,
            Outcome::Applied { kept, .. } => *kept > 0,
            Outcome::Refused { .. } | Outcome::Waiting { .. } => true,
        });
        !is_refused && self.stuck == 0 && !self.failing.is_unusual()
    }
}

#[cfg(test)]
mod tests {
    use crate::fleet::{Stage, Wave, pointer::tests::pointer, *};

    #[test]
    fn a_rollout_past_its_deadline_is_said_to_be_stalled_and_what_helps() {
        let words = |stage, deadline| {
            let wave = Wave::of(["a".to_owned()]);
            Pointer { wave, stage, deadline, ..pointer(7, Digest::of(b"7"), None) }.in_words()
        };
        let told = words(Stage::Rolling, 1);
        assert!(told.contains("stalled: its publisher is gone; `fleet resume` goes on with it"), "{told}");
        assert!(words(Stage::Rolling, u64::MAX).contains("under way"));
        assert!(words(Stage::Settled, 1).ends_with("settled"));
    }
}
