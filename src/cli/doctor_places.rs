//! Where a site really is: the file system of each root and of whatever links lead to, and the backend
//! that suits it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::doctor_report::Problem;
use crate::{
    config::AUTO,
    watch::{Choice, FileSystem, LinkView, MountTable, POLLING, Root, WATCHMAN, automatic, is_asked_for},
};

/// At most this many links into one file system are listed.
const LINKS: usize = 10;

/// A root, or where a link leads.
#[derive(Debug)]
pub(super) struct Place {
    /// `lua`, `link`.
    what: &'static str,
    path: PathBuf,
    /// Where a link leads.
    target: Option<PathBuf>,
    pub(super) file_system: FileSystem,
    pub(super) choice: Choice,
}

impl Place {
    pub(super) fn dir(&self) -> &Path {
        self.target.as_deref().unwrap_or(&self.path)
    }

    pub(super) fn wants_watchman(&self) -> bool {
        self.file_system.reports_changes && is_asked_for(WATCHMAN, self.dir())
    }
}

/// All places, the roots first. Absolute paths only; of links to files, the one with the target counts.
pub(super) fn places(roots: &[Root], links: &LinkView, mounts: &MountTable) -> Vec<Place> {
    let place = |what, path: &Path, target: Option<&PathBuf>| {
        let dir = target.map_or(path, PathBuf::as_path);
        let (file_system, choice) = (mounts.file_system(dir), automatic(dir, Some(dir), mounts));
        Place { what, path: path.to_owned(), target: target.cloned(), file_system, choice }
    };
    let at_roots = roots.iter().map(|root| place(root.id.0, &root.dir, links.symlink_targets.get(&root.dir)));
    let is_root = |link: &Path| roots.iter().any(|root| root.dir == link);
    let links = links.symlink_targets.iter().filter(|(link, _)| !is_root(link));
    at_roots.chain(links.map(|(link, target)| place("link", link, Some(target)))).collect()
}

/// One row for each place; of many links into one file system, the first few.
pub(super) fn rows(places: &[Place]) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    let mut counts: BTreeMap<&Path, usize> = BTreeMap::new();
    for place in places {
        let mount = &place.file_system.mount_point;
        let count = counts.entry(mount).or_default();
        *count += usize::from(place.what == "link");
        if *count > LINKS {
            continue;
        }
        let target = place.target.as_ref().map(|target| format!(" -> {}", target.display()));
        rows.push([
            place.what.into(),
            format!("{}{}", place.path.display(), target.unwrap_or_default()),
            place.file_system.kind.clone(),
            mount.display().to_string(),
            format!("auto: {}", place.choice.backends.join(", ")),
        ]);
    }
    for (mount, count) in counts.into_iter().filter(|(_, count)| *count > LINKS) {
        let more = format!("{} more links to this file system", count - LINKS);
        rows.push(["link".into(), more, String::new(), mount.display().to_string(), String::new()]);
    }
    rows
}

