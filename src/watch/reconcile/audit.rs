//! Compares everything with the disk now and then, whatever the backends say, in slices short enough that no
//! save waits for them.
//!
//! A difference is a change like any other, and a defect of the backend; but not in a file that got another
//! name, of which no backend that watches directories is told.
//!
//! What an audit finds may be a change whose hint has not come in yet: who has it done asks the backends for a
//! barrier, and counts as missed what nobody has hinted when that is passed.

use std::{
    ops::Bound,
    time::{Duration, Instant},
};

use hotloader_backend::{HintSet, Phase};
use hotloader_disk::MountTable;

use super::{
    contents::Contents,
    name::{At, DirName},
    names::{Names, Told},
    survey::suspects,
    tree::Tree,
};
use crate::watch::disk::{Answers, Kind, Listing, Read, is_absence, read_stable};

/// A save that comes in meanwhile waits for that long at most.
const SLICE: Duration = Duration::from_millis(3);

/// Between the slices of an audit: nobody waits for it.
const PAUSE: Duration = Duration::from_millis(20);

/// From the end of an audit to the next one, at least.
const AUDIT: Duration = Duration::from_secs(10);

/// So many times what an audit took is between two of them: it uses less than 0.5 % of a processor.
const REST: u32 = 200;

/// When an audit is due, or how far it has come.
#[derive(Debug)]
pub(super) enum Audit {
    Due(Instant),
    Running { next: Instant, behind: Option<DirName>, taken: Duration, found: HintSet },
}

impl Audit {
    pub(super) fn new(now: Instant) -> Self {
        Self::Due(now + AUDIT)
    }

    /// When the next slice is due.
    pub(super) fn due(&self) -> Instant {
        match self {
            Self::Due(at) | Self::Running { next: at, .. } => *at,
        }
    }

    /// Compares some more directories with the disk, and the links in the end. Notes in `look` what no backend
    /// could report. Returns what else is different, when all was compared.
    pub(super) fn slice(
        &mut self,
        tree: &Tree,
        contents: &mut Contents,
        answers: &mut Answers,
        now: Instant,
        look: &mut HintSet,
    ) -> HintSet {
        let began = Instant::now();
        let running = std::mem::replace(self, Self::Due(now));
        let (behind, before, mut found) = match running {
            Self::Running { behind, taken, found, .. } => (behind, taken, found),
            _ => (None, Duration::ZERO, HintSet::new()),
        };
        let mut last = None;
        for name in directories(&contents.names, behind) {
            if may_look_into(&name, &contents.names, answers) {
                audit_dir(&name, tree, contents, now, &mut found, look);
            }
            last = Some(name);
            if began.elapsed() > SLICE {
                break;
            }
        }
        let taken = before + began.elapsed();
        if last.is_some() {
            *self = Self::Running { next: now + PAUSE, behind: last, taken, found };
            return HintSet::new();
        }
        // What lies on another machine is left to the backend that asks it all the time.
        let mounts = MountTable::read();
        for link in tree.changed_ways(|end| mounts.file_system(end).reports_changes) {
            found.insert(link.clone(), Phase::Complete);
        }
        let taken = before + began.elapsed();
        *self = Self::Due(now + AUDIT.max(taken * REST));
        found
    }
}

/// The next directories, enough for a slice.
fn directories(names: &Names, behind: Option<DirName>) -> Vec<DirName> {
    let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
    names.nodes.range((from, Bound::Unbounded)).map(|(name, _)| name.clone()).take(1024).collect()
}

/// Whether a directory can be looked at without waiting for a server that does not answer.
pub(super) fn may_look_into(name: &DirName, names: &Names, answers: &mut Answers) -> bool {
    let Some(node) = names.nodes.get(name) else { return false };
    !node.listing.may_hang || answers.answers(node.listing.identity.0, &node.real)
}

