//! What the reconciler does when nothing is hinted, in slices short enough that no save waits for them:
//!
//! - looks at hard links, since a write through another name of the file is seen by no backend that
//!   watches directories;
//! - compares everything with the disk now and then, whatever the backend says. What that finds is a
//!   change like any other, and a defect of the backend; but not in a file that got another name, which no
//!   backend that watches directories is told of.
//!
//! What that finds must not be mistaken for what is only on its way: a change that is seen before its hint
//! has come in. So it ends with a barrier ([`Work::barrier`]), and counts when all that it brought was looked
//! at ([`Reconciler::confirm`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hotloader_backend::{HintSet, Phase};
use hotloader_disk::{Fingerprint, MountTable};

use super::{
    Change, ChangeKind,
    links::{Identity, is_absence},
    listing::{Kind, Listing},
    names::{At, Told},
    read::{Read, read_stable},
    reconcile::Reconciler,
    survey::{key_of, suspects},
    tree::DirName,
};

/// A save that comes in meanwhile waits for that long at most.
const SLICE: Duration = Duration::from_millis(3);

/// Between the slices of an audit: nobody waits for it.
const PAUSE: Duration = Duration::from_millis(20);

/// From the end of an audit to the next one, at least.
const AUDIT: Duration = Duration::from_secs(10);

/// So many times what an audit took is between two of them: it uses less than 0.5 % of a processor.
const REST: u32 = 200;

/// How often hard links are looked at, and how many at a time.
const HARD_LINKS: (Duration, usize) = (Duration::from_millis(1500), 500);

/// A removal that an audit found is told of only after a while.
const ACCUSED: Duration = Duration::from_secs(1);

/// When what is due, and how far it has come.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(crate) hard_links: HardLinks,
    audit: Audit,
    /// What an audit found and no hint told of, and when.
    accused: Option<(HintSet, Instant, bool)>,
}

#[derive(Debug)]
enum Audit {
    Due(Instant),
    Running { next: Instant, behind: Option<DirName>, taken: Duration, found: HintSet },
    Found { found: HintSet, taken: Duration },
}

/// What a slice of work came to.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Places to look at now.
    pub(crate) look: HintSet,
    /// To be had now: a barrier, a look at all that it brought, and then [`Reconciler::confirm`].
    pub(crate) barrier: bool,
}

impl Upkeep {
    pub(crate) fn new(now: Instant) -> Self {
        Self { hard_links: HardLinks::default(), audit: Audit::Due(now + AUDIT), accused: None }
    }

    /// How many of these changes nobody hinted.
    pub(crate) fn count_missed(&mut self, changes: &[Change], now: Instant) -> usize {
        let Some((hints, since, first)) = &mut self.accused else { return 0 };
        if std::mem::take(first) {
            return changes.len();
        }
        if now > *since + ACCUSED {
            self.accused = None;
            return 0;
        }
        let late =
            |change: &&Change| matches!(change.kind, ChangeKind::Removed) && hints.covers(&change.path);
        changes.iter().filter(late).count()
    }
}

impl Reconciler {
    /// When there is something to do, if nothing is hinted until then.
    pub(crate) fn next_work(&self) -> Option<Instant> {
        if self.is_new() {
            return None;
        }
        let audit = match &self.upkeep.audit {
            Audit::Due(at) | Audit::Running { next: at, .. } => Some(*at),
            Audit::Found { .. } => None,
        };
        audit.into_iter().chain(self.upkeep.hard_links.due).min()
    }

    /// Does one slice of what is due.
    pub(crate) fn work(&mut self, now: Instant) -> Work {
        let mut work = Work::default();
        if self.is_new() {
            return work;
        }
        if let Audit::Due(at) | Audit::Running { next: at, .. } = &self.upkeep.audit
            && *at <= now
        {
            work.barrier |= self.audit(now, &mut work.look);
        }
        if self.upkeep.hard_links.due.is_some_and(|due| due <= now) {
            self.look_at_hard_links(now, &mut work.look);
        }
        work
    }

    /// A barrier was passed and all it brought was looked at: what is now different from the disk was
    /// missed. Returns where to look for it; the outcome of that look counts it.
    pub(crate) fn confirm(&mut self, now: Instant) -> HintSet {
        let Audit::Found { found, taken } = &self.upkeep.audit else { return HintSet::new() };
        let (found, taken) = (found.clone(), *taken);
        self.upkeep.audit = Audit::Due(now + AUDIT.max(taken * REST));
        if !found.is_empty() {
            self.upkeep.accused = Some((found.clone(), now, true));
        }
        found
    }

