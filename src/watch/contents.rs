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

use hotloader_backend::Phase;
use hotloader_disk::Fingerprint;

use super::{
    Change, ChangeKind, Content, Unreadable,
    listing::is_on_local_file_system,
    names::{At, Told},
    outcome::Outcome,
    read::{Read, read_all},
    reconcile::Reconciler,
    survey::survey,
    tree::{Name, Touched},
    unfinished::Signs,
    writers::open_for_writing,
};

/// When a file that changed under the reader is read again.
const UNSTABLE: Duration = Duration::from_millis(20);

/// When something unreadable is looked at again: at first, and at most.
const TROUBLE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// When a file is read again whose attributes are new and whose content is not, on a file system that
/// may keep old content for a while: at first, and at most.
const STALE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(16));

/// Files to read, each for all its names.
#[derive(Debug, Default)]
pub(super) struct Jobs(BTreeMap<PathBuf, BTreeSet<At>>);

/// A file that was read.
#[derive(Debug)]
pub(super) struct ReadFile {
    path: PathBuf,
    names: BTreeSet<At>,
    read: Read,
}

impl Jobs {
    /// Reads each file once.
    pub(super) fn read(self, most: usize) -> Vec<ReadFile> {
        let (paths, names): (Vec<_>, Vec<_>) = self.0.into_iter().unzip();
        let read = read_all(&paths, most);
        let file = |((path, names), read)| ReadFile { path, names, read };
        paths.into_iter().zip(names).zip(read).map(file).collect()
    }
}

impl Reconciler {
    pub(super) fn job(&self, at: At, jobs: &mut Jobs) {
        let Some(file) =
            self.names.nodes.get(&at.0).filter(|node| node.slot(at.1).is_some()).map(|node| node.file(at.1))
        else {
            return;
        };
        if self.tree.is_silent(&file) {
            return;
        }
        jobs.0.entry(file).or_default().insert(at);
    }

    /// Reads these files, and whatever else is the same file under another name.
    pub(super) fn named(&self, files: impl Iterator<Item = PathBuf>, jobs: &mut Jobs) {
        for file in files {
            for at in self.tree.names_of(&file) {
                if let Some(slot) = self.names.slot(&at)
                    && slot.key.is_hard_linked()
                {
                    for other in self.upkeep.hard_links.others(slot.key.identity(), &file) {
                        self.tree.names_of(other).into_iter().for_each(|at| self.job(at, jobs));
                    }
                }
                self.job(at, jobs);
            }
        }
    }

