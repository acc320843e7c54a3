//! One watch per directory of the plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use hotloader_backend::{BackendFailure, SkipCause, Skipped};
use notify::{Config, ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::io::Errno;

use crate::tap::Tap;

/// Device and inode: two paths with the same share one kernel watch.
type Identity = (u64, u64);

/// The watched directories. All methods block on notify's thread.
pub(crate) struct Watches {
    watcher: RecommendedWatcher,
    armed: BTreeMap<PathBuf, Identity>,
    skipped: BTreeMap<PathBuf, String>,
}

impl Watches {
    /// Starts notify, watching the directory of the barrier cookies.
    pub(crate) fn new(tap: Tap, cookies: &Path) -> Result<Self, BackendFailure> {
        let config = Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(tap, config).map_err(|error| failure(error, cookies))?;
        let mut watches = Self { watcher, armed: BTreeMap::new(), skipped: BTreeMap::new() };
        watches
            .watcher
            .watch(cookies, RecursiveMode::NonRecursive)
            .map_err(|error| failure(error, cookies))?;
        Ok(watches)
    }

    /// What of the plan is not watched.
    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        let skipped = |(dir, reason): (&PathBuf, &String)| Skipped {
            dir: dir.clone(),
            cause: SkipCause::Unreachable,
            reason: reason.clone(),
        };
        self.skipped.iter().map(skipped).collect()
    }

    /// Makes the watches what the plan says; adds before it removes.
    pub(crate) fn change_to(&mut self, wanted: &BTreeSet<PathBuf>) -> Result<(), BackendFailure> {
        let add: Vec<PathBuf> = wanted.iter().filter(|dir| !self.armed.contains_key(*dir)).cloned().collect();
        let remove: Vec<PathBuf> = self.armed.keys().filter(|dir| !wanted.contains(*dir)).cloned().collect();
        self.skipped.retain(|dir, _| wanted.contains(dir));
        self.add(&add)?;
        let shared = self.remove(&remove);
        self.add(&shared)
    }

    /// Watches anew all wanted directories at and below a path that came, went or changed. notify has
    /// dropped the watches of what went, and its table may still name what is dead. Returns those that
    /// are watched again and have to be looked at, as what happened just before is not hinted.
    pub(crate) fn renew(
        &mut self,
        suspect: &Path,
        wanted: &BTreeSet<PathBuf>,
    ) -> Result<Vec<PathBuf>, BackendFailure> {
        let below = |dir: &&PathBuf| dir.starts_with(suspect);
        let dead: Vec<PathBuf> = self.armed.keys().filter(below).cloned().collect();
        let mut again = self.remove(&dead);
        again.extend(wanted.iter().filter(below).cloned());
        self.add(&again)?;
        again.retain(|dir| self.armed.contains_key(dir));
        Ok(again)
    }

    fn add(&mut self, dirs: &[PathBuf]) -> Result<(), BackendFailure> {
        if dirs.is_empty() {
            return Ok(());
        }
        let mut not_dirs = Vec::new();
        let mut batch = self.watcher.paths_mut();
        for dir in dirs {
            match batch.add(dir, RecursiveMode::NonRecursive).and_then(|()| Ok(identity(dir)?)) {
                Ok(identity) => {
                    self.skipped.remove(dir);
                    self.armed.insert(dir.clone(), identity);
                }
                Err(error) => {
                    let reason = skip_or_fail(error, dir)?;
                    not_dirs.push(dir);
                    self.armed.remove(dir);
                    self.skipped.insert(dir.clone(), reason);
                }
            }
        }
        batch.commit().map_err(|error| failure(error, Path::new("/")))?;
        for dir in not_dirs {
            // The kernel watches files as well: where one took the place of a directory.
            let _ = self.watcher.unwatch(dir);
        }
        Ok(())
    }

    /// Forgets watches. Returns the paths that are still wanted but shared a kernel watch with a
    /// forgotten one (a directory that was renamed, seen under both names): theirs died with it.
    fn remove(&mut self, dirs: &[PathBuf]) -> Vec<PathBuf> {
        let mut gone = BTreeSet::new();
        for dir in dirs {
            if let Some(identity) = self.armed.remove(dir) {
                gone.insert(identity);
                // The kernel or notify may have dropped it by itself: nothing to do, then.
                let _ = self.watcher.unwatch(dir);
            }
        }
        let shared = |(dir, identity): (&PathBuf, &Identity)| gone.contains(identity).then(|| dir.clone());
        self.armed.iter().filter_map(shared).collect()
    }
}

