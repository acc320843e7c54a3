//! What was seen of the disk: the listing of each real directory, and the way of each link.
//!
//! A hint marks the parts it touches as stale; [`Tree::walk`] reads only those again and derives
//! from all of it which logical directories there are. The same walk thus serves the start, a new
//! directory, a retargeted link and a lost sync, for which everything is stale. Where only files came
//! or went, nothing leads elsewhere: [`Tree::relist`] does.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet, hash_map::Entry},
    ffi::OsStr,
    fs,
    hash::{Hash, Hasher},
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use hotloader_backend::{DirSet, HintSet, Phase};
use rustc_hash::FxHashMap;

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

/// The path of a real directory, compared by its bytes: that is several times faster than by components,
/// and such a path is never written in two ways.
#[derive(Debug, Clone)]
struct DirPath(Arc<Path>);

impl PartialEq for DirPath {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_os_str() == other.0.as_os_str()
    }
}

impl Eq for DirPath {}

impl Hash for DirPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_os_str().hash(state);
    }
}

impl Borrow<OsStr> for DirPath {
    fn borrow(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

/// A real directory.
#[derive(Debug)]
struct Dir {
    listing: Arc<Listing>,
    fresh: bool,
    /// Every logical directory that it is.
    names: Vec<DirName>,
}

/// A real directory's path and listing.
pub(crate) type KnownDir = (Arc<Path>, Arc<Listing>);

/// The way of a link, which a hint makes stale.
#[derive(Debug)]
struct Way {
    way: Arc<Resolved>,
    fresh: bool,
}

/// The real directories, the links, and how they hang together.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) roots: Vec<Root>,
    pub(crate) allowed_roots: Vec<PathBuf>,
    pub(crate) ignore: Ignore,
    dirs: FxHashMap<DirPath, Dir>,
    /// The way of each link, and of each root.
    ways: BTreeMap<PathBuf, Way>,
    /// Which ways pass by a place.
    passing: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// The logical names of each file that is reached through a link to it.
    behind: BTreeMap<Arc<Path>, Vec<(DirName, u32)>>,
    walked: Walked,
    /// The topmost directories on each file system that may hang, by its device.
    remote: Vec<(u64, Arc<Path>)>,
    /// Those on one that does not answer now. Nobody looks into them, and what was seen of them counts.
    silent: Vec<Arc<Path>>,
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
    /// What was said of the writers of each place.
    pub(crate) phases: BTreeMap<PathBuf, Phase>,
}

impl Touched {
    pub(crate) fn merge(&mut self, other: Self) {
        self.structure |= other.structure;
        self.everywhere |= other.everywhere;
        self.relist.extend(other.relist);
        self.files.extend(other.files);
        self.below.extend(other.below);
        self.phases.extend(other.phases);
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
            dirs: FxHashMap::default(),
            ways: BTreeMap::new(),
            passing: BTreeMap::new(),
            behind: BTreeMap::new(),
            walked: Walked::default(),
            remote: Vec::new(),
            silent: Vec::new(),
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
            && let Some(dir) = self.dirs.get(dir.as_os_str())
            && let Some((entry, Kind::File)) = dir.listing.find(name)
        {
            names.extend(dir.names.iter().map(|name| (name.clone(), entry)));
        }
        names
    }

    fn is_known_file(&self, path: &Path) -> bool {
        self.behind.contains_key(path)
            || matches!((path.parent(), path.file_name()), (Some(dir), Some(name))
                if self.dirs.get(dir.as_os_str()).is_some_and(|dir| matches!(dir.listing.find(name), Some((_, Kind::File)))))
    }

    /// Every logical name of a real directory.
    pub(crate) fn names_of_dir(&self, dir: &Path) -> &[DirName] {
        self.dirs.get(dir.as_os_str()).map_or(&[], |dir| &dir.names)
    }

    /// The links and roots that lead elsewhere than is known, of those whose ends one may look at.
    pub(crate) fn changed_ways(&self, may_look: impl Fn(&Path) -> bool) -> impl Iterator<Item = &PathBuf> {
        let changed = move |(link, way): &(&PathBuf, &Way)| {
            way.way.end.place().is_none_or(&may_look)
                && follow_again(&self.roots, &self.silent, link).end != way.way.end
        };
        self.ways.iter().filter(changed).map(|(link, _)| link)
    }

    /// Whether a change at a place, or below it, can concern us. The directories on the way to ours
    /// are watched too, and much goes on in some of them.
    pub(crate) fn concerns(&self, path: &Path) -> bool {
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name())
            && let Some(dir) = self.dirs.get(dir.as_os_str())
            && !self.ignore.matches(name)
            && self.may_matter(&dir.listing, name, path)
        {
            return true;
        }
        // Every directory of ours is in one of the trees.
        self.dirs.contains_key(path.as_os_str())
            || self.walked.trees.iter().any(|tree| tree.starts_with(path))
            || below(&self.passing, path).next().is_some()
            || self.behind.contains_key(path)
    }

