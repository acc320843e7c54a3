//! [`Problem`]: what the author has to know of a variable. It stands until the variable is read, or written,
//! without it.

use std::collections::HashMap;

use mlua::Value;

use super::{known_names::Answers, path::Step, tree::View, variable::Variable};
use crate::{
    reload::{Diagnostic, Generation, Viewdef},
    wire::VarId,
};

/// So many variables of one problem are named.
const MAX_NAMED: usize = 50;

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

impl Variable {
    /// Takes note of the problem that it has now. Says whether that is news.
    pub(super) fn note_problem(&mut self, problem: Option<Problem>) -> bool {
        if self.problem.as_deref() == problem.as_ref() {
            return false;
        }
        self.problem = problem.map(Box::new);
        true
    }

    /// The problem of the last write, while it stands.
    pub(super) fn handler_problem(&self) -> Option<Problem> {
        let problem = self.problem.as_deref().filter(|problem| problem.kind == ProblemKind::Handler);
        problem.filter(|_| self.refused).cloned()
    }

    /// Nothing is there to be read. Is there no such name?
    pub(super) fn misspelt(
        &self,
        parent: Option<&Self>,
        generation: &Generation,
        names: &mut Answers,
    ) -> Option<Problem> {
        let step = self.path.as_ref()?.steps.first().filter(|step| **step != Step::Parent)?;
        let Value::Table(object) = parent?.stands_for() else { return None };
        let what = names.unknown(&object, step, generation)?;
        Some(self.path_problem(parent, &what.to_string(), generation))
    }

    /// A path that leads nowhere, said where a template binds it.
    pub(super) fn path_problem(&self, parent: Option<&Self>, what: &str, generation: &Generation) -> Problem {
        let path = self.path.as_ref().map(ToString::to_string).unwrap_or_default();
        let scope = parent.and_then(|parent| parent.grant.kind.scope.as_ref());
        let place = scope.and_then(|scope| generation.bound_at(&scope.name, &path));
        Problem::at(place, &path, what)
    }
}

impl View {
    /// What its templates have that was probably meant otherwise.
    fn doubts(&self, generation: &Generation) -> Vec<Found> {
        let viewdefs = self.viewdefs.keys().filter_map(|key| generation.viewdefs.get(key));
        let doubts = viewdefs.flat_map(|viewdef| viewdef.doubts.iter().map(move |doubt| (viewdef, doubt)));
        doubts
            .map(|(viewdef, (line, what))| Found {
                problem: Problem::at(Some((viewdef, *line)), "", what),
                path: String::new(),
                count: 1,
                variables: Vec::new(),
            })
            .collect()
    }

    /// The problems there are now, if they are others than the last time.
    pub(crate) fn take_problems(&mut self, generation: &Generation) -> Option<Vec<Found>> {
        if !std::mem::take(&mut self.problems_changed) {
            return None;
        }
        let mut found = self.doubts(generation);
        let mut places: HashMap<Problem, usize> = HashMap::new();
        for variable in self.nodes.iter() {
            let Some(problem) = variable.problem.as_deref() else { continue };
            let at = *places.entry(problem.clone()).or_insert_with(|| {
                let path = variable.path.as_ref().map(ToString::to_string).unwrap_or_default();
                found.push(Found { problem: problem.clone(), path, count: 0, variables: Vec::new() });
                found.len() - 1
            });
            if let Some(found) = found.get_mut(at) {
                found.count += 1;
                if found.variables.len() < MAX_NAMED {
                    found.variables.push(variable.id);
                }
            }
        }
        Some(found)
    }
}
