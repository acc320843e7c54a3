//! What was seen of the disk: the listing of each real directory, and the way of each link.
//!
//! A hint marks the parts it touches as stale; [`Tree::walk`] reads only those again and derives
//! from all of it which logical directories there are. The same walk thus serves the start, a new
//! directory, a retargeted link and a lost sync, for which everything is stale. Where only files came
//! or went, nothing leads elsewhere: [`Tree::relist`] does.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs, io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use hotloader_backend::HintSet;

use super::{
    Root, RootId,
    ignore::Ignore,
    links::{End, Resolved, is_absence, resolve_symlinks},
    listing::{Kind, Listing},
    prefetch::{self, Prefetched},
    walk::{Found, Walk, Walked},
};
use crate::config::WatchConfig;

/// A logical name.
pub(crate) type Name = (RootId, PathBuf);

/// The name of a logical directory; that of a root is empty.
pub(crate) type DirName = (RootId, Arc<Path>);

/// A real directory.
#[derive(Debug)]
struct Dir {
    listing: Arc<Listing>,
    fresh: bool,
    /// Every logical directory that it is.
    names: Vec<DirName>,
}

/// The way of a link, which a hint makes stale.
#[derive(Debug)]
struct Way {
    way: Arc<Resolved>,
    fresh: bool,
}

/// The path of a real directory, and what is in it.
pub(crate) type Listed = (Arc<Path>, Arc<Listing>);

/// The real directories, the links, and how they hang together.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) roots: Vec<Root>,
    pub(crate) allowed_roots: Vec<PathBuf>,
    pub(crate) ignore: Ignore,
    dirs: BTreeMap<Arc<Path>, Dir>,
    /// The way of each link, and of each root.
    ways: BTreeMap<PathBuf, Way>,
    /// Which ways pass by a place.
    passing: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// The logical names of each file that is reached through a link to it.
    behind: BTreeMap<Arc<Path>, Vec<(DirName, u32)>>,
    walked: Walked,
}

/// What hints came to.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// What leads where may be different: walk.
    pub(crate) structure: bool,
    /// Directories in which nothing but files came or went.
    pub(crate) relist: BTreeSet<Arc<Path>>,
    /// Real files that were named.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Places below which any file may be another.
    pub(crate) below: BTreeSet<PathBuf>,
    /// Any file may be another.
    pub(crate) everywhere: bool,
}

impl Touched {
    pub(crate) fn merge(&mut self, other: Self) {
        self.structure |= other.structure;
        self.everywhere |= other.everywhere;
        self.relist.extend(other.relist);
        self.files.extend(other.files);
        self.below.extend(other.below);
    }

    /// Whether the files of a directory are to be looked at, without one being named.
    pub(crate) fn covers(&self, dir: &Path) -> bool {
        self.everywhere || dir.ancestors().any(|above| self.below.contains(above))
    }

    pub(crate) fn covers_any(&self) -> bool {
        self.everywhere || !self.below.is_empty()
    }
}

impl Tree {
    pub(crate) fn new(settings: &WatchConfig, roots: Vec<Root>) -> Self {
        Self {
            roots,
            allowed_roots: settings.allowed_roots.clone(),
            ignore: Ignore::new(&settings.ignore),
            dirs: BTreeMap::new(),
            ways: BTreeMap::new(),
            passing: BTreeMap::new(),
            behind: BTreeMap::new(),
            walked: Walked::default(),
        }
    }

    pub(crate) fn configure(&mut self, settings: &WatchConfig) {
        self.allowed_roots.clone_from(&settings.allowed_roots);
        self.ignore = Ignore::new(&settings.ignore);
    }

    /// What the last walk found.
    pub(crate) fn walked(&self) -> &Walked {
        &self.walked
    }

    /// The logical names of a real file, as logical directories and entries in them.
    pub(crate) fn names_of(&self, real: &Path) -> Vec<(DirName, u32)> {
        let mut names = self.behind.get(real).cloned().unwrap_or_default();
        if let (Some(dir), Some(name)) = (real.parent(), real.file_name())
            && let Some(dir) = self.dirs.get(dir)
            && let Some((entry, Kind::File)) = dir.listing.find(name)
        {
            names.extend(dir.names.iter().map(|name| (name.clone(), entry)));
        }
        names
    }

    fn is_known_file(&self, path: &Path) -> bool {
        self.behind.contains_key(path)
            || matches!((path.parent(), path.file_name()), (Some(dir), Some(name))
                if self.dirs.get(dir).is_some_and(|dir| matches!(dir.listing.find(name), Some((_, Kind::File)))))
    }

