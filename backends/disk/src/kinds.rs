//! Kinds of file systems, and what can be expected of each.

use std::path::Path;

use rustix::fd::AsFd;

/// What can be expected of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The kernel reports every change.
    Local,
    /// Nothing is known of it.
    Unknown,
    /// It is on another machine.
    Network,
    /// It is on a disk that other machines write to as well.
    Shared,
    /// It comes from outside of a virtual machine.
    Host,
    /// A program serves it, perhaps from a device.
    Program {
        /// Whether it does.
        on_device: bool,
    },
    /// Something will be mounted there.
    Automount,
    /// The kernel makes it up when it is read.
    MadeUp,
}

/// The numbers by which statfs(2) tells kinds. It tells no more than the family: `fuse` for each FUSE file system.
const MAGIC: [(u32, &str); 35] = [
    (0x6969, "nfs"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb3"),
    (0x517B, "smbfs"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0x5346_414F, "afs"),
    (0x6B41_4653, "afs"),
    (0x00C3_6400, "ceph"),
    (0x0BD0_0BD0, "lustre"),
    (0x0116_1970, "gfs2"),
    (0x7461_636F, "ocfs2"),
    (0x1983_0326, "beegfs"),
    (0x2003_0528, "orangefs"),
    (0x786F_4256, "vboxsf"),
    (0xBACB_ACBC, "vmhgfs"),
    (0x7375_7245, "coda"),
    (0x0187, "autofs"),
    (0x794C_7630, OVERLAY),
    (0x9FA0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x1CD1, "devpts"),
    (0x0027_E0EB, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x6462_6720, "debugfs"),
    (0xEF53, "ext4"), // ext2 and ext3 as well
    (0x5846_5342, "xfs"),
    (0x9123_683E, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0xF2F5_2010, "f2fs"),
    (0x2FC1_2FC1, "zfs"),
    (0x8584_58F6, "ramfs"),
    (0xCA45_1A4E, "bcachefs"),
    (0x3153_464A, "jfs"),
    (0x0, UNKNOWN),
];

/// What nothing is known of is called so.
pub(crate) const UNKNOWN: &str = "unknown";

/// As reliable as its layers.
pub(crate) const OVERLAY: &str = "overlay";

impl Kind {
    /// Of a name as it stands in the mount table.
    pub fn of(name: &str) -> Self {
        match name {
            "nfs" | "nfs4" | "cifs" | "smb" | "smb3" | "smbfs" | "ncpfs" | "afs" | "coda" | "ceph"
            | "lustre" | "glusterfs" | "beegfs" | "orangefs" | "pvfs2" | "gpfs" | "panfs" | "wekafs"
            | "davfs" => Self::Network,
            "gfs2" | "ocfs2" | "acfs" => Self::Shared,
            "9p" | "virtiofs" | "vboxsf" | "prl_fs" | "vmhgfs" | "drvfs" | "fakeowner" => Self::Host,
            "fuseblk" => Self::Program { on_device: true },
            "fuse" => Self::Program { on_device: false },
            _ if name.starts_with("fuse.") => Self::Program { on_device: false },
            "autofs" => Self::Automount,
            "proc" | "sysfs" | "devpts" | "cgroup" | "cgroup2" | "debugfs" | "tracefs" | "securityfs"
            | "configfs" | "pstore" | "bpf" | "efivarfs" | "binfmt_misc" | "fusectl" | "selinuxfs"
            | "nsfs" | "rpc_pipefs" | "mqueue" | "resctrl" => Self::MadeUp,
            UNKNOWN => Self::Unknown,
            _ => Self::Local,
        }
    }

    /// Whether the kernel reports all changes, those of others too.
    pub fn reports_changes(self) -> bool {
        matches!(self, Self::Local | Self::Unknown)
    }

    /// Whether another machine or a program answers: new attributes may come before new content.
    pub fn is_remote(self) -> bool {
        matches!(self, Self::Network | Self::Shared | Self::Host | Self::Program { .. })
    }

    /// Whether the kernel may answer for it from memory, as another machine or program did some time ago, and asks
    /// anew where that is wanted. Machines that share a disk keep each other's memory true.
    pub fn answers_from_memory(self) -> bool {
        matches!(self, Self::Network | Self::Host | Self::Program { .. })
    }

    /// Why it does or does not report changes, for people.
    pub(crate) fn why(self, name: &str) -> String {
        let why = match self {
            Self::Local => "is a local file system: the kernel reports every change",
            Self::Unknown => return "the file system is unknown: taken for a local one".into(),
            Self::Network => "is a network file system: the kernel reports no change made by others",
            Self::Shared => "is shared between machines: the kernel reports no change made by the others",
            Self::Host => {
                "comes from outside of this virtual machine: the kernel reports no change made there"
            }
            Self::Program { on_device: true } => {
                "is served by a program on a device: the kernel reports no change made behind it"
            }
            Self::Program { on_device: false } => {
                "is served by a program: the kernel reports no change made behind it"
            }
            Self::Automount => "is a place where something will be mounted, most likely from the network",
            Self::MadeUp => "is made up by the kernel when it is read: no change of it is reported",
        };
        format!("{name} {why}")
    }
}

/// The number by which the kernel knows the file system that something is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Magic(u32);

impl Magic {
    /// Asks the file system of an open file; 0 where that says nothing.
    pub fn of(file: impl AsFd) -> Self {
        #[cfg(all(target_os = "linux", not(portable)))]
        return Self(rustix::fs::fstatfs(file).map_or(0, |fs| low_half(fs.f_type)));
        #[cfg(any(not(target_os = "linux"), portable))]
        {
            let _ = file;
            Self(0)
        }
    }

    /// Whether it is a file system of this kernel alone, on which whatever comes or goes changes the time of
    /// its directory.
    pub fn is_local(self) -> bool {
        let name = self.name();
        Kind::of(name) == Kind::Local && name != OVERLAY
    }

    /// Whether a call into it may not return, since it waits for another machine or program.
    pub fn may_hang(self) -> bool {
        // An overlay is where a container's own files are.
        self.0 != 0 && self.name() != OVERLAY && !self.is_local()
    }

    fn name(self) -> &'static str {
        MAGIC.iter().find(|(magic, _)| *magic == self.0).map_or(UNKNOWN, |(_, name)| name)
    }
}

