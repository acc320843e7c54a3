//! Which file system a path is on, and whether the kernel tells of changes that others make there.
//!
//! Trying does not tell: on a network or FUSE mount one's own writes are reported, and those from
//! elsewhere are not. So the kind of the file system decides, and it is read from the mount table, which
//! asks no file system anything: the server of a dead NFS mount would keep whoever asks waiting.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use crate::kinds::{Kind, OVERLAY, UNKNOWN, ask};

/// The mounts of this process, as they were when the table was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountTable {
    mounts: Vec<Mount>,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    id: u64,
    parent: u64,
    /// The major and minor number of the file system.
    pub device: (u32, u32),
    /// Where it is mounted.
    pub point: PathBuf,
    /// As the kernel calls it.
    pub kind: String,
    source: String,
    /// Of the file system, not of the mount; each still escaped, since one may contain a comma.
    options: Vec<u8>,
}

/// A file system, as seen from a path on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// As the kernel calls it: `ext4`, `nfs4`, `fuse.sshfs`. `unknown` where nothing could be learned.
    pub kind: String,
    /// Where it is mounted; the path itself where there is no mount table.
    pub mount_point: PathBuf,
    /// What is mounted: a device, `server:/directory`; empty if that is not known.
    pub source: String,
    /// Whether the kernel reports all changes, those of others too. If not, only polling sees them.
    pub reports_changes: bool,
    /// Why, for people.
    pub why: String,
}

impl MountTable {
    /// The table of this process; empty where there is none to be read, and then file systems are asked.
    pub fn read() -> Self {
        fs::read("/proc/self/mountinfo").map(|text| Self::parse_bytes(&text)).unwrap_or_default()
    }

    /// A table in the format of `/proc/self/mountinfo` (proc_pid_mountinfo(5)). Lines that are not in it
    /// are passed over.
    pub fn parse(text: &str) -> Self {
        Self::parse_bytes(text.as_bytes())
    }

    /// The same of bytes: names need not be text.
    pub fn parse_bytes(text: &[u8]) -> Self {
        Self { mounts: text.split(|&byte| byte == b'\n').filter_map(mount).collect() }
    }

    /// The file system of an absolute path without links in it; nothing need exist there. A path that the
    /// table knows is not touched.
    pub fn file_system(&self, path: &Path) -> FileSystem {
        match self.mount_of(path) {
            Some(mount) => self.judged(mount),
            None => asked(path),
        }
    }

    /// The number of the file system that a path is on, if it waits for another machine or program, so that a call
    /// into it may not return. `None` on systems other than Linux, whose table says so.
    pub fn device_that_may_hang(&self, path: &Path) -> Option<u64> {
        #[cfg(target_os = "linux")]
        {
            let mount = self.mount_of(path).filter(|mount| Kind::of(&mount.kind).is_remote())?;
            Some(rustix::fs::makedev(mount.device.0, mount.device.1))
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = path;
            None
        }
    }

    /// Where something is mounted that waits for another machine or program.
    pub fn points_that_may_hang(&self) -> BTreeSet<PathBuf> {
        let visible = self.visible().into_iter();
        let remote = visible.filter(|(_, mount)| Kind::of(&mount.kind).is_remote());
        remote.map(|(point, _)| point.to_owned()).collect()
    }

    /// Whether what is there is made up by the kernel when it is read, or a device: `/proc`, `/sys`, `/dev`.
    pub fn is_made_up(&self, path: &Path) -> bool {
        let at = self.file_system(path);
        // In a container `/dev` is an ordinary tmpfs.
        Kind::of(&at.kind) == Kind::MadeUp || at.kind == "devtmpfs" || at.mount_point == Path::new("/dev")
    }

    /// Whether something is mounted at exactly this path.
    pub fn is_mount_point(&self, path: &Path) -> bool {
        self.mounts.iter().any(|mount| mount.point == path)
    }

    /// Whether something is mounted at exactly this path and is a file. A save that replaces the file
    /// where it comes from does not reach such a mount, which keeps the old one.
    pub fn is_file_mount(&self, path: &Path) -> bool {
        self.is_mount_point(path) && fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
    }

    /// The mount that is seen at each place where something is mounted. A path is on that of the nearest one
    /// above it.
    pub fn visible(&self) -> HashMap<&Path, &Mount> {
        let seen = |mount: &'_ Mount| self.mount_of(&mount.point).filter(|seen| seen.point == mount.point);
        self.mounts.iter().filter_map(|mount| Some((&*mount.point, seen(mount)?))).collect()
    }

