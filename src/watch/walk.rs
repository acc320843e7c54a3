//! One walk over the logical tree: from the roots through directories and links to files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    Root,
    links::{End, Identity, Resolved},
    tree::{Kind, Name, Place, Tree},
};

/// Links between directories can multiply names without end; here it ends.
const MAX_DIRS: usize = 50_000;

/// Something a person should know, said once for as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Warning {
    /// The link leads to a directory that contains it.
    Cycle { link: PathBuf, target: PathBuf },
    /// The link leads nowhere but to links.
    Loop { link: PathBuf },
    /// The link leads outside `watch.allowed_roots`.
    Refused { link: PathBuf, target: PathBuf },
    /// A pipe or a device has a name that we want.
    NotAFile { path: PathBuf },
    /// The root is not there.
    NoRoot { dir: PathBuf },
    /// There are too many directories.
    TooMany,
}

impl Warning {
    pub(crate) fn log(&self) {
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

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Every name and where it is.
    pub(crate) names: BTreeMap<Name, Place>,
    /// Each real directory that was listed.
    pub(crate) listed: BTreeSet<PathBuf>,
    /// Each link and root whose way was followed.
    pub(crate) ways: BTreeSet<PathBuf>,
    /// Every directory that must be watched.
    pub(crate) dirs: BTreeSet<PathBuf>,
    /// The real directories in which trees begin: where roots and links to directories lead.
    pub(crate) trees: BTreeSet<PathBuf>,
    /// Each link, and where it leads in the end.
    pub(crate) targets: BTreeMap<PathBuf, PathBuf>,
    /// What could not be seen.
    pub(crate) troubles: Vec<(PathBuf, io::Error)>,
    /// What a person should know.
    pub(crate) warnings: BTreeSet<Warning>,
}

/// A walk under way.
pub(crate) struct Walk<'a> {
    tree: &'a mut Tree,
    allowed: Option<Vec<PathBuf>>,
    count: usize,
    /// In the order of the walk, which is nearly that of the map they become: sorting them once is
    /// much cheaper than finding a place for each.
    names: Vec<(Name, Place)>,
    found: Walked,
}

impl<'a> Walk<'a> {
    pub(crate) fn over(tree: &'a mut Tree) -> Walked {
        let roots = tree.roots.clone();
        let mut walk = Walk { tree, allowed: None, count: 0, names: Vec::new(), found: Walked::default() };
        let ends: Vec<Option<(PathBuf, Identity)>> = roots.iter().map(|root| walk.root(root)).collect();
        if !walk.tree.allowed_roots.is_empty() {
            let listed = walk.tree.allowed_roots.iter();
            let listed = listed.map(|dir| fs::canonicalize(dir).unwrap_or_else(|_| dir.clone()));
            walk.allowed = Some(listed.chain(ends.iter().flatten().map(|(dir, _)| dir.clone())).collect());
        }
        for (root, end) in roots.iter().zip(ends) {
            if let Some((dir, _)) = end {
                // A link to a directory above the root leads in a circle as well.
                let above = dir.ancestors().skip(1).filter_map(|dir| fs::symlink_metadata(dir).ok());
                let mut stack: Vec<Identity> = above.map(|dir| (dir.dev(), dir.ino())).collect();
                walk.dir(root, Path::new(""), &dir, &mut stack);
            }
        }
        walk.found.names = walk.names.into_iter().collect();
        walk.found
    }

    fn root(&mut self, root: &Root) -> Option<(PathBuf, Identity)> {
        let way = self.way(Path::new("/"), root.dir.as_os_str());
        match &way.end {
            End::Dir(dir, identity) => {
                if !way.hops.is_empty() {
                    self.found.targets.insert(root.dir.clone(), dir.clone());
                }
                self.found.trees.insert(dir.clone());
                Some((dir.clone(), *identity))
            }
            End::Failed(..) => None,
            _ => {
                self.found.warnings.insert(Warning::NoRoot { dir: root.dir.clone() });
                None
            }
        }
    }