    /// Every logical name of a real directory.
    pub(crate) fn names_of_dir(&self, dir: &Path) -> &[DirName] {
        self.dirs.get(dir).map_or(&[], |dir| &dir.names)
    }

    /// The links and roots, and where they lead as far as is known.
    pub(crate) fn ways(&self) -> impl Iterator<Item = (&PathBuf, &Arc<Resolved>)> {
        self.ways.iter().map(|(link, way)| (link, &way.way))
    }

    /// Whether a change at a place, or below it, can concern us. The directories on the way to ours
    /// are watched too, and much goes on in some of them.
    pub(crate) fn concerns(&self, path: &Path) -> bool {
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name())
            && self.dirs.contains_key(dir)
            && !self.ignore.matches(name)
        {
            return true;
        }
        below(&self.dirs, path).next().is_some()
            || below(&self.passing, path).next().is_some()
            || self.behind.contains_key(path)
    }

    /// Marks what the hints touch as stale.
    pub(crate) fn touch(&mut self, hints: &HintSet) -> Touched {
        let mut touched = Touched::default();
        if hints.is_everywhere() {
            self.dirs.values_mut().for_each(|dir| dir.fresh = false);
            self.ways.values_mut().for_each(|way| way.fresh = false);
            touched.structure = true;
            touched.everywhere = true;
        }
        for (path, _) in hints.iter() {
            self.touch_path(path, &mut touched);
        }
        touched
    }

    /// Marks directories as stale of which it is doubtful whether they are still as listed.
    pub(crate) fn doubt(&mut self, dirs: &BTreeSet<PathBuf>) {
        for dir in dirs {
            if let Some(dir) = self.dirs.get_mut(dir.as_path()) {
                dir.fresh = false;
            }
            // A way may have been followed before anybody watched it.
            for (_, ways) in below(&self.passing, dir) {
                ways.iter().for_each(|way| {
                    if let Some(way) = self.ways.get_mut(way) {
                        way.fresh = false
                    }
                });
            }
        }
    }

    fn touch_path(&mut self, path: &Path, touched: &mut Touched) {
        let now = fs::symlink_metadata(path).ok().map(|metadata| Kind::from(metadata.file_type()));
        if now == Some(Kind::File) && self.is_known_file(path) {
            // The usual case: a file was saved, and nothing else changed.
            touched.files.insert(path.to_owned());
            return;
        }
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name())
            && let Some((at, dir)) = entry_mut(&mut self.dirs, dir)
        {
            let before = dir.listing.find(name).map(|(_, kind)| kind);
            if before != now {
                dir.fresh = false;
                if !self.ignore.matches(name) {
                    let is_file = |kind: Option<Kind>| matches!(kind, None | Some(Kind::File));
                    if is_file(before) && is_file(now) {
                        touched.relist.insert(at.clone());
                    } else {
                        touched.structure = true;
                    }
                }
            }
        }
        for (_, dir) in below_mut(&mut self.dirs, path) {
            dir.fresh = false;
            touched.structure = true;
            touched.below.insert(path.to_owned());
        }
        for (_, ways) in below(&self.passing, path) {
            touched.structure = true;
            for way in ways {
                if let Some(way) = self.ways.get_mut(way) {
                    way.fresh = false;
                }
            }
        }
        touched.files.extend(below(&self.behind, path).map(|(real, _)| real.to_path_buf()));
    }

    /// Lists a directory again in which files came or went. `None`: it takes a walk.
    pub(crate) fn relist(&mut self, path: &Path) -> Option<Arc<Listing>> {
        let dir = self.dirs.get_mut(path)?;
        if dir.fresh {
            return Some(dir.listing.clone());
        }
        let listing = Arc::new(Listing::read(path).ok()?);
        if !listing.differs_in_files_only(&dir.listing) {
            return None;
        }
        (dir.listing, dir.fresh) = (listing.clone(), true);
        Some(listing)
    }

    /// Reads what is stale and finds all logical directories, in the order of their names.
    pub(crate) fn walk(&mut self) -> Vec<Found> {
        for dir in self.dirs.values_mut() {
            dir.names.clear();
        }
        let (walked, found) = Walk::over(self);
        self.behind.clear();
        for Found { name, real, links, .. } in &found {
            if let Some(dir) = self.dirs.get_mut(real) {
                dir.names.push(name.clone());
            }
            for (entry, real) in links {
                self.behind.entry(real.clone()).or_default().push((name.clone(), *entry));
            }
        }
        self.dirs.retain(|_, dir| !dir.names.is_empty());
        self.ways.retain(|link, _| walked.ways.contains(link));
        self.passing.clear();
        for (link, way) in &self.ways {
            for waypoint in &way.way.waypoints {
                self.passing.entry(waypoint.clone()).or_default().push(link.clone());
            }
        }
        self.walked = walked;
        found
    }

    /// Reads what is stale or unknown at and below a directory, on several threads.
    pub(crate) fn prefetch(&mut self, top: &Path, recursive: bool) {
        let known = |path: &Path| self.dirs.get(path).map(|dir| (dir.listing.clone(), dir.fresh));
        for (path, found) in prefetch::below(top, recursive, &self.ignore, known) {
            match (self.dirs.get_mut(path.as_path()), found) {
                (Some(dir), Prefetched::AsBefore) => dir.fresh = true,
                (None, Prefetched::AsBefore) => {}
                (_, Prefetched::New(listing)) => self.take_listing(&path, Arc::new(listing)),
            }
        }
    }

    fn take_listing(&mut self, path: &Path, listing: Arc<Listing>) {
        match self.dirs.get_mut(path) {
            Some(dir) => (dir.listing, dir.fresh) = (listing, true),
            None => {
                self.dirs.insert(path.into(), Dir { listing, fresh: true, names: Vec::new() });
            }
        }
    }

    /// Whether a directory need not be listed again.
    pub(crate) fn is_fresh(&self, dir: &Path) -> bool {
        self.dirs.get(dir).is_some_and(|dir| dir.fresh)
    }

    /// The path and listing of a real directory, and the error if it cannot be had: then the listing is
    /// the last one that could.
    pub(crate) fn listing(&mut self, path: &Path) -> (Option<Listed>, Option<io::Error>) {
        let mut error = None;
        if !self.is_fresh(path) {
            match self.dirs.get_mut(path) {
                Some(dir) if dir.listing.is_current(path) => dir.fresh = true,
                _ => match Listing::read(path) {
                    Ok(listing) => self.take_listing(path, Arc::new(listing)),
                    Err(error) if is_absence(&error) => {
                        self.dirs.remove(path);
                    }
                    Err(trouble) => error = Some(trouble),
                },
            }
        }
        (self.dirs.get_key_value(path).map(|(path, dir)| (path.clone(), dir.listing.clone())), error)
    }

    /// The way of a link (or of a root, from `/`). One that cannot be seen now is as it was.
    pub(crate) fn way(&mut self, base: &Path, name: &OsStr) -> (Arc<Resolved>, Option<(PathBuf, io::Error)>) {
        let link = base.join(name);
        let before = match self.ways.get(&link) {
            Some(way) if way.fresh => return (way.way.clone(), None),
            way => way.map(|way| way.way.clone()),
        };
        let now = Arc::new(resolve_symlinks(base, Path::new(name)));
        match (&now.end, before) {
            (End::Failed(at, kind), Some(before)) => (before, Some((at.clone(), (*kind).into()))),
            (end, _) => {
                let trouble = match end {
                    End::Failed(at, kind) => Some((at.clone(), (*kind).into())),
                    _ => None,
                };
                self.ways.insert(link, Way { way: now.clone(), fresh: trouble.is_none() });
                (now, trouble)
            }
        }
    }
}

/// The entries at and below a path. Paths sort by component, so these stand together.
fn below<'a, K: std::borrow::Borrow<Path> + Ord, T>(
    map: &'a BTreeMap<K, T>,
    path: &'a Path,
) -> impl Iterator<Item = (&'a K, &'a T)> {
    map.range::<Path, _>((Bound::Included(path), Bound::Unbounded))
        .take_while(move |(below, _)| (*below).borrow().starts_with(path))
}

fn below_mut<'a, K: std::borrow::Borrow<Path> + Ord, T>(
    map: &'a mut BTreeMap<K, T>,
    path: &'a Path,
) -> impl Iterator<Item = (&'a K, &'a mut T)> {
    map.range_mut::<Path, _>((Bound::Included(path), Bound::Unbounded))
        .take_while(move |(below, _)| (*below).borrow().starts_with(path))
}

fn entry_mut<'a, T>(map: &'a mut BTreeMap<Arc<Path>, T>, path: &Path) -> Option<(&'a Arc<Path>, &'a mut T)> {
    map.range_mut::<Path, _>((Bound::Included(path), Bound::Included(path))).next()
}
