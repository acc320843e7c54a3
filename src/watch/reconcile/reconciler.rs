//! What really changed: hints say where to look, the disk says what is true.
//!
//! Content counts, by its hash, and nothing else does: not a time, not a size, not what an event said.
//! Two things a save goes through are not believed at first sight: that a file is gone counts when it is
//! still so [`GRACE`] later, and one that is empty or still being written is waited for
//! ([`Unfinished`]).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hotloader_backend::{DirSet, HintSet};

use super::{
    audit::{Audit, may_look_into},
    cache::Relisted,
    contents::{Contents, Moment},
    findings::{Findings, LinkView, Look, Unwatched},
    name::At,
    recheck,
    tree::{Touched, Tree},
    vcs::VcsLocks,
    walk::Warning,
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
    warned: BTreeSet<Warning>,
    is_new: bool,
}

/// What a slice of upkeep came to.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Places to look at now.
    pub(crate) look: HintSet,
    /// Places that an audit found different. If a barrier that is begun now brings no hint of them, they were
    /// missed.
    pub(crate) found: HintSet,
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
        self.contents.is_at_rest()
    }

    /// Drops hints that concern nothing of ours.
    pub(crate) fn keep_concerning(&self, hints: &mut HintSet) {
        hints.retain(|path| self.tree.concerns(path));
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

    /// What a person should know of them: the path, and what is wrong with it.
    pub(crate) fn troubles(&self) -> Vec<(PathBuf, String)> {
        let walked = self.tree.walked();
        let dangling = walked.targets.iter().filter(|(_, target)| fs::symlink_metadata(target).is_err());
        let message = |target: &Path| format!("leads to {}, which does not exist", target.display());
        let dangling = dangling.map(|(link, target)| (link.clone(), message(target)));
        let unseen =
            walked.troubles.iter().map(|(path, error)| (path.clone(), format!("cannot be read: {error}")));
        walked.warnings.iter().map(Warning::told).chain(dangling).chain(unseen).collect()
    }

    /// Looks at the hinted places, if it is calm: a hint that is older, or covers many files, comes upon saves
    /// whose own hints are yet to come. If that leads to directories that are not in `watched`, nothing is
    /// read yet: what was just listed may have changed before anybody watched it. Then it is called again with
    /// what it came to.
    pub(crate) fn look(
        &mut self,
        hints: &HintSet,
        unwatched: Option<Unwatched>,
        watched: &DirSet,
        calm: Calm,
        now: Instant,
    ) -> Look {
        if !hints.is_empty() {
            self.ask(hints);
        }
        let touched = self.tree.touch(hints, &mut self.answers);
        self.touched.merge(touched);
        self.touched.structure |= self.contents.is_in_trouble(hints);
        let (mut found, mut prepared) = (None, None);
        match unwatched {
            Some(before) => {
                if self.tree.recheck(&before.dirs, &mut self.answers) || !self.touched.relist.is_empty() {
                    self.touched.structure = true;
                }
                if !self.touched.structure {
                    (found, prepared) = (Some(before.found), before.prepared);
                } else if before.prepared.is_some() {
                    self.contents.names.nodes.clear();
                }
            }
            None => self.touched.structure |= self.is_new,
        }
        let mut findings = Findings::default();
        let mut look = if self.touched.structure || found.is_some() { None } else { self.relist(now) };
        if look.is_none() {
            let found = found.unwrap_or_else(|| self.tree.walk(&mut self.answers));
            let dirs = &self.tree.walked().dirs;
            // At the start there are a hundred thousand, and none of them is watched.
            let new =
                if watched.is_empty() { dirs.clone() } else { dirs.without(watched).into_iter().collect() };
            if !new.is_empty() {
                self.touched.structure = false;
                self.touched.relist.clear();
                return Look::Unwatched(Unwatched { dirs: new, found, prepared: None });
            }
            self.warn();
            self.contents.note_troubles(&self.tree, &mut findings, now);
            self.locks.change_to(&self.tree.walked().trees);
            let names = &mut self.contents.names;
            let untold = prepared.unwrap_or_else(|| names.update(found, self.tree.scope(), now));
            look = Some(untold);
            findings.walked = true;
        }
        let touched = std::mem::take(&mut self.touched);
        let begun = self.contents.clock.at(Instant::now());
        let moment = Moment { now, begun, is_first: self.is_new };
        let covers = touched.covers_any() && !self.is_new;
        let (tree, new) = (&self.tree, look.unwrap_or_default());
        let (files, late) = self.contents.read(tree, &mut self.answers, new, &touched, covers);
        if !self.is_new
            && let Some(age) = self.contents.youngest(&files)
            && let Some(rest) = calm.rest(age, Instant::now())
        {
            // All of this is to be looked at once more.
            self.touched = touched;
            return Look::Early(rest);
        }
        self.contents.take_in(files, &self.tree, &touched.phases, moment, &mut findings);
        findings.unfinished = self.contents.unfinished.said();
        self.contents.expire(&mut findings, now);
        self.contents.tell_again(&mut findings, now);
        for path in late.into_iter().chain(touched.late) {
            findings.recheck(path, now + SILENT);
        }
        for top in self.tree.silent() {
            findings.recheck(&**top, now + SILENT);
        }
        findings.is_first = std::mem::take(&mut self.is_new);
        findings.changes.sort_by(|a, b| a.root.cmp(&b.root).then_with(|| by_components(&a.name, &b.name)));
        Look::Done(findings)
    }

    /// Lists the directories again in which files came or went. `None`: more than that is different.
    fn relist(&mut self, now: Instant) -> Option<Vec<At>> {
        let mut look = Vec::new();
        for dir in self.touched.relist.clone() {
            let listing = match self.tree.relist(&dir, &mut self.answers) {
                Relisted::Files(listing) => listing,
                Relisted::Late => continue,
                Relisted::Otherwise => return None,
            };
            for name in self.tree.names_of_dir(&dir) {
                look.extend(self.contents.names.relisted(name, listing.clone(), self.tree.scope(), now));
            }
        }
        Some(look)
    }

    /// Does what there is to do at the start while directories come to be watched.
    pub(crate) fn prepare(&mut self, unwatched: &mut Unwatched) {
        if self.contents.names.nodes.is_empty() && self.is_new {
            unwatched.prepared = Some(self.contents.names.begin(&unwatched.found, self.tree.scope()));
        }
    }

    fn warn(&mut self) {
        let warnings = &self.tree.walked().warnings;
        warnings.difference(&self.warned).for_each(Warning::log);
        self.warned.clone_from(warnings);
    }

    /// Which of these files have changed, whether anybody told or not.
    pub(crate) fn recheck(&mut self, files: &BTreeSet<PathBuf>, now: Instant) -> HintSet {
        recheck::changed(files, &self.tree, &mut self.contents, &mut self.answers, now)
    }

    /// When there is something to do, if nothing is hinted until then.
    pub(crate) fn next_work(&self) -> Option<Instant> {
        let due = self.contents.hard_links.due().into_iter().fold(self.audit.due(), Instant::min);
        (!self.is_new).then_some(due)
    }

    /// Does one slice of what is due.
    pub(crate) fn work(&mut self, now: Instant) -> Work {
        let mut work = Work::default();
        if self.is_new {
            return work;
        }
        if self.audit.due() <= now {
            let answers = &mut self.answers;
            work.found = self.audit.slice(&self.tree, &mut self.contents, answers, now, &mut work.look);
        }
        if self.contents.hard_links.due().is_some_and(|due| due <= now) {
            let Contents { hard_links, names, .. } = &mut self.contents;
            let may_look = |dir: &_| may_look_into(dir, names, &mut self.answers);
            work.look.merge(hard_links.look(&self.tree, names, may_look, now));
        }
        work
    }
}

/// Whether a hinted place is in the directory, or the directory in it.
fn touches(hints: &HintSet, dir: &Path) -> bool {
    hints.covers(dir) || hints.iter().any(|(path, _)| path.starts_with(dir))
}

/// Everything there is, as a look at an unwatched tree.
pub(crate) fn scan(settings: &WatchConfig, roots: Vec<Root>) -> (Findings, Reconciler) {
    let mut reconciler = Reconciler::new(settings, roots);
    let (mut watched, mut before) = (DirSet::new(), None);
    loop {
        match reconciler.look(&HintSet::new(), before.take(), &watched, Calm::ANY, Instant::now()) {
            Look::Unwatched(unwatched) => {
                watched.clone_from(&reconciler.links().watched_dirs);
                before = Some(unwatched);
            }
            Look::Early(_) => {}
            Look::Done(findings) => return (findings, reconciler),
        }
    }
}