    fn way(&mut self, base: &Path, name: &std::ffi::OsStr) -> std::sync::Arc<Resolved> {
        let (way, trouble) = self.tree.way(base, name);
        self.found.troubles.extend(trouble);
        self.found.ways.insert(base.join(name));
        for waypoint in &way.waypoints {
            self.watch(waypoint.parent());
        }
        way
    }

    fn watch(&mut self, dir: Option<&Path>) {
        // Nothing in `/` is replaced while a server runs from it.
        if let Some(dir) = dir.filter(|dir| dir.parent().is_some())
            && !self.found.dirs.contains(dir)
        {
            self.found.dirs.insert(dir.to_owned());
        }
    }

    fn dir(&mut self, root: &Root, name: &Path, dir: &Path, stack: &mut Vec<Identity>) {
        self.count += 1;
        if self.count > MAX_DIRS {
            self.found.warnings.insert(Warning::TooMany);
            return;
        }
        // Also if it cannot be listed: it may become readable.
        self.watch(Some(dir));
        let (listing, trouble) = self.tree.listing(dir);
        self.found.troubles.extend(trouble.map(|error| (dir.to_owned(), error)));
        let Some(listing) = listing else { return };
        self.found.listed.insert(dir.to_owned());
        stack.push(listing.identity);
        for (entry, &kind) in &listing.entries {
            if self.tree.ignore.matches(entry) {
                continue;
            }
            let (name, path) = (name.join(entry), dir.join(entry));
            match kind {
                Kind::File => self.file(root, name, &path, &path),
                Kind::Dir if root.recursive => self.dir(root, &name, &path, stack),
                Kind::Dir => {}
                Kind::Link => {
                    let way = self.way(dir, entry);
                    self.link(root, name, path, &way, stack);
                }
                Kind::Other => self.other(root, path),
            }
        }
        stack.pop();
    }

    fn link(&mut self, root: &Root, name: PathBuf, link: PathBuf, way: &Resolved, stack: &mut Vec<Identity>) {
        let target = match &way.end {
            End::File(at) | End::Other(at) | End::Missing(at) | End::Dir(at, _) => at,
            End::Failed(..) => return,
            End::Loop => {
                self.found.warnings.insert(Warning::Loop { link });
                return;
            }
        };
        let wanted = match way.end {
            End::Dir(..) => root.recursive,
            _ => belongs(root, &name),
        };
        if !wanted {
            return;
        }
        self.found.targets.insert(link.clone(), target.clone());
        match &way.end {
            End::Missing(_) | End::Failed(..) | End::Loop => {}
            _ if !self.is_allowed(target) => {
                self.found.warnings.insert(Warning::Refused { link, target: target.clone() });
            }
            End::File(real) => self.file(root, name, &link, real),
            End::Other(_) => self.other(root, link),
            End::Dir(dir, identity) if stack.contains(identity) => {
                self.found.warnings.insert(Warning::Cycle { link, target: dir.clone() });
            }
            End::Dir(dir, _) => {
                self.found.trees.insert(dir.clone());
                self.dir(root, &name, dir, stack);
            }
        }
    }

    fn file(&mut self, root: &Root, name: PathBuf, entry: &Path, real: &Path) {
        if belongs(root, &name) {
            let place = Place { entry: entry.to_owned(), real: real.to_owned() };
            self.names.push(((root.id, name), place));
        }
    }

    fn other(&mut self, root: &Root, path: PathBuf) {
        if belongs(root, &path) {
            self.found.warnings.insert(Warning::NotAFile { path });
        }
    }

    fn is_allowed(&self, target: &Path) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|dir| target.starts_with(dir)))
    }
}

fn belongs(root: &Root, name: &Path) -> bool {
    root.extension.is_none_or(|wanted| name.extension().is_some_and(|extension| extension == wanted))
}
