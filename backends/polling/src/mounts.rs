//! Which file system a directory is on, without asking that file system: it may hang.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs::File,
    io::{Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
};

use hotloader_disk::{Kind, MountTable};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Where the kernel tells what is mounted, as this process sees it.
const TABLE: &str = "/proc/self/mountinfo";

/// The numbers of a file system.
pub(crate) type Device = (u32, u32);

/// A place where a file system is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) device: Device,
    pub(crate) at: PathBuf,
    pub(crate) is_remote: bool,
    /// Whether the kernel answers for it from memory.
    pub(crate) is_remembered: bool,
}

/// Names of mount points, by the directories they are in.
pub(crate) type MountPoints = HashMap<PathBuf, HashSet<OsString>>;

/// What is mounted.
#[derive(Debug)]
pub(crate) struct Mounts {
    /// Those that are seen, by where they are.
    table: HashMap<PathBuf, Mount>,
    points: Arc<MountPoints>,
    /// Stays open: it tells whether something changed since it was read.
    file: Option<File>,
    /// Stands for what the table does not have.
    unknown: Mount,
}

impl Mounts {
    /// Where there is no such table, all is taken for one file system.
    pub(crate) fn new() -> Self {
        let unknown = Mount { device: (0, 0), at: "/".into(), is_remote: false, is_remembered: false };
        let file = File::open(TABLE).ok();
        let mut mounts = Self { table: HashMap::new(), points: Arc::default(), file, unknown };
        mounts.read();
        mounts
    }

    fn read(&mut self) {
        let Some(file) = &mut self.file else { return };
        let mut text = Vec::new();
        if file.rewind().and_then(|()| file.read_to_end(&mut text)).is_ok() {
            self.table = seen(&text);
            self.points = points(&self.table).into();
        }
    }

    /// Reads the table again if it changed, and says whether it did.
    pub(crate) fn refresh(&mut self) -> bool {
        let Some(file) = &self.file else { return false };
        let mut fds = [PollFd::new(file, PollFlags::PRI)];
        let changed = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
            && fds[0].revents().intersects(PollFlags::PRI | PollFlags::ERR);
        if changed {
            self.read();
        }
        changed
    }

    pub(crate) fn points(&self) -> Arc<MountPoints> {
        self.points.clone()
    }

    /// The mount that a directory is on.
    pub(crate) fn of(&self, dir: &Path) -> &Mount {
        dir.ancestors().find_map(|above| self.table.get(above)).unwrap_or(&self.unknown)
    }

    /// The same of many directories. Those that stand side by side in one in which nothing is mounted are
    /// asked for once, if they come one after the other: there can be a hundred thousand.
    pub(crate) fn of_each<'a>(
        &'a self,
        dirs: impl IntoIterator<Item = &'a Arc<Path>>,
    ) -> impl Iterator<Item = (&'a Arc<Path>, &'a Mount)> {
        let mut last: Option<(&Path, &Mount)> = None;
        dirs.into_iter().map(move |dir| {
            let Some(parent) = dir.parent() else { return (dir, self.of(dir)) };
            match last {
                Some((above, mount)) if above.as_os_str() == parent.as_os_str() => return (dir, mount),
                _ => {}
            }
            let mount = self.of(dir);
            last = (!self.points.contains_key(parent)).then_some((parent, mount));
            (dir, mount)
        })
    }
}

fn points(table: &HashMap<PathBuf, Mount>) -> MountPoints {
    let mut points = MountPoints::new();
    for at in table.keys() {
        if let (Some(parent), Some(name)) = (at.parent(), at.file_name()) {
            points.entry(parent.to_owned()).or_default().insert(name.to_owned());
        }
    }
    points
}

/// Of those that are seen, where: what is mounted over others hides them.
fn seen(table: &[u8]) -> HashMap<PathBuf, Mount> {
    let table = MountTable::parse_bytes(table);
    let mount = |(at, mount): (&Path, &hotloader_disk::Mount)| {
        let kind = Kind::of(&mount.kind);
        let (is_remote, is_remembered) = (kind.is_remote(), kind.answers_from_memory());
        (at.to_owned(), Mount { device: mount.device, at: at.to_owned(), is_remote, is_remembered })
    };
    table.visible().into_iter().map(mount).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = b"\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
40 27 0:50 / /mnt/with\\040space rw - fuse.sshfs host: rw\n\
41 27 0:51 / /mnt/over rw shared:7 master:1 - tmpfs tmpfs rw\n\
42 41 0:52 /sub /mnt/over rw shared:8 - nfs4 server:/x rw\n\
43 27 254:0 /srv /mnt/bind rw - ext4 /dev/vda rw\n\
44 27 0:53 / /hidden/below rw - nfs4 server:/x rw\n\
45 27 0:54 / /hidden rw - tmpfs tmpfs rw\n\
a line of another kind\n";

    fn of(dir: &str) -> (u32, bool) {
        let mounts = Mounts { table: seen(SAMPLE), file: None, ..Mounts::new() };
        let mount = mounts.of(Path::new(dir));
        (mount.device.1, mount.is_remote)
    }

    #[test]
    fn a_directory_is_on_the_nearest_mount_above_it_and_the_later_hides_the_earlier() {
        assert_eq!(of("/home/me"), (0, false));
        assert_eq!(of("/mnt/with space/a/b"), (50, true));
        assert_eq!(of("/mnt/with spaces"), (0, false));
        assert_eq!(of("/mnt/over"), (52, true));
        assert_eq!(of("/mnt/bind/x"), of("/x"), "one file system, two places");
        assert_eq!(of("/hidden/below/x"), (54, false), "what is mounted over it counts");
    }

    #[test]
    fn each_of_many_directories_is_on_the_mount_that_it_is_on_alone() {
        let table = seen(SAMPLE);
        let mounts = Mounts { points: points(&table).into(), table, file: None, ..Mounts::new() };
        let dirs = ["/", "/home", "/home/a", "/home/b", "/mnt", "/mnt/a", "/mnt/over", "/mnt/over/a"];
        let more = ["/mnt/over/b", "/mnt/with space", "/mnt/with space/a", "/mnt/with spaces", "/var"];
        let dirs: Vec<Arc<Path>> = dirs.iter().chain(&more).map(|dir| Path::new(dir).into()).collect();
        assert_eq!(mounts.of_each(&dirs).count(), dirs.len());
        assert!(mounts.of_each(&dirs).all(|(dir, mount)| mount == mounts.of(dir)));
        // In whatever order.
        assert!(mounts.of_each(dirs.iter().rev()).all(|(dir, mount)| mount == mounts.of(dir)));
    }

    #[test]
    fn the_table_of_this_process_has_a_root() {
        assert!(Mounts::new().table.contains_key(Path::new("/")));
    }

    #[test]
    fn the_table_is_not_read_again_while_nothing_is_mounted() {
        // The kernel tells of no change of a plain file, so what was read stays, whatever is in it now.
        let file = tempfile::tempfile().unwrap();
        rustix::io::write(&file, SAMPLE).unwrap();
        let mut mounts = Mounts { file: Some(file), ..Mounts::new() };
        mounts.read();
        let before = mounts.table.clone();
        assert!(before.contains_key(Path::new("/mnt/bind")));
        mounts.file.as_ref().unwrap().set_len(0).unwrap();
        assert!(!mounts.refresh() && mounts.table == before);
        // Reading it would have shown.
        mounts.read();
        assert!(mounts.table.is_empty());
    }
}
