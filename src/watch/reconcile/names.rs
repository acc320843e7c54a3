//! What was told of each logical name.
//!
//! A logical directory shares the listing of the real one and keeps a [`Slot`] for each of its files, so
//! a name is stored once, and its path never. What is remembered of a name goes with the name when the
//! real directory behind it is replaced by another.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use hotloader_disk::Fingerprint;

use super::{
    name::{At, DirName, Name},
    scope::Scope,
    walk::Found,
};
use crate::watch::{
    change::ContentHash,
    disk::{FEW_DIRS, Kind, Listing, in_parallel, join},
};

/// What the consumer was told of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Told {
    /// Nothing.
    #[default]
    Nothing,
    /// Its content.
    Content,
    /// That it cannot be read.
    Unreadable,
}

/// One file of a logical directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Which entry of the listing it is.
    pub(super) entry: u32,
    /// Until then (in milliseconds of the [`Clock`]) a write may have left the key as it is; 0: no more.
    racy_until: u32,
    pub(super) hash: ContentHash,
    /// Of the file when it was read last.
    pub(super) key: Fingerprint,
    pub(super) told: Told,
}

/// Milliseconds since a start; never 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(pub(super) Instant);

impl Clock {
    pub(super) fn at(self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.0).as_millis() + 1).unwrap_or(u32::MAX)
    }
}

impl Slot {
    fn new(entry: u32) -> Self {
        let (hash, key) = (ContentHash::NONE, Fingerprint::default());
        Self { entry, racy_until: 0, hash, key, told: Told::Nothing }
    }

    /// Whether a file with that key can only have the content that was read.
    pub(super) fn is_settled_at(&self, key: &Fingerprint) -> bool {
        self.racy_until == 0 && self.key == *key
    }

    /// Whether a write may hide behind the key, and would show by now.
    pub(super) fn is_doubtful(&self, at: u32) -> bool {
        self.racy_until != 0 && self.racy_until < at
    }

    /// Notes the key of a file that was read, the reading having begun at that time.
    pub(super) fn note_key(&mut self, key: Fingerprint, at: u32) {
        let racy_for = u32::try_from(key.racy_for().as_millis()).unwrap_or(u32::MAX);
        if self.key == key {
            // Read once more after the time was over: then nothing can hide any longer.
            if self.racy_until < at {
                self.racy_until = 0;
            }
        } else {
            let old = self.key == Fingerprint::default() && key.is_old(SystemTime::now());
            self.key = key;
            self.racy_until = if old { 0 } else { at.saturating_add(racy_for).saturating_add(1) };
        }
    }
}

/// A logical directory.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) real: Arc<Path>,
    pub(super) listing: Arc<Listing>,
    pub(super) links: Box<[(u32, Arc<Path>)]>,
    pub(super) slots: Box<[Slot]>,
}

impl Node {
    pub(super) fn slot(&self, entry: u32) -> Option<&Slot> {
        self.slots.get(self.slots.binary_search_by_key(&entry, |slot| slot.entry).ok()?)
    }

    pub(super) fn slot_mut(&mut self, entry: u32) -> Option<&mut Slot> {
        self.slots.get_mut(self.slots.binary_search_by_key(&entry, |slot| slot.entry).ok()?)
    }

    /// The directory entry: a file, or a link to one.
    pub(super) fn entry(&self, entry: u32) -> PathBuf {
        join(&self.real, self.listing.name(entry))
    }

    /// The real file.
    pub(super) fn file(&self, entry: u32) -> PathBuf {
        match self.link(entry) {
            Some(real) => real.to_path_buf(),
            None => self.entry(entry),
        }
    }

    pub(super) fn link(&self, entry: u32) -> Option<&Path> {
        let at = self.links.binary_search_by_key(&entry, |(link, _)| *link).ok()?;
        self.links.get(at).map(|(_, real)| &**real)
    }

    fn is(&self, found: &Found) -> bool {
        Arc::ptr_eq(&self.listing, &found.listing) && self.real == found.real && *self.links == *found.links
    }
}

/// A name that is not there any more, as far as one look can tell.
#[derive(Debug)]
pub(super) struct Missing {
    /// The file that was behind it as it was told.
    pub(super) real: PathBuf,
    pub(super) told: Told,
    pub(super) hash: ContentHash,
    pub(super) since: Instant,
    /// Where to look for it again.
    pub(super) places: [PathBuf; 2],
    /// The listing has it, but there was nothing to read.
    pub(super) is_unreadable: bool,
}

/// All logical names.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) nodes: BTreeMap<DirName, Node>,
    missing: BTreeMap<Name, Missing>,
    /// The real file as it was told, where it is another now.
    pub(super) told_as: BTreeMap<Name, PathBuf>,
    /// Which files belong is not as it was.
    is_choice_new: bool,
}