    /// The next directories, enough for a slice.
    fn directories(&self, behind: Option<DirName>) -> Vec<DirName> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        self.names.nodes.range((from, Bound::Unbounded)).map(|(name, _)| name.clone()).take(1024).collect()
    }

    /// Compares some more directories with the disk, and the links in the end. Returns whether a barrier is
    /// to tell what of it was missed.
    fn audit(&mut self, now: Instant, look: &mut HintSet) -> bool {
        let began = Instant::now();
        let running = std::mem::replace(&mut self.upkeep.audit, Audit::Due(now));
        let (behind, before, mut found) = match running {
            Audit::Running { behind, taken, found, .. } => (behind, taken, found),
            _ => (None, Duration::ZERO, HintSet::new()),
        };
        let mut last = None;
        for name in self.directories(behind) {
            if self.may_look_into(&name) {
                self.audit_dir(&name, now, &mut found, look);
            }
            last = Some(name);
            if began.elapsed() > SLICE {
                break;
            }
        }
        let taken = before + began.elapsed();
        if last.is_some() {
            self.upkeep.audit = Audit::Running { next: now + PAUSE, behind: last, taken, found };
            return false;
        }
        // What lies on another machine is left to the backend that asks it all the time.
        let mounts = MountTable::read();
        for link in self.tree.changed_ways(|end| mounts.file_system(end).reports_changes) {
            found.insert(link.clone(), Phase::Complete);
        }
        let taken = before + began.elapsed();
        if found.is_empty() {
            self.upkeep.audit = Audit::Due(now + AUDIT.max(taken * REST));
            return false;
        }
        self.upkeep.audit = Audit::Found { found, taken };
        true
    }

    /// Whether a directory can be looked at without waiting for a server that does not answer.
    fn may_look_into(&mut self, name: &DirName) -> bool {
        let Some(node) = self.names.nodes.get(name) else { return false };
        !node.listing.may_hang || self.answers.answers(node.listing.identity.0, &node.real)
    }

    /// `found` is what the backend should have reported, `look` what it could not.
    fn audit_dir(&mut self, name: &DirName, now: Instant, found: &mut HintSet, look: &mut HintSet) {
        let Some(node) = self.names.nodes.get(name) else { return };
        if !node.listing.is_current(&node.real) {
            match Listing::read(&node.real) {
                Ok(now) if now.identity != node.listing.identity => {
                    found.insert(node.real.to_path_buf(), Phase::Complete)
                }
                Ok(now) => {
                    let wanted = |file: &&std::ffi::OsStr| {
                        let is_file =
                            |listing: &Listing| matches!(listing.find(file), None | Some((_, Kind::File)));
                        let ours = !(is_file(&now) && is_file(&node.listing))
                            || self.tree.roots.iter().any(|root| root.id == name.0 && root.wants(file));
                        ours && !self.tree.ignore.matches(file)
                    };
                    for file in now.difference(&node.listing).into_iter().filter(wanted) {
                        found.insert(node.real.join(file), Phase::Complete);
                    }
                }
                Err(error) if is_absence(&error) => found.insert(node.real.to_path_buf(), Phase::Complete),
                // Known to be trouble, or looked at when it is hinted.
                Err(_) => return,
            }
        }
        let at = self.clock.at(Instant::now());
        let mut doubtful = Vec::new();
        for suspect in suspects(name, node) {
            let Some(slot) = node.slot(suspect.at.1) else { continue };
            let file = node.file(suspect.at.1);
            // It is looked at anyway.
            if self.unfinished.holds(&file) {
                continue;
            }
            match (slot.told, suspect.key) {
                (Told::Nothing | Told::Unreadable, _) => {}
                // Only its stamps are too young to be trusted.
                (_, Some(key)) if key == slot.key => {
                    if slot.is_doubtful(at) {
                        doubtful.push(suspect.at);
                    }
                }
                (_, Some(key)) if key.is_hard_linked() => {
                    self.upkeep.hard_links.note(&key, &file, now);
                    look.insert(file, Phase::Complete);
                }
                _ => found.insert(file, Phase::Complete),
            }
        }
        for at in doubtful {
            self.settle_doubt(&at, found);
        }
    }

    /// Reads a file whose attributes cannot tell.
    fn settle_doubt(&mut self, at: &At, found: &mut HintSet) {
        let begun = self.clock.at(Instant::now());
        let Some(file) = self.names.nodes.get(&at.0).map(|node| node.file(at.1)) else { return };
        let Read::Content(content, key) = read_stable(&file, self.max_file) else { return };
        match self.names.slot_mut(at) {
            Some(slot) if slot.hash == content.hash => slot.note_key(key, begun),
            _ => found.insert(file, Phase::Complete),
        }
    }

    fn look_at_hard_links(&mut self, now: Instant, look: &mut HintSet) {
        let (interval, most) = HARD_LINKS;
        for (identity, file) in self.upkeep.hard_links.next(most) {
            let slots = self.tree.names_of(&file);
            if !slots.first().is_none_or(|(dir, _)| self.may_look_into(dir)) {
                continue;
            }
            let known = slots.iter().find_map(|at| self.names.slot(at)).map(|slot| slot.key);
            let now = key_of(&file).ok();
            if known.is_some() && now != known {
                look.insert(file.clone(), Phase::Complete);
            }
            // One that was replaced is noted again when it is read.
            if known.is_none() || now.is_none_or(|now| !now.is_hard_linked() || now.identity() != identity) {
                self.upkeep.hard_links.forget(identity, &file);
            }
        }
        let any = !self.upkeep.hard_links.files.is_empty();
        self.upkeep.hard_links.due = any.then_some(now + interval);
    }
}

