//! Who shall watch each directory: the first backend of its choice that works and takes it.

use std::{collections::BTreeMap, sync::Arc};

use hotloader_backend::DirSet;

use super::{choice::Choice, lane::Lane};

/// Who shall watch a directory, by position among the lanes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Target {
    pub(super) lane: Option<usize>,
    /// A preferred one that failed before and has to prove itself.
    pub(super) on_trial: Option<usize>,
}

/// For each directory, in their order.
pub(super) fn targets(dirs: &DirSet, choices: &[Arc<Choice>], lanes: &[Lane]) -> Vec<Target> {
    let by_name: BTreeMap<&str, usize> = lanes
        .iter()
        .enumerate()
        .filter(|(_, lane)| !lane.retiring)
        .map(|(at, lane)| (lane.name.as_str(), at))
        .collect();
    let mut targets = Vec::with_capacity(choices.len());
    for (dir, choice) in dirs.iter().zip(choices) {
        let mut target = Target::default();
        for name in &choice.backends {
            let Some(&at) = by_name.get(name.as_str()) else { continue };
            let lane = &lanes[at];
            if lane.is_usable() && lane.takes(dir) {
                target.lane = Some(at);
                break;
            }
            if lane.is_on_trial() && lane.takes(dir) {
                target.on_trial.get_or_insert(at);
            }
        }
        targets.push(target);
    }
    targets
}

/// The different choices; equal ones share one value.
pub(super) fn distinct(choices: &[Arc<Choice>]) -> impl Iterator<Item = &Arc<Choice>> {
    let mut seen: Vec<*const Choice> = Vec::new();
    choices.iter().filter(move |choice| {
        let at = Arc::as_ptr(choice);
        let is_new = !seen.contains(&at);
        if is_new {
            seen.push(at);
        }
        is_new
    })
}

/// Who would take over from a lane, if all that it has can be taken over.
pub(super) fn next_after(lane: &Lane, choices: &[Arc<Choice>], lanes: &[Lane]) -> Option<String> {
    let mut next = None;
    for choice in distinct(choices).filter(|choice| choice.backends.contains(&lane.name)) {
        let others = choice.backends.iter().filter(|name| **name != lane.name);
        let usable = |name: &&String| {
            lanes.iter().any(|other| other.name == **name && other.is_usable() && other.id != lane.id)
        };
        next = Some(others.clone().find(usable)?.clone());
    }
    next
}
