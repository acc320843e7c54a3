//! [`State`]: a Lua state of the program, which takes up new code when its owner lets it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use mlua::Lua;

use super::{
    error::EmbedError,
    mailbox::{Asked, Mailbox},
};
use crate::{
    config::ReloadScope,
    lua::{Applied, Failure, Failures, Rules, Vm},
    reload::{Diagnostic, EDITING, Effects, Generation, Outcome, Published, ReloadOutcome, ReloadReport},
};

/// A Lua state that runs scripts of a [`Scripts`](super::Scripts). It goes from thread to thread as a value.
///
/// Dropping it leaves the `mlua::Lua` as it is: with the code it has, which nobody reloads any more.
#[derive(Debug)]
pub struct State {
    mailbox: Arc<Mailbox>,
    published: Arc<Published>,
    /// Files that the program ran, by name below the directory.
    starts: Vec<PathBuf>,
    failures: Failures,
    /// The number of the generation that was reported last.
    reported: u64,
    /// When the code that only reloads need is let go.
    slim_at: Option<Instant>,
    vm: Vm,
}

impl State {
    pub(super) fn new(vm: Vm, mailbox: Arc<Mailbox>, published: Arc<Published>) -> Self {
        let (starts, failures, reported) = (Vec::new(), Failures::default(), vm.generation().number);
        Self { mailbox, published, starts, failures, reported, slim_at: None, vm }
    }

    /// The state. What you put into it, scripts see; what runs in it by your own calls has no budget.
    pub fn lua(&self) -> &Lua {
        self.vm.lua()
    }

    /// The number of the code it runs: 1 for what was there at the start.
    pub fn generation(&self) -> u64 {
        self.vm.generation().number
    }

    /// Runs a script that no other requires, by its name below the directory. Once: that it has run
    /// already is no error, and does nothing. If it fails, nothing in the state has changed, and each save
    /// has it tried again by [`update`](Self::update): a program may show the error and go on.
    ///
    /// # Errors
    /// If there is no such file, it does not compile, or it raises an error: [`EmbedError::Script`].
    pub fn run(&mut self, file: impl AsRef<Path>) -> Result<(), EmbedError> {
        let file = file.as_ref();
        if !self.starts.iter().any(|start| start == file) {
            self.starts.push(file.to_owned());
        }
        self.start(file).map_err(|failure| EmbedError::Script(failure.diagnostic))
    }

    fn start(&mut self, file: &Path) -> Result<(), Failure> {
        if self.has_run(file) {
            return Ok(());
        }
        self.slim_at = Some(Instant::now() + EDITING);
        self.vm.start(file)
    }

    fn has_run(&self, file: &Path) -> bool {
        let is_loaded = |path: &PathBuf| self.vm.state(|state| state.loaded.contains_key(path));
        let generation = self.vm.generation();
        generation.file(file).is_some_and(|source| is_loaded(&source.path) == Some(true))
    }

    /// Takes up what was saved since the last call: the newest code, as one transaction, or what it has
    /// stays. Does not wait; without a save it costs one look at a mutex. Call it between frames or
    /// requests, and never from a function that Lua has called.
    ///
    /// A report for each batch of saved files: what ran, or why not; a failure is in its `errors`. Its
    /// `Display` is made for a terminal.
    pub fn update(&mut self) -> Vec<ReloadReport> {
        let asked = self.mailbox.take();
        self.take_up(asked)
    }

    /// Takes up what was saved, and waits for it if there is nothing, `timeout` at most. For tests, and for
    /// programs with nothing else to do.
    pub fn wait(&mut self, timeout: Duration) -> Vec<ReloadReport> {
        let asked = self.mailbox.wait(timeout);
        self.take_up(asked)
    }

