//! What was seen of the disk: the listing of each real directory, and the way of each link.
//!
//! A hint marks parts of it as stale, and only those are read again. What is on a file system that does not
//! answer stays as it was seen last.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet, hash_map::Entry},
    ffi::OsStr,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use hotloader_backend::DirSet;
use rustc_hash::FxHashMap;

use super::name::DirName;
use crate::watch::disk::{
    Answers, End, Ignore, Kind, Listing, Prefetched, Resolved, is_absence, list_again, list_below,
    resolve_symlinks, subdirectories,
};

/// Links between directories can multiply names without end; here it ends.
pub(super) const MAX_DIRS: usize = 50_000;

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
pub(super) struct Dir {
    pub(super) listing: Arc<Listing>,
    is_fresh: bool,
    /// Every logical directory that it is, as the last walk found.
    pub(super) names: Vec<DirName>,
}

impl Dir {
    pub(super) fn mark_stale(&mut self) {
        self.is_fresh = false;
    }

    /// Whether it has a file of that name.
    pub(super) fn file(&self, name: &OsStr) -> Option<u32> {
        match self.listing.find(name) {
            Some((entry, Kind::File)) => Some(entry),
            _ => None,
        }
    }
}

/// A real directory's path and listing.
pub(super) type ListedDir = (Arc<Path>, Arc<Listing>);

/// What came of listing a directory again.
pub(super) enum Relisted {
    /// Only files came or went.
    Files(Arc<Listing>),
    /// Nobody answered in time.
    Late,
    /// More than that is different.
    Otherwise,
}

/// Something that cannot be seen, and why.
pub(super) type Trouble = (PathBuf, io::Error);

/// The way of a link, or of a root.
#[derive(Debug)]
struct Way {
    way: Arc<Resolved>,
    is_fresh: bool,
    /// It begins at `/`, and not where the link stands.
    is_root: bool,
}

/// What was seen of the disk.
#[derive(Debug, Default)]
pub(super) struct DiskCache {
    dirs: FxHashMap<DirPath, Dir>,
    /// By the path of the link, or of the root.
    ways: BTreeMap<PathBuf, Way>,
    /// The topmost directories on each file system that does not answer now. Nobody looks into them.
    silent: Vec<Arc<Path>>,
    /// Where listing took too long: the directory in which it began.
    late: BTreeSet<Arc<Path>>,
}

impl DiskCache {
    pub(super) fn dir(&self, path: &Path) -> Option<&Dir> {
        self.dirs.get(path.as_os_str())
    }

    /// A directory, and its path as it is shared by all who hold it.
    pub(super) fn dir_mut(&mut self, path: &Path) -> Option<(Arc<Path>, &mut Dir)> {
        let (at, _) = self.dirs.get_key_value(path.as_os_str())?;
        let at = at.0.clone();
        Some((at, self.dirs.get_mut(path.as_os_str())?))
    }

    pub(super) fn dirs_mut(&mut self) -> impl Iterator<Item = &mut Dir> {
        self.dirs.values_mut()
    }

    /// Forgets the directories that are no logical ones any more, and the ways that nobody went.
    pub(super) fn retain(&mut self, ways: &BTreeSet<PathBuf>) {
        self.dirs.retain(|_, dir| !dir.names.is_empty());
        self.ways.retain(|link, _| ways.contains(link));
    }

    pub(super) fn ways(&self) -> impl Iterator<Item = (&PathBuf, &Resolved)> {
        self.ways.iter().map(|(link, way)| (link, &*way.way))
    }

    /// Nothing is known to be as it was seen.
    pub(super) fn mark_all_stale(&mut self) {
        self.dirs.values_mut().for_each(Dir::mark_stale);
        self.ways.values_mut().for_each(|way| way.is_fresh = false);
    }

    pub(super) fn mark_stale_below(&mut self, path: &Path) {
        self.dirs.iter_mut().filter(|(dir, _)| dir.0.starts_with(path)).for_each(|(_, dir)| dir.mark_stale());
    }

    /// Returns whether there is such a way.
    pub(super) fn mark_way_stale(&mut self, link: &Path) -> bool {
        self.ways.get_mut(link).map(|way| way.is_fresh = false).is_some()
    }

    /// Takes over which directories are on file systems that do not answer.
    pub(super) fn silence(&mut self, tops: Vec<Arc<Path>>) {
        self.silent = tops;
    }

    pub(super) fn silent(&self) -> &[Arc<Path>] {
        &self.silent
    }

