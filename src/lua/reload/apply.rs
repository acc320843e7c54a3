//! A generation in one Lua state: all of it, or none of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use super::transaction::{Committed, Hook, Migrated};
use crate::{
    config::ReloadScope,
    lua::{
        api::{
            host::{HostState, LoadedFile},
            read_files::ReadFiles,
            shared::Heard,
            timers::Timers,
        },
        failure::Failure,
        state::{MAX_SNAPSHOT, Vm},
    },
    reload::{
        Diagnostic, Effects, Generation, Note, Outcome, SourceFile,
        source::{BatchEdits, RanAgain},
        twin,
    },
};

/// What the owner of a state decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// Files that its owner runs: nobody requires them, and they stay when they are deleted.
    pub(crate) starts: &'a [PathBuf],
    /// Which files run.
    pub(crate) scope: ReloadScope,
}

/// What came of a generation.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) outcome: Outcome,
    pub(crate) effects: Effects,
    /// Files ran, well or not: there is garbage.
    pub(crate) ran: bool,
}

/// A file that has to run.
struct Changed {
    source: Arc<SourceFile>,
    file: PathBuf,
    /// The real file that was behind it, if that is another now.
    renamed_from: Option<PathBuf>,
    order: usize,
}

/// What Rust knows of the state, to go back to.
struct Before {
    generation: Arc<Generation>,
    loaded: HashMap<PathBuf, LoadedFile>,
    timers: Timers,
    heard: Heard,
    missing: HashMap<PathBuf, BTreeSet<PathBuf>>,
    reads: ReadFiles,
}

/// A loaded file that is there no longer.
struct Gone {
    path: PathBuf,
    /// Its name, if it went with this generation.
    just_now: Option<String>,
}

impl Vm {
    /// Files that were saved with the content that has run here: after an error, say.
    pub(crate) fn unchanged(&self, newest: &Generation) -> Vec<String> {
        let same = |loaded: &LoadedFile| {
            let source = newest.file(&loaded.file).filter(|source| source.hash == loaded.source.hash)?;
            newest.changed.contains(&source.display).then(|| source.display.clone())
        };
        self.state(|state| state.loaded.values().filter_map(same).collect()).unwrap_or_default()
    }

    /// Moves to a generation.
    pub(crate) fn apply(&mut self, newest: Arc<Generation>, rules: Rules<'_>) -> Applied {
        let end = |outcome, effects, ran| Applied { outcome, effects, ran };
        let mut broken = self.broken(&newest).into_iter();
        if let Some(diagnostic) = broken.next() {
            let outcome = Outcome::Kept { diagnostic: Box::new(diagnostic), exhausted: false };
            let effects = Effects { broken: broken.collect(), ..Effects::default() };
            return end(outcome, effects, false);
        }
        let changed = self.changed(&newest, rules.scope);
        let Some(before) = self.before() else {
            return end(Outcome::NothingToRun, Effects::default(), false);
        };
        self.state(|state| state.generation = newest.clone());
        let gone = self.gone(&before, rules.starts);
        let mut effects = Effects::default();
        if changed.is_empty() {
            self.let_go(gone, &mut effects);
            return end(Outcome::NothingToRun, effects, false);
        }
        if !self.begin() {
            effects.notes.push(Note::CodeOnly { tables: MAX_SNAPSHOT });
        }
        let read = self.state(|state| state.reads.others(&newest)).unwrap_or_default();
        let changed = self.with_copies(changed, &newest, &mut effects);
        let attempt = self.attempt(changed, &newest, before, &mut effects);
        let (mut files, committed) = match attempt {
            Ok(committed) => committed,
            Err(Failure { diagnostic, exhausted }) => {
                let outcome = Outcome::Kept { diagnostic: Box::new(diagnostic), exhausted };
                return end(outcome, Effects::default(), true);
            }
        };
        // What they read is in effect as well.
        files.extend(read.into_iter().filter(|file| !files.contains(file)).collect::<Vec<_>>());
        self.after_commit(committed, &mut effects);
        self.let_go(gone, &mut effects);
        self.finish();
        end(Outcome::Applied { files }, effects, true)
    }