    /// Whether something in a directory of ours may be more than a file that nobody wants: a log beside the
    /// modules must not hold up their saves.
    fn may_matter(&self, listing: &Listing, name: &OsStr, path: &Path) -> bool {
        let is_file = |kind: Option<Kind>| matches!(kind, None | Some(Kind::File));
        let before = listing.find(name).map(|(_, kind)| kind);
        if listing.may_hang || !is_file(before) || self.roots.iter().any(|root| root.wants(name)) {
            return true;
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) => !is_file(Some(Kind::from(metadata.file_type()))),
            Err(error) => !is_absence(&error),
        }
    }

    /// Finds out which of the file systems that a look at these hints may lead to do not answer.
    pub(crate) fn ask(&mut self, hints: &HintSet, mut answers: impl FnMut(u64, &Path) -> bool) {
        // Whatever is not a saved file may lead anywhere.
        let anywhere = hints.is_everywhere() || hints.iter().any(|(path, _)| !self.is_known_file(path));
        let concerns = |top: &Path| anywhere || hints.iter().any(|(path, _)| path.starts_with(top));
        let is_silent = |(device, top): &&(u64, Arc<Path>)| concerns(top) && !answers(*device, top);
        self.silent = self.remote.iter().filter(is_silent).map(|(_, top)| top.clone()).collect();
    }

    pub(crate) fn silent(&self) -> &[Arc<Path>] {
        &self.silent
    }

    /// Whether a place is on a file system that does not answer.
    pub(crate) fn is_silent(&self, path: &Path) -> bool {
        is_below_any(&self.silent, path)
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
        for (path, phase) in hints.iter() {
            if !self.is_silent(path) {
                self.touch_path(path, &mut touched);
            }
            touched.phases.insert(path.to_owned(), phase);
        }
        touched
    }

    /// Looks again at directories that were listed before they were watched, and at the ways. Returns
    /// whether anything is different from what the last walk saw.
    pub(crate) fn recheck(&mut self, dirs: &DirSet) -> bool {
        let listed = |path: &Path| {
            let dir = self.dirs.get(path.as_os_str())?;
            (!self.is_silent(path)).then_some(&*dir.listing)
        };
        let again = prefetch::again(dirs.as_slice(), listed);
        let mut changed = false;
        for (path, found) in again {
            changed = true;
            match found {
                Some(listing) => self.take_listing(path, Arc::new(listing)),
                None => self.dirs.get_mut(path.as_os_str()).into_iter().for_each(|dir| dir.fresh = false),
            }
        }
        for (link, way) in &mut self.ways {
            let mut above = way.way.waypoints.iter().filter_map(|waypoint| waypoint.parent());
            // The others are watched all the time.
            let is_doubtful = above.any(|dir| !is_below_any(&self.silent, dir) && dirs.contains(dir));
            if is_doubtful && way.fresh && follow_again(&self.roots, &self.silent, link) != *way.way {
                (way.fresh, changed) = (false, true);
            }
        }
        changed
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
                        touched.relist.insert(at);
                    } else {
                        touched.structure = true;
                    }
                }
            }
        }
        let is_above = self.walked.trees.iter().any(|tree| tree.starts_with(path));
        if is_above || self.dirs.contains_key(path.as_os_str()) {
            for (_, dir) in self.dirs.iter_mut().filter(|(dir, _)| dir.0.starts_with(path)) {
                dir.fresh = false;
            }
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
        // The audit names a root by its own path, which leads through links and is no waypoint then.
        if let Some(way) = self.ways.get_mut(path) {
            (way.fresh, touched.structure) = (false, true);
        }
        touched.files.extend(below(&self.behind, path).map(|(real, _)| real.to_path_buf()));
    }

    /// Lists a directory again in which files came or went. `None`: it takes a walk.
    pub(crate) fn relist(&mut self, path: &Path) -> Option<Arc<Listing>> {
        let dir = self.dirs.get_mut(path.as_os_str())?;
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
            if let Some(dir) = self.dirs.get_mut(real.as_os_str()) {
                // Nearly always the only one.
                dir.names.reserve_exact(1);
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
        self.remote = self.find_remote();
        found
    }

    fn find_remote(&self) -> Vec<(u64, Arc<Path>)> {
        let device = |dir: &Path| self.dirs.get(dir.as_os_str()).map(|dir| dir.listing.identity.0);
        let dirs = self.dirs.iter().filter(|(_, dir)| dir.listing.may_hang);
        let tops =
            dirs.filter(|(path, dir)| path.0.parent().and_then(device) != Some(dir.listing.identity.0));
        tops.map(|(path, dir)| (dir.listing.identity.0, path.0.clone())).collect()
    }

    /// Reads what is stale or unknown at and below a directory, on several threads. Returns how many there
    /// were.
    pub(crate) fn prefetch(&mut self, top: &Path, recursive: bool) -> usize {
        let known = |path: &Path| {
            let dir = self.dirs.get(path.as_os_str())?;
            Some((dir.listing.clone(), dir.fresh || self.is_silent(path)))
        };
        let found = prefetch::below(top, recursive, &self.ignore, known);
        let count = found.len();
        self.dirs.reserve(count);
        for (path, found) in found {
            match found {
                Prefetched::AsBefore => {
                    if let Some(dir) = self.dirs.get_mut(path.as_os_str()) {
                        dir.fresh = true;
                    }
                }
                Prefetched::New(listing) => self.take_listing(path, listing),
            }
        }
        count
    }

    fn take_listing(&mut self, path: Arc<Path>, listing: Arc<Listing>) {
        match self.dirs.entry(DirPath(path)) {
            Entry::Occupied(mut dir) => {
                let dir = dir.get_mut();
                (dir.listing, dir.fresh) = (listing, true);
            }
            Entry::Vacant(place) => {
                place.insert(Dir { listing, fresh: true, names: Vec::new() });
            }
        }
    }

    /// Whether a directory need not be listed again.
    pub(crate) fn is_fresh(&self, dir: &Path) -> bool {
        self.is_silent(dir) || self.dirs.get(dir.as_os_str()).is_some_and(|dir| dir.fresh)
    }

    /// The path and listing of a real directory, and the error if it cannot be had: then the listing is
    /// the last one that could.
    pub(crate) fn listing(&mut self, path: &Path) -> (Option<KnownDir>, Option<io::Error>) {
        // At the start all have been listed, so this is the way of nearly all.
        if let Some((path, dir)) = self.dirs.get_key_value(path.as_os_str())
            && dir.fresh
        {
            return (Some((path.0.clone(), dir.listing.clone())), None);
        }
        let mut error = None;
        if !self.is_silent(path) {
            match self.dirs.get_mut(path.as_os_str()) {
                Some(dir) if dir.listing.is_current(path) => dir.fresh = true,
                _ => match Listing::read(path) {
                    Ok(listing) => self.take_listing(path.into(), Arc::new(listing)),
                    Err(error) if is_absence(&error) => {
                        self.dirs.remove(path.as_os_str());
                    }
                    Err(trouble) => error = Some(trouble),
                },
            }
        }
        (
            self.dirs
                .get_key_value(path.as_os_str())
                .map(|(path, dir)| (path.0.clone(), dir.listing.clone())),
            error,
        )
    }

    /// The way of a link (or of a root, from `/`). One that cannot be seen now is as it was.
    pub(crate) fn way(&mut self, base: &Path, name: &OsStr) -> (Arc<Resolved>, Option<(PathBuf, io::Error)>) {
        let link = base.join(name);
        let before = match self.ways.get(&link) {
            Some(way) if way.fresh => return (way.way.clone(), None),
            way => way.map(|way| way.way.clone()),
        };
        let is_silent = |place: &Path| self.is_silent(place);
        let now = Arc::new(resolve_symlinks(base, Path::new(name), is_silent));
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

/// Follows a link from where it stands, or a root from `/`.
fn follow_again(roots: &[Root], silent: &[Arc<Path>], link: &Path) -> Resolved {
    let is_silent = |place: &Path| is_below_any(silent, place);
    match (link.parent(), link.file_name()) {
        (Some(dir), Some(name)) if roots.iter().all(|root| root.dir != link) => {
            resolve_symlinks(dir, Path::new(name), is_silent)
        }
        _ => resolve_symlinks(Path::new("/"), link, is_silent),
    }
}

fn is_below_any(tops: &[Arc<Path>], path: &Path) -> bool {
    tops.iter().any(|top| path.starts_with(top))
}

/// The entries at and below a path. Paths sort by component, so these stand together.
fn below<'a, K: std::borrow::Borrow<Path> + Ord, T>(
    map: &'a BTreeMap<K, T>,
    path: &'a Path,
) -> impl Iterator<Item = (&'a K, &'a T)> {
    map.range::<Path, _>((Bound::Included(path), Bound::Unbounded))
        .take_while(move |(below, _)| (*below).borrow().starts_with(path))
}

fn entry_mut<'a>(dirs: &'a mut FxHashMap<DirPath, Dir>, path: &Path) -> Option<(Arc<Path>, &'a mut Dir)> {
    let (at, _) = dirs.get_key_value(path.as_os_str())?;
    let at = at.0.clone();
    Some((at, dirs.get_mut(path.as_os_str())?))
}
