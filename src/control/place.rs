//! Where control sockets are: in a directory of the user's own, which nobody else may enter.

use std::{
    env, fs, io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    process::{Pid, geteuid, getpid, test_kill_process},
};
use thiserror::Error;

/// Why there can be no control socket.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Others could get at what is in it.
    #[error("{}: belongs to somebody else, or others may enter it; set XDG_RUNTIME_DIR to a directory of your own, or server.console = false", .0.display())]
    NotPrivate(PathBuf),
    /// The directory or the socket cannot be made.
    #[error("{}: cannot be made; set XDG_RUNTIME_DIR to a directory of your own, or server.console = false", path.display())]
    Io {
        /// The directory or the socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A socket, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) address: SocketAddr,
    process: i32,
}

impl Place {
    /// Whether the server that made it may still run.
    pub(super) fn may_be_in_use(&self) -> bool {
        let process = Pid::from_raw(self.process);
        process.is_some_and(|process| test_kill_process(process) != Err(Errno::SRCH))
    }
}

/// The directory of the sockets, whether or not it is there.
fn directory() -> PathBuf {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match runtime.filter(|dir| dir.is_absolute() && dir.is_dir()) {
        Some(dir) => dir.join("lua-hotloader"),
        None => env::temp_dir().join(format!("lua-hotloader.{}", geteuid().as_raw())),
    }
}

/// Makes the directory, and says where the socket of a server is to be.
pub(super) fn of_server(address: SocketAddr) -> Result<Place, PlaceError> {
    let dir = directory();
    let made = fs::DirBuilder::new().mode(0o700).create(&dir);
    if let Err(source) =
        made.or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
    {
        return Err(PlaceError::Io { path: dir, source });
    }
    check(&dir)?;
    let process = getpid().as_raw_pid();
    Ok(Place { path: dir.join(format!("{address}.{process}.sock")), address, process })
}

/// All sockets there are, also of servers that are gone.
///
/// # Errors
/// If somebody else may have put them there.
pub(super) fn all() -> Result<Vec<Place>, PlaceError> {
    let dir = directory();
    let Ok(entries) = fs::read_dir(&dir) else { return Ok(Vec::new()) };
    check(&dir)?;
    Ok(entries.flatten().filter_map(|entry| named(&entry.path())).collect())
}

fn named(path: &Path) -> Option<Place> {
    let name = path.file_name()?.to_str()?.strip_suffix(".sock")?;
    let (address, process) = name.rsplit_once('.')?;
    Some(Place { path: path.to_owned(), address: address.parse().ok()?, process: process.parse().ok()? })
}

/// A directory as it was named, and what it is now: a link may come to lead elsewhere.
pub(super) fn names(dir: &Path) -> Vec<PathBuf> {
    std::path::absolute(dir).into_iter().chain(fs::canonicalize(dir)).collect()
}

/// In a directory that others may write to, somebody may have made it before us, or a link in its place.
fn check(dir: &Path) -> Result<(), PlaceError> {
    let meta = fs::symlink_metadata(dir).map_err(|source| PlaceError::Io { path: dir.to_owned(), source })?;
    let is_private = meta.is_dir() && meta.uid() == geteuid().as_raw() && meta.mode() & 0o077 == 0;
    if is_private { Ok(()) } else { Err(PlaceError::NotPrivate(dir.to_owned())) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_directory_that_others_may_enter_or_that_is_a_link_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("sockets");
        fs::DirBuilder::new().mode(0o700).create(&dir).unwrap();
        check(&dir).unwrap();
        symlink(&dir, parent.path().join("link")).unwrap();
        assert!(matches!(check(&parent.path().join("link")), Err(PlaceError::NotPrivate(_))));
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o710)).unwrap();
        assert!(matches!(check(&dir), Err(PlaceError::NotPrivate(_))));
    }

    #[test]
    fn the_socket_of_a_process_that_is_gone_is_known_as_such() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let place = |process| named(Path::new(&format!("/run/127.0.0.1:80.{process}.sock"))).unwrap();
        assert!(place(std::process::id()).may_be_in_use());
        child.wait().unwrap();
        assert!(!place(child.id()).may_be_in_use());
    }

    #[test]
    fn the_name_of_a_socket_says_the_address() {
        for address in ["127.0.0.1:8080", "[::1]:80"] {
            let place = named(Path::new(&format!("/run/{address}.77.sock"))).unwrap();
            assert_eq!((place.address, place.process), (address.parse().unwrap(), 77));
        }
        for other in ["/run/x", "/run/x.77.sock", "/run/127.0.0.1:80.sock.bak"] {
            assert_eq!(named(Path::new(other)), None);
        }
    }
}