    /// Reads the files whose attributes differ, where none is named.
    pub(super) fn covered(&self, touched: &Touched, jobs: &mut Jobs) {
        let nodes = self
            .names
            .nodes
            .iter()
            .filter(|(_, node)| touched.covers(&node.real) && !self.tree.is_silent(&node.real));
        let nodes: Vec<_> = nodes.collect();
        for at in survey(&nodes) {
            self.job(at, jobs);
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
        begun: u32,
        phases: &BTreeMap<PathBuf, Phase>,
        outcome: &mut Outcome,
        now: Instant,
    ) {
        let suspects = files.iter().filter(|file| self.may_be_open(file, phases.get(&file.path)));
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
                    self.upkeep.hard_links.note(&key, &path, now);
                    let is_open = open.contains(&path);
                    if let Some(again) = self.wait_for(&path, &names, &content, key, is_open, now) {
                        names.iter().for_each(|at| self.names.found(at));
                        outcome.recheck(path, again);
                        continue;
                    }
                    for at in &names {
                        self.content(at, &path, &content, (key, begun), outcome, now);
                    }
                }
                Read::Gone => {
                    self.unfinished.forget(&path);
                    for at in &names {
                        self.names.lose_at(at, now);
                    }
                }
                Read::Unstable => outcome.recheck(path, now + UNSTABLE),
                Read::Failed(error) => {
                    let is_lasting = self.troubles.contains_key(&path);
                    trouble(&mut self.troubles, &path, &error, outcome, now);
                    // Permissions are set in two steps at times; and what a server that is away has to give is
                    // not worse for that.
                    let is_refused = error.kind() == io::ErrorKind::PermissionDenied;
                    if self.initial || (is_lasting && is_refused) {
                        self.tell_unreadable(path, &names, Unreadable::Failed(error.to_string()), outcome);
                    }
                }
                Read::TooLarge(size) => {
                    let why = Unreadable::TooLarge { size, limit: self.max_file };
                    self.tell_unreadable(path, &names, why, outcome);
                }
                Read::NotAFile => {
                    let why = Unreadable::Failed("it is not a regular file".into());
                    self.tell_unreadable(path, &names, why, outcome);
                }
            }
        }
    }

    fn tell_unreadable(
        &mut self,
        path: PathBuf,
        names: &BTreeSet<At>,
        why: Unreadable,
        outcome: &mut Outcome,
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
            outcome.changes.push(Change {
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
        if self.initial || !self.is_other_content(&file.names, content) {
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
        now: Instant,
    ) -> Option<Instant> {
        if self.initial || !self.is_other_content(names, content) {
            self.unfinished.forget(path);
            return None;
        }
        let is_new = names.iter().all(|at| self.names.slot(at).is_none_or(|slot| slot.told == Told::Nothing));
        let signs = Signs { is_empty: content.bytes.is_empty(), is_new, is_open };
        self.unfinished.wait(path, key, signs, now)
    }

    #[allow(clippy::too_many_arguments, reason = "all of it belongs to one file that was read")]
    fn content(
        &mut self,
        at: &At,
        path: &Path,
        content: &Content,
        (key, begun): (Fingerprint, u32),
        outcome: &mut Outcome,
        now: Instant,
    ) {
        self.names.found(at);
        let Some(name) = self.names.name(at) else { return };
        let Some(slot) = self.names.slot_mut(at) else { return };
        let (told, new_key) = (slot.told, slot.key != key && slot.key != Fingerprint::default());
        slot.note_key(key, begun);
        let same = told == Told::Content && slot.hash == content.hash;
        if same && !self.again.remove(&name) && !self.has_moved_from_others(&name, path) {
            if new_key {
                self.doubt_content(path, outcome, now);
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
    pub(super) fn tell_again(&mut self, outcome: &mut Outcome, now: Instant) {
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
}

/// What cannot be read stays as it was, and is looked at again, less and less often.
pub(super) fn trouble(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::WatchConfig,
        watch::{Root, RootId, reconcile::scan_with},
    };

    #[test]
    fn a_file_that_may_not_be_read_is_told_when_that_lasts_and_one_that_does_not_answer_is_not() {
        let keep = tempfile::tempdir().unwrap();
        let dir = std::fs::canonicalize(keep.path()).unwrap();
        std::fs::write(dir.join("x.lua"), "1").unwrap();
        let root = Root {
            id: RootId("lua"),
            dir: dir.clone(),
            extension: None,
            recursive: true,
            max_file: Root::MAX_FILE,
        };
        let mut reconciler = Reconciler::new(&WatchConfig::default(), vec![root]);
        scan_with(&mut reconciler);
        let path = dir.join("x.lua");
        let mut read = |kind: io::ErrorKind| {
            let names = reconciler.tree.names_of(&path).into_iter().collect();
            let read = Read::Failed(kind.into());
            let file = ReadFile { path: path.clone(), names, read };
            let mut outcome = Outcome::default();
            reconciler.take_in(vec![file], 1, &BTreeMap::new(), &mut outcome, Instant::now());
            outcome.changes.into_iter().map(|change| change.kind).collect::<Vec<_>>()
        };
        for _ in 0..3 {
            assert!(read(io::ErrorKind::TimedOut).is_empty());
        }
        let told = read(io::ErrorKind::PermissionDenied);
        assert!(matches!(&told[..], [ChangeKind::Unreadable(Unreadable::Failed(_))]), "{told:?}");
        assert!(read(io::ErrorKind::PermissionDenied).is_empty(), "it is told once");
    }
}
