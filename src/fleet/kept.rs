//! [`Kept`]: which releases a server keeps in its cache, and what may go. It touches nothing: it says what to delete.

use std::collections::BTreeSet;

use super::Digest;

/// The releases that ran since the start, and are still in the cache.
#[derive(Debug)]
pub(super) struct Kept {
    /// The newest last, with the addresses of what each is made of.
    releases: Vec<(Digest, BTreeSet<Digest>)>,
    /// There may be more in the cache than these: of the time before the start, or of a release that came to nothing.
    has_others: bool,
}

/// What goes out of a cache.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sweep {
    /// These, and nothing else has to be looked at.
    Only(Waste),
    /// All but these.
    AllBut(Waste),
}

/// Blobs, and the files that browsers load.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waste {
    pub(super) blobs: BTreeSet<Digest>,
    /// The releases that they are of.
    pub(super) trees: Vec<Digest>,
}

impl Kept {
    pub(super) fn new() -> Self {
        Self { releases: Vec::new(), has_others: true }
    }

    /// A release that runs, with all it is made of.
    pub(super) fn add(&mut self, root: Digest, blobs: BTreeSet<Digest>) {
        self.releases.retain(|(known, _)| *known != root);
        self.releases.push((root, blobs));
    }

    /// Something was written, and does not run.
    pub(super) fn came_to_nothing(&mut self) {
        self.has_others = true;
    }

    /// What may go, if anything. What runs stays, and what a restart begins with (`accepted`), and the last one besides,
    /// to which a rollback would go.
    pub(super) fn sweep(&mut self, accepted: Option<Digest>, running: Option<Digest>) -> Option<Sweep> {
        // What is not loaded has to be kept as well, and nobody knows its blobs.
        if accepted.is_some_and(|root| self.releases.iter().all(|(kept, _)| *kept != root)) {
            return None;
        }
        let is_needed = |root: Digest| Some(root) == accepted || Some(root) == running;
        let spare = self.releases.iter().rev().map(|(root, _)| *root).find(|root| !is_needed(*root));
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.releases)
            .into_iter()
            .partition(|(root, _)| is_needed(*root) || Some(*root) == spare);
        self.releases = kept;
        if std::mem::take(&mut self.has_others) {
            return Some(Sweep::AllBut(waste(&self.releases)));
        }
        let mut gone = waste(&gone);
        for (_, blobs) in &self.releases {
            gone.blobs.retain(|address| !blobs.contains(address));
        }
        (!gone.trees.is_empty()).then_some(Sweep::Only(gone))
    }
}

fn waste(releases: &[(Digest, BTreeSet<Digest>)]) -> Waste {
    Waste {
        blobs: releases.iter().flat_map(|(_, blobs)| blobs.iter().copied()).collect(),
        trees: releases.iter().map(|(root, _)| *root).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn blobs(names: &[&str]) -> BTreeSet<Digest> {
        names.iter().map(|name| digest(name)).collect()
    }

    fn run(kept: &mut Kept, root: &str, of: &[&str]) -> Option<Sweep> {
        kept.add(digest(root), blobs(of));
        kept.sweep(Some(digest(root)), Some(digest(root)))
    }

    #[test]
    fn all_of_the_cache_is_looked_at_after_a_start_and_after_a_failure_and_otherwise_only_what_goes() {
        let mut kept = Kept::new();
        let first = run(&mut kept, "1", &["a", "b"]);
        assert_eq!(first, Some(Sweep::AllBut(Waste { blobs: blobs(&["a", "b"]), trees: vec![digest("1")] })));
        assert_eq!(run(&mut kept, "2", &["a", "c"]), None, "a rollback would go to the first one");
        let third = run(&mut kept, "3", &["a", "d"]);
        assert_eq!(third, Some(Sweep::Only(Waste { blobs: blobs(&["b"]), trees: vec![digest("1")] })));
        kept.came_to_nothing();
        let fourth = run(&mut kept, "4", &["a", "e"]);
        let all = Waste { blobs: blobs(&["a", "d", "e"]), trees: vec![digest("3"), digest("4")] };
        assert_eq!(fourth, Some(Sweep::AllBut(all)));
    }

    #[test]
    fn what_a_restart_begins_with_stays_also_when_it_is_not_loaded() {
        let mut kept = Kept::new();
        kept.add(digest("2"), BTreeSet::new());
        assert_eq!(kept.sweep(Some(digest("1")), Some(digest("2"))), None);
        kept.add(digest("1"), BTreeSet::new());
        assert!(matches!(kept.sweep(Some(digest("1")), Some(digest("2"))), Some(Sweep::AllBut(_))));
    }
}
