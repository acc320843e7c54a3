//! Where the variables of one browser are kept: parents before children, found by id or by key.

use std::collections::HashMap;

use super::variable::{Key, Variable};
use crate::wire::VarId;

/// Keys stand beside the boxes: they are searched for at every step from a variable to its parent.
pub(super) type Node = (Key, Box<Variable>);

/// The variables, in the order in which they were made. In boxes: they are large, and move when one
/// before them ends.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    list: Vec<Node>,
    ids: HashMap<VarId, Key>,
    last: Key,
    /// How many slots there are; which are free; and which are free but still hold a value.
    slots: u32,
    free: Vec<u32>,
    stale: Vec<u32>,
}

impl Nodes {
    pub(super) fn insert(&mut self, mut variable: Variable) -> Key {
        self.last += 1;
        variable.slot = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        if let Some(parent) = variable.parent.and_then(|parent| self.get_mut(parent)) {
            parent.children += 1;
        }
        self.ids.insert(variable.id, self.last);
        self.list.push((self.last, Box::new(variable)));
        self.last
    }

    pub(super) fn key(&self, id: VarId) -> Option<Key> {
        self.ids.get(&id).copied()
    }

    pub(super) fn ids(&self) -> &HashMap<VarId, Key> {
        &self.ids
    }

    pub(super) fn get(&self, key: Key) -> Option<&Variable> {
        find(&self.list, key).map(|at| &*self.list[at].1)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Variable> {
        find(&self.list, key).map(|at| &mut *self.list[at].1)
    }

    /// The variable at a place of the order, and those before it: its ancestors are among them.
    pub(super) fn at(&mut self, place: usize) -> Option<(Earlier<'_>, &mut Variable)> {
        let (before, rest) = self.list.split_at_mut_checked(place)?;
        rest.first_mut().map(|(_, variable)| (Earlier(before), &mut **variable))
    }

    pub(super) fn with_earlier(&mut self, key: Key) -> Option<(Earlier<'_>, &mut Variable)> {
        self.at(find(&self.list, key)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Variable> {
        self.list.iter().map(|(_, variable)| &**variable)
    }

    pub(super) fn all(&self) -> Earlier<'_> {
        Earlier(&self.list)
    }

    pub(super) fn list(&self) -> &[Node] {
        &self.list
    }

    /// Slots of variables that ended. They may be used again from now on.
    pub(super) fn take_stale(&mut self) -> Vec<u32> {
        let stale = std::mem::take(&mut self.stale);
        self.free.extend(&stale);
        stale
    }

    /// Ends a variable and its descendants; the ids of all of them, children first. `see` is shown each.
    pub(super) fn remove(&mut self, key: Key, mut see: impl FnMut(&Variable)) -> Vec<VarId> {
        let Some(place) = find(&self.list, key) else { return Vec::new() };
        if let Some(parent) = self.list[place].1.parent.and_then(|parent| self.get_mut(parent)) {
            parent.children -= 1;
        }
        let mut doomed = vec![key];
        if self.list[place].1.children > 0 {
            for (key, variable) in &self.list[place + 1..] {
                if variable.parent.is_some_and(|parent| doomed.binary_search(&parent).is_ok()) {
                    doomed.push(*key);
                }
            }
        }
        if doomed.len() == 1 {
            let (_, gone) = self.list.remove(place);
            self.ids.remove(&gone.id);
            self.stale.push(gone.slot);
            see(&gone);
            return vec![gone.id];
        }
        let mut gone = Vec::with_capacity(doomed.len());
        let (ids, stale) = (&mut self.ids, &mut self.stale);
        self.list.retain(|(key, variable)| {
            let ends = doomed.binary_search(key).is_ok();
            if ends {
                ids.remove(&variable.id);
                stale.push(variable.slot);
                gone.push(variable.id);
                see(variable);
            }
            !ends
        });
        gone.reverse();
        gone
    }
}

/// Some variables, in order.
#[derive(Clone, Copy)]
pub(super) struct Earlier<'a>(&'a [Node]);

impl<'a> Earlier<'a> {
    pub(super) fn get(self, key: Key) -> Option<&'a Variable> {
        find(self.0, key).map(|at| &*self.0[at].1)
    }

    /// What children of a variable's parent start from (level 0), those of the parent's parent (1), and
    /// so on.
    pub(super) fn ancestor(self, variable: &Variable, level: usize) -> Option<mlua::Value> {
        let mut ancestor = self.get(variable.parent?)?;
        for _ in 0..level {
            ancestor = self.get(ancestor.parent?)?;
        }
        Some(ancestor.stands_for())
    }
}

fn find(list: &[Node], key: Key) -> Option<usize> {
    list.binary_search_by_key(&key, |(key, _)| *key).ok()
}
