//! [`ProblemReport`]: what the author of a site is told of code that fails while a page uses it, and of names that
//! lead nowhere.

use serde::Serialize;

use super::VarId;
use crate::reload::Diagnostic;

/// One problem that a page has now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemReport {
    /// `path`, `getter`, `handler`, `timer` or `wrapper`.
    pub kind: &'static str,
    /// What and where.
    #[serde(flatten)]
    pub diagnostic: Diagnostic,
    /// As the template has it; empty for a timer.
    pub path: String,
    /// In how many places of the page, or how often in a row.
    pub count: usize,
    /// Some of the variables that have it.
    pub var_ids: Vec<VarId>,
    /// A link that opens the place in the developer's editor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub editor: Option<String>,
}