    /// Whether a place is on a file system that does not answer.
    pub(super) fn is_silent(&self, path: &Path) -> bool {
        is_below_any(&self.silent, path)
    }

    /// Nobody answered in time when this was listed: it and what is below it stay as they were seen, and it is
    /// to be listed anew.
    fn is_late(&mut self, top: &Path) {
        let top: Arc<Path> = top.into();
        self.silent.push(top.clone());
        self.late.insert(top);
    }

    /// Whether listing took too long there. It is asked once.
    pub(super) fn take_late(&mut self, top: &Path) -> bool {
        self.late.remove(top)
    }

    /// The topmost directories on each file system that may hang, by its device.
    pub(super) fn remote(&self) -> Vec<(u64, Arc<Path>)> {
        let device = |dir: &Path| self.dir(dir).map(|dir| dir.listing.identity.0);
        let dirs = self.dirs.iter().filter(|(_, dir)| dir.listing.may_hang);
        let tops =
            dirs.filter(|(path, dir)| path.0.parent().and_then(device) != Some(dir.listing.identity.0));
        tops.map(|(path, dir)| (dir.listing.identity.0, path.0.clone())).collect()
    }

    /// The links and roots that lead elsewhere than is known, of those whose ends one may look at.
    pub(super) fn changed_ways(&self, may_look: impl Fn(&Path) -> bool) -> impl Iterator<Item = &PathBuf> {
        let changed = move |(link, way): &(&PathBuf, &Way)| {
            way.way.end.place().is_none_or(&may_look)
                && follow_again(link, way.is_root, &self.silent).end != way.way.end
        };
        self.ways.iter().filter(changed).map(|(link, _)| link)
    }

    /// Looks again at directories that were listed before they were watched, and at the ways that pass by
    /// them. Returns whether anything is different from what was seen.
    pub(super) fn recheck(&mut self, dirs: &DirSet, answers: &mut Answers) -> bool {
        let listed = |path: &Path| {
            let listing = &*self.dir(path)?.listing;
            (!listing.may_hang && !self.is_silent(path)).then_some(listing)
        };
        let mut again = list_again(dirs.as_slice(), listed);
        again.extend(self.list_far_again(dirs, answers));
        let mut changed = false;
        for (path, found) in again {
            changed = true;
            match found {
                Some(listing) => self.take_listing(path, Arc::new(listing)),
                None => self.dirs.get_mut(path.as_os_str()).into_iter().for_each(Dir::mark_stale),
            }
        }
        for (link, way) in &mut self.ways {
            let mut above = way.way.waypoints.iter().filter_map(|waypoint| waypoint.parent());
            // The others are watched all the time.
            let is_doubtful = above.any(|dir| !is_below_any(&self.silent, dir) && dirs.contains(dir));
            if is_doubtful && way.is_fresh && follow_again(link, way.is_root, &self.silent) != *way.way {
                (way.is_fresh, changed) = (false, true);
            }
        }
        changed
    }

    /// The same for those on file systems that may hang.
    fn list_far_again(&mut self, dirs: &DirSet, answers: &mut Answers) -> Vec<(Arc<Path>, Option<Listing>)> {
        let mut far: BTreeMap<u64, Vec<Arc<Path>>> = BTreeMap::new();
        for dir in dirs.iter().filter(|dir| !self.is_silent(dir)) {
            if let Some(Dir { listing, .. }) = self.dir(dir)
                && listing.may_hang
            {
                far.entry(listing.identity.0).or_default().push(dir.clone());
            }
        }
        let mut changed = Vec::new();
        for (device, dirs) in far {
            let found = answers.answer_each(device, &dirs, Listing::read);
            for (dir, found) in dirs.into_iter().zip(found) {
                let Some(found) = found.map(Result::ok) else {
                    self.is_late(&dir);
                    continue;
                };
                let is_same = |now: &Listing| self.dir(&dir).is_some_and(|dir| now.is_same(&dir.listing));
                if !found.as_ref().is_some_and(is_same) {
                    changed.push((dir, found));
                }
            }
        }
        changed
    }

