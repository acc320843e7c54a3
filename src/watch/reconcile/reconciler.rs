//! What really changed: hints say where to look, the disk says what is true.
//!
//! Content counts, by its hash, and nothing else does: not a time, not a size, not what an event said.
//! Two things a save goes through are not believed at first sight: that a file is gone counts when it is
//! still so [`GRACE`] later, and one that is empty or still being written is waited for
//! ([`Unfinished`]).

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use hotloader_backend::{DirSet, HintSet};

use super::{
    audit::{Audit, may_look_into},
    contents::{Contents, Moment},
    name::At,
    outcome::{LinkView, Look, Outcome},
    tree::{Touched, Tree},
    vcs::VcsLocks,
    walk::{Found, Warning},
};
use crate::{
    config::WatchConfig,
    watch::{
        change::Root,
        disk::{Answers, by_components},
        settle::Calm,
    },
};

/// When a file system that does not answer is asked again.
const SILENT: Duration = Duration::from_secs(1);

/// The state of the watched tree as it was last shown to the reload half.
#[derive(Debug)]
pub(crate) struct Reconciler {
    tree: Tree,
    contents: Contents,
    audit: Audit,
    locks: VcsLocks,
    answers: Answers,
    touched: Touched,
    arming: Option<Arming>,
    warned: BTreeSet<Warning>,
    is_new: bool,
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

/// What a slice of upkeep came to.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Places to look at now.
    pub(crate) look: HintSet,
    /// To be had now: a barrier, a look at all that it brought, and then [`Reconciler::confirm`].
    pub(crate) barrier: bool,
}

impl Reconciler {
    pub(crate) fn new(settings: &WatchConfig, roots: Vec<Root>) -> Self {
        let max_file = roots.iter().map(|root| root.max_file).max().unwrap_or_default();
        Self {
            tree: Tree::new(settings, roots),
            contents: Contents::new(max_file),
            audit: Audit::new(Instant::now()),
            locks: VcsLocks::default(),
            answers: Answers::default(),
            touched: Touched::default(),
            arming: None,
            warned: BTreeSet::new(),
            is_new: true,
        }
    }

    /// Other names are ignored, or links may lead elsewhere: all is to be looked at again.
    pub(crate) fn configure(&mut self, settings: &WatchConfig) {
        self.tree.configure(settings);
        self.contents.names.choose_anew();
    }

