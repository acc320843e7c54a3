//! What the system lets a process watch and open, and how much of it is taken.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::process::{Resource, geteuid, getrlimit};

use super::doctor_report::Problem;

/// What is proposed where a limit is too low; what most distributions have by now.
const WATCHES: u64 = 524_288;
const INSTANCES: u64 = 1024;
/// Below this a server with some browsers runs out of descriptors.
const OPEN_FILES: u64 = 1024;

/// Limits, and what the processes of this user take of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    max_watches: Option<u64>,
    max_instances: Option<u64>,
    max_queued: Option<u64>,
    watches: u64,
    instances: u64,
    /// Who holds most watches: process, name, watches.
    greatest: Option<(u32, String, u64)>,
    /// Processes of this user that could not be looked into.
    unread: usize,
    /// Soft and hard; `None` is without limit.
    open_files: (Option<u64>, Option<u64>),
}

impl Limits {
    pub(super) fn read() -> Self {
        let mut limits = Self::read_from(Path::new("/proc"), geteuid().as_raw());
        let open_files = getrlimit(Resource::Nofile);
        limits.open_files = (open_files.current, open_files.maximum);
        limits
    }

    fn read_from(proc: &Path, user: u32) -> Self {
        let number = |name: &str| fs::read_to_string(proc.join(name)).ok()?.trim().parse::<u64>().ok();
        // A user namespace may have a lower one; the kernel counts in both.
        let lower = |a, b| [number(a), number(b)].into_iter().flatten().min();
        let mut limits = Self {
            max_watches: lower("sys/fs/inotify/max_user_watches", "sys/user/max_inotify_watches"),
            max_instances: lower("sys/fs/inotify/max_user_instances", "sys/user/max_inotify_instances"),
            max_queued: number("sys/fs/inotify/max_queued_events"),
            ..Self::default()
        };
        for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            if entry.metadata().is_ok_and(|metadata| metadata.uid() == user) {
                limits.add_process(pid, &entry.path());
            }
        }
        limits
    }

    fn add_process(&mut self, pid: u32, dir: &Path) {
        let Ok(descriptors) = fs::read_dir(dir.join("fd")) else {
            // Ended meanwhile, or not ours to look into.
            self.unread += usize::from(dir.exists());
            return;
        };
        let is_inotify =
            |path: &PathBuf| fs::read_link(path).is_ok_and(|to| to == Path::new("anon_inode:inotify"));
        let mut watches = 0;
        for path in descriptors.flatten().map(|entry| entry.path()).filter(is_inotify) {
            self.instances += 1;
            let info = path.file_name().map(|name| dir.join("fdinfo").join(name));
            let info = info.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
            watches += info.lines().filter(|line| line.starts_with("inotify wd:")).count() as u64;
        }
        self.watches += watches;
        if watches > self.greatest.as_ref().map_or(0, |greatest| greatest.2) {
            let name = fs::read_to_string(dir.join("comm")).unwrap_or_default();
            self.greatest = Some((pid, name.trim_end().to_owned(), watches));
        }
    }

    pub(super) fn rows(&self) -> Vec<[String; 3]> {
        let shown = |limit: Option<u64>| limit.map_or_else(|| "unknown".into(), |limit| limit.to_string());
        let mut rows = vec![
            [
                "fs.inotify.max_user_watches".into(),
                shown(self.max_watches),
                format!("{} in use by this user", self.watches),
            ],
            [
                "fs.inotify.max_user_instances".into(),
                shown(self.max_instances),
                format!("{} in use by this user", self.instances),
            ],
            ["fs.inotify.max_queued_events".into(), shown(self.max_queued), String::new()],
        ];
        let unlimited =
            |limit: Option<u64>| limit.map_or_else(|| "unlimited".into(), |limit| limit.to_string());
        let (soft, hard) = self.open_files;
        rows.push([
            "open files".into(),
            unlimited(soft),
            format!("can be raised to {}; each browser takes one", unlimited(hard)),
        ]);
        if let Some((pid, name, watches)) = &self.greatest {
            rows.push(["most watches".into(), watches.to_string(), format!("{name}, process {pid}")]);
        }
        if self.unread > 0 {
            let what = "processes of this user could not be looked into, so more may be in use";
            rows.push(["not readable".into(), self.unread.to_string(), what.into()]);
        }
        rows
    }

    /// What is too low where `dirs` directories are to be watched by inotify, or by Watchman, which uses it.
    pub(super) fn problems(&self, dirs: usize) -> Vec<Problem> {
        let mut problems = Vec::new();
        let dirs = dirs as u64;
        if let Some(max) = self.max_watches.filter(|max| dirs > 0 && self.watches + dirs > *max) {
            let what = format!(
                "fs.inotify.max_user_watches is {max}: {} in use by this user, and {dirs} more are needed",
                self.watches
            );
            let wanted = WATCHES.max(((self.watches + dirs) * 2).next_power_of_two());
            problems.push(too_low(what, "max_user_watches", wanted));
        }
        if let Some(max) = self.max_instances.filter(|max| dirs > 0 && self.instances >= *max) {
            let what = format!(
                "fs.inotify.max_user_instances is {max}, and {} are in use by this user",
                self.instances
            );
            problems.push(too_low(what, "max_user_instances", INSTANCES.max(max * 2)));
        }
        if let Some(soft) = self.open_files.0.filter(|soft| *soft < OPEN_FILES) {
            problems.push(Problem::new(
                format!("a process may open only {soft} files, and each browser takes one"),
                ["ulimit -n 65536   (systemd: LimitNOFILE=65536)"],
            ));
        }
        problems
    }
}