    /// Lists a directory again in which files came or went.
    pub(super) fn relist(&mut self, path: &Path, answers: &mut Answers) -> Relisted {
        let Some(dir) = self.dirs.get_mut(path.as_os_str()) else { return Relisted::Otherwise };
        if dir.is_fresh {
            return Relisted::Files(dir.listing.clone());
        }
        let listing = if dir.listing.may_hang {
            let answer = answers.answer_each(dir.listing.identity.0, &[path.to_owned()], Listing::read).pop();
            match answer.flatten() {
                Some(listing) => listing,
                None => {
                    self.is_late(path);
                    return Relisted::Late;
                }
            }
        } else {
            Listing::read(path)
        };
        match listing {
            Ok(listing) if listing.differs_in_files_only(&dir.listing) => {
                let listing = Arc::new(listing);
                (dir.listing, dir.is_fresh) = (listing.clone(), true);
                Relisted::Files(listing)
            }
            _ => Relisted::Otherwise,
        }
    }

    /// Reads what is stale or unknown at and below a directory, on several threads. Returns how many there
    /// were. What is `beyond` is left out.
    pub(super) fn prefetch(
        &mut self,
        top: &Path,
        is_recursive: bool,
        ignore: &Ignore,
        beyond: impl Fn(&Path) -> bool + Sync,
    ) -> usize {
        let known = |path: &Path| {
            let dir = self.dir(path)?;
            Some((dir.listing.clone(), dir.is_fresh || self.is_silent(path)))
        };
        let found = list_below(top, is_recursive, ignore, MAX_DIRS, beyond, known);
        let count = found.len();
        self.dirs.reserve(count);
        for (path, found) in found {
            match found {
                Prefetched::AsBefore => {
                    if let Some(dir) = self.dirs.get_mut(path.as_os_str()) {
                        dir.is_fresh = true;
                    }
                }
                Prefetched::New(listing) => self.take_listing(path, listing),
            }
        }
        count
    }

    /// The same on a file system that may hang, on threads that may wait for it. If no answer comes for long, all of
    /// it stays as it was seen.
    pub(super) fn prefetch_far(
        &mut self,
        (device, top): (u64, &Path),
        is_recursive: bool,
        ignore: &Ignore,
        beyond: impl Fn(&Path) -> bool,
        answers: &mut Answers,
    ) -> usize {
        let mut listed = Vec::new();
        let mut level: Vec<Arc<Path>> = vec![top.into()];
        while !level.is_empty() && listed.len() < MAX_DIRS {
            let mut next = Vec::new();
            let mut more = |dir: &Path, listing: &Listing| {
                if is_recursive {
                    let dirs = subdirectories(dir, listing, ignore).filter(|dir| !beyond(dir));
                    next.extend(dirs.map(Arc::from));
                }
            };
            let known = |dir: &Arc<Path>| self.dir(dir).filter(|dir| dir.is_fresh);
            let (fresh, stale): (Vec<_>, Vec<_>) = level.into_iter().partition(|dir| known(dir).is_some());
            fresh.iter().for_each(|dir| known(dir).into_iter().for_each(|known| more(dir, &known.listing)));
            let answered = answers.answer_each(device, &stale, Listing::read);
            for (dir, listing) in stale.into_iter().zip(answered) {
                match listing {
                    Some(Ok(listing)) => {
                        more(&dir, &listing);
                        listed.push((dir, Arc::new(listing)));
                    }
                    // Whoever asks for it next finds out why.
                    Some(Err(_)) => {}
                    None => {
                        self.is_late(top);
                        return 0;
                    }
                }
            }
            level = next;
        }
        let count = listed.len();
        listed.into_iter().for_each(|(dir, listing)| self.take_listing(dir, listing));
        count
    }

    fn take_listing(&mut self, path: Arc<Path>, listing: Arc<Listing>) {
        self.late.remove(&path);
        match self.dirs.entry(DirPath(path)) {
            Entry::Occupied(mut dir) => {
                let dir = dir.get_mut();
                (dir.listing, dir.is_fresh) = (listing, true);
            }
            Entry::Vacant(place) => {
                place.insert(Dir { listing, is_fresh: true, names: Vec::new() });
            }
        }
    }

    /// Whether a directory need not be listed again.
    pub(super) fn is_fresh(&self, dir: &Path) -> bool {
        self.is_silent(dir) || self.dir(dir).is_some_and(|dir| dir.is_fresh)
    }

    /// The path and listing of a real directory that need not be listed again.
    pub(super) fn fresh(&self, path: &Path) -> Option<ListedDir> {
        let (path, dir) = self.dirs.get_key_value(path.as_os_str())?;
        dir.is_fresh.then(|| (path.0.clone(), dir.listing.clone()))
    }

