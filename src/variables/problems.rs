//! Which problems the variables of a browser have.

use std::{collections::HashMap, sync::Arc};

use mlua::Value;

use super::{
    known_names::Answers,
    path::Step,
    problem::{Found, Known, Problem, ProblemKind},
    tree::View,
    variable::Variable,
};
use crate::reload::Generation;

/// So many variables of one problem are named.
const MAX_NAMED: usize = 50;

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
    use super::{super::problem::MAX_DIFFERENT, *};
    use crate::reload::Diagnostic;

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
