//! Places to look at, folded so that they stay few.

use std::{
    collections::BTreeMap,
    ops::Bound,
    path::{Path, PathBuf},
};

/// Whether somebody may still be writing at a place.
///
/// Opening a file for writing empties it some 0.4 ms before its content arrives, so who looks at the
/// first sign of a write reads an empty file. A backend that can tell says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A writer has changed it and may still have it open.
    Writing,
    /// A writer has changed it and has closed it.
    Closed,
    /// The backend has waited already until it was quiet, as Watchman and the poller do. It is looked at when what is
    /// left of `watch.quiet` is over, which the time stamps on the disk tell.
    Settled,
    /// Everything else.
    Complete,
}

/// Where to look. A hint stands for its path and all that is below it, so one below another folds
/// into it; too many become "everywhere". The phase of the later one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HintSet {
    everywhere: Option<Phase>,
    paths: BTreeMap<PathBuf, Phase>,
}

impl HintSet {
    /// More paths than this are "everywhere": looking at each costs more than looking at all.
    pub const MAX: usize = 4096;

    /// No hint.
    pub fn new() -> Self {
        Self::default()
    }

    /// The hint to look at all there is.
    pub fn everywhere() -> Self {
        Self { everywhere: Some(Phase::Complete), paths: BTreeMap::new() }
    }

    /// Adds a hint that is later than those in the set.
    pub fn insert(&mut self, path: impl Into<PathBuf>, phase: Phase) {
        let path = path.into();
        if let Some(all) = &mut self.everywhere {
            *all = phase;
            return;
        }
        if let Some(above) = path.ancestors().find(|above| self.paths.contains_key(*above)) {
            if let Some(known) = self.paths.get_mut(above) {
                *known = phase;
            }
            return;
        }
        // Paths sort by component, so all that is below a path stands right behind it.
        let below: Vec<PathBuf> = self
            .paths
            .range::<Path, _>((Bound::Included(path.as_path()), Bound::Unbounded))
            .map(|(below, _)| below)
            .take_while(|below| below.starts_with(&path))
            .cloned()
            .collect();
        for path in below {
            self.paths.remove(&path);
        }
        self.paths.insert(path, phase);
        if self.paths.len() > Self::MAX {
            self.insert_everywhere(phase);
        }
    }

    /// Adds the hint to look at all there is.
    pub fn insert_everywhere(&mut self, phase: Phase) {
        self.everywhere = Some(phase);
        self.paths.clear();
    }

    /// Adds the hints of a set that is later than this one.
    pub fn merge(&mut self, later: HintSet) {
        if let Some(phase) = later.everywhere {
            self.insert_everywhere(phase);
        }
        for (path, phase) in later.paths {
            self.insert(path, phase);
        }
    }

    /// Keeps the paths for which `keep` is true; "everywhere" always stays.
    pub fn retain(&mut self, mut keep: impl FnMut(&Path) -> bool) {
        self.paths.retain(|path, _| keep(path));
    }

    /// The hinted paths in order, none below another. Empty if it is everywhere.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, Phase)> {
        self.paths.iter().map(|(path, &phase)| (path.as_path(), phase))
    }

    /// Whether looking at the hinted places looks at this one.
    pub fn covers(&self, path: &Path) -> bool {
        self.is_everywhere() || path.ancestors().any(|above| self.paths.contains_key(above))
    }

    /// Whether all there is has to be looked at.
    pub fn is_everywhere(&self) -> bool {
        self.everywhere.is_some()
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        !self.is_everywhere() && self.paths.is_empty()
    }

    /// How many paths are hinted.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Says of each that it is [settled](Phase::Settled), but of those of which it is known whether somebody writes.
    pub fn settle(&mut self) {
        for phase in self.everywhere.iter_mut().chain(self.paths.values_mut()) {
            if *phase == Phase::Complete {
                *phase = Phase::Settled;
            }
        }
    }

    /// Whether the backend has waited with all of them until it was quiet.
    pub fn is_settled(&self) -> bool {
        self.everywhere.into_iter().chain(self.paths.values().copied()).all(|phase| phase == Phase::Settled)
    }

    /// Whether anybody may still be writing.
    pub fn any_writing(&self) -> bool {
        self.everywhere.into_iter().chain(self.paths.values().copied()).any(|phase| phase == Phase::Writing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths() -> impl Strategy<Value = Vec<(PathBuf, Phase)>> {
        let path = prop::collection::vec(0..3_u8, 0..5).prop_map(|parts| {
            parts.iter().fold(PathBuf::from("/"), |path, part| path.join(part.to_string()))
        });
        let phase = prop_oneof![Just(Phase::Writing), Just(Phase::Closed), Just(Phase::Complete)];
        prop::collection::vec((path, phase), 0..40)
    }

    fn set(of: &[(PathBuf, Phase)]) -> HintSet {
        let mut set = HintSet::new();
        for (path, phase) in of {
            set.insert(path, *phase);
        }
        set
    }

    proptest! {
        #[test]
        fn nothing_hinted_is_lost_and_nothing_else_comes_in(hints in paths()) {
            let set = set(&hints);
            for (path, _) in &hints {
                prop_assert!(set.covers(path));
            }
            for (path, _) in set.iter() {
                prop_assert!(hints.iter().any(|(hinted, _)| hinted == path));
            }
        }

        #[test]
        fn no_hint_stands_below_another(hints in paths()) {
            let set = set(&hints);
            let all: Vec<&Path> = set.iter().map(|(path, _)| path).collect();
            for (i, a) in all.iter().enumerate() {
                for (j, b) in all.iter().enumerate() {
                    prop_assert!(i == j || !a.starts_with(b));
                }
            }
        }

        #[test]
        fn merging_covers_what_both_cover(first in paths(), second in paths()) {
            let mut merged = set(&first);
            merged.merge(set(&second));
            let at_once = set(&[first, second].concat());
            prop_assert!(merged.iter().map(|(path, _)| path).eq(at_once.iter().map(|(path, _)| path)));
        }

        #[test]
        fn a_hint_that_comes_twice_is_one(hints in paths()) {
            prop_assert!(set(&hints).iter().map(|(p, _)| p).eq(set(&[hints.clone(), hints].concat()).iter().map(|(p, _)| p)));
        }
    }

    #[test]
    fn the_later_phase_counts() {
        let mut set = HintSet::new();
        set.insert("/a", Phase::Writing);
        assert!(set.any_writing());
        set.insert("/a", Phase::Complete);
        assert!(!set.any_writing(), "closed: complete");
        set.insert("/a", Phase::Writing);
        assert!(set.any_writing(), "and opened again");
    }

    #[test]
    fn hints_are_settled_when_all_of_them_are() {
        let mut set = HintSet::new();
        set.insert("/a", Phase::Settled);
        assert!(set.is_settled());
        set.insert("/b", Phase::Complete);
        assert!(!set.is_settled(), "nobody has waited for the second");
        set.insert("/b", Phase::Settled);
        assert!(set.is_settled());
    }

    #[test]
    fn too_many_hints_become_everywhere() {
        let mut set = HintSet::new();
        for i in 0..=HintSet::MAX {
            assert!(!set.is_everywhere());
            set.insert(format!("/d/{i}"), Phase::Complete);
        }
        assert!(set.is_everywhere());
        assert_eq!(set.len(), 0);
        assert!(set.covers(Path::new("/anything")));
    }
}
