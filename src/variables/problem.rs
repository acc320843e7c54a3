//! [`Problem`]: what the author has to know of a variable. It stands until the variable is read, or written,
//! without it.

use std::{collections::HashMap, sync::Arc};

use mlua::Value;

use super::{known_names::Answers, path::Step, tree::View, variable::Variable};
use crate::{
    reload::{Diagnostic, Generation, Viewdef},
    wire::VarId,
};

/// So many variables of one problem are named.
const MAX_NAMED: usize = 50;
/// So many problems that differ are kept: each has an excerpt and a traceback, which no account is charged for.
const MAX_DIFFERENT: usize = 100;

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
    different: Vec<Arc<Problem>>,
    /// Some variable has a problem that it had not, or the other way round.
    pub(super) changed: bool,
}

impl Known {
    /// `None`: there are too many that differ.
    fn share(&mut self, problem: Problem) -> Option<Arc<Problem>> {
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

impl Variable {
    /// Takes note of the problem that it has now.
    pub(super) fn note_problem(&mut self, problem: Option<Problem>, known: &mut Known) {
        if self.problem.as_deref() != problem.as_ref() {
            self.problem = problem.and_then(|problem| known.share(problem));
            known.changed = true;
        }
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
        if !std::mem::take(&mut self.problems.changed) {
            return None;
        }
        let mut found = self.doubts(generation);
        let mut places: HashMap<*const Problem, usize> = HashMap::new();
        for variable in self.nodes.iter() {
            let Some(problem) = &variable.problem else { continue };
            let at = *places.entry(Arc::as_ptr(problem)).or_insert_with(|| {
                let path = variable.path.as_ref().map(ToString::to_string).unwrap_or_default();
                found.push(Found { problem: Problem::clone(problem), path, count: 0, variables: Vec::new() });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(message: &str) -> Problem {
        Problem { kind: ProblemKind::Getter, diagnostic: Diagnostic::about("lua/a.lua", Some(1), message) }
    }

    #[test]
    fn variables_that_fail_in_the_same_way_hold_one_problem_and_few_that_differ_are_kept() {
        let (mut known, mut variables) = (Known::default(), Vec::new());
        for n in 0..1000 {
            let mut variable = Variable::default();
            variable.note_problem(Some(problem("no")), &mut known);
            variables.push(variable);
            let mut other = Variable::default();
            other.note_problem(Some(problem(&n.to_string())), &mut known);
            variables.push(other);
        }
        assert_eq!(known.different.len(), MAX_DIFFERENT);
        assert_eq!(
            variables.iter().filter(|variable| variable.problem.is_some()).count(),
            1000 + MAX_DIFFERENT - 1
        );
        // What nobody has any more gives room.
        drop(variables);
        let mut variable = Variable::default();
        variable.note_problem(Some(problem("news")), &mut known);
        assert!(variable.problem.is_some() && known.different.len() == 1);
    }
}
