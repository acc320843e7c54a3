//! What was saved together in several trees, handed on together: each tree tells of its part by itself.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use hotloader_backend::HintSet;
use tokio::time::{Instant, sleep_until};

use crate::tree::Hints;

/// How long to wait for what the other trees say when one has changed.
const PATIENCE: Duration = Duration::from_millis(20);

/// Hints that wait for those of other trees.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    hints: HintSet,
    /// Trees that are asked what has changed in them.
    asked: BTreeSet<PathBuf>,
    /// They are not waited for any longer.
    until: Option<Instant>,
}

impl Gathering {
    /// Takes in what has changed in a tree. At the first of these, `ask` asks all others and says which these are.
    /// Returns true when nobody is waited for.
    pub(crate) fn take_in(&mut self, from: Hints, ask: impl FnOnce(&PathBuf) -> BTreeSet<PathBuf>) -> bool {
        let Hints { tree, hints, is_answer } = from;
        self.hints.merge(hints);
        if is_answer {
            self.asked.remove(&tree);
        } else if self.until.is_none() {
            self.asked = ask(&tree);
            self.until = Some(Instant::now() + PATIENCE);
        }
        self.asked.is_empty()
    }

    /// What was gathered; then it begins anew.
    pub(crate) fn take(&mut self) -> HintSet {
        std::mem::take(self).hints
    }

    /// Returns when the trees that are asked are not waited for any longer; never if none is.
    pub(crate) async fn is_late(&self) {
        match self.until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use hotloader_backend::Phase;

    use super::*;

    fn hints(tree: &str, is_answer: bool) -> Hints {
        let mut hints = HintSet::new();
        hints.insert(format!("{tree}/x"), Phase::Settled);
        Hints { tree: tree.into(), hints, is_answer }
    }

    fn others(_: &PathBuf) -> BTreeSet<PathBuf> {
        ["/b", "/c"].map(PathBuf::from).into()
    }

    #[test]
    fn what_changed_in_several_trees_comes_together_when_all_have_answered() {
        let mut gathering = Gathering::default();
        assert!(!gathering.take_in(hints("/a", false), others));
        assert!(!gathering.take_in(hints("/b", false), |_| panic!("all have been asked")));
        assert!(!gathering.take_in(hints("/b", true), others));
        assert!(gathering.take_in(hints("/c", true), others));
        assert_eq!(gathering.take().len(), 3);
        assert!(gathering.take_in(hints("/a", false), |_| BTreeSet::new()), "a single tree waits for nobody");
    }

    #[tokio::test(start_paused = true)]
    async fn a_tree_that_does_not_answer_is_not_waited_for_without_end() {
        let mut gathering = Gathering::default();
        assert!(!gathering.take_in(hints("/a", false), others));
        let begun = Instant::now();
        gathering.is_late().await;
        assert_eq!(begun.elapsed(), PATIENCE);
        assert_eq!(gathering.take().len(), 1);
    }
}
