//! [`Grant`]: what has been found out of what a browser may do with a variable.

use std::sync::Arc;

use super::path::Access;
use crate::reload::Scope;

/// What is known of a variable's place, as its children need it.
#[derive(Debug, Default)]
pub(super) struct Kind {
    /// What is bound from its type.
    pub(super) scope: Option<Arc<Scope>>,
    pub(super) is_list: bool,
    pub(super) is_table: bool,
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
    /// Changes whenever its kind changes.
    pub(super) serial: u32,
}

impl Grant {
    pub(super) fn asking(asked: Access) -> Self {
        Self { asked, ..Self::default() }
    }

    /// What was found out still holds below that parent.
    pub(super) fn holds_below(&self, parent: &Self) -> bool {
        self.checked == Some(parent.serial)
    }
}
