//! Which logical names there are, and which real file is behind each.
//!
//! The tree keeps what it has seen of the disk: the listing of each real directory and the way of
//! each link. A hint marks the parts it touches as stale; [`Tree::walk`] reads only those again and
//! derives the names anew from all. The same walk thus serves the start, a new directory, a
//! retargeted link and a lost sync, for which everything is stale.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs::{self, FileType},
    io,
    ops::Bound,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use hotloader_backend::HintSet;

use super::{
    Root, RootId,
    ignore::Ignore,
    links::{End, Identity, Resolved, is_absence, resolve_symlinks},
    walk::{Walk, Walked},
};
use crate::config::WatchConfig;

/// A logical name.
pub(crate) type Name = (RootId, PathBuf);

/// Where a logical name is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The directory entry: a file, or a link to one.
    pub(crate) entry: PathBuf,
    /// The real file.
    pub(crate) real: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Dir,
    Link,
    Other,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        if kind.is_symlink() {
            Self::Link
        } else if kind.is_dir() {
            Self::Dir
        } else if kind.is_file() {
            Self::File
        } else {
            Self::Other
        }
    }
}

/// What is in a real directory.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) identity: Identity,
    pub(crate) entries: BTreeMap<OsString, Kind>,
}

impl Listing {
    fn read(dir: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(dir)?;
        if !metadata.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // What vanishes between the two calls is not there.
            if let Ok(kind) = entry.file_type() {
                entries.insert(entry.file_name(), kind.into());
            }
        }
        Ok(Self { identity: (metadata.dev(), metadata.ino()), entries })
    }
}

/// Something seen on the disk, which a hint makes stale.
#[derive(Debug)]
pub(crate) struct Seen<T> {
    pub(crate) what: Arc<T>,
    fresh: bool,
}

/// The logical names of all roots over the real files behind them.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) roots: Vec<Root>,
    pub(crate) allowed_roots: Vec<PathBuf>,
    pub(crate) ignore: Ignore,
    listings: BTreeMap<PathBuf, Seen<Listing>>,
    /// The way of each link, and of each root.
    ways: BTreeMap<PathBuf, Seen<Resolved>>,
    /// Which ways pass by a place.
    passing: BTreeMap<PathBuf, Vec<PathBuf>>,
    behind: BTreeMap<PathBuf, Vec<Name>>,
    walked: Walked,
}

/// What hints came to.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Names may have come, gone or moved: walk.
    pub(crate) structure: bool,
    /// Real files whose content may be another.
    pub(crate) files: BTreeSet<PathBuf>,
}

