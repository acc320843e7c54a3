//! What a page lacks to show anything: an application, or a template for what it shows. It would be blank, and
//! nobody would be told.

use std::path::Path as FilePath;

use mlua::{LuaString, Value};

use super::{
    known_names::nearest,
    path::Step,
    problem::{Problem, ProblemKind},
    variable::{ROOT, Variable},
};
use crate::reload::{Diagnostic, Generation, built_in};

pub(super) const NO_APP: &str =
    "no application: call session:createAppVariable(object) while the main file runs";
pub(super) const NO_TYPE: &str = "the application has no type, so no template can be found for it: make it an object \
     of a session:prototype";

/// Says that there is no template, and how its file would be called.
pub(super) fn without_viewdef(
    generation: &Generation,
    dir: &FilePath,
    (type_name, namespace): (&str, &str),
    what: &str,
) -> String {
    let file = dir.join(format!("{type_name}.{namespace}.html"));
    let types = generation.viewdefs.keys().filter_map(|key| key.rsplit_once('.'));
    let meant = nearest(type_name, types.map(|(name, _)| name).filter(|name| *name != type_name));
    let like = meant.map(|name| format!("; there is one for {name:?}")).unwrap_or_default();
    format!("no template shows {what}, of type {type_name:?}: write {}{like}", file.display())
}

impl Variable {
    /// What the page lacks to show this value.
    pub(super) fn missing(
        &self,
        parent: Option<&Self>,
        value: &Value,
        type_name: Option<&LuaString>,
        generation: &Generation,
    ) -> Option<Problem> {
        if !self.watched {
            return None;
        }
        if self.id == ROOT {
            return self.missing_for_the_app(value, type_name, generation);
        }
        let (Value::Table(_), Some(type_name)) = (value, type_name) else { return None };
        let type_name = type_name.to_string_lossy();
        if !self.is_view(parent, generation) || self.has_template(&type_name, generation) {
            return None;
        }
        let path = |variable: &Self| variable.path.as_ref().map(ToString::to_string).unwrap_or_default();
        let dir = dir(generation);
        if let Some(list) = parent.filter(|_| self.is_element()) {
            let (path, namespace) = (path(list), self.properties.get_set("fallbackNamespace"));
            let named = (&*type_name, namespace.unwrap_or("DEFAULT"));
            let what = without_viewdef(generation, &dir, named, &format!("an element of {path:?}"));
            return Some(Problem::at(generation.listed_at(&path), &path, &what));
        }
        let what = without_viewdef(generation, &dir, (&type_name, "DEFAULT"), &format!("{:?}", path(self)));
        Some(self.path_problem(parent, &what, generation))
    }

    fn is_element(&self) -> bool {
        self.path.as_ref().is_some_and(|path| matches!(path.steps.as_slice(), [Step::Index(_)]))
    }

    fn missing_for_the_app(
        &self,
        value: &Value,
        type_name: Option<&LuaString>,
        generation: &Generation,
    ) -> Option<Problem> {
        let what = match (value, type_name.map(LuaString::to_string_lossy)) {
            (Value::Nil, _) => NO_APP.to_owned(),
            (Value::Table(_), None) => NO_TYPE.to_owned(),
            // In whatever namespace the page shows it.
            (_, Some(name)) if !generation.has_viewdef_of(&name) => {
                without_viewdef(generation, &dir(generation), (&name, "DEFAULT"), "the application")
            }
            _ => return None,
        };
        Some(Problem { kind: ProblemKind::Page, diagnostic: Diagnostic::about("", None, what) })
    }

    /// Whether the page shows the object by its template, and not only what is in it.
    fn is_view(&self, parent: Option<&Self>, generation: &Generation) -> bool {
        let (Some(path), Some(parent)) = (&self.path, parent) else { return false };
        if self.is_element() {
            let is_shown_as_list = parent.properties.get_set("fallbackNamespace").is_some();
            return is_shown_as_list && parent.grant.elements.is_none() && !self.grant.asked.writable();
        }
        let scope = parent.grant.kind.scope.as_ref();
        scope.is_some_and(|scope| generation.is_viewed(&scope.name, &path.to_string()))
    }

    /// As browsers look it up.
    fn has_template(&self, type_name: &str, generation: &Generation) -> bool {
        let namespaces = ["namespace", "fallbackNamespace"].map(|name| self.properties.get_set(name));
        namespaces.into_iter().flatten().chain(["DEFAULT"]).any(|namespace| {
            let key = format!("{type_name}.{namespace}");
            generation.viewdefs.contains_key(&key) || built_in().contains_key(&key)
        })
    }
}

/// The directory of the templates, as people know it.
fn dir(generation: &Generation) -> std::path::PathBuf {
    let known = generation.viewdefs.values().next().map(|viewdef| FilePath::new(&viewdef.display));
    known.and_then(FilePath::parent).unwrap_or(FilePath::new("viewdefs")).to_owned()
}