/// Each reason once, with the mount point and source it is about.
pub(super) fn reasons(places: &[Place]) -> Vec<[String; 2]> {
    let reason = |place: &Place| {
        let FileSystem { mount_point, source, .. } = &place.file_system;
        [format!("{} ({source})", mount_point.display()), place.choice.why.clone()]
    };
    places.iter().map(reason).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What is wrong with the places for the backends that are configured; `mend` says where to write that.
pub(super) fn problems(places: &[Place], configured: &[String], mend: &str) -> Vec<Problem> {
    let sees_all = configured.first().is_some_and(|name| name == AUTO || name == POLLING);
    let silent = places.iter().filter(|place| !place.file_system.reports_changes && !sees_all);
    silent
        .map(|place| {
            Problem::new(
                format!(
                    "watch.backend = {:?} does not see what others change in {}: {}",
                    configured.join(", "),
                    place.file_system.mount_point.display(),
                    place.file_system.why
                ),
                [&format!("watch.backend = {POLLING:?}   ({mend})")],
            )
        })
        .collect()
}

/// What is wrong with the directories and files themselves: asks the file system.
pub(super) fn problems_on_disk<'a>(
    links: &LinkView,
    files: impl IntoIterator<Item = &'a Path>,
    mounts: &MountTable,
) -> Vec<Problem> {
    let in_trees =
        links.watched_dirs.iter().filter(|dir| dir.ancestors().any(|dir| links.trees.contains(dir)));
    let locked = in_trees
        .filter(|dir| fs::read_dir(dir).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied));
    let locked = locked.map(|dir| {
        Problem::new(
            format!("{}: not ours to read, and so not watched", dir.display()),
            [&format!("chmod o+rx {0}   (or run the server as the owner of {0})", dir.display())],
        )
    });
    let files: Vec<&Path> = files.into_iter().collect();
    let denied =
        |file: &&Path| File::open(file).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    let unreadable = files.iter().copied().filter(denied).map(|file| {
        Problem::new(
            format!("{}: not ours to read, and so not loaded", file.display()),
            [&format!("chmod o+r {0}   (or run the server as the owner of {0})", file.display())],
        )
    });
    let mounted = files.iter().copied().filter(|file| mounts.is_file_mount(file)).map(|file| {
        Problem::new(
            format!(
                "{}: this single file is mounted; an editor that saves by renaming leaves the old one here for ever",
                file.display()
            ),
            [&format!(
                "mount the directory that it comes from, in place of {}",
                file.parent().unwrap_or(file).display()
            )],
        )
    });
    locked.chain(unreadable).chain(mounted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::RootId;

    const MOUNTS: &str = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:40 / /net rw - nfs4 files:/x rw\n";

    fn root(dir: &str) -> Root {
        Root {
            id: RootId("lua"),
            dir: dir.into(),
            extensions: &[],
            recursive: true,
            max_file: Root::MAX_FILE,
            optional: false,
        }
    }

    fn found(links: &[(&str, &str)]) -> Vec<Place> {
        let targets = links.iter().map(|&(link, target)| (link.into(), target.into()));
        let links = LinkView { symlink_targets: targets.collect(), ..LinkView::default() };
        places(&[root("/no/such/lua")], &links, &MountTable::parse(MOUNTS))
    }

    #[test]
    fn each_root_and_link_has_the_backend_that_suits_the_file_system_it_leads_to() {
        let places = found(&[("/no/such/lua/team", "/net/lua")]);
        let rows = rows(&places);
        let auto = format!("auto: {}, polling", crate::watch::KERNEL);
        assert_eq!(rows[0], ["lua", "/no/such/lua", "ext4", "/", auto.as_str()]);
        assert_eq!(rows[1], ["link", "/no/such/lua/team -> /net/lua", "nfs4", "/net", "auto: polling"]);
        assert!(reasons(&places)[1][1].contains("network"), "{places:?}");
    }

    #[test]
    fn a_root_that_is_a_link_is_where_it_leads() {
        let places = found(&[("/no/such/lua", "/net/release")]);
        assert_eq!(places.len(), 1);
        assert_eq!(places[0].file_system.kind, "nfs4");
    }

    #[test]
    fn a_backend_that_is_deaf_on_a_file_system_is_a_problem_once_for_each() {
        let places = found(&[("/no/such/lua/a", "/net/a"), ("/no/such/lua/b", "/net/b")]);
        for (backend, count) in [("notify", 2), ("watchman", 2), ("auto", 0), ("polling", 0)] {
            let problems = problems(&places, &[backend.into()], "in c.toml");
            assert_eq!(problems.len(), count, "{problems:?}");
            // The report tells each finding once.
            assert!(problems.windows(2).all(|pair| pair[0] == pair[1]));
            assert!(problems.iter().all(|problem| problem.fixes[0].contains("\"polling\"   (in c.toml)")));
        }
    }

    #[test]
    fn of_many_links_into_one_file_system_the_first_are_listed() {
        let names: Vec<String> = (0..LINKS + 5).map(|n| format!("/no/such/lua/{n:02}")).collect();
        let links: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "/net/x")).collect();
        let rows = rows(&found(&links));
        assert_eq!(rows.len(), 1 + LINKS + 1);
        assert_eq!(rows[LINKS + 1][1], "5 more links to this file system");
    }

    #[test]
    fn a_file_that_is_mounted_by_itself_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.lua");
        fs::write(&file, "").unwrap();
        let mounts =
            MountTable::parse(&format!("{MOUNTS}3 1 8:1 /c {} rw - ext4 /dev/sda1 rw\n", file.display()));
        let problems = problems_on_disk(&LinkView::default(), [file.as_path()], &mounts);
        assert!(problems[0].fixes[0].starts_with("mount the directory"), "{problems:?}");
    }
}
