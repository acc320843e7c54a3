//! Matches the definitions of two versions: by their names, and elements of a list by their source.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{DefinitionId, Key, ROOT, Source};

/// Lists with more possible pairs than this are paired in their order.
const COMPARED: usize = 10_000;

/// Definitions that are the same one in both versions.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// By the number in the new version.
    pub(super) old: Vec<Option<DefinitionId>>,
    /// By the number in the old version.
    pub(super) new: Vec<Option<DefinitionId>>,
}

impl Pairs {
    pub(super) fn of(old: &Source, new: &Source) -> Self {
        let mut pairs =
            Self { old: vec![None; new.definitions.len()], new: vec![None; old.definitions.len()] };
        let (olds, news) = (parts(old), parts(new));
        let none = Vec::new();
        let mut open = vec![(ROOT, ROOT)];
        while let Some((of_old, of_new)) = open.pop() {
            let theirs = olds.get(&of_old).unwrap_or(&none);
            let ours = news.get(&of_new).unwrap_or(&none);
            let element = |source: &Source, id: &DefinitionId| {
                source.get(*id).is_some_and(|one| matches!(one.key, Key::Element(_)))
            };
            for &id in ours {
                let Some(one) = new.get(id).filter(|_| !element(new, &id)) else { continue };
                if let Some(known) = old.part(of_old, &one.key) {
                    pairs.join(known, id, &mut open);
                }
            }
            let theirs: Vec<_> = theirs.iter().copied().filter(|id| element(old, id)).collect();
            let ours: Vec<_> = ours.iter().copied().filter(|id| element(new, id)).collect();
            if !theirs.is_empty() && !ours.is_empty() {
                for (known, id) in elements(old, &theirs, &olds, new, &ours, &news) {
                    pairs.join(known, id, &mut open);
                }
            }
        }
        pairs
    }

    fn join(&mut self, old: DefinitionId, new: DefinitionId, open: &mut Vec<(DefinitionId, DefinitionId)>) {
        if let (Some(of_new), Some(of_old)) =
            (self.old.get_mut(new.0 as usize), self.new.get_mut(old.0 as usize))
        {
            (*of_new, *of_old) = (Some(old), Some(new));
            open.push((old, new));
        }
    }
}

type Parts = FxHashMap<DefinitionId, Vec<DefinitionId>>;

fn parts(source: &Source) -> Parts {
    let mut parts = Parts::default();
    for (id, one) in source.definitions() {
        parts.entry(one.parent.unwrap_or(ROOT)).or_default().push(id);
    }
    parts
}

fn elements(
    old: &Source,
    theirs: &[DefinitionId],
    olds: &Parts,
    new: &Source,
    ours: &[DefinitionId],
    news: &Parts,
) -> Vec<(DefinitionId, DefinitionId)> {
    let whole = |source: &Source, id: DefinitionId| source.get(id).map_or(0, |one| one.whole);
    let mut known: FxHashMap<u64, Vec<DefinitionId>> = FxHashMap::default();
    for &id in theirs.iter().rev() {
        known.entry(whole(old, id)).or_default().push(id);
    }
    let (mut pairs, mut left) = (Vec::new(), Vec::new());
    for &id in ours {
        match known.get_mut(&whole(new, id)).and_then(Vec::pop) {
            Some(same) => pairs.push((same, id)),
            None => left.push(id),
        }
    }
    let mut gone: Vec<DefinitionId> = known.into_values().flatten().collect();
    gone.sort_unstable();
    let small = left.len() * gone.len() <= COMPARED;
    // An edited record is the one with which it has most in common.
    if small {
        let content = |source: &Source, parts: &Parts, id: DefinitionId| -> FxHashSet<(Key, u64)> {
            let of = parts.get(&id).map_or(&[][..], |parts| parts);
            of.iter().filter_map(|&part| Some((source.get(part)?.key.clone(), whole(source, part)))).collect()
        };
        let have: Vec<_> = gone.iter().map(|&id| (id, content(old, olds, id))).collect();
        let mut taken = FxHashSet::default();
        left.retain(|&id| {
            let mine = content(new, news, id);
            let best = have
                .iter()
                .filter(|(id, _)| !taken.contains(id))
                .map(|(id, theirs)| (theirs.intersection(&mine).count(), *id))
                .max_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
            match best {
                Some((common, same)) if common > 0 => {
                    taken.insert(same);
                    pairs.push((same, id));
                    false
                }
                _ => true,
            }
        });
        gone.retain(|id| !taken.contains(id));
    }
    // What is left belongs together if nothing was put in or taken out.
    if left.len() == gone.len() {
        pairs.extend(gone.into_iter().zip(left));
    }
    pairs
}
