//! Which files a look has to read, and what their contents say.
//!
//! A file that is named in a hint is read, whatever its attributes say. Where a hint covers many (a
//! directory, or everything after a loss of sync), those are read whose attributes differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use hotloader_backend::{HintSet, Phase};
use hotloader_disk::Fingerprint;

use super::{
    findings::Findings,
    hard_links::HardLinks,
    jobs::{Jobs, ReadFile},
    name::{At, Name},
    names::{Clock, Names, Told},
    survey::survey,
    tree::{Touched, Tree},
};
use crate::watch::{
    change::{Change, ChangeKind, Content, Unreadable},
    disk::{Answers, Read, Signs, Unfinished, is_on_local_file_system, open_for_writing},
};

/// How long a file must be gone to be believed so.
const GRACE: Duration = Duration::from_millis(60);

/// When a file that changed under the reader is read again.
const UNSTABLE: Duration = Duration::from_millis(20);

/// When something unreadable is looked at again: at first, and at most.
const TROUBLE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// When a file is read again whose attributes are new and whose content is not, on a file system that
/// may keep old content for a while: at first, and at most.
const STALE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(16));

/// A look at the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// When it began to read, in milliseconds of the [`Clock`].
    pub(super) begun: u32,
    /// Nothing was told before it.
    pub(super) is_first: bool,
}

/// What was told of the files, and what is in doubt about them.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) names: Names,
    pub(super) hard_links: HardLinks,
    pub(super) unfinished: Unfinished,
    pub(super) clock: Clock,
    /// Larger files are not read.
    pub(super) max_file: usize,
    /// What cannot be read now, and how long one waits before looking again.
    troubles: BTreeMap<PathBuf, Duration>,
    /// Files whose attributes are new and whose content is not, where the content may come later.
    stale: BTreeMap<PathBuf, Duration>,
    /// Files that are there and cannot be read.
    unreadable: BTreeMap<PathBuf, Unreadable>,
    /// Names to be told again, with the file that is behind them now.
    again: BTreeSet<Name>,
}

impl Contents {
    pub(super) fn new(max_file: usize) -> Self {
        Self {
            names: Names::default(),
            hard_links: HardLinks::default(),
            unfinished: Unfinished::default(),
            clock: Clock(Instant::now()),
            max_file,
            troubles: BTreeMap::new(),
            stale: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            again: BTreeSet::new(),
        }
    }