/// The name of the file system of a path; `None` where there is nothing, or where that cannot be asked. This may
/// take as long as the file system likes.
pub(crate) fn ask(path: &Path) -> Option<&'static str> {
    #[cfg(all(target_os = "linux", not(portable)))]
    return Some(Magic(low_half(rustix::fs::statfs(path).ok()?.f_type)).name());
    #[cfg(any(not(target_os = "linux"), portable))]
    {
        let _ = path;
        None
    }
}

/// The type differs between machines, and so does its sign; the lower half is what counts.
#[cfg(all(target_os = "linux", not(portable)))]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "magic numbers have 32 bits")]
fn low_half(magic: rustix::fs::FsWord) -> u32 {
    magic as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reports_no_changes_is_polled_with_doubt_unless_this_kernel_makes_it_up() {
        for name in [
            "smb",
            "davfs",
            "fuseblk",
            "drvfs",
            "prl_fs",
            "panfs",
            "pvfs2",
            "wekafs",
            "nfs4",
            "fuse.sshfs",
            "9p",
            "acfs",
        ] {
            let kind = Kind::of(name);
            assert!(kind.is_remote() && !kind.reports_changes(), "{name}");
        }
        for name in ["proc", "cgroup2", "autofs"] {
            let kind = Kind::of(name);
            assert!(!kind.is_remote() && !kind.reports_changes(), "{name}");
        }
        for name in ["ext4", "vfat", "overlay", "fusion", UNKNOWN] {
            let kind = Kind::of(name);
            assert!(!kind.is_remote() && kind.reports_changes(), "{name}");
        }
    }

    #[test]
    fn only_what_another_machine_or_a_program_answers_for_is_answered_from_memory() {
        for name in ["nfs4", "cifs", "ceph", "9p", "virtiofs", "fuse.sshfs", "fuse", "fuseblk"] {
            assert!(Kind::of(name).answers_from_memory(), "{name}");
        }
        for name in ["ext4", "tmpfs", "overlay", "gfs2", "proc", "autofs", UNKNOWN] {
            assert!(!Kind::of(name).answers_from_memory(), "{name}");
        }
    }

    #[test]
    fn what_is_not_known_to_be_local_may_hang() {
        for (magic, name) in MAGIC {
            let is_local = Kind::of(name) == Kind::Local;
            assert_eq!(Magic(magic).is_local(), is_local && name != OVERLAY, "{name}");
            assert_eq!(Magic(magic).may_hang(), !is_local && name != UNKNOWN, "{name}");
        }
        assert!(Magic(0x1234).may_hang() && !Magic(0x1234).is_local());
    }
}
