//! What really changed: hints say where to look, the disk says what is true.
//!
//! Content counts, by its hash, and nothing else does: not a time, not a size, not what an event said.
//! Two things a save goes through for a moment are not believed at first sight: that a file is gone,
//! and that it is empty. They count when they are still so [`GRACE`] later.
//!
//! A file that is named in a hint is read, whatever its attributes say. Where a hint covers many (a
//! directory, or everything after a loss of sync), those are read whose attributes differ.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hotloader_backend::HintSet;

use super::{
    Change, ChangeKind, Content, Contents, Root, RootId,
    key::StatKey,
    listing::{is_on_local_file_system, join},
    names::{At, Clock, Names, Node, Told},
    read::{MAX_SIZE, Read, read_all},
    survey::{Suspect, survey},
    tree::{DirName, Name, Touched, Tree},
    upkeep::Upkeep,
    vcs::VcsLocks,
    walk::{Found, Warning},
};
use crate::config::WatchConfig;

/// How long a file must be gone, or empty, to be believed so.
const GRACE: Duration = Duration::from_millis(60);

/// When a file that changed under the reader is read again.
const UNSTABLE: Duration = Duration::from_millis(20);

/// When something unreadable is looked at again: at first, and at most.
const TROUBLE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// When a file is read again whose attributes are new and whose content is not, on a file system that
/// may keep old content for a while: at first, and at most.
const STALE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(16));

/// The state of the watched tree as it was last shown to the reload half.
#[derive(Debug)]
pub(crate) struct Reconciler {
    pub(super) tree: Tree,
    pub(super) names: Names,
    pub(super) upkeep: Upkeep,
    pub(super) clock: Clock,
    locks: VcsLocks,
    touched: Touched,
    arming: Option<Arming>,
    troubles: BTreeMap<PathBuf, Duration>,
    stale: BTreeMap<PathBuf, Duration>,
    warned: BTreeSet<Warning>,
    oversized: BTreeSet<PathBuf>,
    empty: BTreeMap<Name, Instant>,
    /// Names to be told again, with the file that is behind them now.
    again: BTreeSet<Name>,
    initial: bool,
}

/// What a walk came to that was before its directories were watched.
#[derive(Debug)]
struct Arming {
    /// Listed too early.
    dirs: BTreeSet<PathBuf>,
    found: Vec<Found>,
}

/// What links there are and what is watched, for people and the status page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkView {
    /// Each link of the tree (the path of its directory has no link in it) and where it leads in the
    /// end; for a dangling one, where the way ends.
    pub symlink_targets: BTreeMap<PathBuf, PathBuf>,
    /// Every real directory that is watched.
    pub watched_dirs: BTreeSet<PathBuf>,
    /// Those in which a tree begins: where the roots and the links to directories lead.
    pub trees: BTreeSet<PathBuf>,
}

/// What a look came to.
#[derive(Debug)]
pub(crate) enum Look {
    /// Some of the directories in [`Reconciler::links`] were listed before they were watched: have them
    /// watched and look again, without hints. What is doubtful is known.
    Arm,
    /// This is what changed.
    Done(Outcome),
}

/// What changed, and what remains to be seen.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Ordered by name.
    pub(crate) changes: Vec<Change>,
    /// Places to look at again, and when.
    pub(crate) rechecks: Vec<(PathBuf, Instant)>,
    /// Links, or what is to be watched, may not be as they were.
    pub(crate) walked: bool,
    /// How many of the changes an audit found, of which there was no hint.
    pub(crate) missed: usize,
}

impl Outcome {
    fn recheck(&mut self, path: impl Into<PathBuf>, at: Instant) {
        self.rechecks.push((path.into(), at));
    }
}

/// Files to read, each for all its names; and whether a hint named it.
#[derive(Debug, Default)]
struct Jobs(BTreeMap<PathBuf, (BTreeSet<At>, bool)>);

