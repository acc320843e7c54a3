//! One walk over the logical tree, from the roots through directories and links to all directories.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use hotloader_backend::DirSet;

use hotloader_disk::MountTable;

use super::{
    cache::{DiskCache, ListedDir, MAX_DIRS},
    name::DirName,
    scope::Scope,
};
use crate::watch::{
    change::Root,
    disk::{Answers, End, Identity, Kind, Listing, Resolved, by_components, join},
};

/// Something a person should know, said once for as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Warning {
    /// The link leads to a directory that contains it.
    Cycle { link: PathBuf, target: PathBuf },
    /// The link leads nowhere but to links.
    Loop { link: PathBuf },
    /// The link leads outside `watch.allowed_roots`.
    Refused { link: PathBuf, target: PathBuf },
    /// The link leads to what the kernel makes up, or to a device.
    MadeUp { link: PathBuf, target: PathBuf },
    /// A pipe or a device has a name that we want.
    NotAFile { path: PathBuf },
    /// The root is not there.
    NoRoot { dir: PathBuf },
    /// There are too many directories.
    TooMany,
}

impl Warning {
    /// What it is about, and what is wrong with that.
    pub(super) fn told(&self) -> (PathBuf, String) {
        let (path, message) = match self {
            Self::Cycle { link, target } => {
                (link, format!("leads to {}, which contains it; not followed", target.display()))
            }
            Self::Loop { link } => (link, "leads in a circle; not followed".into()),
            Self::Refused { link, target } => {
                let dir = target.parent().unwrap_or(target).display();
                let remedy = format!("add {dir} to watch.allowed_roots to allow it");
                (
                    link,
                    format!(
                        "leads to {}, outside the allowed directories; not read ({remedy})",
                        target.display()
                    ),
                )
            }
            Self::MadeUp { link, target } => {
                let what = "which the kernel makes up (/proc, /sys, /dev); not read";
                (link, format!("leads to {}, {what}", target.display()))
            }
            Self::NotAFile { path } => (path, "not a regular file; not read".into()),
            Self::NoRoot { dir } => (dir, "no such directory".into()),
            Self::TooMany => {
                let message =
                    format!("more than {MAX_DIRS} directories; the rest is not read (watch.ignore)");
                return (PathBuf::new(), message);
            }
        };
        (path.clone(), message)
    }

    pub(super) fn log(&self) {
        match self {
            Self::Cycle { link, target } => {
                tracing::warn!(target: "watch", ?link, ?target, "link leads to a directory that contains it; not followed");
            }
            Self::Loop { link } => {
                tracing::warn!(target: "watch", ?link, "link leads in a circle; not followed");
            }
            Self::Refused { link, target } => {
                tracing::warn!(target: "watch", ?link, ?target,
                    "link leads outside the allowed directories; not read (add its directory to watch.allowed_roots to allow it)");
            }
            Self::MadeUp { link, target } => {
                tracing::warn!(target: "watch", ?link, ?target,
                    "link leads to what the kernel makes up (/proc, /sys, /dev); not read");
            }
            Self::NotAFile { path } => {
                tracing::warn!(target: "watch", ?path, "not a regular file; not read");
            }
            Self::NoRoot { dir } => {
                tracing::warn!(target: "watch", ?dir, "directory does not exist; waiting for it");
            }
            Self::TooMany => {
                tracing::warn!(target: "watch", limit = MAX_DIRS,
                    "too many directories; the rest is not watched (add names to watch.ignore, or look for links that multiply)");
            }
        }
    }
}

/// A logical directory.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) name: DirName,
    /// Which directory of the disk it is.
    pub(super) real: Arc<Path>,
    pub(super) listing: Arc<Listing>,
    /// The entries that are links to files, and the real files behind them.
    pub(super) links: Vec<(u32, Arc<Path>)>,
}

/// What a walk found, beside the directories.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Each link and root whose way was followed.
    pub(super) ways: BTreeSet<PathBuf>,
    /// Every directory that must be watched.
    pub(super) dirs: DirSet,
    /// The real directories in which trees begin: where roots and links to directories lead.
    pub(super) trees: BTreeSet<PathBuf>,
    /// Each link, and where it leads in the end.
    pub(super) targets: BTreeMap<PathBuf, PathBuf>,
    /// What could not be seen.
    pub(super) troubles: Vec<(PathBuf, io::Error)>,
    /// What a person should know.
    pub(super) warnings: BTreeSet<Warning>,
}

