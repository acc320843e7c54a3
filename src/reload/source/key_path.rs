//! Where a place is in what the source says: other names of a table are followed.

use super::{DefinitionId, Key, KeyPath, ROOT, Source};

/// A place that more than one file may define: a global, what is in one, and what a module exports.
#[derive(Debug)]
pub struct SharedPlace {
    /// What exports it. `None`: the keys begin with a global.
    pub module: Option<Box<str>>,
    keys: Vec<Key>,
}

/// At most this many aliases are followed.
const HOPS: u32 = 16;

impl KeyPath {
    pub(super) fn of(base: DefinitionId) -> Self {
        Self { base, keys: Vec::new() }
    }

    pub(super) fn root(key: Key) -> Self {
        Self { base: ROOT, keys: vec![key] }
    }

    pub(super) fn then(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }
}

impl Source {
    /// The innermost definition on the way to a place, and the keys from there on. Another name of a table
    /// is followed when something within it is meant.
    pub(super) fn locate(&self, place: &KeyPath) -> (DefinitionId, Vec<Key>) {
        let (mut at, mut hops) = (place.base, 0);
        let mut rest: Vec<Key> = place.keys.iter().rev().cloned().collect();
        while let Some(key) = rest.last() {
            let part = self.index.get(&(at, key.clone())).copied();
            if let Some(part) = part {
                at = part;
                rest.pop();
            } else if let Some(alias) = self.get(at).and_then(|one| one.alias.as_ref())
                && hops < HOPS
            {
                hops += 1;
                at = alias.base;
                rest.extend(alias.keys.iter().rev().cloned());
            } else {
                break;
            }
        }
        rest.reverse();
        (at, rest)
    }

    /// Where others may define it, too. `None`: only this file can.
    pub fn place_for_others(&self, id: DefinitionId) -> Option<SharedPlace> {
        let mut keys = self.keys_to(id);
        match keys.first()? {
            Key::Module(name) => {
                let module = Some(name.clone());
                keys.remove(0);
                Some(SharedPlace { module, keys })
            }
            Key::Global(_) => Some(SharedPlace { module: None, keys }),
            _ => None,
        }
    }

    /// The definition of that place, where this is the module that exports it.
    pub fn find(&self, place: &SharedPlace) -> Option<DefinitionId> {
        let base = if place.module.is_some() { self.returned()? } else { ROOT };
        let (at, rest) = self.locate(&KeyPath { base, keys: place.keys.clone() });
        (rest.is_empty() && at != base).then_some(at)
    }

    fn keys_to(&self, mut at: DefinitionId) -> Vec<Key> {
        let mut keys = Vec::new();
        while let Some(one) = self.get(at) {
            keys.push(one.key.clone());
            at = one.parent.unwrap_or(ROOT);
        }
        keys.reverse();
        keys
    }

    /// The module and the path there, if a place is in what another file exports.
    pub(super) fn export_of(&self, place: &KeyPath) -> Option<(Box<str>, Vec<Key>)> {
        let (mut at, mut rest) = self.locate(place);
        if rest.is_empty()
            && let Some(alias) = self.get(at).and_then(|one| one.alias.as_ref())
        {
            (at, rest) = self.locate(alias);
        }
        let mut keys = self.keys_to(at);
        keys.extend(rest);
        match keys.first() {
            Some(Key::Module(name)) => {
                let name = name.clone();
                keys.remove(0);
                Some((name, keys))
            }
            _ => None,
        }
    }
}
