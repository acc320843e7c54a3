//! [`Variable`]: a place in the session's objects, and what it takes.

use std::sync::Arc;

use mlua::Value;

use super::{
    grant::Grant,
    path::{Access, Path, Step},
    problem::Problem,
    properties::PropertySet,
    wrapper::Wrapping,
};
use crate::reload::Diagnostic;
use crate::wire::{Account, Charge, Encoded, ErrorCode, Exceeded, VarId};

/// What a variable takes beside its texts, in bytes: itself, its places in lists, its value in Lua's hands.
const EACH: usize = size_of::<Variable>() + 64;
/// What a step of a path takes.
const STEP: usize = size_of::<Step>();
/// The app: there from the start.
pub(crate) const ROOT: VarId = 1;

/// Names a variable for as long as the view lives; no id of a browser is used for that, since an id may
/// be used again. Children have greater keys than their parents.
pub(super) type Key = u64;

/// A place in the session's objects, and what the browser knows of it.
#[derive(Debug, Default)]
pub(super) struct Variable {
    pub(super) id: VarId,
    pub(super) parent: Option<Key>,
    /// How many variables have it as their parent.
    pub(super) children: u32,
    /// `None`: it has no path and keeps the value that was written.
    pub(super) path: Option<Path>,
    /// What the browser may do with it, of what it wants to.
    pub(super) access: Access,
    pub(super) grant: Grant,
    pub(super) properties: PropertySet,
    pub(super) watched: bool,
    /// It or one above it is inactive, as of the last pass.
    pub(super) hidden: bool,
    /// Its value has been looked up.
    pub(super) looked: bool,
    /// Where a glance finds its value.
    pub(super) slot: u32,
    /// Whether a glance can tell that it is unchanged.
    pub(super) settled: bool,
    /// The last write failed, and the browser shows that.
    pub(super) refused: bool,
    /// Its text was not UTF-8, and the log says so.
    pub(super) garbled: bool,
    pub(super) value: Value,
    /// What stands in for the value, if the browser wants that.
    pub(super) wrapping: Option<Box<Wrapping>>,
    /// What the browser has; `None`: nothing yet.
    pub(super) sent: Option<Encoded>,
    pub(super) sent_type: Option<Box<str>>,
    pub(super) error: Option<Box<(ErrorCode, String)>>,
    /// What the author has to know of it.
    pub(super) problem: Option<Arc<Problem>>,
    /// Bytes of the written value that it keeps.
    pub(super) kept: usize,
    /// For all of it but what was sent, which has charges of its own.
    pub(super) charge: Charge,
}

impl Variable {
    /// What children start from.
    pub(super) fn stands_for(&self) -> Value {
        let wrapper = self.wrapping.as_ref().and_then(|wrapping| wrapping.object());
        wrapper.map_or_else(|| self.value.clone(), |wrapper| Value::Table(wrapper.clone()))
    }
}

/// What a message failed with.
pub(super) type Refused = (ErrorCode, String);

/// What a write failed with; and what Lua code raised, if it did.
pub(super) type WriteFailed = (Refused, Option<Box<Diagnostic>>);

/// What a variable with these properties takes, beside what was sent.
pub(super) fn charge(
    account: &Account,
    properties: &PropertySet,
    path: Option<&Path>,
    kept: usize,
) -> Result<Charge, Exceeded> {
    let path = path.map_or(0, |path| path.steps.len() * STEP + properties.get("path").map_or(0, str::len));
    account.staying(EACH + properties.cost() + path + kept)
}

/// Bytes that a written value takes, roughly.
pub(super) fn weight(value: &serde_json::Value) -> usize {
    const EACH: usize = 32;
    EACH + match value {
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(elements) => elements.iter().map(weight).sum(),
        serde_json::Value::Object(fields) => {
            fields.iter().map(|(name, value)| EACH + name.len() + weight(value)).sum()
        }
        _ => 0,
    }
}
