//! The elements of a constructor belong together by their source, and not by where they are.

use super::{Reload, merge::Merging};
use crate::{
    lua::heap::Value,
    reload::source::{Definition, DefinitionId, Key, Kind},
};

/// An element of the old version, as it is at run time.
struct Was {
    id: DefinitionId,
    value: Value,
}

impl Reload<'_> {
    /// The list that is that definition of the new version.
    pub(super) fn merge_list(&mut self, file: &Merging, parent: DefinitionId) {
        let Some(list) = self.stays_for(file.fresh_of(parent)) else { return };
        let Some(old_parent) = file.plan.edits.old(parent) else { return };
        if !is_edited(file, parent, old_parent) {
            return;
        }
        let now = self.list(list);
        let (was, more) = as_it_is(file, old_parent, &now);
        let mut next = Vec::with_capacity(now.len() + 1);
        for (id, one) in elements(file.new_source(), parent) {
            let known = file.plan.edits.old(id).map(|old| was.iter().find(|was| was.id == old));
            match known {
                // It was there, and the program has taken it out.
                Some(None) => {}
                Some(Some(was)) if one.kind == Kind::Table || file.plan.change(id).is_none() => {
                    next.push(was.value);
                }
                _ => next.push(self.lasting(file.fresh_of(id))),
            }
        }
        next.extend(more);
        self.set_list(list, now.len(), &next);
    }

    pub(super) fn list(&self, table: Value) -> Vec<Value> {
        let at = |i| self.heap.get(table, Value::of(i));
        (1..).map(at).take_while(|value| !value.is_nil()).collect()
    }

    pub(super) fn set_list(&self, list: Value, length: usize, next: &[Value]) {
        let end = length.max(next.len());
        for (i, at) in (0..end).zip(1..) {
            let value = next.get(i).copied().unwrap_or(Value::NIL);
            // Where it is now, nobody looks for the old one any more.
            let value = self.follower(value).unwrap_or(value);
            self.heap.set(list, Value::of(at), value);
        }
    }
}

fn elements(
    source: &crate::reload::source::Source,
    parent: DefinitionId,
) -> impl Iterator<Item = (DefinitionId, &Definition)> {
    source.parts(parent).filter(|(_, one)| matches!(one.key, Key::Element(_)))
}

/// Whether an element came, left, moved, or is another one now. What is within one is a matter of its own.
fn is_edited(file: &Merging, parent: DefinitionId, old_parent: DefinitionId) -> bool {
    let mut last = None;
    for (id, one) in elements(file.new_source(), parent) {
        let old = file.plan.edits.old(id);
        let moved = old.is_none() || old < last;
        let edited = one.kind != Kind::Table && file.plan.change(id).is_some();
        if moved || edited {
            return true;
        }
        last = old;
    }
    elements(file.old_source(), old_parent).any(|(id, _)| file.plan.edits.removed().contains(&id))
}

/// The elements of the old version that are still there, and what the program has added. Tables are found
/// wherever they are; of anything else only its place is known.
fn as_it_is(file: &Merging, parent: DefinitionId, now: &[Value]) -> (Vec<Was>, Vec<Value>) {
    let known: Vec<Value> = elements(file.old_source(), parent).map(|(id, _)| file.known_of(id)).collect();
    let mut is_known = vec![false; now.len()];
    let mut was = Vec::new();
    for (id, one) in elements(file.old_source(), parent) {
        let Key::Element(position) = one.key else { continue };
        let object = file.known_of(id);
        let at = if object.is_object() {
            now.iter().position(|value| value.is(object))
        } else {
            // Not where an element is now that is known.
            let is_others = |value: &Value| value.is_object() && known.iter().any(|other| other.is(*value));
            Some(position as usize - 1).filter(|&at| now.get(at).is_some_and(|value| !is_others(value)))
        };
        if let Some(at) = at.filter(|&at| !is_known[at]) {
            is_known[at] = true;
            was.push(Was { id, value: now[at] });
        }
    }
    let more = now.iter().zip(is_known).filter(|(_, known)| !known).map(|(value, _)| *value).collect();
    (was, more)
}