    fn take_up(&mut self, asked: Vec<Asked>) -> Vec<ReloadReport> {
        if self.slim_at.take_if(|at| *at <= Instant::now()).is_some() {
            self.vm.forget_reload();
        }
        let mut reports = Vec::new();
        for (target, outcomes) in asked {
            let began = Instant::now();
            let newest = self.newest(&target);
            let outcome = self.reload(newest.clone());
            // Several generations may wait. The newest is taken up at once, and all that was saved is in one
            // report.
            if outcome.generation > self.reported {
                self.reported = outcome.generation;
                let report = ReloadReport::new(&newest, 1, std::slice::from_ref(&outcome), began.elapsed());
                reports.push(self.published.telling().apply(report));
            }
            // Nobody listens any more if the scripts were dropped.
            let _ = outcomes.send(outcome);
        }
        reports
    }

    fn newest(&self, target: &Arc<Generation>) -> Arc<Generation> {
        let newest = self.published.generation();
        if newest.number < target.number { target.clone() } else { newest }
    }

    fn reload(&mut self, newest: Arc<Generation>) -> ReloadOutcome {
        let generation = newest.number;
        let (outcome, mut effects) = if let Some(outcome) = self.failures.known(generation) {
            (outcome, Effects::default())
        } else if self.vm.generation().number == generation {
            (Outcome::NothingToRun, Effects::default())
        } else {
            let rules = Rules { starts: &self.starts, scope: ReloadScope::Loaded };
            let Applied { outcome, effects, ran } = self.vm.apply(newest.clone(), rules);
            if ran {
                self.slim_at = Some(Instant::now() + EDITING);
            }
            (self.start_again(outcome), effects)
        };
        effects.offer_restart = self.failures.remember(generation, &outcome);
        ReloadOutcome { generation, outcome, unchanged: self.vm.unchanged(&newest), effects }
    }

    /// Files that the program ran in vain are tried again.
    fn start_again(&mut self, outcome: Outcome) -> Outcome {
        let mut files = match outcome {
            Outcome::Kept { .. } => return outcome,
            Outcome::NothingToRun => Vec::new(),
            Outcome::Applied { files } => files,
        };
        for file in self.starts.clone().iter().filter(|file| !self.has_run(file)).collect::<Vec<_>>() {
            if let Err(Failure { diagnostic, exhausted }) = self.start(file) {
                return Outcome::Kept { diagnostic: Box::new(diagnostic), exhausted };
            }
            files.extend(self.vm.generation().file(file).map(|source| source.display.clone()));
        }
        if files.is_empty() { Outcome::NothingToRun } else { Outcome::Applied { files } }
    }

    /// Runs what is due of the timers that scripts have started (`session:setTimeout` and its like). Hands
    /// back the errors of those that failed; an interval goes on all the same.
    pub fn fire_timers(&mut self) -> Vec<Diagnostic> {
        let now = Instant::now();
        let mut errors = Vec::new();
        while let Some(handle) = self.vm.take_due_timer(now) {
            if let Err(failure) = self.vm.fire(handle) {
                errors.push(failure.diagnostic);
            }
        }
        errors
    }

    /// When the next timer is due, if there is one.
    pub fn next_timer(&self) -> Option<Instant> {
        self.vm.next_timer()
    }

    /// Calls Lua code, in the budget of a handler if the state has one; what it raises comes with file,
    /// line and excerpt. Look up functions by name at each call: one that is kept in Rust is not replaced.
    ///
    /// # Errors
    /// What the code raised: [`EmbedError::Script`].
    pub fn call<R>(&mut self, work: impl FnOnce(&Lua) -> mlua::Result<R>) -> Result<R, EmbedError> {
        let done = self.vm.run(self.vm.handler(), work);
        done.map_err(|failure| EmbedError::Script(failure.diagnostic))
    }

    /// Whether a script has asked for a state that begins anew (`hot.restart()`), since the last call. Then
    /// make another `Lua` and attach it.
    pub fn wants_restart(&mut self) -> bool {
        self.vm.state(|state| std::mem::take(&mut state.restart)).unwrap_or_default()
    }
}
