//! Where a path really leads: one component, one link at a time.
//!
//! A name can change its meaning without being touched, when any link or directory on the way to it
//! is replaced. So every step of the way is kept: each is a place where something may happen.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

/// As many links as the kernel follows.
const MAX_HOPS: usize = 40;

/// Device and inode.
pub(crate) type Identity = (u64, u64);

/// A link that was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Where it stands; nothing in this path is a link but its last component.
    pub(crate) link: PathBuf,
    /// What it says.
    pub(crate) target: PathBuf,
}

/// The end of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// A regular file.
    File(PathBuf),
    /// A directory.
    Dir(PathBuf, Identity),
    /// A pipe, a device, a socket.
    Other(PathBuf),
    /// Here is nothing (any more, or not yet).
    Missing(PathBuf),
    /// More links than anybody follows, most likely in a circle.
    Loop,
    /// The way could not be seen.
    Failed(PathBuf, io::ErrorKind),
}

impl End {
    /// Where it is, if the way has an end.
    pub(crate) fn place(&self) -> Option<&Path> {
        match self {
            Self::File(at) | Self::Dir(at, _) | Self::Other(at) | Self::Missing(at) | Self::Failed(at, _) => {
                Some(at)
            }
            Self::Loop => None,
        }
    }
}

/// The way of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Each link on it, in order.
    pub(crate) hops: Vec<Hop>,
    /// Each directory entry that was looked up on it, links and directories and the end. If one
    /// changes, the way may lead elsewhere.
    pub(crate) waypoints: Vec<PathBuf>,
    /// Where it ends.
    pub(crate) end: End,
}

/// Follows `path` from the real directory `base`. Neither cleans `..` as text (`link/..` is the
/// parent of where the link leads) nor asks for anything but names and kinds. It fails where nobody must
/// look, as the file system would not answer.
pub(crate) fn resolve_symlinks(base: &Path, path: &Path, is_silent: impl Fn(&Path) -> bool) -> Resolved {
    let mut resolved = Resolved { hops: Vec::new(), waypoints: Vec::new(), end: End::Loop };
    resolved.end = follow(base, path, is_silent, &mut resolved.hops, &mut resolved.waypoints);
    resolved
}

fn follow(
    base: &Path,
    path: &Path,
    is_silent: impl Fn(&Path) -> bool,
    hops: &mut Vec<Hop>,
    waypoints: &mut Vec<PathBuf>,
) -> End {
    let mut at = base.to_owned();
    let mut rest = VecDeque::new();
    prepend(&mut rest, path);
    let mut end = None;
    while let Some(step) = rest.pop_front() {
        let here = match step {
            Step::Root => {
                at = PathBuf::from("/");
                end = None;
                continue;
            }
            Step::Up => {
                at.pop();
                end = None;
                continue;
            }
            Step::Down(name) => at.join(name),
        };
        waypoints.push(here.clone());
        if is_silent(&here) {
            return End::Failed(here, io::ErrorKind::TimedOut);
        }
        let metadata = match fs::symlink_metadata(&here) {
            Ok(metadata) => metadata,
            Err(error) if is_absence(&error) => return End::Missing(here),
            Err(error) => return End::Failed(here, error.kind()),
        };
        if metadata.is_symlink() {
            if hops.len() == MAX_HOPS {
                return End::Loop;
            }
            let target = match fs::read_link(&here) {
                Ok(target) => target,
                // Replaced by something else just now: a hint for it is under way.
                Err(error) if is_absence(&error) || error.kind() == io::ErrorKind::InvalidInput => {
                    return End::Missing(here);
                }
                Err(error) => return End::Failed(here, error.kind()),
            };
            prepend(&mut rest, &target);
            hops.push(Hop { link: here, target });
        } else {
            end = Some(metadata);
            at = here;
        }
    }
    let metadata = match end.map_or_else(|| fs::symlink_metadata(&at), Ok) {
        Ok(metadata) => metadata,
        Err(error) if is_absence(&error) => return End::Missing(at),
        Err(error) => return End::Failed(at, error.kind()),
    };
    if metadata.is_dir() {
        End::Dir(at, (metadata.dev(), metadata.ino()))
    } else if metadata.is_file() {
        End::File(at)
    } else {
        End::Other(at)
    }
}