fn identity(dir: &Path) -> io::Result<Identity> {
    let metadata = fs::symlink_metadata(dir)?;
    if metadata.is_dir() {
        Ok((metadata.dev(), metadata.ino()))
    } else {
        Err(io::Error::from(io::ErrorKind::NotADirectory))
    }
}

/// A directory that is gone or closed to us is skipped; a limit ends the backend.
fn skip_or_fail(error: notify::Error, dir: &Path) -> Result<String, BackendFailure> {
    match &error.kind {
        ErrorKind::PathNotFound | ErrorKind::WatchNotFound => Ok("it does not exist".into()),
        ErrorKind::Io(io) if !is_limit(io) => Ok(io.to_string()),
        ErrorKind::Generic(message) => Ok(message.clone()),
        _ => Err(failure(error, dir)),
    }
}

fn is_limit(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    [Errno::NOSPC, Errno::MFILE, Errno::NFILE, Errno::NOMEM].into_iter().any(|limit| errno == Some(limit))
}

fn failure(error: notify::Error, dir: &Path) -> BackendFailure {
    let errno = match &error.kind {
        ErrorKind::MaxFilesWatch => Some(Errno::NOSPC),
        ErrorKind::Io(io) => Errno::from_io_error(io),
        _ => None,
    };
    let message = match errno {
        Some(Errno::NOSPC) => format!(
            "cannot watch {}: the limit of watches is reached; raise fs.inotify.max_user_watches, now {}, \
             or set watch.backend = \"polling\"",
            dir.display(),
            limit("max_user_watches")
        ),
        Some(Errno::MFILE | Errno::NFILE) => format!(
            "cannot watch any directory: the limit of watchers or of open files is reached; raise \
             fs.inotify.max_user_instances, now {}, or the limit of open files (ulimit -n), \
             or set watch.backend = \"polling\"",
            limit("max_user_instances")
        ),
        _ => format!("cannot watch {}; set watch.backend = \"polling\" if this stays", dir.display()),
    };
    BackendFailure::next_backend(message).because(error)
}

fn limit(name: &str) -> String {
    fs::read_to_string(Path::new("/proc/sys/fs/inotify").join(name))
        .map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use hotloader_backend::FailureClass;

    use super::*;

    #[test]
    fn a_reached_limit_asks_for_another_backend_and_names_the_key_to_raise() {
        let failure =
            skip_or_fail(notify::Error::new(ErrorKind::MaxFilesWatch), Path::new("/d")).unwrap_err();
        assert_eq!(failure.class(), FailureClass::NextBackend);
        assert!(failure.to_string().contains("fs.inotify.max_user_watches, now "), "{failure}");
        let too_many = notify::Error::io(io::Error::from(Errno::MFILE));
        let failure = skip_or_fail(too_many, Path::new("/d")).unwrap_err();
        assert_eq!(failure.class(), FailureClass::NextBackend);
        assert!(failure.to_string().contains("fs.inotify.max_user_instances, now "), "{failure}");
    }

    #[test]
    fn a_directory_that_cannot_be_watched_is_data() {
        assert!(skip_or_fail(notify::Error::path_not_found(), Path::new("/d")).is_ok());
        let denied = notify::Error::io(io::Error::from(Errno::ACCESS));
        assert!(skip_or_fail(denied, Path::new("/d")).is_ok());
    }
}
