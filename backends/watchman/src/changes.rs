//! What the daemon says has changed, and which of it is worth a hint.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fmt,
    fs::Metadata,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use hotloader_backend::WatchPlan;
use serde::{Deserialize, Deserializer, de::Visitor};
use watchman_client::{
    fields::QueryFieldList,
    pdu::{Clock, ClockSpec},
};

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// The answer to a query.
#[derive(Debug, Deserialize)]
pub(crate) struct Changes {
    pub(crate) files: Option<Vec<Entry>>,
    /// What it has seen by now.
    pub(crate) clock: Clock,
    /// It does not know what was before; there are no files then.
    #[serde(default)]
    pub(crate) is_fresh_instance: bool,
    /// Among others, how often it had to go through the whole tree again. Once there, it stays.
    pub(crate) warning: Option<String>,
}

/// Something that changed, as it is now.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Entry {
    /// Relative to the tree.
    name: Name,
    /// Not to be believed: after a limit was reached, it is false for what is there.
    exists: bool,
    /// It was not there at the clock of the request.
    new: bool,
    mode: u32,
    ino: u64,
    uid: u32,
    gid: u32,
    mtime_ns: i64,
    ctime_ns: i64,
    /// When it was last seen to change.
    oclock: Clock,
}

/// Bytes: one name that is no UTF-8 would fail all that came with it if it was a string.
#[derive(Debug, Clone)]
struct Name(Vec<u8>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file name")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<Name, E> {
                Ok(Name(name.to_vec()))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name(name.as_bytes().to_vec()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

impl QueryFieldList for Entry {
    fn field_list() -> Vec<&'static str> {
        vec!["name", "exists", "new", "mode", "ino", "uid", "gid", "mtime_ns", "ctime_ns", "oclock"]
    }
}

impl Entry {
    pub(crate) fn path(&self, tree: &Path) -> PathBuf {
        tree.join(OsStr::from_bytes(&self.name.0))
    }

    /// Whether its last change was known at a moment.
    pub(crate) fn is_older_than(&self, moment: &Moment) -> bool {
        Moment::of(&self.oclock).is_some_and(|observed| observed.is_covered_by(moment))
    }

    fn dir(&self) -> Option<Dir> {
        const KIND: u32 = 0o170_000;
        const DIR: u32 = 0o040_000;
        let Self { exists, mode, ino, uid, gid, mtime_ns, ctime_ns, .. } = *self;
        (exists && mode & KIND == DIR).then_some(Dir { mode, ino, uid, gid, mtime_ns, ctime_ns })
    }
}

/// A point in the daemon's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Of the daemon and of its watch: ticks of another one say nothing.
    instance: String,
    ticks: u64,
}

impl Moment {
    /// `c:START:PROCESS:ROOT:TICKS`.
    pub(crate) fn of(clock: &Clock) -> Option<Self> {
        let spec = match clock {
            Clock::Spec(spec) => spec,
            Clock::ScmAware(fat) => &fat.clock,
        };
        let ClockSpec::StringClock(text) = spec else { return None };
        let (instance, ticks) = text.rsplit_once(':')?;
        Some(Self { instance: instance.to_owned(), ticks: ticks.parse().ok()? })
    }

    /// Whether both are of the same watch.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.instance == other.instance
    }

    /// Whether all that was known at this moment was known at the other.
    pub(crate) fn is_covered_by(&self, other: &Self) -> bool {
        self.is_beside(other) && self.ticks <= other.ticks
    }
}

/// A directory, but for its entries.
#[derive(Debug, Clone, Copy)]
struct Dir {
    mode: u32,
    ino: u64,
    uid: u32,
    gid: u32,
    mtime_ns: i64,
    ctime_ns: i64,
}