impl Reconciler {
    pub(crate) fn new(settings: &WatchConfig, roots: Vec<Root>) -> Self {
        Self {
            upkeep: Upkeep::new(&roots, Instant::now()),
            tree: Tree::new(settings, roots),
            names: Names::default(),
            clock: Clock(Instant::now()),
            locks: VcsLocks::default(),
            touched: Touched::default(),
            arming: None,
            troubles: BTreeMap::new(),
            stale: BTreeMap::new(),
            warned: BTreeSet::new(),
            oversized: BTreeSet::new(),
            empty: BTreeMap::new(),
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
            && self.empty.is_empty()
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

    /// Whether a checkout is under way: what is on the disk is half of one revision and half of another.
    pub(crate) fn is_checkout_under_way(&mut self) -> bool {
        self.locks.is_busy()
    }

    /// The checkout takes too long to be waited for. It is not waited for again.
    pub(crate) fn give_up_on_checkout(&mut self) {
        self.locks.give_up();
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

    /// Looks at the hinted places. If that leads to directories that are not in `watched`, nothing is
    /// read yet: what was just listed may have changed before anybody watched it.
    pub(crate) fn look(&mut self, hints: &HintSet, watched: &BTreeSet<PathBuf>, now: Instant) -> Look {
        let touched = self.tree.touch(hints);
        self.touched.merge(touched);
        self.touched.structure |= self.troubles.keys().any(|path| hints.covers(path));
        let mut found = None;
        match self.arming.take() {
            Some(Arming { dirs, found: before }) => {
                if self.tree.recheck(&dirs) || !self.touched.relist.is_empty() {
                    self.touched.structure = true;
                }
                found = Some(before).filter(|_| !self.touched.structure);
            }
            None => self.touched.structure |= self.initial,
        }
        let mut outcome = Outcome::default();
        let mut look = if self.touched.structure || found.is_some() { None } else { self.relist(now) };
        if look.is_none() {
            let found = found.unwrap_or_else(|| self.tree.walk());
            let new: BTreeSet<PathBuf> = self.tree.walked().dirs.difference(watched).cloned().collect();
            if !new.is_empty() {
                self.touched.structure = false;
                self.touched.relist.clear();
                self.arming = Some(Arming { dirs: new, found });
                return Look::Arm;
            }
            self.warn();
            self.note_troubles(&mut outcome, now);
            self.locks.change_to(&self.tree.walked().trees);
            look = Some(self.take_over(found, now));
            outcome.walked = true;
        }
        let touched = std::mem::take(&mut self.touched);
        let mut jobs = Jobs::default();
        if self.initial {
            self.list(&mut look, &mut outcome);
        }
        for at in look.into_iter().flatten() {
            self.job(at, false, &mut jobs);
        }
        self.named(touched.files.iter().cloned(), &mut jobs);
        if touched.covers_any() && !self.initial {
            self.covered(&touched, &mut jobs);
        }
        self.read(jobs, &mut outcome, now);
        self.expire(&mut outcome, now);
        self.tell_again(&mut outcome, now);
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

    fn take_over(&mut self, found: Vec<Found>, now: Instant) -> Vec<At> {
        self.names.update(found, &wants(&self.tree), now)
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

    /// Tells the names of trees whose contents are not wanted at the start.
    fn list(&mut self, look: &mut Option<Vec<At>>, outcome: &mut Outcome) {
        let names_only: BTreeSet<RootId> = self
            .tree
            .roots
            .iter()
            .filter(|root| root.contents == Contents::WhenChanged)
            .map(|root| root.id)
            .collect();
        if names_only.is_empty() {
            return;
        }
        let of_them = |node: &(&DirName, &mut Node)| names_only.contains(&node.0.0);
        for ((root, dir), node) in self.names.nodes.iter_mut().filter(of_them) {
            outcome.changes.extend(node.slots.iter().map(|slot| Change {
                root: *root,
                name: join(dir, node.listing.name(slot.entry)),
                path: node.file(slot.entry),
                kind: ChangeKind::Listed,
            }));
            node.slots.iter_mut().for_each(|slot| slot.told = Told::Name);
        }
        if let Some(look) = look {
            look.retain(|((root, _), _)| !names_only.contains(root));
        }
    }

    fn job(&self, at: At, named: bool, jobs: &mut Jobs) {
        let Some(file) =
            self.names.nodes.get(&at.0).filter(|node| node.slot(at.1).is_some()).map(|node| node.file(at.1))
        else {
            return;
        };
        let (names, was_named) = jobs.0.entry(file).or_default();
        names.insert(at);
        *was_named |= named;
    }

    /// Reads these files, and whatever else is the same file under another name.
    fn named(&self, files: impl Iterator<Item = PathBuf>, jobs: &mut Jobs) {
        for file in files {
            for at in self.tree.names_of(&file) {
                if let Some(slot) = self.names.slot(&at)
                    && slot.key.is_hard_linked()
                {
                    for other in self.upkeep.hard_links.others(slot.key.identity(), &file) {
                        self.tree.names_of(other).into_iter().for_each(|at| self.job(at, true, jobs));
                    }
                }
                self.job(at, true, jobs);
            }
        }
    }

    /// Reads the files whose attributes differ, where none is named.
    fn covered(&self, touched: &Touched, jobs: &mut Jobs) {
        let nodes: Vec<_> = self.names.nodes.iter().filter(|(_, node)| touched.covers(&node.real)).collect();
        for Suspect { at, key } in survey(&nodes) {
            let told = self.names.slot(&at).map(|slot| slot.told);
            // With nothing to compare with, what was not touched lately is taken to be as it was.
            let unknown = told == Some(Told::Name);
            let old = |key: StatKey| key.is_old(std::time::SystemTime::now());
            if !unknown || !key.is_some_and(old) {
                self.job(at, true, jobs);
            }
        }
    }

    /// Reads each real file once, for all its names.
    fn read(&mut self, jobs: Jobs, outcome: &mut Outcome, now: Instant) {
        let begun = self.clock.at(Instant::now());
        let (files, jobs): (Vec<_>, Vec<_>) = jobs.0.into_iter().unzip();
        let read = read_all(&files);
        for ((path, (names, named)), read) in files.into_iter().zip(jobs).zip(read) {
            if !matches!(read, Read::Failed(_)) {
                self.troubles.remove(&path);
            }
            if !matches!(read, Read::TooLarge | Read::NotAFile) {
                self.oversized.remove(&path);
            }
            match read {
                Read::Content(content, key) => {
                    self.upkeep.hard_links.note(&key, &path, now);
                    for at in &names {
                        self.content(at, &path, &content, (key, begun), named, outcome, now);
                    }
                }
                Read::Gone => {
                    for at in &names {
                        self.names.lose_at(at, now);
                    }
                }
                Read::Unstable => outcome.recheck(path, now + UNSTABLE),
                Read::Failed(error) => trouble(&mut self.troubles, &path, &error, outcome, now),
                Read::TooLarge | Read::NotAFile => {
                    if self.oversized.insert(path.clone()) {
                        tracing::warn!(target: "watch", ?path, limit = MAX_SIZE,
                            "not a regular file of at most the limit in bytes; not read");
                    }
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "all of it belongs to one file that was read")]
    fn content(
        &mut self,
        at: &At,
        path: &Path,
        content: &Content,
        (key, begun): (StatKey, u32),
        named: bool,
        outcome: &mut Outcome,
        now: Instant,
    ) {
        self.names.found(at);
        let Some(name) = self.names.name(at) else { return };
        let confirmed = self.upkeep.is_baseline_confirmed();
        let Some(slot) = self.names.slot_mut(at) else { return };
        let (told, new_key) = (slot.told, slot.key != key && slot.key != StatKey::default());
        slot.note_key(key, begun);
        let known = match told {
            Told::Nothing | Told::Name => false,
            // The save may have come between the first change set and the reading.
            Told::Baseline => confirmed || !named,
            Told::Content => true,
        };
        let same = known && slot.hash == content.hash;
        if same && !self.again.remove(&name) && !self.has_moved_from_others(&name, path) {
            self.empty.remove(&name);
            if new_key {
                self.doubt_content(path, outcome, now);
            }
            return;
        }
        self.stale.remove(path);
        // Emptied, or just created: more is likely to come.
        if content.bytes.is_empty() && !self.initial && !same {
            let since = *self.empty.entry(name.clone()).or_insert(now);
            if now < since + GRACE {
                outcome.recheck(path, since + GRACE);
                return;
            }
        }
        self.empty.remove(&name);
        self.names.told_as.remove(&name);
        if let Some(slot) = self.names.slot_mut(at) {
            (slot.told, slot.hash) = (Told::Content, content.hash);
        }
        let kind = if told == Told::Nothing { ChangeKind::Added } else { ChangeKind::Modified };
        let (root, name) = name;
        outcome.changes.push(Change { root, name, path: path.to_owned(), kind: kind(content.clone()) });
    }

    /// Whether the consumer knows the name as another file, which still has other names: to go on taking
    /// the two for one would be wrong.
    fn has_moved_from_others(&mut self, name: &Name, path: &Path) -> bool {
        let Some(was) = self.names.told_as.get(name) else { return false };
        if was == path {
            self.names.told_as.remove(name);
            return false;
        }
        !self.tree.names_of(was).is_empty()
    }

    /// A name that the consumer knows as a file which it was just told of under another name has to be
    /// told of again.
    fn tell_again(&mut self, outcome: &mut Outcome, now: Instant) {
        if self.names.told_as.is_empty() {
            return;
        }
        let told: BTreeSet<&Path> = outcome.changes.iter().map(|change| change.path.as_path()).collect();
        let again: Vec<Name> = self
            .names
            .told_as
            .iter()
            .filter(|(_, was)| told.contains(was.as_path()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in again {
            if let Some(file) = self.names.file(&name) {
                outcome.recheck(file, now);
                self.again.insert(name);
            }
        }
    }

    /// Its attributes are new and its content is not: on some file systems, the content comes later.
    fn doubt_content(&mut self, path: &Path, outcome: &mut Outcome, now: Instant) {
        let (first, longest) = STALE;
        let delay = self.stale.get(path).map_or(first, |delay| *delay * 2);
        if delay > longest || is_on_local_file_system(path) {
            self.stale.remove(path);
        } else {
            self.stale.insert(path.to_owned(), delay);
            outcome.recheck(path, now + delay);
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
            self.empty.remove(&name);
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

/// As paths are ordered, and several times faster.
fn by_components(a: &Path, b: &Path) -> Ordering {
    let first = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.as_os_str().as_bytes().iter().map(first).cmp(b.as_os_str().as_bytes().iter().map(first))
}

fn wants(tree: &Tree) -> impl Fn(RootId, &OsStr) -> bool {
    move |id, file| {
        tree.roots.iter().any(|root| root.id == id && root.wants(file)) && !tree.ignore.matches(file)
    }
}

/// What cannot be read stays as it was, and is looked at again, less and less often.
fn trouble(
    troubles: &mut BTreeMap<PathBuf, Duration>,
    path: &Path,
    error: &io::Error,
    outcome: &mut Outcome,
    now: Instant,
) {
    let (first, longest) = TROUBLE;
    let delay = match troubles.get_mut(path) {
        Some(delay) => {
            *delay = (*delay * 2).min(longest);
            *delay
        }
        None => {
            tracing::warn!(target: "watch", ?path, %error, "cannot be read; keeping what was known and looking again");
            troubles.insert(path.to_owned(), first);
            first
        }
    };
    outcome.recheck(path, now + delay);
}

/// Everything there is, as a look at an unwatched tree.
pub(crate) fn scan(settings: &WatchConfig, roots: Vec<Root>) -> Vec<Change> {
    let mut reconciler = Reconciler::new(settings, roots);
    let mut watched = BTreeSet::new();
    loop {
        match reconciler.look(&HintSet::new(), &watched, Instant::now()) {
            Look::Arm => watched = reconciler.links().watched_dirs,
            Look::Done(outcome) => return outcome.changes,
        }
    }
}
