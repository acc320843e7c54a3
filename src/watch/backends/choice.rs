//! Which backends may watch a directory, in order of preference, and why.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hotloader_backend::WatchPlan;
use hotloader_disk::{FileSystem, MountTable};

use super::registry::{Auto, BUILTIN, Builtin};
use crate::config::BackendChoice;

/// The backends for a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// By their names in the registry, the preferred one first.
    pub backends: Vec<String>,
    /// For people.
    pub why: String,
}

/// The rule of `watch.backend = "auto"`, for a directory in the tree that begins at `tree`.
///
/// Facts decide and not a trial: on a network file system one's own writes are reported and those of
/// others are not, so a test would find nothing wrong.
pub fn automatic(dir: &Path, tree: Option<&Path>, mounts: &MountTable) -> Choice {
    let FileSystem { reports_changes, mut why, .. } = mounts.file_system(dir);
    let mut backends = Vec::new();
    for Builtin { name, auto, .. } in BUILTIN {
        let is_taken = match auto {
            Auto::Asked(_) if !reports_changes => false,
            Auto::Asked(file) => match tree.and_then(|tree| in_or_above(tree, file)) {
                Some(file) => {
                    why = format!("{} asks for {name}", file.display());
                    true
                }
                None => false,
            },
            Auto::Reported => reports_changes,
            Auto::Anywhere => true,
            Auto::Nowhere => false,
        };
        if is_taken {
            backends.push((*name).to_owned());
        }
    }
    Choice { backends, why }
}

/// Whether somebody asks for a backend by a file in a directory or above it.
pub fn is_asked_for(backend: &str, dir: &Path) -> bool {
    let asks = |builtin: &Builtin| {
        builtin.name == backend
            && matches!(builtin.auto, Auto::Asked(file) if in_or_above(dir, file).is_some())
    };
    BUILTIN.iter().any(asks)
}

/// A file of that name in a directory or the nearest one above it.
fn in_or_above(dir: &Path, name: &str) -> Option<PathBuf> {
    dir.ancestors().map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// The choice for each directory of a plan, in its order.
pub(crate) fn choices(plan: &WatchPlan, choice: &BackendChoice, mounts: &MountTable) -> Vec<Arc<Choice>> {
    if !choice.is_auto() {
        let choice = Choice { backends: choice.names().to_vec(), why: "watch.backend names it".into() };
        let choice = Arc::new(choice);
        return plan.dirs.iter().map(|_| choice.clone()).collect();
    }
    // A directory is on the file system of the one above it, unless something is mounted on it. There
    // can be a hundred thousand, so each is compared with the one above only.
    let mut above: Vec<(&Path, Arc<Choice>)> = Vec::new();
    let mut known: Vec<Arc<Choice>> = Vec::new();
    plan.dirs
        .iter()
        .map(|dir| {
            while above.last().is_some_and(|(above, _)| !dir.starts_with(above)) {
                above.pop();
            }
            let inherited =
                above.last().filter(|_| !plan.trees.contains(&**dir) && !mounts.is_mount_point(dir));
            let choice = match inherited {
                Some((_, choice)) => choice.clone(),
                None => {
                    let choice = automatic(dir, plan.tree_of(dir), mounts);
                    match known.iter().find(|known| ***known == choice) {
                        Some(known) => known.clone(),
                        None => {
                            known.push(Arc::new(choice));
                            known[known.len() - 1].clone()
                        }
                    }
                }
            };
            above.push((dir, choice.clone()));
            choice
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::watch::backends::registry::KERNEL;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:50 / /mnt/nfs rw,relatime shared:2 - nfs4 server:/export rw
41 40 0:51 / /mnt/nfs/local rw,relatime shared:3 - tmpfs tmpfs rw
";

    fn backends(plan: &WatchPlan, choice: &BackendChoice) -> Vec<String> {
        let mounts = MountTable::parse(MOUNTS);
        choices(plan, choice, &mounts).iter().map(|choice| choice.backends.join(" ")).collect()
    }

    fn plan(dirs: &[&str]) -> WatchPlan {
        WatchPlan::new(1, dirs.iter().map(PathBuf::from))
    }

    #[test]
    fn each_directory_gets_what_its_own_file_system_needs() {
        let plan = plan(&["/mnt", "/mnt/nfs", "/mnt/nfs/a", "/mnt/nfs/a/b", "/mnt/nfs/local", "/mnt/other"]);
        let local = &format!("{KERNEL} polling");
        assert_eq!(backends(&plan, &"auto".into()), [local, "polling", "polling", "polling", local, local]);
    }

    #[test]
    fn a_choice_that_was_made_holds_for_all() {
        let plan = plan(&["/mnt/nfs", "/srv"]);
        assert_eq!(backends(&plan, &"watchman,notify".into()), ["watchman notify", "watchman notify"]);
    }

    #[test]
    fn watchman_is_taken_for_a_tree_that_asks_for_it_and_never_for_the_way_to_it() {
        let keep = tempfile::tempdir().unwrap();
        let tree = std::fs::canonicalize(keep.path()).unwrap().join("repository/site");
        std::fs::create_dir_all(tree.join("sub")).unwrap();
        let mounts = MountTable::parse("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
        let mut plan = WatchPlan::new(1, [keep.path().to_owned(), tree.clone(), tree.join("sub")]);
        plan.trees.insert(tree.clone());
        let first = |plan: &WatchPlan| {
            choices(plan, &"auto".into(), &mounts)
                .iter()
                .map(|choice| choice.backends[0].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(first(&plan), [KERNEL, KERNEL, KERNEL]);
        std::fs::write(tree.with_file_name(".watchmanconfig"), "{}").unwrap();
        assert_eq!(first(&plan), [KERNEL, "watchman", "watchman"]);
    }

    #[test]
    fn w15_f13_what_reports_no_changes_is_never_given_to_watchman() {
        let keep = tempfile::tempdir().unwrap();
        let base = std::fs::canonicalize(keep.path()).unwrap();
        let tree = base.join("mount/site");
        std::fs::create_dir_all(&tree).unwrap();
        // Both above the mount and in the tree itself somebody asks for it.
        std::fs::write(base.join(".watchmanconfig"), "{}").unwrap();
        std::fs::write(tree.join(".watchmanconfig"), "{}").unwrap();
        let mount = tree.parent().unwrap().display();
        for kind in ["nfs4", "cifs", "9p", "virtiofs", "ceph", "lustre", "afs", "fuse.sshfs", "fuse.bindfs"] {
            let table =
                format!("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / {mount} rw - {kind} source rw\n");
            let choice = automatic(&tree, Some(&tree), &MountTable::parse(&table));
            assert_eq!(choice.backends, ["polling"], "{kind}");
        }
        let local = MountTable::parse("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
        assert_eq!(automatic(&tree, Some(&tree), &local).backends[0], "watchman");
    }

    #[test]
    fn the_nearest_watchman_config_above_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(in_or_above(&deep, ".watchmanconfig"), None);
        let config = dir.path().join(".watchmanconfig");
        fs::write(&config, "{}").unwrap();
        assert_eq!(in_or_above(&deep, ".watchmanconfig"), Some(config));
    }
}