    /// Goes down from mount to mount as the kernel does. The longest mount point alone would be wrong
    /// where a later mount hides it.
    fn mount_of(&self, path: &Path) -> Option<&Mount> {
        let on_the_way: Vec<&Mount> =
            self.mounts.iter().filter(|mount| path.starts_with(&mount.point)).collect();
        // Of equal ones the last, which lies over the others.
        let topmost = |wanted: &dyn Fn(&Mount) -> bool| {
            let candidates = on_the_way.iter().rev().filter(|mount| wanted(mount));
            candidates.copied().min_by_key(|mount| mount.point.as_os_str().len())
        };
        let is_known = |id: u64| self.mounts.iter().any(|mount| mount.id == id);
        let mut at = topmost(&|mount| mount.parent == mount.id || !is_known(mount.parent))?;
        for _ in &on_the_way {
            match topmost(&|mount| mount.parent == at.id && mount.id != at.id) {
                Some(below) => at = below,
                None => break,
            }
        }
        Some(at)
    }

    fn judged(&self, mount: &Mount) -> FileSystem {
        let kind = Kind::of(&mount.kind);
        let (mut reports_changes, mut why) = (kind.reports_changes(), kind.why(&mount.kind));
        if mount.kind == OVERLAY
            && let Some((layer, below)) = self.silent_layer(mount)
        {
            reports_changes = false;
            why = format!("overlay with the layer {}, and {}", layer.display(), below.why);
        }
        FileSystem {
            kind: mount.kind.clone(),
            mount_point: mount.point.clone(),
            source: mount.source.clone(),
            reports_changes,
            why,
        }
    }

    /// A layer of an overlay on a file system that reports nothing.
    fn silent_layer(&self, overlay: &Mount) -> Option<(PathBuf, FileSystem)> {
        layers(&overlay.options).into_iter().find_map(|layer| {
            let below = self.mount_of(&layer)?;
            // In a container the layers are named as the host sees them, and that is not to be seen here.
            // An overlay on an overlay is looked into no further.
            (below.kind != OVERLAY)
                .then(|| self.judged(below))
                .filter(|below| !below.reports_changes)
                .map(|below| (layer, below))
        })
    }
}

