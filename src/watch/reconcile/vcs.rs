//! Whether a checkout is under way.
//!
//! Git and Mercurial hold a lock from the first file they touch to the last one. While it is there, what
//! is on the disk is half of one revision and half of another, and the gaps in between can be longer than
//! the quiet time. Who holds the lock is looked for in `/proc`: while it lives, it is waited for much longer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use hotloader_disk::Fingerprint;

use crate::watch::disk::open_for_writing;

/// The locks of every repository that some directories are in.
#[derive(Debug, Default)]
pub(super) struct VcsLocks {
    /// Where a repository may be: the directories and all that are above them.
    dirs: BTreeSet<PathBuf>,
    /// Locks that were waited for in vain, as they were then.
    stale: BTreeMap<PathBuf, Lock>,
    /// Locks of which it was said that they are waited for.
    said: BTreeMap<PathBuf, Lock>,
}

#[derive(Debug, Clone, PartialEq)]
struct Lock {
    /// Where the repository is.
    dir: PathBuf,
    key: Fingerprint,
}

impl VcsLocks {
    /// For the repositories that are, or may come to be, at or above some real directories.
    pub(super) fn of<'a>(dirs: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let mut above = BTreeSet::new();
        for dir in dirs {
            for dir in dir.ancestors() {
                if !above.insert(dir.to_owned()) {
                    break;
                }
            }
        }
        Self { dirs: above, ..Self::default() }
    }

    /// Takes over other directories, and keeps in mind which locks are stale.
    pub(super) fn change_to<'a>(&mut self, dirs: impl IntoIterator<Item = &'a PathBuf>) {
        self.dirs = Self::of(dirs).dirs;
    }

    /// Whether a repository that concerns one is locked now, by a lock that is not stale. Asks the disk a few
    /// times for each directory. The others are not asked: theirs is another checkout, and their file
    /// systems may hang.
    pub(super) fn is_busy(&mut self, concerns: impl Fn(&Path) -> bool) -> bool {
        let held = self.held(&concerns);
        self.stale.retain(|lock, stale| !concerns(&stale.dir) || held.get(lock) == Some(stale));
        held.iter().any(|(path, lock)| self.stale.get(path) != Some(lock))
    }

    /// Waited long enough: what is locked now is not waited for again until it changes.
    pub(super) fn give_up(&mut self, concerns: impl Fn(&Path) -> bool) {
        self.stale.retain(|_, stale| !concerns(&stale.dir));
        for (lock, held) in self.held(&concerns) {
            if has_living_holder(&lock) {
                tracing::warn!(target: "watch", ?lock,
                    "a checkout takes very long; not waiting for its end, so files of two revisions may run together");
            } else {
                tracing::warn!(target: "watch", ?lock,
                    "a version control lock stays; not waiting for it (remove it if nothing is at work there)");
            }
            self.stale.insert(lock, held);
        }
    }

    /// Whether one that is waited for is held by a process that lives. Looks through all processes.
    pub(super) fn is_alive(&mut self, concerns: impl Fn(&Path) -> bool) -> bool {
        let held = self.held(&concerns);
        self.said.retain(|lock, said| held.get(lock) == Some(said));
        let mut is_alive = false;
        for (lock, held) in held {
            if self.stale.get(&lock) == Some(&held) || !has_living_holder(&lock) {
                continue;
            }
            is_alive = true;
            if self.said.insert(lock.clone(), held).is_none() {
                tracing::info!(target: "watch", ?lock, "a checkout is under way; waiting for its end");
            }
        }
        is_alive
    }

    fn held(&self, concerns: impl Fn(&Path) -> bool) -> BTreeMap<PathBuf, Lock> {
        let locks = self.dirs.iter().filter(|dir| concerns(dir)).flat_map(|dir| {
            let locks = git_lock(dir).into_iter().chain([dir.join(".hg/wlock")]);
            locks.map(move |lock| (lock, dir))
        });
        // Mercurial's lock is a link that leads nowhere.
        let held = |(lock, dir): (PathBuf, &PathBuf)| {
            let key = Fingerprint::at(&lock).ok()?;
            Some((lock, Lock { dir: dir.clone(), key }))
        };
        locks.filter_map(held).collect()
    }
}

/// Git has its lock open; that of Mercurial says who made it: `HOST:PROCESS`.
fn has_living_holder(lock: &Path) -> bool {
    match fs::read_link(lock) {
        Ok(holder) => {
            let process = holder.to_str().and_then(|holder| holder.rsplit_once(':')?.1.parse::<u32>().ok());
            process.is_some_and(|process| Path::new("/proc").join(process.to_string()).exists())
        }
        Err(_) => {
            fs::canonicalize(lock).is_ok_and(|lock| !open_for_writing(&BTreeSet::from([&*lock])).is_empty())
        }
    }
}

