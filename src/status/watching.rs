//! The backends, what they watch, and where links lead.

use std::path::Path;

use serde_json::{Value, json};

use super::Status;
use crate::watch::{BackendHealth, BackendState, Choice, Health, MountTable, automatic};

/// At most this many directories and links are shown.
const SHOWN: usize = 500;
/// At most this many trees are shown: each is looked at for every viewer.
const SHOWN_TREES: usize = 50;

impl Status {
    /// `null` with hot loading off.
    pub(super) fn backends(&self) -> Value {
        let Some(health) = &self.health else { return Value::Null };
        let health = health.borrow();
        let one = |backend: &BackendHealth| {
            let trouble = match &backend.state {
                BackendState::Silent(why) => Some(why.clone()),
                BackendState::Down { .. } => backend.last_failure.clone(),
                _ => None,
            };
            json!({
                "name": backend.name,
                "state": backend.state.name(),
                "trouble": trouble,
                "why": backend.why,
                // A backend that does not run has no beginning.
                "since": (backend.dirs > 0).then(|| self.calendar.at(backend.since)),
                "dirs": backend.dirs,
                "limited": backend.limited,
                "barrier": backend.barrier.map(|(at, took)| json!({
                    "at": self.calendar.at(at), "us": took.as_micros(),
                })),
                "failures": backend.failures,
                "detail": backend.vitals.detail,
                "cpuShare": backend.vitals.cpu_share,
            })
        };
        json!({
            "covered": health.covered,
            "trouble": health.trouble,
            "missed": health.missed,
            "inUse": health.in_use,
            "unfinished": health.unfinished.iter().map(|file| self.shown(file)).collect::<Vec<_>>(),
            "backends": health.backends.iter().map(one).collect::<Vec<_>>(),
        })
    }

    /// By what a tree is watched: the first of its backends that works now, as the supervisor has it.
    fn root(&self, dir: &Path, shown: String, mounts: &MountTable) -> Value {
        let choice = self.backend.borrow();
        let Choice { backends, why } = if choice.is_auto() {
            automatic(dir, Some(dir), mounts)
        } else {
            Choice { backends: choice.names().to_vec(), why: "watch.backend names it".into() }
        };
        let health = self.health.as_ref().map(|health| health.borrow());
        let backend = health.as_ref().and_then(|health| at_work(&backends, health));
        json!({ "dir": shown, "backend": backend, "wanted": backends.first(), "why": why })
    }

    /// A path as a person knows it: within the site.
    fn shown(&self, path: &Path) -> String {
        let within = path.strip_prefix(&self.site).ok().filter(|rest| !rest.as_os_str().is_empty());
        within.unwrap_or(path).to_string_lossy().into_owned()
    }

    /// `null` with hot loading off.
    pub(super) fn places(&self) -> Value {
        let Some(links) = &self.links else { return Value::Null };
        let view = links.borrow().clone();
        let shown = |path: &Path| self.shown(path);
        let links: Vec<_> = view
            .symlink_targets
            .iter()
            .take(SHOWN)
            .map(|(link, target)| json!([shown(link), shown(target)]))
            .collect();
        let mounts = MountTable::read();
        let roots: Vec<_> =
            view.trees.iter().take(SHOWN_TREES).map(|dir| self.root(dir, shown(dir), &mounts)).collect();
        json!({
            "roots": roots,
            "dirs": view.watched_dirs.iter().take(SHOWN).map(|dir| shown(dir)).collect::<Vec<_>>(),
            "allDirs": view.watched_dirs.len(),
            "links": links,
            "allLinks": view.symlink_targets.len(),
        })
    }
}

/// The first that watches something now.
fn at_work<'a>(backends: &'a [String], health: &Health) -> Option<&'a String> {
    let works = |name: &&String| {
        let mut all = health.backends.iter();
        all.any(|one| one.name == **name && one.state == BackendState::Working && one.dirs > 0)
    };
    backends.iter().find(works)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_tree_is_watched_by_the_first_of_its_backends_that_works() {
        let one = |name: &str, state, dirs| BackendHealth {
            name: name.into(),
            state,
            since: Instant::now(),
            dirs,
            limited: 0,
            why: String::new(),
            barrier: None,
            failures: 0,
            last_failure: None,
            vitals: Default::default(),
        };
        let down = BackendState::Down { retry_in: None };
        let backends = vec![
            one("watchman", down, 0),
            one("polling", BackendState::Working, 0),
            one("notify", BackendState::Working, 3),
        ];
        let health = Health { backends, ..Health::default() };
        let by = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
            at_work(&names, &health).cloned()
        };
        assert_eq!(by(&["watchman", "notify", "polling"]).as_deref(), Some("notify"));
        assert_eq!(by(&["notify"]).as_deref(), Some("notify"));
        assert_eq!(by(&["polling"]), None, "it works, and watches nothing");
    }
}