impl Tree {
    pub(crate) fn new(settings: &WatchConfig, roots: Vec<Root>) -> Self {
        Self {
            roots,
            allowed_roots: settings.allowed_roots.clone(),
            ignore: Ignore::new(&settings.ignore),
            listings: BTreeMap::new(),
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

    /// The logical names of a real file.
    pub(crate) fn names_of(&self, real: &Path) -> &[Name] {
        self.behind.get(real).map_or(&[], Vec::as_slice)
    }

    /// Whether a change at a place, or below it, can concern us. The directories on the way to ours
    /// are watched too, and much goes on in some of them.
    pub(crate) fn concerns(&self, path: &Path) -> bool {
        if below(&self.listings, path).next().is_some()
            || below(&self.passing, path).next().is_some()
            || self.behind.contains_key(path)
        {
            return true;
        }
        match (path.parent(), path.file_name()) {
            (Some(dir), Some(name)) => self.listings.contains_key(dir) && !self.ignore.matches(name),
            _ => false,
        }
    }

    /// Marks what the hints touch as stale.
    pub(crate) fn touch(&mut self, hints: &HintSet) -> Touched {
        let mut touched = Touched::default();
        if hints.is_everywhere() {
            self.listings.values_mut().for_each(|seen| seen.fresh = false);
            self.ways.values_mut().for_each(|seen| seen.fresh = false);
            touched.structure = true;
            touched.files.extend(self.behind.keys().cloned());
        }
        for (path, _) in hints.iter() {
            self.touch_path(path, &mut touched);
        }
        touched
    }

    fn touch_path(&mut self, path: &Path, touched: &mut Touched) {
        let now = fs::symlink_metadata(path).ok().map(|metadata| Kind::from(metadata.file_type()));
        if now == Some(Kind::File) && self.behind.contains_key(path) {
            // The usual case: a file was saved, and nothing else changed.
            touched.files.insert(path.to_owned());
            return;
        }
        if let (Some(dir), Some(name)) = (path.parent(), path.file_name())
            && let Some(seen) = self.listings.get_mut(dir)
            && seen.what.entries.get(name).copied() != now
        {
            seen.fresh = false;
            touched.structure |= !self.ignore.matches(name);
        }
        for (_, seen) in below_mut(&mut self.listings, path) {
            seen.fresh = false;
            touched.structure = true;
        }
        for (_, ways) in below(&self.passing, path) {
            touched.structure = true;
            for way in ways {
                if let Some(seen) = self.ways.get_mut(way) {
                    seen.fresh = false;
                }
            }
        }
        touched.files.extend(below(&self.behind, path).map(|(real, _)| real.clone()));
    }

    /// Reads what is stale and derives all names.
    pub(crate) fn walk(&mut self) -> &Walked {
        let walked = Walk::over(self);
        self.listings.retain(|dir, _| walked.listed.contains(dir));
        self.ways.retain(|link, _| walked.ways.contains(link));
        self.passing.clear();
        for (way, seen) in &self.ways {
            for waypoint in &seen.what.waypoints {
                self.passing.entry(waypoint.clone()).or_default().push(way.clone());
            }
        }
        let mut behind: Vec<(&Path, &Name)> =
            walked.names.iter().map(|(name, place)| (place.real.as_path(), name)).collect();
        behind.sort();
        let same_file = behind.chunk_by(|a, b| a.0 == b.0);
        self.behind = same_file
            .map(|names| (names[0].0.to_owned(), names.iter().map(|&(_, name)| name.clone()).collect()))
            .collect();
        self.walked = walked;
        &self.walked
    }

    /// The listing of a real directory, and the error if it cannot be had: then it is the last one
    /// that could.
    pub(crate) fn listing(&mut self, dir: &Path) -> (Option<Arc<Listing>>, Option<io::Error>) {
        if let Some(seen) = self.listings.get(dir)
            && seen.fresh
        {
            return (Some(seen.what.clone()), None);
        }
        match Listing::read(dir) {
            Ok(listing) => {
                let what = Arc::new(listing);
                self.listings.insert(dir.to_owned(), Seen { what: what.clone(), fresh: true });
                (Some(what), None)
            }
            Err(error) if is_absence(&error) => {
                self.listings.remove(dir);
                (None, None)
            }
            Err(error) => (self.listings.get(dir).map(|seen| seen.what.clone()), Some(error)),
        }
    }

    /// The way of a link (or of a root, from `/`). One that cannot be seen now is as it was.
    pub(crate) fn way(&mut self, base: &Path, name: &OsStr) -> (Arc<Resolved>, Option<(PathBuf, io::Error)>) {
        let link = base.join(name);
        let before = match self.ways.get(&link) {
            Some(seen) if seen.fresh => return (seen.what.clone(), None),
            seen => seen.map(|seen| seen.what.clone()),
        };
        let now = Arc::new(resolve_symlinks(base, Path::new(name)));
        match (&now.end, before) {
            (End::Failed(at, kind), Some(before)) => (before, Some((at.clone(), (*kind).into()))),
            (end, _) => {
                let trouble = match end {
                    End::Failed(at, kind) => Some((at.clone(), (*kind).into())),
                    _ => None,
                };
                self.ways.insert(link, Seen { what: now.clone(), fresh: trouble.is_none() });
                (now, trouble)
            }
        }
    }
}

/// The entries at and below a path. Paths sort by component, so these stand together.
fn below<'a, T>(map: &'a BTreeMap<PathBuf, T>, path: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a T)> {
    map.range::<Path, _>((Bound::Included(path), Bound::Unbounded))
        .take_while(move |(below, _)| below.starts_with(path))
}

fn below_mut<'a, T>(
    map: &'a mut BTreeMap<PathBuf, T>,
    path: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a mut T)> {
    map.range_mut::<Path, _>((Bound::Included(path), Bound::Unbounded))
        .take_while(move |(below, _)| below.starts_with(path))
}
