//! [`Grant`]: what has been found out of what a browser may do with a variable.

use std::sync::Arc;

use super::path::Access;
use crate::reload::Scope;

/// What is known of a variable's place, as its children need it.
#[derive(Debug, Clone, Default)]
pub(super) struct Kind {
    /// What is bound from its type.
    pub(super) scope: Option<Arc<Scope>>,
    pub(super) is_list: bool,
    pub(super) is_table: bool,
}

impl Kind {
    /// Whether a template for one of them is a template for the other.
    fn is_like(&self, other: &Self) -> bool {
        let names = [self, other].map(|kind| kind.scope.as_ref().map(|scope| &*scope.name));
        names[0] == names[1] && self.is_list == other.is_list && self.is_table == other.is_table
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// Nothing has been decided yet.
    #[default]
    Pending,
    Granted,
    /// The browser is told, and the log.
    Denied,
    /// It was granted; the parent's value is of another type now, and the page is about to hear of it.
    Aside,
}

/// What a browser may do with a variable, and what it is to its children.
#[derive(Debug, Default)]
pub(super) struct Grant {
    /// What the browser wants to do.
    pub(super) asked: Access,
    pub(super) state: State,
    /// The `serial` of the parent for which that was found out.
    pub(super) checked: Option<u32>,
    /// What a template binds of the elements of this list.
    pub(super) elements: Option<Arc<Scope>>,
    pub(super) kind: Kind,
    /// What the parent's value was when there was a value to be read from it.
    pub(super) read_from: Option<Kind>,
    /// Changes whenever its kind changes.
    pub(super) serial: u32,
}

impl Grant {
    pub(super) fn asking(asked: Access) -> Self {
        Self { asked, ..Self::default() }
    }

    /// Its path led somewhere from the parent's value, or was tried for the first time.
    pub(super) fn note_read(&mut self, parent: Option<&Self>) {
        let kind = parent.map(|parent| &parent.kind).filter(|kind| kind.is_table);
        if let Some(kind) =
            kind.filter(|kind| !self.read_from.as_ref().is_some_and(|from| from.is_like(kind)))
        {
            self.read_from = Some(kind.clone());
        }
    }

    /// Whether the parent's value is of another type than the one that the page asked this of. A template of the
    /// new type is about to take its place.
    pub(super) fn is_outdated(&self, parent: Option<&Self>) -> bool {
        let (Some(from), Some(parent)) = (&self.read_from, parent) else { return false };
        !from.is_like(&parent.kind)
    }

    /// What was found out still holds below that parent.
    pub(super) fn holds_below(&self, parent: &Self) -> bool {
        self.checked == Some(parent.serial)
    }
}
