//! A generation in one session: all of it, or none of it.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use super::lua_session::{LuaSession, start};
use crate::{
    config::ReloadScope,
    reload::{Diagnostic, Generation, Outcome, ReloadOutcome, ReloadReport, SourceFile},
    variables::Outgoing,
    vm::{Failure, LoadedFile},
};

/// A file that has to run.
struct Changed {
    source: Arc<SourceFile>,
    file: PathBuf,
    /// The real file that was behind it, if that is another now.
    renamed_from: Option<PathBuf>,
    order: usize,
}

impl LuaSession {
    /// Moves to the newest generation, which is `target` or a later one.
    pub fn reload(&mut self, target: &Generation) -> ReloadOutcome {
        let began = Instant::now();
        let newest = self.settings.published.generation();
        let number = newest.number.max(target.number);
        let (outcome, notes) = if self.start_error.is_some() {
            (self.start_again(newest.clone()), Vec::new())
        } else if self.generation().number == number {
            (Outcome::NothingToRun, Vec::new())
        } else {
            self.run_changes(newest.clone())
        };
        if newest.diagnostics().next().is_none() && !matches!(outcome, Outcome::Kept { .. }) {
            // In the frame with what changed, so that a browser hears of both at once.
            let report = self.own_report(&newest, &notes, began.elapsed());
            self.tell_all(|| Outgoing::Reload(Box::new(report.clone())));
        }
        ReloadOutcome { generation: number, outcome, unchanged: self.unchanged(&newest), notes }
    }

    /// Files that were saved with the content that has run here: after an error, say.
    fn unchanged(&self, newest: &Generation) -> Vec<String> {
        let same = |loaded: &LoadedFile| {
            let source = newest.file(&loaded.file).filter(|source| source.hash == loaded.hash)?;
            newest.changed.contains(&source.display).then(|| source.display.clone())
        };
        self.vm.state(|state| state.loaded.values().filter_map(same).collect()).unwrap_or_default()
    }

    fn own_report(&self, generation: &Generation, notes: &[String], took: Duration) -> ReloadReport {
        let mut report = ReloadReport::new(generation, 1, &[], took);
        report.notes = notes.to_vec();
        report
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
        let (vm, objects, error) = start(&self.id(), &self.settings, generation).map_err(|error| {
            Failure { diagnostic: Diagnostic::from_lua(&error.to_string()), exhausted: true }
        })?;
        if let Some(failure) = error {
            return Err(failure);
        }
        self.replace(vm, objects, None, "the error is mended");
        Ok(())
    }

    fn run_changes(&mut self, newest: Arc<Generation>) -> (Outcome, Vec<String>) {
        if let Some(diagnostic) = self.broken(&newest) {
            return (Outcome::Kept { diagnostic: Box::new(diagnostic), exhausted: false }, Vec::new());
        }
        let (changed, mut notes) = self.changed(&newest);
        let Some(before) = self.vm.state(|state| {
            let old = std::mem::replace(&mut state.generation, newest);
            (old, state.loaded.clone(), state.timers.clone())
        }) else {
            return (Outcome::NothingToRun, notes);
        };
        if changed.is_empty() {
            return (Outcome::NothingToRun, notes);
        }
        if !self.vm.begin() {
            notes
                .push("the session is too large to undo its data if this fails; code would be undone".into());
        }
        for Changed { source, file, renamed_from, .. } in &changed {
            if let Some(old) = renamed_from {
                self.vm.rename(old, &source.path);
            }
            if let Err(Failure { diagnostic, exhausted }) = self.vm.reload(source, file) {
                self.vm.rollback();
                self.vm.state(|state| {
                    (state.generation, state.loaded) = (before.0, before.1);
                    state.timers.restore(before.2);
                });
                self.collect_later();
                if exhausted {
                    // What the failed load took is given back before anybody else runs.
                    self.vm.collect_garbage();
                }
                return (Outcome::Kept { diagnostic: Box::new(diagnostic), exhausted }, Vec::new());
            }
        }
        self.vm.commit();
        self.collect_later();
        let files = changed.into_iter().map(|changed| changed.source.display.clone()).collect();
        (Outcome::Applied { files }, notes)
    }

    /// Why a file that runs here does not compile. What was saved with it waits for it: files that are
    /// saved together belong together.
    fn broken(&self, newest: &Generation) -> Option<Diagnostic> {
        let broken = |loaded: &LoadedFile| newest.files.get(&loaded.file)?.failed.as_deref().cloned();
        self.vm.state(|state| state.loaded.values().find_map(broken))?
    }

    /// What has to run, dependencies first, and notes on what is gone.
    fn changed(&self, newest: &Generation) -> (Vec<Changed>, Vec<String>) {
        let loaded = self.vm.state(|state| state.loaded.clone()).unwrap_or_default();
        let mut notes = Vec::new();
        let mut changed: Vec<Changed> = Vec::new();
        for (path, LoadedFile { file, hash, order }) in &loaded {
            let Some(source) = newest.file(file) else {
                if !newest.files.contains_key(file)
                    && let Some(old) = self.generation().file(file)
                {
                    let name = &old.display;
                    notes.push(format!(
                        "{name} is gone: sessions that have it keep it, new ones will fail to require it"
                    ));
                }
                continue;
            };
            if source.hash != *hash || source.path != *path {
                let renamed_from = (source.path != *path).then(|| path.clone());
                changed.push(Changed {
                    source: source.clone(),
                    file: file.clone(),
                    renamed_from,
                    order: *order,
                });
            }
        }
        if self.settings.scope == ReloadScope::All {
            for (file, entry) in &newest.files {
                let Some(source) = &entry.good else { continue };
                if newest.changed.contains(&source.display) && !loaded.contains_key(&source.path) {
                    let order = usize::MAX;
                    changed.push(Changed {
                        source: source.clone(),
                        file: file.clone(),
                        renamed_from: None,
                        order,
                    });
                }
            }
        }
        changed.sort_by(|a, b| a.order.cmp(&b.order).then_with(|| a.file.cmp(&b.file)));
        (changed, notes)
    }
}