fn git_lock(dir: &Path) -> Option<PathBuf> {
    let git = dir.join(".git");
    let metadata = fs::symlink_metadata(&git).ok()?;
    if !metadata.is_file() {
        return Some(git.join("index.lock"));
    }
    // A worktree or a submodule: `gitdir: PATH`
    if metadata.len() > 4096 {
        return None;
    }
    let text = fs::read(&git).ok()?;
    let path = text.strip_prefix(b"gitdir:")?.trim_ascii();
    Some(dir.join(Path::new(std::ffi::OsStr::from_bytes(path))).join("index.lock"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn site() -> (tempfile::TempDir, PathBuf, VcsLocks) {
        let keep = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(keep.path()).unwrap();
        fs::create_dir_all(base.join("repository/lua")).unwrap();
        let locks = VcsLocks::of([&base.join("repository/lua")]);
        (keep, base, locks)
    }

    #[test]
    fn a_lock_of_the_repository_above_is_seen_as_soon_as_there_is_one() {
        let (_keep, base, mut locks) = site();
        assert!(!locks.is_busy(|_| true));
        fs::create_dir(base.join("repository/.git")).unwrap();
        assert!(!locks.is_busy(|_| true));
        let lock = base.join("repository/.git/index.lock");
        fs::write(&lock, "").unwrap();
        assert!(locks.is_busy(|_| true));
        fs::remove_file(&lock).unwrap();
        assert!(!locks.is_busy(|_| true));
        fs::create_dir(base.join("repository/.hg")).unwrap();
        symlink("host:1", base.join("repository/.hg/wlock")).unwrap();
        assert!(locks.is_busy(|_| true));
    }

    #[test]
    fn the_lock_of_a_worktree_is_where_its_git_file_says() {
        let (_keep, base, mut locks) = site();
        fs::create_dir_all(base.join("main/.git/worktrees/one")).unwrap();
        fs::write(base.join("repository/.git"), "gitdir: ../main/.git/worktrees/one\n").unwrap();
        assert!(!locks.is_busy(|_| true));
        fs::write(base.join("main/.git/worktrees/one/index.lock"), "").unwrap();
        assert!(locks.is_busy(|_| true));
        fs::write(base.join("repository/.git"), "not for us").unwrap();
        assert!(!locks.is_busy(|_| true));
    }

    #[test]
    fn a_stale_lock_is_not_waited_for_until_it_changes() {
        let (_keep, base, mut locks) = site();
        fs::create_dir(base.join("repository/.git")).unwrap();
        let lock = base.join("repository/.git/index.lock");
        fs::write(&lock, "").unwrap();
        assert!(locks.is_busy(|_| true));
        locks.give_up(|_| true);
        assert!(!locks.is_busy(|_| true));
        locks.change_to([&base.join("repository/lua")]);
        assert!(!locks.is_busy(|_| true));
        fs::write(&lock, "another").unwrap();
        assert!(locks.is_busy(|_| true));
        locks.give_up(|_| true);
        fs::remove_file(&lock).unwrap();
        assert!(!locks.is_busy(|_| true));
        fs::write(&lock, "another one").unwrap();
        assert!(locks.is_busy(|_| true));
    }

    #[test]
    fn a_lock_lives_as_long_as_the_process_that_holds_it() {
        let (_keep, base, mut locks) = site();
        fs::create_dir_all(base.join("main/.git/worktrees/one")).unwrap();
        fs::write(base.join("repository/.git"), "gitdir: ../main/.git/worktrees/one\n").unwrap();
        let holder = fs::File::create(base.join("main/.git/worktrees/one/index.lock")).unwrap();
        assert!(locks.is_busy(|_| true) && locks.is_alive(|_| true));
        drop(holder);
        assert!(locks.is_busy(|_| true) && !locks.is_alive(|_| true));

        fs::remove_file(base.join("repository/.git")).unwrap();
        fs::create_dir(base.join("repository/.hg")).unwrap();
        let lock = base.join("repository/.hg/wlock");
        symlink(format!("host/f00:{}", std::process::id()), &lock).unwrap();
        assert!(locks.is_alive(|_| true));
        fs::remove_file(&lock).unwrap();
        symlink("host:4294967295", &lock).unwrap();
        assert!(locks.is_busy(|_| true) && !locks.is_alive(|_| true));
    }

    #[test]
    fn a_checkout_holds_back_what_is_in_its_repository_and_nothing_else() {
        let (_keep, base, mut locks) = site();
        fs::create_dir_all(base.join("other/lua")).unwrap();
        locks.change_to(&["repository/lua", "other/lua"].map(|name| base.join(name)));
        fs::create_dir(base.join("repository/.git")).unwrap();
        fs::write(base.join("repository/.git/index.lock"), "").unwrap();
        let ours = |dir: &Path| dir.ends_with("repository");
        assert!(locks.is_busy(ours) && !locks.is_busy(|dir| !ours(dir)));
        locks.give_up(ours);
        assert!(!locks.is_busy(|dir| !ours(dir)));
        assert!(!locks.is_busy(|_| true), "it is still known to be stale");
    }
}
