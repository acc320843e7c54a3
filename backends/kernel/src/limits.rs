//! What an error of the kernel means for a directory, and the words for it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use hotloader_backend::{BackendFailure, SkipCause, Skipped};
use rustix::io::Errno;

/// Whether the kernel has no room for more, be it watches, watchers, descriptors or memory.
pub fn is_limit(errno: Errno) -> bool {
    [Errno::NOSPC, Errno::MFILE, Errno::NFILE, Errno::NOMEM].contains(&errno)
}

/// The directories of the plan that are not watched, and why.
#[derive(Debug, Default)]
pub struct SkippedDirs(BTreeMap<PathBuf, (SkipCause, String)>);

impl SkippedDirs {
    /// A directory could not be watched.
    pub fn insert(&mut self, dir: &Path, errno: Errno) {
        self.0.insert(dir.to_owned(), skip(errno, dir));
    }

    /// It is watched now.
    pub fn remove(&mut self, dir: &Path) {
        self.0.remove(dir);
    }

    /// There is another plan.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether one is beyond a limit.
    pub fn any_beyond_limit(&self) -> bool {
        self.0.values().any(|(cause, _)| *cause == SkipCause::Limit)
    }

    /// All of them, by their paths.
    pub fn to_vec(&self) -> Vec<Skipped> {
        let skipped = |(dir, (cause, reason)): (&PathBuf, &(SkipCause, String))| Skipped {
            dir: dir.clone(),
            cause: *cause,
            reason: reason.clone(),
        };
        self.0.iter().map(skipped).collect()
    }
}

/// Why a directory is not watched.
fn skip(errno: Errno, dir: &Path) -> (SkipCause, String) {
    match errno {
        limit if is_limit(limit) => (SkipCause::Limit, remedy(limit, &dir.display().to_string())),
        Errno::NOENT => (SkipCause::Unreachable, "it does not exist".into()),
        Errno::NOTDIR | Errno::LOOP => (SkipCause::Unreachable, "it is not a directory".into()),
        Errno::ACCESS | Errno::PERM => {
            (SkipCause::Unreachable, "the server may not read it; give it the right to (chmod, chown)".into())
        }
        Errno::NAMETOOLONG => (SkipCause::Unreachable, "its path is too long for the kernel".into()),
        other => (SkipCause::Unreachable, other.to_string()),
    }
}

/// Nothing at all can be watched.
pub fn failure(errno: Errno) -> BackendFailure {
    BackendFailure::next_backend(remedy(errno, "any directory")).because(errno)
}

/// What to do about an error, for a directory or for whatever was to be watched.
pub fn remedy(errno: Errno, dir: &str) -> String {
    match errno {
        Errno::NOSPC => format!(
            "cannot watch {dir}: the limit of watches is reached; raise fs.inotify.max_user_watches, now {}, \
             or set watch.backend = \"polling\"",
            limit("max_user_watches")
        ),
        Errno::MFILE | Errno::NFILE => format!(
            "cannot watch any directory: the limit of watchers or of open files is reached; raise \
             fs.inotify.max_user_instances, now {}, or the limit of open files (ulimit -n), \
             or set watch.backend = \"polling\"",
            limit("max_user_instances")
        ),
        Errno::NOMEM => {
            format!(
                "cannot watch {dir}: the kernel has no memory for it; free some, or set watch.backend = \"polling\""
            )
        }
        _ => format!("cannot watch {dir}; set watch.backend = \"polling\" if this stays"),
    }
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
        let (cause, reason) = skip(Errno::NOSPC, Path::new("/d"));
        assert_eq!(cause, SkipCause::Limit);
        assert!(reason.starts_with("cannot watch /d: "), "{reason}");
        assert!(reason.contains("fs.inotify.max_user_watches, now "), "{reason}");
        let failure = failure(Errno::MFILE);
        assert_eq!(failure.class(), FailureClass::NextBackend);
        assert!(failure.to_string().contains("fs.inotify.max_user_instances, now "), "{failure}");
    }

    #[test]
    fn a_directory_that_is_gone_or_closed_is_no_ones_limit() {
        for errno in [Errno::NOENT, Errno::NOTDIR, Errno::ACCESS, Errno::NAMETOOLONG, Errno::IO] {
            assert_eq!(skip(errno, Path::new("/d")).0, SkipCause::Unreachable);
        }
    }
}
