//! Which of many files may have another content, by their attributes alone.

use hotloader_disk::Fingerprint;
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Mode, OFlags, open, stat, statat},
};

use super::{
    name::{At, DirName},
    names::{Node, Slot, Told},
};
use crate::watch::disk::{FEW_DIRS, in_parallel};

/// A file that has to be read to know.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) at: At,
    /// What it looks like now, if it can be seen.
    pub(super) key: Option<Fingerprint>,
}

/// The files of these directories that do not look as they did when they were read.
pub(super) fn survey(nodes: &[(&DirName, &Node)]) -> Vec<At> {
    in_parallel(nodes, FEW_DIRS, |nodes| {
        nodes.iter().flat_map(|(name, node)| suspects(name, node)).map(|suspect| suspect.at).collect()
    })
}

/// The files of one directory that do not look as they did when they were read.
pub(super) fn suspects(name: &DirName, node: &Node) -> Vec<Suspect> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = open(&*node.real, flags, Mode::empty()).ok();
    let suspect = |slot: &Slot| {
        let key = key(dir.as_ref(), node, slot.entry);
        let settled = slot.told != Told::Nothing && key.is_some_and(|key| slot.is_settled_at(&key));
        (!settled).then(|| Suspect { at: (name.clone(), slot.entry), key })
    };
    node.slots.iter().filter_map(suspect).collect()
}

fn key(dir: Option<&OwnedFd>, node: &Node, entry: u32) -> Option<Fingerprint> {
    let stat = match node.link(entry) {
        Some(real) => stat(real),
        None => statat(dir?, node.listing.name(entry), AtFlags::SYMLINK_NOFOLLOW),
    };
    stat.ok().map(|stat| Fingerprint::of(&stat))
}
