//! What really changed: hints say where to look, the disk says what is true.
//!
//! Content counts, by its hash, and nothing else does: not a time, not a size, not what an event said.
//! Two things a save goes through are not believed at first sight: that a file is gone counts when it is
//! still so [`GRACE`] later, and one that is empty or still being written is waited for
//! ([`Unfinished`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hotloader_backend::{DirSet, HintSet};

use super::{
    Change, ChangeKind, Root, RootId, Unreadable,
    answers::Answers,
    contents::{Jobs, trouble},
    listing::by_components,
    names::{At, Clock, Names, Told},
    outcome::{LinkView, Look, Outcome},
    settle::Calm,
    tree::{Name, Touched, Tree},
    unfinished::Unfinished,
    upkeep::Upkeep,
    vcs::VcsLocks,
    walk::{Found, Warning},
};
use crate::config::WatchConfig;

/// How long a file must be gone to be believed so.
const GRACE: Duration = Duration::from_millis(60);

/// When a file system that does not answer is asked again.
const SILENT: Duration = Duration::from_secs(1);

/// The state of the watched tree as it was last shown to the reload half.
#[derive(Debug)]
pub(crate) struct Reconciler {
    pub(super) tree: Tree,
    pub(super) names: Names,
    pub(super) upkeep: Upkeep,
    pub(super) clock: Clock,
    locks: VcsLocks,
    pub(super) answers: Answers,
    touched: Touched,
    arming: Option<Arming>,
    pub(super) troubles: BTreeMap<PathBuf, Duration>,
    pub(super) stale: BTreeMap<PathBuf, Duration>,
    warned: BTreeSet<Warning>,
    /// Files that are there and cannot be read.
    pub(super) unreadable: BTreeMap<PathBuf, Unreadable>,
    /// Larger files are not read.
    pub(super) max_file: usize,
    pub(super) unfinished: Unfinished,
    /// Names to be told again, with the file that is behind them now.
    pub(super) again: BTreeSet<Name>,
    pub(super) initial: bool,
}

/// What a walk came to that was before its directories were watched.
#[derive(Debug)]
struct Arming {
    /// Listed too early.
    dirs: DirSet,
    found: Vec<Found>,
    /// The files to be read, if nothing differs afterwards.
    prepared: Option<Vec<At>>,
}

impl Reconciler {
    pub(crate) fn new(settings: &WatchConfig, roots: Vec<Root>) -> Self {
        let max_file = roots.iter().map(|root| root.max_file).max().unwrap_or_default();
        Self {
            upkeep: Upkeep::new(Instant::now()),
            names: Names::default(),
            tree: Tree::new(settings, roots),
            clock: Clock(Instant::now()),
            locks: VcsLocks::default(),
            answers: Answers::default(),
            touched: Touched::default(),
            arming: None,
            troubles: BTreeMap::new(),
            stale: BTreeMap::new(),
            warned: BTreeSet::new(),
            unreadable: BTreeMap::new(),
            max_file,
            unfinished: Unfinished::default(),
            again: BTreeSet::new(),
            initial: true,
        }
    }

    /// Other names are ignored, or links may lead elsewhere: all is to be looked at again.
    pub(crate) fn configure(&mut self, settings: &WatchConfig) {
        self.tree.configure(settings);
        self.names.is_choice_new = true;
    }