/// `found` is what the backend should have reported, `look` what it could not.
fn audit_dir(
    name: &DirName,
    tree: &Tree,
    contents: &mut Contents,
    now: Instant,
    found: &mut HintSet,
    look: &mut HintSet,
) {
    let Some(node) = contents.names.nodes.get(name) else { return };
    if !node.listing.is_current(&node.real) {
        match Listing::read(&node.real) {
            Ok(now) if now.identity != node.listing.identity => {
                found.insert(node.real.to_path_buf(), Phase::Complete)
            }
            Ok(now) => {
                let wanted = |file: &&std::ffi::OsStr| {
                    let is_file =
                        |listing: &Listing| matches!(listing.find(file), None | Some((_, Kind::File)));
                    let ours = !(is_file(&now) && is_file(&node.listing)) || tree.scope().is_of(name.0, file);
                    ours && !tree.scope().ignore.matches(file)
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
    let at = contents.clock.at(Instant::now());
    let mut doubtful = Vec::new();
    for suspect in suspects(name, node) {
        let Some(slot) = node.slot(suspect.at.1) else { continue };
        let file = node.file(suspect.at.1);
        // It is looked at anyway.
        if contents.unfinished.holds(&file) {
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
                contents.hard_links.note(&key, &file, now);
                look.insert(file, Phase::Complete);
            }
            _ => found.insert(file, Phase::Complete),
        }
    }
    for at in doubtful {
        read_doubtful(&at, contents, found);
    }
}

/// Reads a file whose attributes cannot tell.
fn read_doubtful(at: &At, contents: &mut Contents, found: &mut HintSet) {
    let begun = contents.clock.at(Instant::now());
    let Some(file) = contents.names.nodes.get(&at.0).map(|node| node.file(at.1)) else { return };
    let Read::Content(content, key) = read_stable(&file, contents.max_file) else { return };
    match contents.names.slot_mut(at) {
        Some(slot) if slot.hash == content.hash => slot.note_key(key, begun),
        _ => found.insert(file, Phase::Complete),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Arc};

    use crossbeam_channel::bounded;

    use super::*;
    use crate::{
        config::WatchConfig,
        watch::{Root, RootId},
    };

    #[test]
    fn a_directory_that_may_hang_is_looked_into_only_while_its_file_system_answers() {
        let keep = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(keep.path()).unwrap();
        fs::write(dir.join("x.lua"), "return 1").unwrap();
        let id = RootId("lua");
        let root = Root {
            id,
            dir: dir.clone(),
            extensions: &[],
            recursive: true,
            max_file: Root::MAX_FILE,
            optional: false,
        };
        let mut tree = Tree::new(&WatchConfig::default(), vec![root]);
        let mut names = Names::default();
        names.update(tree.walk(&mut Answers::default()), tree.scope(), Instant::now());
        let mut answers = Answers::default();
        let name: DirName = (id, Path::new("").into());
        assert!(may_look_into(&name, &names, &mut answers));
        // As if it were on another machine, or a local one, and nobody answered for that device.
        let set = |names: &mut Names, may_hang| {
            let mut listing = Listing::read(&dir).unwrap();
            listing.may_hang = may_hang;
            let device = listing.identity.0;
            names.nodes.get_mut(&name).unwrap().listing = Arc::new(listing);
            device
        };
        let device = set(&mut names, true);
        assert!(may_look_into(&name, &names, &mut answers), "it answers");
        let (answer, answered) = bounded::<()>(1);
        answers = Answers::default();
        assert!(!answers.answers_to(device, move || answered.recv().unwrap()));
        assert!(!may_look_into(&name, &names, &mut answers), "it does not answer");
        set(&mut names, false);
        assert!(may_look_into(&name, &names, &mut answers), "a call into it returns");
        let gone: DirName = (id, Path::new("gone").into());
        assert!(!may_look_into(&gone, &names, &mut answers), "there is no such directory");
        set(&mut names, true);
        answer.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !may_look_into(&name, &names, &mut answers) {
            assert!(Instant::now() < deadline, "its answer is not taken");
            std::thread::yield_now();
        }
    }
}