    /// The path and listing of a real directory, and the error if it cannot be had: then the listing is
    /// the last one that could.
    pub(super) fn listing(&mut self, path: &Path) -> (Option<ListedDir>, Option<io::Error>) {
        if let Some(listed) = self.fresh(path) {
            return (Some(listed), None);
        }
        let mut error = None;
        if !self.is_silent(path) {
            match self.dirs.get_mut(path.as_os_str()) {
                Some(dir) if dir.listing.is_current(path) => dir.is_fresh = true,
                _ => match Listing::read(path) {
                    Ok(listing) => self.take_listing(path.into(), Arc::new(listing)),
                    Err(error) if is_absence(&error) => {
                        self.dirs.remove(path.as_os_str());
                    }
                    Err(trouble) => error = Some(trouble),
                },
            }
        }
        let known = self.dirs.get_key_value(path.as_os_str());
        (known.map(|(path, dir)| (path.0.clone(), dir.listing.clone())), error)
    }

    /// The way of a link from where it stands, or of a root from `/`. One that cannot be seen now is as it
    /// was.
    pub(super) fn way(&mut self, base: &Path, name: &OsStr) -> (Arc<Resolved>, Option<Trouble>) {
        let link = base.join(name);
        let before = match self.ways.get(&link) {
            Some(way) if way.is_fresh => return (way.way.clone(), None),
            way => way.map(|way| way.way.clone()),
        };
        let now = Arc::new(resolve_symlinks(base, Path::new(name), |place| self.is_silent(place)));
        match (&now.end, before) {
            (End::Failed(at, kind), Some(before)) => (before, Some((at.clone(), (*kind).into()))),
            (end, _) => {
                let trouble = match end {
                    End::Failed(at, kind) => Some((at.clone(), (*kind).into())),
                    _ => None,
                };
                let is_root = Path::new(name).is_absolute();
                self.ways.insert(link, Way { way: now.clone(), is_fresh: trouble.is_none(), is_root });
                (now, trouble)
            }
        }
    }
}

fn follow_again(link: &Path, is_root: bool, silent: &[Arc<Path>]) -> Resolved {
    let is_silent = |place: &Path| is_below_any(silent, place);
    match (link.parent(), link.file_name()) {
        (Some(dir), Some(name)) if !is_root => resolve_symlinks(dir, Path::new(name), is_silent),
        _ => resolve_symlinks(Path::new("/"), link, is_silent),
    }
}

fn is_below_any(tops: &[Arc<Path>], path: &Path) -> bool {
    tops.iter().any(|top| path.starts_with(top))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, Instant},
    };

    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn a_directory_whose_mount_does_not_answer_stays_as_it_was_and_is_listed_when_it_does() {
        let keep = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(keep.path()).unwrap();
        // As if it were on another machine.
        let far = || {
            let mut listing = Listing::read(&dir).unwrap();
            listing.may_hang = true;
            Arc::new(listing)
        };
        let (before, dirs) = (far(), DirSet::from_iter([Arc::from(&*dir)]));
        let mut cache = DiskCache::default();
        cache.take_listing(dir.as_path().into(), before.clone());
        fs::write(dir.join("new.lua"), "").unwrap();
        let mut answers = Answers::default();
        let (answer, answered) = bounded::<()>(1);
        assert!(!answers.answers_to(before.identity.0, move || answered.recv().unwrap()));

        assert!(!cache.recheck(&dirs, &mut answers), "it is asked");
        assert!(cache.is_silent(&dir) && cache.take_late(&dir) && !cache.take_late(&dir));
        cache.silence(Vec::new());
        cache.mark_stale_below(&dir);
        assert!(matches!(cache.relist(&dir, &mut answers), Relisted::Late));
        assert!(cache.is_silent(&dir) && cache.take_late(&dir));
        assert!(Arc::ptr_eq(&cache.dir(&dir).unwrap().listing, &before));

        answer.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let listing = loop {
            cache.silence(Vec::new());
            match cache.relist(&dir, &mut answers) {
                Relisted::Files(listing) => break listing,
                _ => assert!(Instant::now() < deadline, "it is not listed"),
            }
            std::thread::yield_now();
        };
        assert!(listing.find("new.lua".as_ref()).is_some());
        cache.take_listing(dir.as_path().into(), far());
        assert!(!cache.recheck(&dirs, &mut answers));
        fs::write(dir.join("newer.lua"), "").unwrap();
        assert!(cache.recheck(&dirs, &mut answers));
    }
}