/// Goes from the roots through directories and links to all directories, in the order of their names. Reads
/// what is stale.
pub(super) fn walk(scope: &Scope, cache: &mut DiskCache, answers: &mut Answers) -> (Walked, Vec<Found>) {
    let mut walk = Walk {
        scope,
        cache,
        answers,
        allowed: None,
        root_dirs: Vec::new(),
        mounts: OnceCell::new(),
        dirs: Vec::new(),
        watch: Vec::new(),
        on_the_way: BTreeSet::new(),
        walked: Walked::default(),
    };
    let ends: Vec<Option<(PathBuf, Identity)>> = scope.roots.iter().map(|root| walk.root(root)).collect();
    walk.root_dirs = ends.iter().flatten().map(|(dir, _)| dir.clone()).collect();
    if !scope.allowed_roots.is_empty() {
        let listed = scope.allowed_roots.iter();
        let listed = listed.map(|dir| fs::canonicalize(dir).unwrap_or_else(|_| dir.clone()));
        walk.allowed = Some(listed.chain(walk.root_dirs.iter().cloned()).collect());
    }
    for (root, end) in scope.roots.iter().zip(ends) {
        if let Some((dir, _)) = end {
            // A link to a directory above the root leads in a circle as well.
            let above = dir.ancestors().skip(1).filter_map(|dir| fs::symlink_metadata(dir).ok());
            let mut stack: Vec<Identity> = above.map(|dir| (dir.dev(), dir.ino())).collect();
            walk.tree_of_dirs(root, Path::new(""), &dir, &mut stack);
        }
    }
    walk.finish()
}

/// A walk under way.
struct Walk<'a> {
    scope: &'a Scope,
    cache: &'a mut DiskCache,
    answers: &'a mut Answers,
    /// Where links may lead; `None`: anywhere.
    allowed: Option<Vec<PathBuf>>,
    /// Where the roots are: nobody asks for the file system of what is below them.
    root_dirs: Vec<PathBuf>,
    mounts: OnceCell<MountTable>,
    dirs: Vec<Found>,
    /// Directories that must be watched, as they are met: to sort them once is faster.
    watch: Vec<Arc<Path>>,
    /// Directories on the way of links, which must be watched as well.
    on_the_way: BTreeSet<PathBuf>,
    walked: Walked,
}

