//! [`Problem`]: what the author has to know of a variable. It stands until the variable is read, or written,
//! without it.

use std::sync::Arc;

use crate::{
    reload::{Diagnostic, Viewdef},
    wire::VarId,
};

/// So many problems that differ are kept: each has an excerpt and a traceback, which no account is charged for.
pub(super) const MAX_DIFFERENT: usize = 100;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ProblemKind {
    /// The page has nothing to show.
    Page,
    /// A path leads nowhere.
    Path,
    /// Code failed while it was read.
    Getter,
    /// Code failed when a browser wrote or called it.
    Handler,
    /// What should stand in for the value could not be made.
    Wrapper,
}

/// The problems of one browser's variables. A thousand rows that fail in the same way hold one.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) different: Vec<Arc<Problem>>,
    /// Some variable has a problem that it had not, or the other way round.
    pub(super) changed: bool,
}

impl Known {
    /// `None`: there are too many that differ.
    pub(super) fn share(&mut self, problem: Problem) -> Option<Arc<Problem>> {
        if let Some(known) = self.different.iter().find(|known| ***known == problem) {
            return Some(known.clone());
        }
        if self.different.len() >= MAX_DIFFERENT {
            self.different.retain(|known| Arc::strong_count(known) > 1);
        }
        let problem = Arc::new(problem);
        (self.different.len() < MAX_DIFFERENT).then(|| {
            self.different.push(problem.clone());
            problem
        })
    }
}

/// What the author has to know of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Problem {
    pub(crate) kind: ProblemKind,
    pub(crate) diagnostic: Diagnostic,
}

/// One problem, and the variables that have it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) problem: Problem,
    /// The path of the first of them.
    pub(crate) path: String,
    pub(crate) count: usize,
    /// Some of them.
    pub(crate) variables: Vec<VarId>,
}

impl Problem {
    /// What is wrong with a path, said where a template binds it.
    pub(super) fn at(place: Option<(&Viewdef, u32)>, path: &str, what: &str) -> Self {
        let diagnostic = match place {
            Some((viewdef, line)) => Diagnostic::about(viewdef.display.clone(), Some(line), what)
                .with_excerpt(viewdef.html.as_bytes()),
            None => Diagnostic::about("", None, format!("{path:?}: {what}")),
        };
        Self { kind: ProblemKind::Path, diagnostic }
    }
}
