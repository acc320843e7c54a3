//! What really changed: hints say where to look, the disk says what is true.
//!
//! Content counts, by its hash, and nothing else does: not a time, not a size, not what an event said.
//! Two things a save goes through for a moment are not believed at first sight: that a file is gone,
//! and that it is empty. They count when they are still so [`GRACE`] later.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hotloader_backend::HintSet;

use super::{
    Change, ChangeKind, Content, ContentHash, Root,
    read::{MAX_SIZE, Read, read_stable},
    tree::{Name, Place, Touched, Tree},
    walk::Warning,
};
use crate::config::WatchConfig;

/// How long a file must be gone, or empty, to be believed so.
const GRACE: Duration = Duration::from_millis(60);

/// When a file that changed under the reader is read again.
const UNSTABLE: Duration = Duration::from_millis(20);

/// When something unreadable is looked at again: at first, and at most.
const TROUBLE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The state of the watched tree as it was last shown to the reload half.
#[derive(Debug)]
pub(crate) struct Reconciler {
    tree: Tree,
    entries: BTreeMap<Name, Entry>,
    touched: Touched,
    troubles: BTreeMap<PathBuf, Duration>,
    warned: BTreeSet<Warning>,
    oversized: BTreeSet<PathBuf>,
    /// Some name was gone at the last look.
    any_gone: bool,
    initial: bool,
}

/// One logical name.
#[derive(Debug)]
struct Entry {
    place: Place,
    /// What was shown last: its content, and the real file.
    shown: Option<(ContentHash, PathBuf)>,
    gone_since: Option<Instant>,
    empty_since: Option<Instant>,
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
    /// These directories were not watched while they were listed: arm them and look again.
    Arm(BTreeSet<PathBuf>),
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
}

impl Outcome {
    fn recheck(&mut self, path: impl Into<PathBuf>, at: Instant) {
        self.rechecks.push((path.into(), at));
    }
}

impl Reconciler {
    pub(crate) fn new(settings: &WatchConfig, roots: Vec<Root>) -> Self {
        Self {
            tree: Tree::new(settings, roots),
            entries: BTreeMap::new(),
            touched: Touched::default(),
            troubles: BTreeMap::new(),
            warned: BTreeSet::new(),
            oversized: BTreeSet::new(),
            any_gone: false,
            initial: true,
        }
    }

    /// Other names are ignored, or links may lead elsewhere: all is to be looked at again.
    pub(crate) fn configure(&mut self, settings: &WatchConfig) {
        self.tree.configure(settings);
    }

    /// Drops hints that concern nothing of ours.
    pub(crate) fn keep_concerning(&self, hints: &mut HintSet) {
        hints.retain(|path| self.tree.concerns(path));
    }