    /// Whether nothing is remembered beyond what there is.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        self.names.is_at_rest()
            && self.unfinished.is_empty()
            && self.again.is_empty()
            && self.troubles.is_empty()
            && self.stale.is_empty()
    }

    /// Whether something at these places could not be read.
    pub(super) fn is_in_trouble(&self, hints: &HintSet) -> bool {
        self.troubles.keys().any(|path| hints.covers(path))
    }

    /// Reads the files that are new, those that are named, and those that look different where all are
    /// covered. Names those that take too long.
    pub(super) fn read(
        &self,
        tree: &Tree,
        answers: &mut Answers,
        new: Vec<At>,
        touched: &Touched,
        covers: bool,
    ) -> (Vec<ReadFile>, Vec<PathBuf>) {
        let mut jobs = Jobs::default();
        new.into_iter().for_each(|at| self.job(at, tree, &mut jobs));
        touched.files.iter().for_each(|file| self.named(file, tree, &mut jobs));
        if covers {
            self.covered(touched, tree, &mut jobs);
        }
        jobs.read(tree, answers, self.max_file)
    }

    fn job(&self, at: At, tree: &Tree, jobs: &mut Jobs) {
        let Some(file) =
            self.names.nodes.get(&at.0).filter(|node| node.slot(at.1).is_some()).map(|node| node.file(at.1))
        else {
            return;
        };
        if tree.is_silent(&file) {
            return;
        }
        jobs.add(file, at);
    }

    /// Has a file read, and whatever else is the same file under another name.
    fn named(&self, file: &Path, tree: &Tree, jobs: &mut Jobs) {
        for at in tree.names_of(file) {
            if let Some(slot) = self.names.slot(&at)
                && slot.key.is_hard_linked()
            {
                for other in self.hard_links.others(slot.key.identity(), file) {
                    tree.names_of(other).into_iter().for_each(|at| self.job(at, tree, jobs));
                }
            }
            self.job(at, tree, jobs);
        }
    }

    /// Reads the files whose attributes differ, where none is named.
    fn covered(&self, touched: &Touched, tree: &Tree, jobs: &mut Jobs) {
        let nodes = self
            .names
            .nodes
            .iter()
            .filter(|(_, node)| touched.covers(&node.real) && !tree.is_silent(&node.real));
        let nodes: Vec<_> = nodes.collect();
        for at in survey(&nodes) {
            self.job(at, tree, jobs);
        }
    }

    /// How long ago the youngest of the files that have another content was written.
    pub(super) fn youngest(&self, files: &[ReadFile]) -> Option<Duration> {
        let now = SystemTime::now();
        let age = |file: &ReadFile| match &file.read {
            // What is waited for holds up nothing else.
            Read::Content(content, key)
                if !self.unfinished.holds(&file.path)
                    && file.names.iter().any(|at| self.names.differs(at, content.hash)) =>
            {
                key.age(now)
            }
            _ => None,
        };
        files.iter().filter_map(age).min()
    }

    /// Takes in what was read, each real file for all its names.
    pub(super) fn take_in(
        &mut self,
        files: Vec<ReadFile>,
        tree: &Tree,
        phases: &BTreeMap<PathBuf, Phase>,
        moment: Moment,
        findings: &mut Findings,
    ) {
        let now = moment.now;
        self.unfinished.expire(now);
        let may_be_open =
            |file: &&ReadFile| !moment.is_first && self.may_be_open(file, phases.get(&file.path));
        let suspects = files.iter().filter(may_be_open);
        let suspects = suspects.map(|file| file.path.as_path()).collect();
        let open: BTreeSet<PathBuf> = open_for_writing(&suspects).into_iter().map(Path::to_owned).collect();
        for ReadFile { path, names, read } in files {
            if !matches!(read, Read::Failed(_)) {
                self.troubles.remove(&path);
            }
            if !matches!(read, Read::TooLarge(_) | Read::NotAFile | Read::Failed(_)) {
                self.unreadable.remove(&path);
            }
            match read {
                Read::Content(content, key) => {
                    self.hard_links.note(&key, &path, now);
                    let is_open = open.contains(&path);
                    if let Some(again) = self.wait_for(&path, &names, &content, key, is_open, moment) {
                        names.iter().for_each(|at| self.names.found(at));
                        findings.recheck(path, again);
                        continue;
                    }
                    for at in &names {
                        self.content(at, (&path, &content, key), tree, moment, findings);
                    }
                }
                Read::Gone => {
                    self.unfinished.forget(&path);
                    for at in &names {
                        self.names.lose_at(at, now);
                    }
                }
                Read::Unstable => findings.recheck(path, now + UNSTABLE),
                Read::Failed(error) => {
                    let is_lasting = self.troubles.contains_key(&path);
                    self.trouble(&path, &error, findings, now);
                    // Permissions are set in two steps at times; and what a server that is away has to give is
                    // not worse for that.
                    let is_refused = error.kind() == io::ErrorKind::PermissionDenied;
                    if moment.is_first || (is_lasting && is_refused) {
                        self.tell_unreadable(path, &names, Unreadable::Failed(error.to_string()), findings);
                    }
                }
                Read::TooLarge(size) => {
                    let why = Unreadable::TooLarge { size, limit: self.max_file };
                    self.tell_unreadable(path, &names, why, findings);
                }
                Read::NotAFile => {
                    let why = Unreadable::Failed("it is not a regular file".into());
                    self.tell_unreadable(path, &names, why, findings);
                }
            }
        }
    }

    fn tell_unreadable(
        &mut self,
        path: PathBuf,
        names: &BTreeSet<At>,
        why: Unreadable,
        findings: &mut Findings,
    ) {
        let is_known = self.unreadable.get(&path) == Some(&why);
        for at in names {
            self.names.found(at);
            let Some((root, name)) = self.names.name(at) else { continue };
            let Some(slot) = self.names.slot_mut(at) else { continue };
            if slot.told == Told::Unreadable && is_known {
                continue;
            }
            slot.told = Told::Unreadable;
            findings.changes.push(Change {
                root,
                name,
                path: path.clone(),
                kind: ChangeKind::Unreadable(why.clone()),
            });
        }
        self.unreadable.insert(path, why);
    }

    /// Whether it is worth searching for whoever has a file open: that may take milliseconds.
    fn may_be_open(&self, file: &ReadFile, phase: Option<&Phase>) -> bool {
        let Read::Content(content, key) = &file.read else { return false };
        if !self.is_other_content(&file.names, content) {
            return false;
        }
        if self.unfinished.knows(&file.path) || phase == Some(&Phase::Writing) {
            return true;
        }
        // Whoever puts a finished file in the place of another has written it elsewhere.
        let is_new_or_written_into = |at: &At| {
            self.names
                .slot(at)
                .is_some_and(|slot| slot.told == Told::Nothing || slot.key.identity() == key.identity())
        };
        phase != Some(&Phase::Closed)
            && (content.bytes.is_empty() || file.names.iter().any(is_new_or_written_into))
    }

    fn is_other_content(&self, names: &BTreeSet<At>, content: &Content) -> bool {
        names.iter().any(|at| self.names.differs(at, content.hash))
    }

    /// When to look at a file again before its content is believed.
    fn wait_for(
        &mut self,
        path: &Path,
        names: &BTreeSet<At>,
        content: &Content,
        key: Fingerprint,
        is_open: bool,
        moment: Moment,
    ) -> Option<Instant> {
        if moment.is_first || !self.is_other_content(names, content) {
            self.unfinished.forget(path);
            return None;
        }
        let is_new = names.iter().all(|at| self.names.slot(at).is_none_or(|slot| slot.told == Told::Nothing));
        let signs = Signs { is_empty: content.bytes.is_empty(), is_new, is_open };
        self.unfinished.wait(path, key, signs, moment.now)
    }

    /// Takes in one name of a file that was read.
    fn content(
        &mut self,
        at: &At,
        (path, content, key): (&Path, &Content, Fingerprint),
        tree: &Tree,
        moment: Moment,
        findings: &mut Findings,
    ) {
        self.names.found(at);
        let Some(name) = self.names.name(at) else { return };
        let Some(slot) = self.names.slot_mut(at) else { return };
        let (told, new_key) = (slot.told, slot.key != key && slot.key != Fingerprint::default());
        slot.note_key(key, moment.begun);
        let same = told == Told::Content && slot.hash == content.hash;
        if same && !self.again.remove(&name) && !self.has_moved_from_others(&name, path, tree) {
            if new_key {
                self.doubt_content(path, findings, moment.now);
            }
            return;
        }
        self.stale.remove(path);
        self.names.told_as.remove(&name);
        if let Some(slot) = self.names.slot_mut(at) {
            (slot.told, slot.hash) = (Told::Content, content.hash);
        }
        let kind = if told == Told::Nothing { ChangeKind::Added } else { ChangeKind::Modified };
        let (root, name) = name;
        findings.changes.push(Change { root, name, path: path.to_owned(), kind: kind(content.clone()) });
    }

    /// Whether the consumer knows the name as another file, which still has other names: to go on taking
    /// the two for one would be wrong.
    fn has_moved_from_others(&mut self, name: &Name, path: &Path, tree: &Tree) -> bool {
        let Some(was) = self.names.told_as.get(name) else { return false };
        if was == path {
            self.names.told_as.remove(name);
            return false;
        }
        !tree.names_of(was).is_empty()
    }

    /// A name that the consumer knows as a file which it was just told of under another name has to be
    /// told of again.
    pub(super) fn tell_again(&mut self, findings: &mut Findings, now: Instant) {
        if self.names.told_as.is_empty() {
            return;
        }
        let told: BTreeSet<&Path> = findings.changes.iter().map(|change| change.path.as_path()).collect();
        let again: Vec<Name> = self
            .names
            .told_as
            .iter()
            .filter(|(_, was)| told.contains(was.as_path()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in again {
            if let Some(file) = self.names.file(&name) {
                findings.recheck(file, now);
                self.again.insert(name);
            }
        }
    }

    /// Its attributes are new and its content is not: on some file systems, the content comes later.
    fn doubt_content(&mut self, path: &Path, findings: &mut Findings, now: Instant) {
        let (first, longest) = STALE;
        let delay = self.stale.get(path).map_or(first, |delay| *delay * 2);
        if delay > longest || is_on_local_file_system(path) {
            self.stale.remove(path);
        } else {
            self.stale.insert(path.to_owned(), delay);
            findings.recheck(path, now + delay);
        }
    }

    /// What cannot be read stays as it was, and is looked at again, less and less often.
    fn trouble(&mut self, path: &Path, error: &io::Error, findings: &mut Findings, now: Instant) {
        let (first, longest) = TROUBLE;
        let delay = match self.troubles.get_mut(path) {
            Some(delay) => {
                *delay = (*delay * 2).min(longest);
                *delay
            }
            None => {
                tracing::warn!(target: "watch", ?path, %error, "cannot be read; keeping what was known and looking again");
                self.troubles.insert(path.to_owned(), first);
                first
            }
        };
        findings.recheck(path, now + delay);
    }

    /// Notes what a walk could not see.
    pub(super) fn note_troubles(&mut self, tree: &Tree, findings: &mut Findings, now: Instant) {
        let troubles = &tree.walked().troubles;
        let lasts = |path: &PathBuf| troubles.iter().any(|(at, _)| at == path);
        self.troubles.retain(|path, _| !tree.names_of(path).is_empty() || lasts(path));
        for (path, error) in troubles {
            self.trouble(path, error, findings, now);
        }
    }

    /// What was gone for long enough is gone.
    pub(super) fn expire(&mut self, findings: &mut Findings, now: Instant) {
        for (name, missing) in self.names.take_missing() {
            match self.names.told(&name) {
                // It is there, and nobody could read it yet: not the same as gone.
                Some(Told::Nothing) if !missing.is_unreadable => {
                    self.names.keep_missing(name, missing);
                    continue;
                }
                Some(Told::Nothing) | None => {}
                Some(_) => continue,
            }
            if now < missing.since + GRACE {
                let [entry, file] = &missing.places;
                findings.recheck(entry, missing.since + GRACE);
                if file != entry {
                    findings.recheck(file, missing.since + GRACE);
                }
                findings.vanished += usize::from(missing.since == now);
                self.names.keep_missing(name, missing);
            } else {
                self.again.remove(&name);
                let (root, name) = name;
                findings.changes.push(Change { root, name, path: missing.real, kind: ChangeKind::Removed });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::WatchConfig,
        watch::{Root, RootId},
    };

    #[test]
    fn a_file_that_may_not_be_read_is_told_when_that_lasts_and_one_that_does_not_answer_is_not() {
        let keep = tempfile::tempdir().unwrap();
        let dir = std::fs::canonicalize(keep.path()).unwrap();
        std::fs::write(dir.join("x.lua"), "1").unwrap();
        let root = Root {
            id: RootId("lua"),
            dir: dir.clone(),
            extensions: &[],
            recursive: true,
            max_file: Root::MAX_FILE,
            optional: false,
        };
        let mut tree = Tree::new(&WatchConfig::default(), vec![root]);
        let mut contents = Contents::new(Root::MAX_FILE);
        let now = Instant::now();
        assert_eq!(contents.names.update(tree.walk(&mut Answers::default()), tree.scope(), now).len(), 1);
        let path = dir.join("x.lua");
        let mut look = |read: Read, is_first: bool| {
            let names = tree.names_of(&path).into_iter().collect();
            let file = ReadFile { path: path.clone(), names, read };
            let mut findings = Findings::default();
            let moment = Moment { now, begun: 1, is_first };
            contents.take_in(vec![file], &tree, &BTreeMap::new(), moment, &mut findings);
            findings.changes.into_iter().map(|change| change.kind).collect::<Vec<_>>()
        };
        let content = Read::Content(Content::new(*b"1"), Fingerprint::at(&path).unwrap());
        assert!(matches!(look(content, true)[..], [ChangeKind::Added(_)]));
        let mut read = |kind: io::ErrorKind| look(Read::Failed(kind.into()), false);
        for _ in 0..3 {
            assert!(read(io::ErrorKind::TimedOut).is_empty());
        }
        let told = read(io::ErrorKind::PermissionDenied);
        assert!(matches!(&told[..], [ChangeKind::Unreadable(Unreadable::Failed(_))]), "{told:?}");
        assert!(read(io::ErrorKind::PermissionDenied).is_empty(), "it is told once");
    }
}