impl Dir {
    fn of(metadata: &Metadata) -> Self {
        Self {
            mode: metadata.mode(),
            ino: metadata.ino(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime_ns: metadata.mtime() * SECOND + metadata.mtime_nsec(),
            ctime_ns: metadata.ctime() * SECOND + metadata.ctime_nsec(),
        }
    }

    /// Whether nothing happened to it since but entries that came or went: those set both times, and to the
    /// same. A rename or a change of permissions sets but one.
    fn is_still(&self, before: &Self) -> bool {
        let Self { mode, ino, uid, gid, mtime_ns, ctime_ns } = *self;
        (mode, ino, uid, gid) == (before.mode, before.ino, before.uid, before.gid)
            && (ctime_ns == before.ctime_ns || ctime_ns == mtime_ns)
    }
}

/// The directories of a tree as they were last seen.
///
/// Watchman reports a directory whenever an entry comes or goes, besides the entry. A hint stands for
/// all that is below its path, so passing those on would have whole trees read for one file.
///
/// Whoever is told looks when it suits him, and may have seen in between what is over by the next word of the
/// daemon: a file, or another directory, where the same directory is again. The first shows by the plan, which
/// it leaves; the second by the time of the rename that brought it back.
#[derive(Debug, Default)]
pub(crate) struct Known {
    dirs: HashMap<PathBuf, Dir>,
}

impl Known {
    /// Looks at the directories of a plan that are new to it, forgets those that have left it. Says which of
    /// these are there again, or still. Blocks.
    pub(crate) fn change_to(&mut self, plan: &WatchPlan, tree: &Path) -> Vec<PathBuf> {
        let left = self.dirs.extract_if(|path, _| !plan.dirs.contains(path)).map(|(path, _)| path);
        let there = left.filter(|path| is_told(plan, path) && dir_at(path).is_some()).collect();
        for path in plan.dirs.at_and_below(tree) {
            if !self.dirs.contains_key(&**path)
                && let Some(dir) = dir_at(path)
            {
                self.dirs.insert(path.to_path_buf(), dir);
            }
        }
        there
    }

    /// Whether anybody has to look there.
    pub(crate) fn is_news(&mut self, plan: &WatchPlan, path: &Path, entry: &Entry) -> bool {
        if !is_told(plan, path) {
            return false;
        }
        match entry.dir() {
            Some(dir) => self.is_other(path, dir) || entry.new,
            None => {
                self.dirs.remove(path);
                true
            }
        }
    }

    /// The same of the top of the tree, which the daemon says nothing of.
    pub(crate) fn is_other_top(&mut self, tree: &Path, metadata: &Metadata) -> bool {
        self.is_other(tree, Dir::of(metadata))
    }