/// Nothing there, or something on the way that is no directory: data, not a failure.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

enum Step {
    Root,
    Up,
    Down(OsString),
}

fn prepend(rest: &mut VecDeque<Step>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::RootDir | Component::Prefix(_) => rest.push_front(Step::Root),
            Component::ParentDir => rest.push_front(Step::Up),
            Component::Normal(name) => rest.push_front(Step::Down(name.to_owned())),
            Component::CurDir => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn follow_all(base: &Path, path: &Path) -> Resolved {
        resolve_symlinks(base, path, |_| false)
    }

    fn site() -> (tempfile::TempDir, PathBuf) {
        let keep = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(keep.path()).unwrap();
        (keep, dir)
    }

    #[test]
    fn each_link_of_a_chain_is_a_hop_and_each_step_a_waypoint() {
        let (_keep, dir) = site();
        fs::create_dir_all(dir.join("ext/1")).unwrap();
        fs::create_dir(dir.join("m")).unwrap();
        fs::write(dir.join("ext/1/x"), "").unwrap();
        symlink("../ext/1", dir.join("m/mid")).unwrap();
        symlink("m/mid/x", dir.join("a")).unwrap();
        let way = follow_all(&dir, Path::new("a"));
        assert_eq!(way.end, End::File(dir.join("ext/1/x")));
        assert_eq!(
            way.hops,
            [
                Hop { link: dir.join("a"), target: "m/mid/x".into() },
                Hop { link: dir.join("m/mid"), target: "../ext/1".into() }
            ]
        );
        let waypoints = ["a", "m", "m/mid", "ext", "ext/1", "ext/1/x"].map(|name| dir.join(name));
        assert_eq!(way.waypoints, waypoints);
    }

    #[test]
    fn dots_after_a_link_are_the_parent_of_where_it_leads() {
        let (_keep, dir) = site();
        fs::create_dir_all(dir.join("ext/deep/er")).unwrap();
        fs::create_dir(dir.join("root")).unwrap();
        fs::write(dir.join("ext/deep/x"), "").unwrap();
        symlink("../ext/deep/er", dir.join("root/er")).unwrap();
        assert_eq!(follow_all(&dir, Path::new("root/er/../x")).end, End::File(dir.join("ext/deep/x")));
        assert!(
            matches!(follow_all(&dir, Path::new("root/er/..")).end, End::Dir(at, _) if at == dir.join("ext/deep"))
        );
    }

    #[test]
    fn loops_end_and_dangling_links_say_where_the_way_ends() {
        let (_keep, dir) = site();
        symlink("b", dir.join("a")).unwrap();
        symlink("a", dir.join("b")).unwrap();
        symlink("self", dir.join("self")).unwrap();
        symlink("late/er/x", dir.join("dangling")).unwrap();
        assert_eq!(follow_all(&dir, Path::new("a")).end, End::Loop);
        assert_eq!(follow_all(&dir, Path::new("self")).end, End::Loop);
        assert_eq!(follow_all(&dir, Path::new("dangling")).end, End::Missing(dir.join("late")));
        fs::create_dir(dir.join("late")).unwrap();
        assert_eq!(follow_all(&dir, Path::new("dangling")).end, End::Missing(dir.join("late/er")));
    }

    #[test]
    fn nothing_is_asked_of_a_file_system_that_does_not_answer() {
        let (_keep, dir) = site();
        fs::create_dir_all(dir.join("mount/deep")).unwrap();
        symlink("mount/deep", dir.join("link")).unwrap();
        let mount = dir.join("mount");
        let way = resolve_symlinks(&dir, Path::new("link"), |place| place.starts_with(&mount));
        assert_eq!(way.end, End::Failed(mount, io::ErrorKind::TimedOut));
        assert_eq!(way.hops.len(), 1);
    }
}