impl Walk<'_> {
    fn finish(mut self) -> (Walked, Vec<Found>) {
        // Roots may be named in any order. A walk over one of them comes by its directories in theirs.
        let order =
            |a: &Found, b: &Found| a.name.0.cmp(&b.name.0).then_with(|| by_components(&a.name.1, &b.name.1));
        if !self.dirs.is_sorted_by(|a, b| order(a, b).is_lt()) {
            self.dirs.sort_by(order);
            self.dirs.dedup_by(|later, first| later.name == first.name);
        }
        self.watch.retain(|dir| dir.parent().is_some());
        let on_the_way = self.on_the_way.into_iter().map(Arc::from);
        self.walked.dirs = self.watch.into_iter().chain(on_the_way).collect();
        (self.walked, self.dirs)
    }

    fn root(&mut self, root: &Root) -> Option<(PathBuf, Identity)> {
        let way = self.way(Path::new("/"), root.dir.as_os_str());
        match &way.end {
            End::Dir(dir, identity) => {
                if !way.hops.is_empty() {
                    self.walked.targets.insert(root.dir.clone(), dir.clone());
                }
                Some((dir.clone(), *identity))
            }
            End::Failed(..) => None,
            _ => {
                if !root.optional {
                    self.walked.warnings.insert(Warning::NoRoot { dir: root.dir.clone() });
                }
                None
            }
        }
    }

    fn way(&mut self, base: &Path, name: &OsStr) -> Arc<Resolved> {
        let (way, trouble) = self.cache.way(base, name);
        self.walked.troubles.extend(trouble);
        self.walked.ways.insert(base.join(name));
        // A directory in `/` tells itself that it is moved. A link does not, nor does what is not there.
        let is_told_by_its_directory_only = |waypoint: &PathBuf| {
            way.hops.iter().any(|hop| hop.link == *waypoint)
                || matches!(&way.end, End::Missing(at) if at == waypoint)
        };
        for waypoint in &way.waypoints {
            if let Some(dir) = waypoint.parent()
                && !self.on_the_way.contains(dir)
                && (dir.parent().is_some() || is_told_by_its_directory_only(waypoint))
            {
                self.on_the_way.insert(dir.to_owned());
            }
        }
        way
    }

    /// A directory in which a tree begins.
    fn tree_of_dirs(&mut self, root: &Root, name: &Path, dir: &Path, stack: &mut Vec<Identity>) {
        self.walked.trees.insert(dir.to_owned());
        if !self.cache.is_fresh(dir) {
            let count = self.prefetch(root, dir);
            // What has to grow in many steps is copied at each of them.
            self.dirs.reserve(count);
            self.watch.reserve(count);
        }
        self.dir(root, name, dir, stack);
    }

    /// Lists what is stale or unknown at and below a directory, up to other mounts that may hang. Returns how many
    /// directories there were.
    fn prefetch(&mut self, root: &Root, dir: &Path) -> usize {
        let mounts = self.mounts.get_or_init(MountTable::read);
        let points = mounts.points_that_may_hang();
        let (beyond, ignore) = (|dir: &Path| points.contains(dir), &self.scope.ignore);
        match mounts.device_that_may_hang(dir) {
            Some(device) => {
                self.cache.prefetch_far((device, dir), root.recursive, ignore, beyond, self.answers)
            }
            None => self.cache.prefetch(dir, root.recursive, ignore, beyond),
        }
    }

    /// The listing of a directory, fresh if that can be had.
    fn listing(&mut self, root: &Root, dir: &Path) -> (Option<ListedDir>, Option<io::Error>) {
        // At a start all have been listed, so this is the way of nearly all.
        if let Some(listed) = self.cache.fresh(dir) {
            return (Some(listed), None);
        }
        let may_hang = || self.mounts.get_or_init(MountTable::read).device_that_may_hang(dir).is_some();
        if !self.cache.is_silent(dir) && may_hang() {
            self.prefetch(root, dir);
        }
        self.cache.listing(dir)
    }

    fn dir(&mut self, root: &Root, name: &Path, dir: &Path, stack: &mut Vec<Identity>) {
        if self.dirs.len() >= MAX_DIRS {
            self.walked.warnings.insert(Warning::TooMany);
            return;
        }
        let (listing, trouble) = self.listing(root, dir);
        self.walked.troubles.extend(trouble.map(|error| (dir.to_owned(), error)));
        // Also if it cannot be listed: it may become readable.
        self.watch.push(listing.as_ref().map_or_else(|| dir.into(), |(real, _)| real.clone()));
        let Some((real, listing)) = listing else { return };
        let at = self.dirs.len();
        let found = Found {
            name: (root.id, name.into()),
            real: real.clone(),
            listing: listing.clone(),
            links: Vec::new(),
        };
        self.dirs.push(found);
        stack.push(listing.identity);
        let mut links = Vec::new();
        for (entry, entry_name, kind) in listing.iter() {
            if kind == Kind::File || self.scope.ignore.matches(entry_name) {
                continue;
            }
            let (name, path) = (join(name, entry_name), join(&real, entry_name));
            match kind {
                Kind::Dir if root.recursive => self.dir(root, &name, &path, stack),
                Kind::Link => {
                    let way = self.way(&real, entry_name);
                    links.extend(self.link(root, &name, path, &way, stack).map(|file| (entry, file)));
                }
                Kind::Other => self.other(root, path),
                Kind::File | Kind::Dir => {}
            }
        }
        if let Some(found) = self.dirs.get_mut(at) {
            found.links = links;
        }
        stack.pop();
    }

    /// Follows a link. Returns the file behind it, if it is one.
    fn link(
        &mut self,
        root: &Root,
        name: &Path,
        link: PathBuf,
        way: &Resolved,
        stack: &mut Vec<Identity>,
    ) -> Option<Arc<Path>> {
        let target = match &way.end {
            End::File(at) | End::Other(at) | End::Missing(at) | End::Dir(at, _) => at,
            End::Failed(..) => return None,
            End::Loop => {
                self.walked.warnings.insert(Warning::Loop { link });
                return None;
            }
        };
        let wanted = match way.end {
            End::Dir(..) => root.recursive,
            _ => root.wants(name.as_os_str()),
        };
        if !wanted {
            return None;
        }
        self.walked.targets.insert(link.clone(), target.clone());
        match &way.end {
            End::Missing(_) | End::Failed(..) | End::Loop => {}
            _ if self.is_made_up(target) => {
                self.walked.warnings.insert(Warning::MadeUp { link, target: target.clone() });
            }
            _ if !self.is_allowed(target) => {
                self.walked.warnings.insert(Warning::Refused { link, target: target.clone() });
            }
            End::File(real) => return Some(real.as_path().into()),
            End::Other(_) => self.other(root, link),
            End::Dir(dir, identity) if stack.contains(identity) => {
                self.walked.warnings.insert(Warning::Cycle { link, target: dir.clone() });
            }
            End::Dir(dir, _) => self.tree_of_dirs(root, name, dir, stack),
        }
        None
    }

    fn other(&mut self, root: &Root, path: PathBuf) {
        if root.wants(path.as_os_str()) {
            self.walked.warnings.insert(Warning::NotAFile { path });
        }
    }

    fn is_made_up(&self, target: &Path) -> bool {
        !self.root_dirs.iter().any(|dir| target.starts_with(dir))
            && self.mounts.get_or_init(MountTable::read).is_made_up(target)
    }

    fn is_allowed(&self, target: &Path) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|dir| target.starts_with(dir)))
    }
}
