//! Which logical directories there are, and what of them a hint touches.
//!
//! A hint marks the parts of the [`DiskCache`] that it touches as stale; [`Tree::walk`] reads only those again
//! and derives from all of it which logical directories there are. The same walk serves the start, a new
//! directory, a link that leads elsewhere, and lost hints, for which everything is stale. Where only files came
//! or went, nothing leads elsewhere, and [`Tree::relist`] is enough.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use hotloader_backend::{DirSet, HintSet, Phase};
use hotloader_disk::MountTable;

use super::{
    cache::{DiskCache, Relisted},
    name::{At, DirName},
    scope::Scope,
    walk::{Found, Walked, walk},
};
use crate::{
    config::WatchConfig,
    watch::{
        change::Root,
        disk::{Answers, Identity, Kind, Listing, is_absence},
    },
};

/// The real directories, the links, and how they hang together.
#[derive(Debug)]
pub(super) struct Tree {
    scope: Scope,
    cache: DiskCache,
    /// Which ways pass by a place.
    passing: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// The logical names of each file that is reached through a link to it.
    behind: BTreeMap<Arc<Path>, Vec<At>>,
    walked: Walked,
    /// The topmost directories on each file system that may hang, by its device.
    remote: Vec<(u64, Arc<Path>)>,
    /// What was mounted at the last walk, if there are links to files.
    mounts: MountTable,
}

/// What hints came to.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// What leads where may be different: walk.
    pub(super) structure: bool,
    /// Directories in which nothing but files came or went.
    pub(super) relist: BTreeSet<Arc<Path>>,
    /// Real files that were named.
    pub(super) files: BTreeSet<PathBuf>,
    /// Places below which any file may be another.
    pub(super) below: BTreeSet<PathBuf>,
    /// Any file may be another.
    pub(super) everywhere: bool,
    /// Places that took too long to look at.
    pub(super) late: BTreeSet<PathBuf>,
    /// What was said of the writers of each place.
    pub(super) phases: BTreeMap<PathBuf, Phase>,
}

impl Touched {
    pub(super) fn merge(&mut self, other: Self) {
        self.structure |= other.structure;
        self.everywhere |= other.everywhere;
        self.relist.extend(other.relist);
        self.files.extend(other.files);
        self.below.extend(other.below);
        self.late.extend(other.late);
        self.phases.extend(other.phases);
    }

    /// Whether the files of a directory are to be looked at, without one being named.
    pub(super) fn covers(&self, dir: &Path) -> bool {
        self.everywhere || dir.ancestors().any(|above| self.below.contains(above))
    }

    pub(super) fn covers_any(&self) -> bool {
        self.everywhere || !self.below.is_empty()
    }
}

impl Tree {
    pub(super) fn new(settings: &WatchConfig, roots: Vec<Root>) -> Self {
        Self {
            scope: Scope::new(settings, roots),
            cache: DiskCache::default(),
            passing: BTreeMap::new(),
            behind: BTreeMap::new(),
            walked: Walked::default(),
            remote: Vec::new(),
            mounts: MountTable::default(),
        }
    }

    pub(super) fn configure(&mut self, settings: &WatchConfig) {
        self.scope.configure(settings);
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What the last walk found.
    pub(super) fn walked(&self) -> &Walked {
        &self.walked
    }

    /// The logical names of a real file.
    pub(super) fn names_of(&self, real: &Path) -> Vec<At> {
        let mut names = self.behind.get(real).cloned().unwrap_or_default();
        if let (Some(dir), Some(name)) = (real.parent(), real.file_name())
            && let Some(dir) = self.cache.dir(dir)
            && let Some(entry) = dir.file(name)
        {
            names.extend(dir.names.iter().map(|name| (name.clone(), entry)));
        }
        names
    }

    /// Which directory was listed there.
    pub(super) fn listed(&self, dir: &Path) -> Option<Identity> {
        Some(self.cache.dir(dir)?.listing.identity)
    }

    fn is_known_file(&self, path: &Path) -> bool {
        self.behind.contains_key(path)
            || matches!((path.parent(), path.file_name()), (Some(dir), Some(name))
                if self.cache.dir(dir).is_some_and(|dir| dir.file(name).is_some()))
    }

    /// Every logical name of a real directory.
    pub(super) fn names_of_dir(&self, dir: &Path) -> &[DirName] {
        self.cache.dir(dir).map_or(&[], |dir| &dir.names)
    }

    /// The links and roots that lead elsewhere than is known, of those whose ends one may look at.
    pub(super) fn changed_ways(&self, may_look: impl Fn(&Path) -> bool) -> impl Iterator<Item = &PathBuf> {
        self.cache.changed_ways(may_look)
    }

    /// Whether a change at a place, or below it, can concern us. The directories on the way to ours
    /// are watched too, and much goes on in some of them.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name())
            && let Some(dir) = self.cache.dir(dir)
            && !self.scope.ignore.matches(name)
            && self.may_matter(&dir.listing, name, path)
        {
            return true;
        }
        // Every directory of ours is in one of the trees.
        self.cache.dir(path).is_some()
            || self.is_above_a_tree(path)
            || below(&self.passing, path).next().is_some()
            || self.behind.contains_key(path)
    }