fn too_low(what: String, key: &str, wanted: u64) -> Problem {
    let set = format!("sudo sysctl -w fs.inotify.{key}={wanted}   (in a container: on its host)");
    let keep = format!(
        "echo fs.inotify.{key}={wanted} | sudo tee /etc/sysctl.d/60-inotify-{key}.conf   (to make it stay)"
    );
    Problem::new(what, [&set, &keep, "or watch.backend = \"polling\", which needs none"])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn proc() -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = proc.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/fs/inotify/max_user_watches", "1000\n");
        write("sys/user/max_inotify_watches", "100\n");
        write("sys/fs/inotify/max_user_instances", "2\n");
        let watch = "inotify wd:1 ino:2 sdev:3 mask:4 ignored_mask:0 fhandle-bytes:8\n";
        write("7/comm", "editor\n");
        write("7/fdinfo/3", &format!("pos:\t0\n{watch}{watch}"));
        write("7/fdinfo/4", "pos:\t0\n");
        write("7/fd/5", "");
        symlink("anon_inode:inotify", proc.path().join("7/fd/3")).unwrap();
        symlink("anon_inode:[eventpoll]", proc.path().join("7/fd/4")).unwrap();
        write("8/comm", "ended\n");
        proc
    }

    fn limits() -> Limits {
        Limits::read_from(proc().path(), geteuid().as_raw())
    }

    #[test]
    fn watches_are_counted_where_they_are_held_and_the_lower_limit_holds() {
        assert_eq!(
            limits(),
            Limits {
                max_watches: Some(100),
                max_instances: Some(2),
                watches: 2,
                instances: 1,
                greatest: Some((7, "editor".into(), 2)),
                unread: 1,
                ..Limits::default()
            }
        );
        let of_others = Limits::read_from(proc().path(), geteuid().as_raw() + 1);
        assert_eq!((of_others.watches, of_others.unread), (0, 0));
    }

    #[test]
    fn a_limit_is_a_problem_when_what_is_needed_goes_beyond_it_and_the_command_is_told() {
        assert_eq!(limits().problems(98), []);
        let problems = limits().problems(99);
        assert!(
            problems[0].fixes[0].contains("sysctl -w fs.inotify.max_user_watches=524288"),
            "{problems:?}"
        );
        assert!(problems[0].fixes[1].contains("/etc/sysctl.d/"), "{problems:?}");
        let many = limits().problems(1_000_000);
        assert!(many[0].fixes[0].contains("=2097152"), "{many:?}");
        assert_eq!(limits().problems(0), [], "polling needs no watches");
    }

    #[test]
    fn no_free_instance_and_few_descriptors_are_problems() {
        let full = Limits { instances: 2, open_files: (Some(256), None), ..limits() };
        let problems = full.problems(1);
        assert!(problems[0].fixes[0].contains("max_user_instances=1024"), "{problems:?}");
        assert!(problems[1].fixes[0].contains("ulimit -n"), "{problems:?}");
    }
}