    /// Runs a file that nobody requires, for the first time. If it fails, all is as it was.
    pub(crate) fn start(&mut self, file: &Path) -> Result<(), Failure> {
        let Some(before) = self.before() else { return Ok(()) };
        self.begin_start();
        let ran = self.load_first(file);
        match &ran {
            Ok(()) => self.end_start(),
            Err(failure) => self.undo(before, failure.exhausted),
        }
        ran
    }

    /// Runs one file, again if it is loaded. If it fails, all is as it was.
    pub(crate) fn run_file(&mut self, source: Arc<SourceFile>, file: PathBuf) -> Result<Effects, Failure> {
        let mut effects = Effects::default();
        let Some(before) = self.before() else { return Ok(effects) };
        self.begin();
        let generation = self.generation();
        let changed = vec![Changed { source, file, renamed_from: None, order: 0 }];
        self.look_for_edits(&generation);
        let (_, committed) = self.attempt(changed, &generation, before, &mut effects)?;
        self.after_commit(committed, &mut effects);
        self.finish();
        Ok(effects)
    }

    /// Runs these files and commits. If that fails, all is as it was.
    fn attempt(
        &mut self,
        changed: Vec<Changed>,
        newest: &Generation,
        before: Before,
        effects: &mut Effects,
    ) -> Result<(Vec<String>, Committed), Failure> {
        self.dispose(&changed, effects);
        let ran = self.run_files(changed, newest);
        ran.and_then(|files| Ok((files, self.commit()?))).inspect_err(|failure| {
            self.undo(before, failure.exhausted);
        })
    }

    /// What is edited for this state, which may run older versions than others.
    fn look_for_edits(&self, newest: &Generation) -> Arc<BatchEdits> {
        let compare = |state: &mut HostState| {
            let running = state.loaded.values().map(|loaded| (loaded.file.as_path(), &loaded.source));
            let wanted = state.missing.values().flatten();
            let appeared = wanted.filter(|file| newest.file(file).is_some()).cloned().collect();
            let read = |(path, loaded): (&PathBuf, &LoadedFile)| {
                let lines = state.reads.lines(path, newest);
                (!lines.is_empty()).then(|| (loaded.file.clone(), lines))
            };
            let read = state.loaded.iter().filter_map(read).collect();
            state.edits = newest.edits_from(&running.collect(), &appeared, &read);
            state.edits.clone()
        };
        self.state(compare).unwrap_or_default()
    }

    /// Files that took something when they were loaded that is edited now run, too.
    fn with_copies(
        &self,
        mut changed: Vec<Changed>,
        newest: &Generation,
        effects: &mut Effects,
    ) -> Vec<Changed> {
        for RanAgain { file, took, of } in &self.look_for_edits(newest).ran_again {
            let Some(source) = newest.file(file) else { continue };
            if changed.iter().any(|known| known.file == *file) {
                continue;
            }
            let order = self.state(|state| Some(state.loaded.get(&source.path)?.order)).flatten();
            let Some(order) = order else { continue };
            let of = newest.file(of).map_or_else(|| of.display().to_string(), |file| file.display.clone());
            effects.notes.push(Note::RanAgain { file: source.display.clone(), took: took.clone(), of });
            changed.push(Changed { source: source.clone(), file: file.clone(), renamed_from: None, order });
        }
        changed.sort_by_key(|changed| changed.order);
        changed
    }

    /// The versions that are to be replaced let go of what they hold, before anything new runs.
    fn dispose(&mut self, changed: &[Changed], effects: &mut Effects) {
        for Changed { source, renamed_from, .. } in changed {
            let path = renamed_from.as_deref().unwrap_or(&source.path);
            while let Some(called) = self.call_dispose(path) {
                if let Err((file, failure)) = called {
                    let (hook, error) = (Hook::Dispose.name(), failure.diagnostic.to_string());
                    effects.notes.push(Note::HookFailed { hook, file, error });
                }
            }
        }
    }

    fn before(&self) -> Option<Before> {
        self.state(|state| Before {
            generation: state.generation.clone(),
            loaded: state.loaded.clone(),
            timers: state.timers.clone(),
            heard: state.shared.listening(),
            missing: state.missing.clone(),
            reads: state.reads.clone(),
        })
    }