/// The files that have other names, by device and inode.
#[derive(Debug, Default)]
pub(crate) struct HardLinks {
    files: BTreeMap<Identity, BTreeSet<PathBuf>>,
    /// Where to go on looking.
    at: Identity,
    due: Option<Instant>,
}

impl HardLinks {
    /// Notes a file if it has other names.
    pub(crate) fn note(&mut self, key: &Fingerprint, file: &Path, now: Instant) {
        if !key.is_hard_linked() {
            return;
        }
        let files = self.files.entry(key.identity()).or_default();
        if !files.contains(file) {
            files.insert(file.to_owned());
            self.due.get_or_insert(now + HARD_LINKS.0);
        }
    }

    /// The other names of a file, as far as they are known.
    pub(crate) fn others(&self, identity: Identity, file: &Path) -> impl Iterator<Item = &PathBuf> {
        self.files.get(&identity).into_iter().flatten().filter(move |other| *other != file)
    }

    fn forget(&mut self, identity: Identity, file: &Path) {
        if let Some(files) = self.files.get_mut(&identity) {
            files.remove(file);
            if files.is_empty() {
                self.files.remove(&identity);
            }
        }
    }

    /// The next ones to look at, going round.
    fn next(&mut self, most: usize) -> Vec<(Identity, PathBuf)> {
        let behind = self.files.range((Bound::Excluded(self.at), Bound::Unbounded));
        let before = self.files.range(..=self.at);
        let mut next = Vec::new();
        for (identity, files) in behind.chain(before) {
            next.extend(files.iter().map(|file| (*identity, file.clone())));
            self.at = *identity;
            if next.len() >= most {
                break;
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use crossbeam_channel::bounded;

    use super::*;
    use crate::{
        config::WatchConfig,
        watch::{Root, reconcile::scan_with},
    };

    #[test]
    fn a_directory_that_may_hang_is_looked_into_only_while_its_file_system_answers() {
        let keep = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(keep.path()).unwrap();
        fs::write(dir.join("x.lua"), "return 1").unwrap();
        let id = crate::watch::RootId("lua");
        let root = Root { id, dir: dir.clone(), extension: None, recursive: true, max_file: Root::MAX_FILE };
        let mut reconciler = Reconciler::new(&WatchConfig::default(), vec![root]);
        scan_with(&mut reconciler);
        let name: DirName = (id, Path::new("").into());
        assert!(reconciler.may_look_into(&name));
        // As if it were on another machine, or a local one, and nobody answered for that device.
        let set = |reconciler: &mut Reconciler, may_hang| {
            let mut listing = Listing::read(&dir).unwrap();
            listing.may_hang = may_hang;
            let device = listing.identity.0;
            reconciler.names.nodes.get_mut(&name).unwrap().listing = Arc::new(listing);
            device
        };
        let device = set(&mut reconciler, true);
        assert!(reconciler.may_look_into(&name), "it answers");
        let (answer, answered) = bounded::<()>(1);
        reconciler.answers = Default::default();
        assert!(!reconciler.answers.answers_to(device, move || answered.recv().unwrap()));
        assert!(!reconciler.may_look_into(&name), "it does not answer");
        set(&mut reconciler, false);
        assert!(reconciler.may_look_into(&name), "a call into it returns");
        let gone: DirName = (id, Path::new("gone").into());
        assert!(!reconciler.may_look_into(&gone), "there is no such directory");
        set(&mut reconciler, true);
        answer.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !reconciler.may_look_into(&name) {
            assert!(Instant::now() < deadline, "its answer is not taken");
            std::thread::yield_now();
        }
    }
}