impl Names {
    /// Whether nothing is remembered beyond what there is.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        self.missing.is_empty() && self.told_as.is_empty()
    }

    /// Names that are not there any more, to be told so or kept.
    pub(super) fn take_missing(&mut self) -> BTreeMap<Name, Missing> {
        std::mem::take(&mut self.missing)
    }

    /// Whether that name is gone cannot be told yet.
    pub(super) fn keep_missing(&mut self, name: Name, missing: Missing) {
        self.missing.insert(name, missing);
    }

    pub(super) fn name(&self, (dir, entry): &At) -> Option<Name> {
        let node = self.nodes.get(dir)?;
        Some((dir.0, join(&dir.1, node.listing.name(*entry))))
    }

    pub(super) fn slot(&self, (dir, entry): &At) -> Option<&Slot> {
        self.nodes.get(dir)?.slot(*entry)
    }

    pub(super) fn slot_mut(&mut self, (dir, entry): &At) -> Option<&mut Slot> {
        self.nodes.get_mut(dir)?.slot_mut(*entry)
    }

    /// Other names are ignored, or links may lead elsewhere.
    pub(super) fn choose_anew(&mut self) {
        self.is_choice_new = true;
    }

    /// Whether a name was not told with that content.
    pub(super) fn differs(&self, at: &At, hash: ContentHash) -> bool {
        self.slot(at).is_some_and(|slot| slot.told != Told::Content || slot.hash != hash)
    }

    fn locate(&self, (root, name): &Name) -> Option<(&Node, &Slot)> {
        let node = self.nodes.get(&(*root, Arc::from(name.parent()?)))?;
        let (entry, _) = node.listing.find(name.file_name()?)?;
        Some((node, node.slot(entry)?))
    }

    /// What was told of a name; `None` if there is no file of that name.
    pub(super) fn told(&self, name: &Name) -> Option<Told> {
        Some(self.locate(name)?.1.told)
    }

    /// The real file behind a name.
    pub(super) fn file(&self, name: &Name) -> Option<PathBuf> {
        self.locate(name).map(|(node, slot)| node.file(slot.entry))
    }

    /// Takes over the directories of a walk, in order of their names. Returns the files to be read: those
    /// that are new, or lead elsewhere, or of which nothing could be told so far.
    pub(super) fn update(&mut self, found: Vec<Found>, scope: &Scope, now: Instant) -> Vec<At> {
        if self.nodes.is_empty() && self.missing.is_empty() {
            return self.begin(&found, scope);
        }
        let mut look = Vec::new();
        let is_choice_new = std::mem::take(&mut self.is_choice_new);
        let mut before = std::mem::take(&mut self.nodes).into_iter().peekable();
        let mut nodes = Vec::with_capacity(found.len());
        for found in found {
            while let Some((name, gone)) = before.next_if(|(name, _)| *name < found.name) {
                self.lose(&name, &gone, now);
            }
            let known = before.next_if(|(name, _)| *name == found.name);
            let name = known.as_ref().map_or(&found.name, |(name, _)| name).clone();
            let node = match known {
                Some((_, node)) if node.is(&found) && !is_choice_new => {
                    let untold = node.slots.iter().filter(|slot| slot.told == Told::Nothing);
                    look.extend(untold.map(|slot| (name.clone(), slot.entry)));
                    node
                }
                known => self.carry(&name, known.map(|(_, node)| node), found, scope, &mut look, now),
            };
            nodes.push((name, node));
        }
        for (name, gone) in before {
            self.lose(&name, &gone, now);
        }
        self.nodes = nodes.into_iter().collect();
        look
    }

    /// Takes over the directories of a walk when nothing is known: there may be a hundred thousand, and none
    /// depends on another.
    pub(super) fn begin(&mut self, found: &[Found], scope: &Scope) -> Vec<At> {
        self.is_choice_new = false;
        let nodes = in_parallel(found, FEW_DIRS, |found| {
            let node = |found: &Found| {
                let mut links = found.links.iter().peekable();
                let files = found.listing.iter().filter(|(entry, file, kind)| match kind {
                    Kind::File => scope.wants(found.name.0, file),
                    _ => links.next_if(|(link, _)| link == entry).is_some(),
                });
                let mut slots = Vec::with_capacity(found.listing.len());
                slots.extend(files.map(|(entry, ..)| Slot::new(entry)));
                let Found { name, real, listing, links } = found.clone();
                (name, Node { real, listing, links: links.into(), slots: slots.into() })
            };
            found.iter().map(node).collect()
        });
        let mut untold = Vec::new();
        for (name, node) in &nodes {
            untold.extend(node.slots.iter().map(|slot| (name.clone(), slot.entry)));
        }
        self.nodes = nodes.into_iter().collect();
        untold
    }

    /// Takes over the listing of a directory in which files came or went.
    pub(super) fn relisted(
        &mut self,
        name: &DirName,
        listing: Arc<Listing>,
        scope: &Scope,
        now: Instant,
    ) -> Vec<At> {
        let mut look = Vec::new();
        let Some((name, node)) = self.nodes.remove_entry(name) else { return look };
        // Links are where they were, under other numbers.
        let link = |(entry, real): &(u32, Arc<Path>)| {
            Some((listing.find(node.listing.name(*entry))?.0, real.clone()))
        };
        let links = node.links.iter().filter_map(link).collect();
        let found = Found { name: name.clone(), real: node.real.clone(), listing: listing.clone(), links };
        let node = self.carry(&name, Some(node), found, scope, &mut look, now);
        self.nodes.insert(name, node);
        look
    }

    /// Brings what is known of the names of a directory over to another listing, or another directory.
    fn carry(
        &mut self,
        name: &DirName,
        before: Option<Node>,
        found: Found,
        scope: &Scope,
        look: &mut Vec<At>,
        now: Instant,
    ) -> Node {
        let mut slots = Vec::with_capacity(found.listing.len());
        let mut known = before.iter().flat_map(|node| node.slots.iter()).peekable();
        let before_name = |slot: &Slot| before.as_ref().map(|node| node.listing.name(slot.entry));
        let mut links = found.links.iter().peekable();
        for (entry, file, kind) in found.listing.iter() {
            let link = links.next_if(|(link, _)| *link == entry).map(|(_, real)| real);
            let wanted = match kind {
                Kind::File => scope.wants(name.0, file),
                _ => link.is_some(),
            };
            if !wanted {
                continue;
            }
            while let Some(gone) = known.next_if(|slot| before_name(slot) < Some(file)) {
                if let Some(node) = &before {
                    self.lose_file(name, node, gone, now);
                }
            }
            let slot = match (known.next_if(|slot| before_name(slot) == Some(file)), &before) {
                (Some(slot), Some(node)) => {
                    let same_dir = node.real == found.real;
                    let moved = match (node.link(slot.entry), link) {
                        (None, None) => !same_dir,
                        (Some(before), Some(link)) => *before != **link,
                        _ => true,
                    };
                    let mut slot = *slot;
                    if moved {
                        let was = node.file(slot.entry);
                        if slot.told != Told::Nothing {
                            self.told_as.entry((name.0, name.1.join(file))).or_insert(was);
                        }
                        slot.key = Fingerprint::default();
                    }
                    if moved || slot.told == Told::Nothing {
                        look.push((name.clone(), entry));
                    }
                    Slot { entry, ..slot }
                }
                _ => {
                    look.push((name.clone(), entry));
                    Slot::new(entry)
                }
            };
            slots.push(slot);
        }
        if let Some(node) = &before {
            known.for_each(|gone| self.lose_file(name, node, gone, now));
        }
        let Found { real, listing, links, .. } = found;
        Node { real, listing, links: links.into(), slots: slots.into() }
    }

    fn lose(&mut self, name: &DirName, node: &Node, now: Instant) {
        for slot in &node.slots {
            self.lose_file(name, node, slot, now);
        }
    }

    fn lose_file(&mut self, (root, dir): &DirName, node: &Node, slot: &Slot, now: Instant) {
        if slot.told == Told::Nothing {
            return;
        }
        let name = (*root, dir.join(node.listing.name(slot.entry)));
        let file = node.file(slot.entry);
        let places = [node.entry(slot.entry), file.clone()];
        let real = self.told_as.remove(&name).unwrap_or(file);
        self.missing.insert(
            name,
            Missing { real, told: slot.told, hash: slot.hash, since: now, places, is_unreadable: false },
        );
    }

    /// The listing has a file that cannot be found.
    pub(super) fn lose_at(&mut self, at: &At, now: Instant) {
        let Some((name, mut node)) = self.nodes.remove_entry(&at.0) else { return };
        if let Some(slot) = node.slot(at.1).copied() {
            self.lose_file(&name, &node, &slot, now);
        }
        if let Some(missing) = self.missing.get_mut(&(name.0, name.1.join(node.listing.name(at.1)))) {
            missing.is_unreadable = true;
        }
        if let Some(slot) = node.slot_mut(at.1) {
            *slot = Slot::new(at.1);
        }
        self.nodes.insert(name, node);
    }

    /// What was told of a name under which there is a file again.
    pub(super) fn found(&mut self, at: &At) {
        if self.missing.is_empty() {
            return;
        }
        let Some(name) = self.name(at) else { return };
        let Some(missing) = self.missing.remove(&name) else { return };
        let file = self.nodes.get(&at.0).map(|node| node.file(at.1));
        if file.is_some_and(|file| file != missing.real) {
            self.told_as.insert(name, missing.real);
        }
        if let Some(slot) = self.slot_mut(at) {
            (slot.told, slot.hash) = (missing.told, missing.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_no_more_than_88_bytes_beyond_its_name() {
        assert!(size_of::<Slot>() <= 80, "{}", size_of::<Slot>());
    }
}