/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG]... - KIND SOURCE OPTIONS`
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let (major, minor) = std::str::from_utf8(fields.next()?).ok()?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let point = PathBuf::from(OsString::from_vec(unescaped(fields.nth(1)?)));
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let mut text = || Some(String::from_utf8_lossy(&unescaped(rest.next()?)).into_owned());
    let (kind, source) = (text()?, text()?);
    Some(Mount { id, parent, device, point, kind, source, options: rest.next().unwrap_or_default().to_vec() })
}

/// `\040` is a space: the kernel writes so what would end a field, and the backslash.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match octal {
            Some(&[high, middle, low]) if first == b'\\' && high < b'4' => {
                bytes.push((high - b'0') * 64 + (middle - b'0') * 8 + (low - b'0'));
                rest = &after[3..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

/// The directories an overlay is made of; relative ones are left out, since nobody knows to what.
fn layers(options: &[u8]) -> Vec<PathBuf> {
    let mut layers = Vec::new();
    for option in options.split(|&byte| byte == b',') {
        let mut parts = option.splitn(2, |&byte| byte == b'=');
        let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
        let value = unescaped(value);
        match key {
            b"upperdir" | b"lowerdir+" | b"datadir+" => layers.push(value),
            b"lowerdir" => layers.extend(split_at_colons(&value)),
            _ => {}
        }
    }
    let paths = layers.into_iter().map(|layer| PathBuf::from(OsString::from_vec(layer)));
    paths.filter(|path| path.is_absolute()).collect()
}

/// A colon that belongs to a name is written `\:`.
fn split_at_colons(value: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        let is_escaped = byte == b'\\';
        let byte = if is_escaped { bytes.next().copied().unwrap_or(byte) } else { byte };
        match parts.last_mut() {
            Some(part) if is_escaped || byte != b':' => part.push(byte),
            _ => parts.push(Vec::new()),
        }
    }
    parts
}

/// Asks the nearest thing that exists. This may take as long as the file system likes.
fn asked(path: &Path) -> FileSystem {
    let name = path.ancestors().find_map(ask).unwrap_or(UNKNOWN);
    let kind = Kind::of(name);
    FileSystem {
        kind: name.into(),
        mount_point: path.to_owned(),
        source: String::new(),
        reports_changes: kind.reports_changes(),
        why: kind.why(name),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    const ROOT: &str = "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n";

    /// A table of a root and one mount more.
    fn with(point: &str, kind: &str, source: &str, options: &str) -> MountTable {
        MountTable::parse(&format!(
            "{ROOT}2 1 0:40 / {point} rw shared:7 master:2 - {kind} {source} {options}\n"
        ))
    }

    fn at(table: &MountTable, path: &str) -> FileSystem {
        table.file_system(Path::new(path))
    }

    #[test]
    fn network_and_user_space_file_systems_do_not_report_and_say_why() {
        for (kind, words) in [
            ("nfs", "a network"),
            ("nfs4", "a network"),
            ("cifs", "a network"),
            ("smb3", "a network"),
            ("afs", "a network"),
            ("ceph", "a network"),
            ("lustre", "a network"),
            ("beegfs", "a network"),
            ("orangefs", "a network"),
            ("gfs2", "between machines"),
            ("ocfs2", "between machines"),
            ("9p", "virtual machine"),
            ("virtiofs", "virtual machine"),
            ("vboxsf", "virtual machine"),
            ("prl_fs", "virtual machine"),
            ("vmhgfs", "virtual machine"),
            ("drvfs", "virtual machine"),
            ("fuse", "a program"),
            ("fuse.sshfs", "a program"),
            ("fuse.glusterfs", "a program"),
            ("fuse.fuse-overlayfs", "a program"),
            ("fuseblk", "a program on a device"),
            ("autofs", "will be mounted"),
            ("proc", "by the kernel"),
            ("sysfs", "by the kernel"),
            ("devpts", "by the kernel"),
            ("cgroup2", "by the kernel"),
        ] {
            let found = at(&with("/srv/site", kind, "somewhere", "rw"), "/srv/site/lua");
            assert!(!found.reports_changes, "{kind}");
            assert!(found.why.starts_with(kind) && found.why.contains(words), "{}", found.why);
        }
    }

    #[test]
    fn local_file_systems_report() {
        for kind in ["ext4", "xfs", "btrfs", "tmpfs", "zfs", "bcachefs", "f2fs", "vfat", "devtmpfs", "fusion"]
        {
            let found = at(&with("/srv", kind, "/dev/sdb1", "rw"), "/srv/x");
            assert!(found.reports_changes && found.kind == kind, "{found:?}");
        }
    }

    #[test]
    fn the_mount_nearest_to_the_path_is_told_with_its_source_whether_or_not_the_path_exists() {
        let table = with("/no/such/mnt", "nfs4", "files:/export", "rw,vers=4.2");
        let found = at(&table, "/no/such/mnt/a/b");
        assert_eq!(
            (found.kind.as_str(), found.source.as_str(), found.mount_point.as_path()),
            ("nfs4", "files:/export", Path::new("/no/such/mnt"))
        );
        for beside in ["/no/such/mnt2", "/no/such", "/"] {
            assert_eq!(at(&table, beside).kind, "ext4", "{beside}");
        }
    }

    #[test]
    fn the_last_of_several_mounts_on_one_directory_counts() {
        let stacked =
            format!("{ROOT}2 1 0:40 / /mnt rw - nfs4 a:/x rw\n3 2 0:41 / /mnt rw - tmpfs none rw\n");
        assert_eq!(at(&MountTable::parse(&stacked), "/mnt/x").kind, "tmpfs");
        let beside = format!("{ROOT}2 1 0:40 / /mnt rw - nfs4 a:/x rw\n3 1 0:41 / /mnt rw - tmpfs none rw\n");
        assert_eq!(at(&MountTable::parse(&beside), "/mnt/x").kind, "tmpfs");
    }

    #[test]
    fn a_mount_that_a_later_one_hides_does_not_count() {
        let table = MountTable::parse(&format!(
            "{ROOT}2 1 0:40 / /a/b rw - nfs4 files:/x rw\n3 1 0:41 / /a rw - tmpfs none rw\n"
        ));
        assert_eq!(at(&table, "/a/b/c").kind, "tmpfs");
    }

    #[test]
    fn what_is_seen_at_each_place_says_of_each_path_what_the_whole_table_says() {
        let table = MountTable::parse(&format!(
            "{ROOT}2 1 0:40 / /a/b rw - nfs4 files:/x rw\n3 1 0:41 / /a rw - tmpfs none rw\n\
             4 3 0:42 / /a/c rw - ext4 x rw\n5 4 0:43 / /a/c rw - xfs x rw\n6 1 8:1 /srv /bind rw - ext4 x rw\n"
        ));
        let visible = table.visible();
        assert!(!visible.contains_key(Path::new("/a/b")), "it is hidden");
        for path in ["/", "/x", "/a", "/a/b", "/a/b/c", "/a/c", "/a/c/d", "/a/cd", "/bind/x"].map(Path::new) {
            let nearest = path.ancestors().find_map(|above| visible.get(above).copied());
            assert_eq!(nearest, table.mount_of(path), "{path:?}");
        }
    }

    #[test]
    fn a_table_without_a_root_is_used_for_what_it_has() {
        let table = MountTable::parse("5 99 0:40 / /jail/nfs rw - nfs4 files:/x rw\n");
        assert_eq!(at(&table, "/jail/nfs/x").kind, "nfs4");
    }

    #[test]
    fn names_are_unescaped_and_need_not_be_text() {
        let found =
            at(&with(r"/srv/my\040site\134\011x", "nfs", r"files:/a\040b", "rw"), "/srv/my site\\\tx/lua");
        assert_eq!((found.kind.as_str(), found.source.as_str()), ("nfs", "files:/a b"));
        let line = [ROOT.as_bytes(), b"2 1 0:1 / /srv/\xff rw - nfs4 files:/x rw\n"].concat();
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/srv/\xff/lua"));
        assert_eq!(MountTable::parse_bytes(&line).file_system(path).kind, "nfs4");
    }

    #[test]
    fn an_overlay_is_as_silent_as_the_most_silent_of_its_layers() {
        let nfs = "3 1 0:50 / /net rw - nfs4 files:/x rw\n";
        for (options, reports) in [
            ("rw,lowerdir=/lo1:/lo2,upperdir=/up,workdir=/work", true),
            ("rw,lowerdir=/lo1:/net/lo,upperdir=/up,workdir=/work", false),
            ("rw,lowerdir=/lo1,upperdir=/net/up,workdir=/net/work", false),
            ("rw,lowerdir+=/lo1,lowerdir+=/net/lo", false),
            // A colon and a comma in a name.
            (r"rw,lowerdir=/lo\134:/net/lo", true),
            (r"rw,lowerdir=/lo\054upperdir=/net/lo", true),
            // Docker: relative, or as only the host knows it.
            ("rw,lowerdir=l/ABC:l/DEF,upperdir=/merged/up", true),
        ] {
            let overlay = format!("{ROOT}{nfs}4 1 0:60 / /merged rw - overlay overlay {options}\n");
            let found = at(&MountTable::parse(&overlay), "/merged/lua");
            assert_eq!(found.reports_changes, reports, "{options}: {}", found.why);
            assert_eq!(found.why.contains("nfs4 is a network file system"), !reports, "{}", found.why);
        }
    }

    #[cfg(all(target_os = "linux", not(portable)))]
    #[test]
    fn without_a_table_the_file_system_itself_is_asked() {
        let found = at(&MountTable::default(), "/proc/self/no/such/thing");
        assert_eq!((found.kind.as_str(), found.reports_changes), ("proc", false));
        assert_eq!(at(&MountTable::default(), "/no/such/thing").mount_point, Path::new("/no/such/thing"));
    }

    #[test]
    fn the_table_of_this_process_is_read() {
        assert_eq!(at(&MountTable::read(), "/proc/self").kind, "proc");
    }

    #[test]
    fn a_file_mount_is_a_mount_on_exactly_that_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.lua");
        fs::write(&file, "").unwrap();
        let (file_text, dir_text) = (file.to_str().unwrap(), dir.path().to_str().unwrap());
        assert!(with(file_text, "ext4", "/dev/sda1", "rw").is_file_mount(&file));
        assert!(!with(dir_text, "ext4", "/dev/sda1", "rw").is_file_mount(&file));
        assert!(!with(dir_text, "ext4", "/dev/sda1", "rw").is_file_mount(dir.path()));
    }
}