    fn undo(&self, before: Before, exhausted: bool) {
        self.rollback();
        self.state(|state| {
            (state.generation, state.loaded) = (before.generation, before.loaded);
            (state.missing, state.reads) = (before.missing, before.reads);
            state.timers.restore(before.timers);
            state.shared.restore(before.heard);
        });
        if exhausted {
            // What the failed load took is given back before anybody else runs.
            self.collect_garbage();
        }
    }

    /// Runs these files, and those that cannot follow them by themselves. Hands back what ran.
    fn run_files(&mut self, changed: Vec<Changed>, newest: &Generation) -> Result<Vec<String>, Failure> {
        for Changed { source, renamed_from, .. } in &changed {
            if let Some(old) = renamed_from {
                self.rename(old, &source.path);
            }
        }
        // One by itself would be the first to run anyway.
        if changed.len() > 1 {
            self.plan(changed.iter().map(|changed| changed.source.path.as_path()));
        }
        let mut queue: VecDeque<_> =
            changed.into_iter().map(|changed| (changed.source, changed.file)).collect();
        let mut ran: Vec<String> = Vec::new();
        while let Some((source, file)) = queue.pop_front() {
            let has_more = self.reload(&source, &file)?;
            if !ran.contains(&source.display) {
                ran.push(source.display.clone());
            }
            if !has_more {
                continue;
            }
            let extra = self.take_extra().into_iter();
            queue.extend(extra.filter_map(|(_, file)| Some((newest.file(&file)?.clone(), file))));
        }
        Ok(ran)
    }

    /// What follows a commit, in the order that people rely on. A failure in here is told, and undoes nothing.
    fn after_commit(&mut self, committed: Committed, effects: &mut Effects) {
        let is_followed = committed.is_followed;
        self.tell(committed, effects);
        if !is_followed {
            return;
        }
        self.migrate_all(effects);
        self.call_hooks(Hook::Accept, effects);
        let again = self.take_invalidated();
        effects.notes.extend(self.notes(self.take_told()));
        if !again.is_empty() {
            self.run_again(&again, effects);
        }
    }

    fn tell(&mut self, committed: Committed, effects: &mut Effects) {
        effects.timers_replaced += committed.timers_ended;
        effects.notes.extend(self.notes(committed.told));
        if committed.is_followed {
            self.call_hooks(Hook::Dispose, effects);
        }
    }

    /// What `hot.invalidate` asked for: a reload of its own, which may fail as a whole.
    fn run_again(&mut self, files: &[(PathBuf, PathBuf)], effects: &mut Effects) {
        let generation = self.generation();
        let again = files.iter().filter_map(|(_, file)| {
            let source = generation.file(file)?.clone();
            Some(Changed { source, file: file.clone(), renamed_from: None, order: 0 })
        });
        let again: Vec<_> = again.collect();
        let Some(before) = self.before() else { return };
        self.finish();
        self.begin();
        self.look_for_edits(&generation);
        match self.attempt(again, &generation, before, effects) {
            Ok((_, committed)) => {
                self.tell(committed, effects);
                self.migrate_all(effects);
                // What these accept may invalidate others; that waits for the next save, or two files
                // could go on for ever.
                self.call_hooks(Hook::Accept, effects);
            }
            Err(Failure { diagnostic, .. }) => {
                effects.notes.push(Note::HookFailed {
                    hook: "hot.invalidate",
                    file: diagnostic.file.clone(),
                    error: diagnostic.to_string(),
                });
            }
        }
    }

    fn call_hooks(&mut self, hook: Hook, effects: &mut Effects) {
        while let Some(called) = self.call_hook(hook) {
            if let Err((file, failure)) = called {
                let error = failure.diagnostic.to_string();
                effects.notes.push(Note::HookFailed { hook: hook.name(), file, error });
            }
        }
    }

    fn migrate_all(&mut self, effects: &mut Effects) {
        let (objects, began) = (self.plan_migration(), Instant::now());
        let mut failed: BTreeMap<String, (usize, String)> = BTreeMap::new();
        let mut done = 0;
        while let Some(Migrated { prototype, failure }) = self.migrate() {
            done += 1;
            match failure {
                None => *effects.migrated.entry(prototype).or_default() += 1,
                Some(failure) => {
                    let first = || (0, failure.diagnostic.to_string());
                    failed.entry(prototype.clone()).or_insert_with(first).0 += 1;
                }
            }
            if done < objects && began.elapsed() > self.budget().migration {
                let (left, key) = (objects - done, "session.budget.migration");
                effects.notes.push(Note::MigrationStopped { left, key });
                break;
            }
        }
        self.end_migration();
        effects.notes.extend(failed.into_iter().map(|(prototype, (count, error))| Note::MigrationFailed {
            prototype,
            count,
            error,
        }));
    }