    /// Whether something in a directory of ours may be more than a file that nobody wants: a log beside the
    /// modules must not hold up their saves.
    fn may_matter(&self, listing: &Listing, name: &OsStr, path: &Path) -> bool {
        let before = listing.find(name).map(|(_, kind)| kind);
        let is_of_a_root = |name| self.scope.roots.iter().any(|root| root.wants(name));
        if listing.may_hang || !is_file_or_nothing(before) || is_of_a_root(name) {
            return true;
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) => !metadata.is_file(),
            Err(error) => !is_absence(&error),
        }
    }

    /// Finds out which of the file systems that a look at these hints may lead to do not answer.
    pub(super) fn ask(&mut self, hints: &HintSet, mut answers: impl FnMut(u64, &Path) -> bool) {
        // Whatever is not a saved file may lead anywhere.
        let anywhere = hints.is_everywhere() || hints.iter().any(|(path, _)| !self.is_known_file(path));
        let concerns = |top: &Path| anywhere || hints.iter().any(|(path, _)| path.starts_with(top));
        let is_silent = |(device, top): &&(u64, Arc<Path>)| concerns(top) && !answers(*device, top);
        self.cache.silence(self.remote.iter().filter(is_silent).map(|(_, top)| top.clone()).collect());
    }

    /// The directories that nobody looks into, as their file systems do not answer.
    pub(super) fn silent(&self) -> &[Arc<Path>] {
        self.cache.silent()
    }

    /// Whether a place is on a file system that does not answer.
    pub(super) fn is_silent(&self, path: &Path) -> bool {
        self.cache.is_silent(path)
    }

    /// Marks what the hints touch as stale.
    pub(super) fn touch(&mut self, hints: &HintSet, answers: &mut Answers) -> Touched {
        let mut touched = Touched::default();
        if hints.is_everywhere() {
            self.cache.mark_all_stale();
            touched.structure = true;
            touched.everywhere = true;
        }
        let mut elsewhere: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
        for (path, phase) in hints.iter() {
            touched.phases.insert(path.to_owned(), phase);
            match self.device_that_may_hang(path) {
                _ if self.is_silent(path) => {}
                // The walk lists it again, on a thread that may wait.
                _ if self.cache.take_late(path) => self.touch_below(path, &mut touched),
                Some(device) => elsewhere.entry(device).or_default().push(path.to_owned()),
                None => self.touch_path(path, kind_at(path), &mut touched),
            }
        }
        for (device, paths) in elsewhere {
            let kinds = answers.answer_each(device, &paths, kind_at);
            for (path, kind) in paths.into_iter().zip(kinds) {
                match kind {
                    Some(now) => self.touch_path(&path, now, &mut touched),
                    None => drop(touched.late.insert(path)),
                }
            }
        }
        touched
    }

    /// The file system that a place is on, if a call into it may not return.
    pub(super) fn device_that_may_hang(&self, path: &Path) -> Option<u64> {
        if self.remote.is_empty() && self.behind.is_empty() {
            return None;
        }
        match path.parent().and_then(|dir| self.cache.dir(dir)) {
            Some(dir) => dir.listing.may_hang.then_some(dir.listing.identity.0),
            // Behind a link to a file that is in no directory of ours.
            None if self.behind.contains_key(path) => self.mounts.device_that_may_hang(path),
            None => None,
        }
    }

    fn touch_path(&mut self, path: &Path, now: Option<Kind>, touched: &mut Touched) {
        if now == Some(Kind::File) && self.is_known_file(path) {
            // The usual case: a file was saved, and nothing else changed.
            touched.files.insert(path.to_owned());
            return;
        }
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name())
            && let Some((at, dir)) = self.cache.dir_mut(dir)
        {
            let before = dir.listing.find(name).map(|(_, kind)| kind);
            if before != now {
                dir.mark_stale();
                if !self.scope.ignore.matches(name) {
                    if is_file_or_nothing(before) && is_file_or_nothing(now) {
                        touched.relist.insert(at);
                    } else {
                        touched.structure = true;
                    }
                }
            }
        }
        if self.is_above_a_tree(path) || self.cache.dir(path).is_some() {
            self.touch_below(path, touched);
        }
        for (_, ways) in below(&self.passing, path) {
            touched.structure = true;
            for way in ways {
                self.cache.mark_way_stale(way);
            }
        }
        // The audit names a root by its own path, which leads through links and is no waypoint then.
        touched.structure |= self.cache.mark_way_stale(path);
        touched.files.extend(below(&self.behind, path).map(|(real, _)| real.to_path_buf()));
    }

    fn touch_below(&mut self, path: &Path, touched: &mut Touched) {
        self.cache.mark_stale_below(path);
        touched.structure = true;
        touched.below.insert(path.to_owned());
    }

    fn is_above_a_tree(&self, path: &Path) -> bool {
        self.walked.trees.iter().any(|tree| tree.starts_with(path))
    }

    /// Looks again at directories that were listed before they were watched. Returns whether anything is
    /// different from what the last walk saw.
    pub(super) fn recheck(&mut self, dirs: &DirSet, answers: &mut Answers) -> bool {
        self.cache.recheck(dirs, answers)
    }

    /// Lists a directory again in which files came or went.
    pub(super) fn relist(&mut self, path: &Path, answers: &mut Answers) -> Relisted {
        self.cache.relist(path, answers)
    }

    /// Reads what is stale and finds all logical directories, in the order of their names.
    pub(super) fn walk(&mut self, answers: &mut Answers) -> Vec<Found> {
        self.cache.dirs_mut().for_each(|dir| dir.names.clear());
        let (walked, found) = walk(&self.scope, &mut self.cache, answers);
        self.behind.clear();
        for Found { name, real, links, .. } in &found {
            if let Some((_, dir)) = self.cache.dir_mut(real) {
                // Nearly always the only one.
                dir.names.reserve_exact(1);
                dir.names.push(name.clone());
            }
            for (entry, real) in links {
                self.behind.entry(real.clone()).or_default().push((name.clone(), *entry));
            }
        }
        self.cache.retain(&walked.ways);
        self.passing.clear();
        for (link, way) in self.cache.ways() {
            for waypoint in &way.waypoints {
                self.passing.entry(waypoint.clone()).or_default().push(link.clone());
            }
        }
        self.walked = walked;
        self.remote = self.cache.remote();
        if !self.behind.is_empty() {
            self.mounts = MountTable::read();
        }
        found
    }
}

fn is_file_or_nothing(kind: Option<Kind>) -> bool {
    matches!(kind, None | Some(Kind::File))
}

/// The entries at and below a path. Paths sort by component, so these stand together.
fn below<'a, K: Borrow<Path> + Ord, T>(
    map: &'a BTreeMap<K, T>,
    path: &'a Path,
) -> impl Iterator<Item = (&'a K, &'a T)> {
    map.range::<Path, _>((Bound::Included(path), Bound::Unbounded))
        .take_while(move |(below, _)| (*below).borrow().starts_with(path))
}

/// What is at a place now, if anything is.
fn kind_at(path: &Path) -> Option<Kind> {
    fs::symlink_metadata(path).ok().map(|metadata| Kind::from(metadata.file_type()))
}