    fn is_other(&mut self, path: &Path, dir: Dir) -> bool {
        !self.dirs.insert(path.to_owned(), dir).is_some_and(|before| dir.is_still(&before))
    }
}

fn dir_at(path: &Path) -> Option<Dir> {
    std::fs::symlink_metadata(path).ok().filter(Metadata::is_dir).as_ref().map(Dir::of)
}

/// Whether the plan wants to know of a path. What lies deeper in a directory that is not in the plan
/// yet is found when that is listed, which is after the plan names it.
fn is_told(plan: &WatchPlan, path: &Path) -> bool {
    plan.dirs.contains(path) || path.parent().is_some_and(|parent| plan.dirs.contains(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mode: u32, ino: u64, exists: bool, new: bool) -> Entry {
        let oclock = Clock::Spec(ClockSpec::null());
        let (mtime_ns, ctime_ns) = (1, 1);
        Entry {
            name: Name(b"d".to_vec()),
            exists,
            new,
            mode,
            ino,
            uid: 0,
            gid: 0,
            mtime_ns,
            ctime_ns,
            oclock,
        }
    }

    fn plan(dirs: &[&str]) -> WatchPlan {
        WatchPlan::new(1, dirs.iter().map(PathBuf::from))
    }

    #[test]
    fn a_directory_is_news_only_when_it_is_another_or_permits_something_else() {
        let (plan, mut known, path) = (plan(&["/t"]), Known::default(), Path::new("/t/d"));
        assert!(known.is_news(&plan, path, &entry(0o40_755, 1, true, true)));
        assert!(!known.is_news(&plan, path, &entry(0o40_755, 1, true, false)), "an entry came or went");
        assert!(known.is_news(&plan, path, &entry(0o40_000, 1, true, false)), "permissions");
        assert!(known.is_news(&plan, path, &entry(0o40_000, 2, true, false)), "another one");
        assert!(known.is_news(&plan, path, &entry(0o40_000, 2, true, true)), "gone and back");
        assert!(known.is_news(&plan, path, &entry(0o40_000, 2, false, false)), "gone");
        assert!(known.is_news(&plan, path, &entry(0o40_000, 2, true, false)), "back");
    }

    #[test]
    fn a_directory_that_was_renamed_away_and_back_is_news() {
        let (plan, mut known, path) = (plan(&["/t"]), Known::default(), Path::new("/t/d"));
        let at = |mtime_ns, ctime_ns| Entry { mtime_ns, ctime_ns, ..entry(0o40_755, 1, true, false) };
        known.is_news(&plan, path, &at(1, 1));
        assert!(!known.is_news(&plan, path, &at(2, 2)), "an entry came or went");
        assert!(known.is_news(&plan, path, &at(2, 3)), "renamed");
        assert!(!known.is_news(&plan, path, &at(2, 3)));
        assert!(!known.is_news(&plan, path, &at(4, 4)), "an entry came or went");
    }

    /// Whoever made the plan has seen a file there.
    #[test]
    fn a_directory_that_the_plan_does_not_name_any_more_and_that_is_there_is_looked_at() {
        let site = tempfile::tempdir().unwrap();
        let (tree, mut known) = (site.path().to_owned(), Known::default());
        let dirs = ["still", "gone", "gone/deeper"].map(|name| tree.join(name));
        dirs.iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
        let all = WatchPlan::new(1, dirs.iter().cloned().chain([tree.clone()]));
        assert!(known.change_to(&all, &tree).is_empty());
        std::fs::remove_dir_all(&dirs[1]).unwrap();
        assert_eq!(known.change_to(&WatchPlan::new(2, [tree.clone()]), &tree), dirs[..1]);
        assert!(known.change_to(&WatchPlan::new(3, [tree.clone()]), &tree).is_empty());
    }

    #[test]
    fn a_file_is_always_news_but_not_below_what_the_plan_does_not_name() {
        let (plan, mut known) = (plan(&["/t", "/t/d"]), Known::default());
        for path in ["/t/x", "/t/d/x"] {
            assert!(known.is_news(&plan, Path::new(path), &entry(0o100_644, 1, true, false)));
        }
        for path in ["/t/e/x", "/t/e/e"] {
            assert!(!known.is_news(&plan, Path::new(path), &entry(0o100_644, 1, true, true)));
        }
    }

    #[test]
    fn a_directory_of_the_plan_is_known_before_it_is_first_reported() {
        let site = tempfile::tempdir().unwrap();
        let tree = site.path().to_owned();
        let metadata = std::fs::metadata(&tree).unwrap();
        let mut known = Known::default();
        let plan = WatchPlan::new(1, [tree.clone()]);
        known.change_to(&plan, &tree);
        let same = Entry {
            uid: metadata.uid(),
            gid: metadata.gid(),
            ..entry(metadata.mode(), metadata.ino(), true, false)
        };
        assert!(!known.is_news(&plan, &tree, &same));
        known.change_to(&WatchPlan::new(2, []), &tree);
        assert!(known.dirs.is_empty());
    }

    #[test]
    fn a_moment_covers_earlier_ones_of_the_same_watch() {
        let moment = |text: &str| Moment::of(&Clock::Spec(ClockSpec::StringClock(text.into()))).unwrap();
        assert!(moment("c:1:2:3:9").is_covered_by(&moment("c:1:2:3:10")));
        assert!(!moment("c:1:2:3:11").is_covered_by(&moment("c:1:2:3:10")));
        assert!(!moment("c:1:2:4:9").is_covered_by(&moment("c:1:2:3:10")));
    }
}