    /// Whether nothing is remembered beyond what there is.
    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.contents.is_at_rest() && self.arming.is_none()
    }

    /// Drops hints that concern nothing of ours.
    pub(crate) fn keep_concerning(&self, hints: &mut HintSet) {
        hints.retain(|path| self.tree.concerns(path));
    }

    /// Whether it has never looked: then its first outcome names everything there is.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
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
        self.touched.structure |= self.contents.is_in_trouble(hints);
        let (mut found, mut prepared) = (None, None);
        match self.arming.take() {
            Some(arming) => {
                if self.tree.recheck(&arming.dirs) || !self.touched.relist.is_empty() {
                    self.touched.structure = true;
                }
                if !self.touched.structure {
                    (found, prepared) = (Some(arming.found), arming.prepared);
                } else if arming.prepared.is_some() {
                    self.contents.names.nodes.clear();
                }
            }
            None => self.touched.structure |= self.is_new,
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
            self.contents.note_troubles(&self.tree, &mut outcome, now);
            self.locks.change_to(&self.tree.walked().trees);
            let names = &mut self.contents.names;
            let untold = prepared.unwrap_or_else(|| names.update(found, self.tree.scope(), now));
            look = Some(untold);
            outcome.walked = true;
        }
        let touched = std::mem::take(&mut self.touched);
        let begun = self.contents.clock.at(Instant::now());
        let moment = Moment { now, begun, is_first: self.is_new };
        let covers = touched.covers_any() && !self.is_new;
        let files = self.contents.read(&self.tree, look.unwrap_or_default(), &touched, covers);
        if !self.is_new
            && let Some(age) = self.contents.youngest(&files)
            && let Some(rest) = calm.rest(age, Instant::now())
        {
            // All of this is to be looked at once more.
            self.touched = touched;
            return Look::Early(rest);
        }
        self.contents.take_in(files, &self.tree, &touched.phases, moment, &mut outcome);
        outcome.unfinished = self.contents.unfinished.said();
        self.contents.expire(&mut outcome, now);
        self.contents.tell_again(&mut outcome, now);
        for top in self.tree.silent() {
            outcome.recheck(&**top, now + SILENT);
        }
        self.is_new = false;
        outcome.changes.sort_by(|a, b| a.root.cmp(&b.root).then_with(|| by_components(&a.name, &b.name)));
        outcome.missed = self.audit.count_missed(&outcome.changes, now);
        Look::Done(outcome)
    }

    /// Lists the directories again in which files came or went. `None`: more than that is different.
    fn relist(&mut self, now: Instant) -> Option<Vec<At>> {
        let mut look = Vec::new();
        for dir in self.touched.relist.clone() {
            let listing = self.tree.relist(&dir)?;
            for name in self.tree.names_of_dir(&dir) {
                look.extend(self.contents.names.relisted(name, listing.clone(), self.tree.scope(), now));
            }
        }
        Some(look)
    }

    /// Does what there is to do at the start while directories come to be watched.
    pub(crate) fn prepare(&mut self) {
        if let Some(arming) = &mut self.arming
            && self.contents.names.nodes.is_empty()
            && self.is_new
        {
            arming.prepared = Some(self.contents.names.begin(&arming.found, self.tree.scope()));
        }
    }

    fn warn(&mut self) {
        let warnings = &self.tree.walked().warnings;
        warnings.difference(&self.warned).for_each(Warning::log);
        self.warned.clone_from(warnings);
    }

    /// When there is something to do, if nothing is hinted until then.
    pub(crate) fn next_work(&self) -> Option<Instant> {
        let due = self.audit.due().into_iter().chain(self.contents.hard_links.due()).min();
        due.filter(|_| !self.is_new)
    }

    /// Does one slice of what is due.
    pub(crate) fn work(&mut self, now: Instant) -> Work {
        let mut work = Work::default();
        if self.is_new {
            return work;
        }
        if self.audit.due().is_some_and(|due| due <= now) {
            let answers = &mut self.answers;
            work.barrier = self.audit.slice(&self.tree, &mut self.contents, answers, now, &mut work.look);
        }
        if self.contents.hard_links.due().is_some_and(|due| due <= now) {
            let Contents { hard_links, names, .. } = &mut self.contents;
            let may_look = |dir: &_| may_look_into(dir, names, &mut self.answers);
            work.look.merge(hard_links.look(&self.tree, names, may_look, now));
        }
        work
    }

    /// A barrier was passed and all it brought was looked at: what is now different from the disk was
    /// missed. Returns where to look for it; the outcome of that look counts it.
    pub(crate) fn confirm(&mut self, now: Instant) -> HintSet {
        self.audit.confirm(now)
    }
}

/// Whether a hinted place is in the directory, or the directory in it.
fn touches(hints: &HintSet, dir: &Path) -> bool {
    hints.covers(dir) || hints.iter().any(|(path, _)| path.starts_with(dir))
}

/// Everything there is, as a look at an unwatched tree.
pub(crate) fn scan(settings: &WatchConfig, roots: Vec<Root>) -> Outcome {
    let mut reconciler = Reconciler::new(settings, roots);
    let mut watched = DirSet::new();
    loop {
        match reconciler.look(&HintSet::new(), &watched, Instant::now()) {
            Look::Arm => watched.clone_from(&reconciler.links().watched_dirs),
            Look::Early(_) => {}
            Look::Done(outcome) => return outcome,
        }
    }
}
