//! Generations that failed one after the other.

use crate::reload::{Diagnostic, Outcome};

/// After so many failures a restart is offered.
const OFFER_RESTART: usize = 3;

/// What came of the newest generation the last time, if it failed.
#[derive(Debug, Default)]
pub(crate) struct Failures(Option<LastFailure>);

#[derive(Debug)]
struct LastFailure {
    generation: u64,
    diagnostic: Diagnostic,
    exhausted: bool,
    /// How many generations failed one after the other.
    in_a_row: usize,
}

impl Failures {
    /// What came of that generation, if it is the one that failed last.
    pub(crate) fn known(&self, generation: u64) -> Option<Outcome> {
        let last = self.0.as_ref().filter(|last| last.generation == generation)?;
        let diagnostic = Box::new(last.diagnostic.clone());
        Some(Outcome::Kept { diagnostic, exhausted: last.exhausted })
    }

    /// Counts failures. Says whether a restart may help.
    pub(crate) fn remember(&mut self, generation: u64, outcome: &Outcome) -> bool {
        let Outcome::Kept { diagnostic, exhausted } = outcome else {
            if matches!(outcome, Outcome::Applied { .. }) {
                self.0 = None;
            }
            return false;
        };
        let in_a_row = match self.0.take() {
            Some(last) if last.generation == generation => last.in_a_row,
            Some(last) => last.in_a_row + 1,
            None => 1,
        };
        let (diagnostic, exhausted) = (Diagnostic::clone(diagnostic), *exhausted);
        self.0 = Some(LastFailure { generation, diagnostic, exhausted, in_a_row });
        exhausted || in_a_row >= OFFER_RESTART
    }
}
