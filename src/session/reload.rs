//! A generation in one session: all of it, or none of it.

use std::{
    slice,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{lua_session::LuaSession, start::start};
use crate::{
    lua::{Applied, Failure, Rules},
    reload::{Diagnostic, Effects, Generation, Outcome, ReloadOutcome, ReloadReport},
    wire::Outgoing,
};

impl LuaSession {
    /// Moves to the newest generation, which is `target` or a later one.
    pub fn reload(&mut self, target: &Generation) -> ReloadOutcome {
        let began = Instant::now();
        let newest = self.settings.published.generation();
        let number = newest.number.max(target.number);
        let (outcome, effects) = if self.start_error.is_some() {
            let outcome = self.start_again(newest.clone());
            (outcome, Effects { unstarted: self.start_error.is_some(), ..Effects::default() })
        } else if self.generation().number == number {
            (Outcome::NothingToRun, Effects::default())
        } else if let Some(outcome) = self.failures.known(number) {
            // The very same again: two reloads were waiting, and the first one took the newest.
            (outcome, Effects::default())
        } else {
            self.run_changes(newest.clone())
        };
        let mut effects = effects;
        effects.alone = self.clients.is_empty();
        effects.offer_restart = self.failures.remember(number, &outcome);
        if let Outcome::Kept { diagnostic, .. } = &outcome {
            self.remember_error(diagnostic);
        }
        let is_told = !self.clients.is_empty() && !matches!(outcome, Outcome::Kept { .. });
        if is_told && newest.diagnostics().next().is_none() {
            // In the frame with what changed, so that a browser hears of both at once.
            let report = self.own_report(&newest, &effects, began.elapsed());
            self.tell_all(|| Outgoing::Reload(Box::new(report.clone())));
        }
        ReloadOutcome { generation: number, outcome, unchanged: self.vm.unchanged(&newest), effects }
    }

    fn own_report(&self, generation: &Generation, effects: &Effects, took: Duration) -> ReloadReport {
        let mut report = ReloadReport::new(generation, 1, &[], took);
        report.notes.clone_from(&effects.notes);
        self.settings.published.telling().apply(report)
    }

    /// The main file had failed: the whole session is tried again.
    fn start_again(&mut self, generation: Arc<Generation>) -> Outcome {
        let files = generation.changed.clone();
        match self.try_start(generation) {
            Ok(()) => Outcome::Applied { files },
            Err(Failure { diagnostic, exhausted }) => {
                self.start_error = Some(diagnostic.clone());
                Outcome::Kept { diagnostic: Box::new(diagnostic), exhausted }
            }
        }
    }

    fn try_start(&mut self, generation: Arc<Generation>) -> Result<(), Failure> {
        let (vm, objects, error) =
            start(&self.id(), &self.settings, &self.account, generation, self.url.as_deref(), &self.wake)
                .map_err(|error| Failure {
                    diagnostic: Diagnostic::from_lua(&error.to_string()),
                    exhausted: true,
                })?;
        if let Some(failure) = error {
            return Err(failure);
        }
        self.replace(vm, objects, None, "the error is mended");
        Ok(())
    }

    fn run_changes(&mut self, newest: Arc<Generation>) -> (Outcome, Effects) {
        let rules = Rules { starts: slice::from_ref(&self.settings.lua.main), scope: self.settings.scope };
        let Applied { outcome, effects, ran } = self.vm.apply(newest, rules);
        if ran {
            self.collect_later();
            self.problems.code_is_new();
        }
        (outcome, effects)
    }
}