    /// Whether nothing is remembered beyond what there is.
    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.names.missing.is_empty()
            && self.names.told_as.is_empty()
            && self.unfinished.is_empty()
            && self.again.is_empty()
            && self.troubles.is_empty()
            && self.stale.is_empty()
            && self.arming.is_none()
    }

    /// Drops hints that concern nothing of ours.
    pub(crate) fn keep_concerning(&self, hints: &mut HintSet) {
        hints.retain(|path| self.tree.concerns(path));
    }

    /// Whether it has never looked: then its first outcome names everything there is.
    pub(crate) fn is_new(&self) -> bool {
        self.initial
    }

    /// Whether a checkout is under way at these places: what is on the disk is half of one revision and half of another.
    pub(crate) fn is_checkout_under_way(&mut self, hints: &HintSet) -> bool {
        self.ask(hints);
        self.locks.is_busy(|dir| touches(hints, dir) && !self.tree.is_silent(dir))
    }

    /// Whether somebody is known to be at work on it.
    pub(crate) fn is_checkout_alive(&mut self, hints: &HintSet) -> bool {
        self.locks.is_alive(|dir| touches(hints, dir) && !self.tree.is_silent(dir))
    }

    /// The checkout takes too long to be waited for. It is not waited for again.
    pub(crate) fn give_up_on_checkout(&mut self, hints: &HintSet) {
        self.locks.give_up(|dir| touches(hints, dir) && !self.tree.is_silent(dir));
    }

    /// Finds out which file systems do not answer, of those that these hints lead to.
    fn ask(&mut self, hints: &HintSet) {
        let answers = &mut self.answers;
        self.tree.ask(hints, |device, dir| answers.answers(device, dir));
    }

    /// The links and directories as they should be watched.
    pub(crate) fn links(&self) -> LinkView {
        let walked = self.tree.walked();
        LinkView {
            symlink_targets: walked.targets.clone(),
            watched_dirs: walked.dirs.clone(),
            trees: walked.trees.clone(),
        }
    }

    /// Looks at the hinted places, whatever was written when.
    pub(crate) fn look(&mut self, hints: &HintSet, watched: &DirSet, now: Instant) -> Look {
        self.look_when_calm(hints, watched, Calm::ANY, now)
    }

    /// Looks at the hinted places, if it is calm: a hint that is older, or covers many files, comes upon saves
    /// whose own hints are yet to come. If that leads to directories that are not in `watched`, nothing is
    /// read yet: what was just listed may have changed before anybody watched it.
    pub(crate) fn look_when_calm(
        &mut self,
        hints: &HintSet,
        watched: &DirSet,
        calm: Calm,
        now: Instant,
    ) -> Look {
        if !hints.is_empty() {
            self.ask(hints);
        }
        let touched = self.tree.touch(hints);
        self.touched.merge(touched);
        self.touched.structure |= self.troubles.keys().any(|path| hints.covers(path));
        let (mut found, mut prepared) = (None, None);
        match self.arming.take() {
            Some(arming) => {
                if self.tree.recheck(&arming.dirs) || !self.touched.relist.is_empty() {
                    self.touched.structure = true;
                }
                if !self.touched.structure {
                    (found, prepared) = (Some(arming.found), arming.prepared);
                } else if arming.prepared.is_some() {
                    self.names.nodes.clear();
                }
            }
            None => self.touched.structure |= self.initial,
        }
        let mut outcome = Outcome::default();
        let mut look = if self.touched.structure || found.is_some() { None } else { self.relist(now) };
        if look.is_none() {
            let found = found.unwrap_or_else(|| self.tree.walk());
            let dirs = &self.tree.walked().dirs;
            // At the start there are a hundred thousand, and none of them is watched.
            let new =
                if watched.is_empty() { dirs.clone() } else { dirs.without(watched).into_iter().collect() };
            if !new.is_empty() {
                self.touched.structure = false;
                self.touched.relist.clear();
                self.arming = Some(Arming { dirs: new, found, prepared: None });
                return Look::Arm;
            }
            self.warn();
            self.note_troubles(&mut outcome, now);
            self.locks.change_to(&self.tree.walked().trees);
            let untold = prepared.unwrap_or_else(|| self.names.update(found, &wants(&self.tree), now));
            look = Some(untold);
            outcome.walked = true;
        }
        let touched = std::mem::take(&mut self.touched);
        let mut jobs = Jobs::default();
        for at in look.into_iter().flatten() {
            self.job(at, &mut jobs);
        }
        self.named(touched.files.iter().cloned(), &mut jobs);
        if touched.covers_any() && !self.initial {
            self.covered(&touched, &mut jobs);
        }
        let begun = self.clock.at(Instant::now());
        let files = jobs.read(self.max_file);
        if !self.initial
            && let Some(age) = self.youngest(&files)
            && let Some(rest) = calm.rest(age, Instant::now())
        {
            // All of this is to be looked at once more.
            self.touched = touched;
            return Look::Early(rest);
        }
        self.unfinished.expire(now);
        self.take_in(files, begun, &touched.phases, &mut outcome, now);
        outcome.unfinished = self.unfinished.said();
        self.expire(&mut outcome, now);
        self.tell_again(&mut outcome, now);
        for top in self.tree.silent() {
            outcome.recheck(&**top, now + SILENT);
        }
        self.initial = false;
        outcome.changes.sort_by(|a, b| a.root.cmp(&b.root).then_with(|| by_components(&a.name, &b.name)));
        outcome.missed = self.upkeep.count_missed(&outcome.changes, now);
        Look::Done(outcome)
    }

    /// Lists the directories again in which files came or went. `None`: more than that is different.
    fn relist(&mut self, now: Instant) -> Option<Vec<At>> {
        let mut look = Vec::new();
        for dir in self.touched.relist.clone() {
            let listing = self.tree.relist(&dir)?;
            for name in self.tree.names_of_dir(&dir) {
                look.extend(self.names.relisted(name, listing.clone(), &wants(&self.tree), now));
            }
        }
        Some(look)
    }

    /// Does what there is to do at the start while directories come to be watched.
    pub(crate) fn prepare(&mut self) {
        if let Some(arming) = &mut self.arming
            && self.names.nodes.is_empty()
            && self.initial
        {
            arming.prepared = Some(self.names.begin(&arming.found, &wants(&self.tree)));
        }
    }

    fn warn(&mut self) {
        let warnings = &self.tree.walked().warnings;
        warnings.difference(&self.warned).for_each(Warning::log);
        self.warned.clone_from(warnings);
    }

    fn note_troubles(&mut self, outcome: &mut Outcome, now: Instant) {
        let walked = self.tree.walked();
        let lasts = |path: &PathBuf| walked.troubles.iter().any(|(at, _)| at == path);
        self.troubles.retain(|path, _| !self.tree.names_of(path).is_empty() || lasts(path));
        for (path, error) in &walked.troubles {
            trouble(&mut self.troubles, path, error, outcome, now);
        }
    }

    /// What was gone for long enough is gone.
    fn expire(&mut self, outcome: &mut Outcome, now: Instant) {
        if self.names.missing.is_empty() {
            return;
        }
        let missing = std::mem::take(&mut self.names.missing);
        for (name, missing) in missing {
            match self.names.told(&name) {
                // It is there, and nobody could read it yet: not the same as gone.
                Some(Told::Nothing) if !missing.is_unreadable => {
                    self.names.missing.insert(name, missing);
                    continue;
                }
                Some(Told::Nothing) | None => {}
                Some(_) => continue,
            }
            if now < missing.since + GRACE {
                let [entry, file] = &missing.places;
                outcome.recheck(entry, missing.since + GRACE);
                if file != entry {
                    outcome.recheck(file, missing.since + GRACE);
                }
                self.names.missing.insert(name, missing);
            } else {
                self.again.remove(&name);
                let (root, name) = name;
                outcome.changes.push(Change { root, name, path: missing.real, kind: ChangeKind::Removed });
            }
        }
    }
}

/// Whether a hinted place is in the directory, or the directory in it.
fn touches(hints: &HintSet, dir: &Path) -> bool {
    hints.covers(dir) || hints.iter().any(|(path, _)| path.starts_with(dir))
}

fn wants(tree: &Tree) -> impl Fn(RootId, &OsStr) -> bool + Sync {
    move |id, file| {
        tree.roots.iter().any(|root| root.id == id && root.wants(file)) && !tree.ignore.matches(file)
    }
}

/// Everything there is, as a look at an unwatched tree.
pub(crate) fn scan(settings: &WatchConfig, roots: Vec<Root>) -> Outcome {
    scan_with(&mut Reconciler::new(settings, roots))
}

/// The same, with a reconciler that goes on.
pub(super) fn scan_with(reconciler: &mut Reconciler) -> Outcome {
    let mut watched = DirSet::new();
    loop {
        match reconciler.look(&HintSet::new(), &watched, Instant::now()) {
            Look::Arm => watched.clone_from(&reconciler.links().watched_dirs),
            Look::Early(_) => {}
            Look::Done(outcome) => return outcome,
        }
    }
}
