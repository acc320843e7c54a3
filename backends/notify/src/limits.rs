//! What an error of the kernel means for a directory, and the words for it.

use std::{fs, path::Path};

use hotloader_backend::{BackendFailure, SkipCause};
use rustix::io::Errno;

/// Whether the kernel has no room for more, be it watches, watchers, descriptors or memory.
pub(crate) fn is_limit(errno: Errno) -> bool {
    [Errno::NOSPC, Errno::MFILE, Errno::NFILE, Errno::NOMEM].contains(&errno)
}

/// Why a directory is not watched.
pub(crate) fn skip(errno: Errno, dir: &Path) -> (SkipCause, String) {
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
pub(crate) fn failure(errno: Errno) -> BackendFailure {
    BackendFailure::next_backend(remedy(errno, "any directory")).because(errno)
}

/// Barriers cannot be passed.
#[cfg(all(target_os = "linux", not(portable)))]
pub(crate) fn no_barrier(errno: Errno) -> String {
    if is_limit(errno) {
        remedy(errno, "what proves it")
    } else {
        format!("cannot watch /dev/null: {errno}; let the server read it")
    }
}

fn remedy(errno: Errno, dir: &str) -> String {
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