    /// Loaded files that the newest generation does not have, under no name of their modules.
    fn gone(&self, before: &Before, starts: &[PathBuf]) -> Vec<Gone> {
        let newest = self.generation();
        let gone = before
            .loaded
            .iter()
            .filter(|(_, loaded)| !starts.contains(&loaded.file) && !newest.files.contains_key(&loaded.file))
            .filter(|(path, loaded)| {
                self.state(|state| moved(state, &newest, path, &loaded.file, 0)).flatten().is_none()
            });
        gone.map(|(path, loaded)| {
            let was = before.generation.file(&loaded.file);
            Gone { path: path.clone(), just_now: was.map(|source| source.display.clone()) }
        })
        .collect()
    }

    /// Files that are gone stay alive while something requires them.
    fn let_go(&mut self, gone: Vec<Gone>, effects: &mut Effects) {
        if gone.is_empty() {
            return;
        }
        let paths: Vec<_> = gone.iter().map(|gone| gone.path.clone()).collect();
        let pruned = self.prune(&paths);
        self.call_hooks(Hook::Dispose, effects);
        for file in gone.into_iter().filter_map(|gone| gone.just_now) {
            if !pruned.contains(&file) {
                effects.notes.push(Note::Gone { file });
            }
        }
        effects.notes.extend(pruned.into_iter().map(|file| Note::Pruned { file }));
    }

    /// Why files that run here do not compile. What was saved with them waits for them: files that are
    /// saved together belong together.
    fn broken(&self, newest: &Generation) -> Vec<Diagnostic> {
        let broken = |loaded: &LoadedFile| newest.files.get(&loaded.file)?.failed.as_deref().cloned();
        self.state(|state| state.loaded.values().filter_map(broken).collect()).unwrap_or_default()
    }

    /// What has to run, dependencies first.
    fn changed(&self, newest: &Generation, scope: ReloadScope) -> Vec<Changed> {
        let current = self.generation();
        let is_new = |file: &PathBuf| {
            let hash = |generation: &Generation| generation.file(file).map(|source| source.hash);
            hash(newest).is_some() && hash(newest) != hash(&current)
        };
        let look = |state: &mut HostState| {
            let mut changed: Vec<Changed> = Vec::new();
            for (path, LoadedFile { file, source: running, order }) in &state.loaded {
                let Some(source) = newest.file(file) else {
                    changed.extend(moved(state, newest, path, file, *order));
                    continue;
                };
                let wanted = state.missing.get(path).is_some_and(|files| files.iter().any(is_new))
                    || state.reads.differ(path, newest);
                if source.hash != running.hash || source.path != *path || wanted {
                    changed.push(Changed {
                        source: source.clone(),
                        file: file.clone(),
                        renamed_from: (source.path != *path).then(|| path.clone()),
                        order: *order,
                    });
                }
            }
            if scope == ReloadScope::All {
                for (file, entry) in &newest.files {
                    let Some(source) = &entry.good else { continue };
                    if newest.changed.contains(&source.display) && !state.loaded.contains_key(&source.path) {
                        let (source, file, order) = (source.clone(), file.clone(), usize::MAX);
                        changed.push(Changed { source, file, renamed_from: None, order });
                    }
                }
            }
            changed
        };
        let mut changed = self.state(look).unwrap_or_default();
        changed.sort_by(|a, b| a.order.cmp(&b.order).then_with(|| a.file.cmp(&b.file)));
        changed
    }
}

/// A module that was `m.lua` may be `m/init.lua` now, or the other way round: it goes on under its name.
fn moved(state: &HostState, newest: &Generation, path: &Path, file: &Path, order: usize) -> Option<Changed> {
    let other = twin(file)?;
    let source = newest.file(&other)?.clone();
    let is_loaded = state.loaded.contains_key(&source.path);
    let changed = Changed { source, file: other, renamed_from: Some(path.to_owned()), order };
    (!is_loaded).then_some(changed)
}