    /// Whether it has never looked: then its first outcome names everything there is.
    pub(crate) fn is_new(&self) -> bool {
        self.initial
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
        let troubled = self.troubles.keys().any(|path| hints.covers(path));
        self.touched.structure |= touched.structure || troubled || self.initial;
        self.touched.files.extend(touched.files);
        let mut outcome = Outcome::default();
        let walked = self.touched.structure;
        if walked {
            self.tree.walk();
            let new: BTreeSet<PathBuf> = self.tree.walked().dirs.difference(watched).cloned().collect();
            if !new.is_empty() {
                return Look::Arm(new);
            }
            self.warn();
            self.note_troubles(&mut outcome, now);
        }
        let touched = std::mem::take(&mut self.touched);
        let mut look: BTreeSet<Name> =
            touched.files.iter().flat_map(|real| self.tree.names_of(real)).cloned().collect();
        let gone = if walked { self.compare_names(&mut look) } else { self.still_gone() };
        self.any_gone = false;
        for name in gone {
            self.gone(&name, &mut outcome, now);
        }
        self.read(look, &mut outcome, now);
        self.initial = false;
        outcome.walked = walked;
        outcome.changes.sort_by(|a, b| (a.root, &a.name).cmp(&(b.root, &b.name)));
        Look::Done(outcome)
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

    /// Takes over the names of the walk; those that are new or lead elsewhere are to be read. Returns
    /// those that are gone. Both sides are in order, so one pass does.
    fn compare_names(&mut self, look: &mut BTreeSet<Name>) -> Vec<Name> {
        let mut gone = Vec::new();
        let mut new = Vec::new();
        let mut known = self.entries.iter_mut().peekable();
        for (name, place) in &self.tree.walked().names {
            while let Some((before, _)) = known.next_if(|(known, _)| *known < name) {
                gone.push(before.clone());
            }
            let Some((_, entry)) = known.next_if(|(known, _)| *known == name) else {
                new.push((name, place));
                continue;
            };
            if entry.place.real != place.real || entry.gone_since.is_some() || entry.shown.is_none() {
                look.insert(name.clone());
            }
            if entry.place != *place {
                entry.place = place.clone();
            }
        }
        gone.extend(known.map(|(name, _)| name.clone()));
        for (name, place) in new {
            let entry = Entry { place: place.clone(), shown: None, gone_since: None, empty_since: None };
            self.entries.insert(name.clone(), entry);
            look.insert(name.clone());
        }
        gone
    }

    /// The names that were gone at the last look, without a sign of them since.
    fn still_gone(&self) -> Vec<Name> {
        if !self.any_gone {
            return Vec::new();
        }
        let names = &self.tree.walked().names;
        let gone = self.entries.iter().filter(|(_, entry)| entry.gone_since.is_some());
        gone.map(|(name, _)| name).filter(|name| !names.contains_key(*name)).cloned().collect()
    }

    fn gone(&mut self, name: &Name, outcome: &mut Outcome, now: Instant) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let since = *entry.gone_since.get_or_insert(now);
        entry.empty_since = None;
        if entry.shown.is_some() && now < since + GRACE {
            self.any_gone = true;
            outcome.recheck(entry.place.entry.clone(), since + GRACE);
            if entry.place.real != entry.place.entry {
                outcome.recheck(entry.place.real.clone(), since + GRACE);
            }
        } else if let Some(Entry { shown: Some((_, path)), .. }) = self.entries.remove(name) {
            let (root, name) = name.clone();
            outcome.changes.push(Change { root, name, path, kind: ChangeKind::Removed });
        }
    }

    /// Reads each real file once, for all its names.
    fn read(&mut self, look: BTreeSet<Name>, outcome: &mut Outcome, now: Instant) {
        let mut files: BTreeMap<PathBuf, Vec<Name>> = BTreeMap::new();
        for name in look {
            if let Some(entry) = self.entries.get(&name) {
                files.entry(entry.place.real.clone()).or_default().push(name);
            }
        }
        for (path, names) in files {
            let read = read_stable(&path);
            if !matches!(read, Read::Failed(_)) {
                self.troubles.remove(&path);
            }
            if !matches!(read, Read::TooLarge | Read::NotAFile) {
                self.oversized.remove(&path);
            }
            match read {
                Read::Content(content) => {
                    for name in &names {
                        self.content(name, &path, &content, outcome, now);
                    }
                }
                Read::Gone => {
                    for name in &names {
                        self.gone(name, outcome, now);
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

    fn content(&mut self, name: &Name, path: &Path, content: &Content, outcome: &mut Outcome, now: Instant) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.gone_since = None;
        let known = entry.shown.as_ref();
        if known.is_some_and(|(hash, real)| *hash == content.hash && real == path) {
            entry.empty_since = None;
            return;
        }
        // Emptied, or just created: more is likely to come.
        let suspect =
            content.bytes.is_empty() && !self.initial && known.is_none_or(|(hash, _)| *hash != content.hash);
        if suspect {
            let since = *entry.empty_since.get_or_insert(now);
            if now < since + GRACE {
                outcome.recheck(path, since + GRACE);
                return;
            }
        }
        entry.empty_since = None;
        let added = entry.shown.replace((content.hash, path.to_owned())).is_none();
        let kind = if added { ChangeKind::Added } else { ChangeKind::Modified };
        outcome.changes.push(Change {
            root: name.0,
            name: name.1.clone(),
            path: path.to_owned(),
            kind: kind(content.clone()),
        });
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
            Look::Arm(new) => watched.extend(new),
            Look::Done(outcome) => return outcome.changes,
        }
    }
}
