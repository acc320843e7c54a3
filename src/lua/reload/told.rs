//! What there is to tell of a reload. The prelude tells of some of it; most of it the reload itself does.

use crate::reload::StaleKind;

/// A fact of a reload.
#[derive(Debug)]
pub(in crate::lua) struct Told {
    /// The chunk's name of the file that it is about.
    pub(in crate::lua) source: String,
    pub(in crate::lua) what: What,
}

#[derive(Debug)]
pub(in crate::lua) enum What {
    /// A value was made again, since that was edited.
    MadeAgain { line: u32, name: String, by: String },
    /// The file counts as edited as a whole.
    Whole { why: String },
    /// So many of these go on running old code from that line on.
    Stale { kind: StaleKind, line: u32, count: usize },
    /// What requires the file runs again, and why: `type`, `scalar`, or `invalidated`, with what that said.
    Dependents { why: String, message: Option<String>, sources: Vec<String> },
    /// `hot.invalidate`, and nothing requires the file.
    Invalidated { message: String },
}

impl Told {
    /// What the prelude has to tell.
    pub(super) fn from_prelude(
        source: String,
        why: String,
        message: Option<String>,
        sources: Vec<String>,
    ) -> Self {
        let is_heard = !sources.is_empty();
        let what = match message {
            Some(message) if !is_heard => What::Invalidated { message },
            message => What::Dependents { why, message, sources },
        };
        Self { source, what }
    }
}
