//! What browsers may ask for: for each type the paths that its templates bind, from all templates together.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{Binding, Viewdef, Ways, built_in};

/// An option of a binding that names a prototype of Lua.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// `wrapper=`
    Wrapper,
    /// `itemWrapper=`
    ItemWrapper,
    /// `create=`
    Create,
}

impl Role {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Wrapper, Self::ItemWrapper, Self::Create];

    /// The property of a variable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wrapper => "wrapper",
            Self::ItemWrapper => "itemWrapper",
            Self::Create => "create",
        }
    }

    /// The role that a property has, if it has one.
    pub fn of(property: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == property)
    }
}

/// How one path is bound, all its bindings taken together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bound {
    /// In what ways.
    pub ways: Ways,
    /// The prototypes that its bindings name.
    pub prototypes: Vec<(Role, Box<str>)>,
    /// What is bound of its elements, where a template shows it as a list with contents of its own.
    pub elements: Option<Arc<Scope>>,
}

impl Bound {
    fn merge(&mut self, other: &Self) {
        self.ways = self.ways.and(other.ways);
        for named in &other.prototypes {
            if !self.prototypes.contains(named) {
                self.prototypes.push(named.clone());
            }
        }
        self.elements = match (self.elements.take(), &other.elements) {
            (Some(ours), Some(theirs)) => Some(ours.with(theirs)),
            (ours, theirs) => ours.or_else(|| theirs.clone()),
        };
    }
}

/// The paths that are bound from one type, or from the elements of one list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The type's name.
    pub name: Box<str>,
    /// What may be put around each element, if these are elements: `ui-item-wrapper`.
    pub wrappers: Vec<Box<str>>,
    paths: HashMap<Box<str>, Bound>,
}

impl Scope {
    /// A scope of a type of which nothing is bound.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// How a path is bound, which is written as [`normal`](super::normal) does.
    pub fn get(&self, path: &str) -> Option<&Bound> {
        self.paths.get(path)
    }

    /// Whether a binding names that prototype in that role.
    pub fn names(&self, role: Role, prototype: &str) -> bool {
        let mut named = self.paths.values().flat_map(|bound| &bound.prototypes);
        named.any(|(named, name)| *named == role && **name == *prototype)
    }

    /// The union of both, under the name of this one.
    #[must_use]
    pub fn with(&self, other: &Self) -> Arc<Self> {
        let mut both = self.clone();
        both.wrappers.extend(other.wrappers.iter().filter(|name| !self.wrappers.contains(name)).cloned());
        for (path, bound) in &other.paths {
            both.paths.entry(path.clone()).or_default().merge(bound);
        }
        Arc::new(both)
    }

    /// One binding more.
    pub fn add(&mut self, binding: &Binding) {
        self.add_below(&binding.lists, binding);
    }

    fn add_below(&mut self, lists: &[String], binding: &Binding) {
        if let [list, below @ ..] = lists {
            let bound = self.paths.entry(list.as_str().into()).or_default();
            return Arc::make_mut(bound.elements.get_or_insert_default()).add_below(below, binding);
        }
        let bound = self.paths.entry(binding.path.as_str().into()).or_default();
        bound.ways = bound.ways.and(binding.ways);
        for role in Role::ALL {
            let named = binding.option(role.name()).map(|name| (role, Box::from(name)));
            bound.prototypes.extend(named.filter(|named| !bound.prototypes.contains(named)));
        }
        if let Some(wrapper) = binding.item_wrapper.as_deref().filter(|name| !name.is_empty()) {
            Arc::make_mut(bound.elements.get_or_insert_default()).wrappers.push(wrapper.into());
        }
    }
}

/// The bindings of all templates of a generation. Shared by all sessions, never changed.
#[derive(Debug, Default)]
pub struct Bindings {
    types: HashMap<Box<str>, Arc<Scope>>,
    prototypes: HashSet<(Role, Box<str>)>,
}

impl Bindings {
    /// Collects the bindings of these templates, by key, and of those that come with the server.
    pub fn new(viewdefs: &BTreeMap<String, Arc<Viewdef>>) -> Self {
        let mut scopes: HashMap<Box<str>, Scope> = HashMap::new();
        let mut all = Self::default();
        for (key, viewdef) in built_in().iter().chain(viewdefs) {
            let type_name: Box<str> = key.rsplit_once('.').map_or(&**key, |(type_name, _)| type_name).into();
            let scope = scopes.entry(type_name.clone()).or_insert_with(|| Scope::new(&type_name));
            for binding in &viewdef.bindings {
                scope.add(binding);
                let named = |role: Role| Some((role, binding.option(role.name())?.into()));
                all.prototypes.extend(Role::ALL.into_iter().filter_map(named));
            }
        }
        all.types = scopes.into_iter().map(|(name, scope)| (name, Arc::new(scope))).collect();
        all
    }

    /// What is bound from that type.
    pub fn of_type(&self, name: &str) -> Option<&Arc<Scope>> {
        self.types.get(name)
    }

    /// Whether any template names that prototype in that role.
    pub fn names(&self, role: Role, prototype: &str) -> bool {
        self.prototypes.iter().any(|(named, name)| *named == role && **name == *prototype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::testing;

    fn bindings(templates: &[(&str, &str)]) -> Arc<Bindings> {
        let files: Vec<_> = templates.iter().map(|(name, html)| (*name, Some(*html))).collect();
        testing::save(&Default::default(), &files).bindings
    }

    #[test]
    fn the_templates_of_a_type_are_taken_together_and_those_of_others_are_not() {
        let bindings = bindings(&[
            ("App.DEFAULT.html", "<template><b ui-value=a></b></template>"),
            ("App.big.html", "<template>\n<input ui-value='a?wrapper=W'></template>"),
            ("App.Inner.DEFAULT.html", "<template><b ui-value=c></b></template>"),
        ]);
        let app = bindings.of_type("App").unwrap();
        let a = app.get("a").unwrap();
        assert!(a.ways.written && !a.ways.called);
        assert_eq!(a.prototypes, [(Role::Wrapper, "W".into())]);
        assert!(app.get("c").is_none() && bindings.of_type("App.Inner").unwrap().get("c").is_some());
        assert!(bindings.names(Role::Wrapper, "W") && !bindings.names(Role::Create, "W"));
    }

    #[test]
    fn what_is_bound_of_elements_is_known_by_their_list() {
        let bindings = bindings(&[(
            "App.DEFAULT.html",
            "<template><ul ui-viewlist=a ui-item-wrapper=Row><li ui-value=x></ul><ul ui-viewlist=a><li ui-value=y>\
             <b ui-viewlist=z><i ui-value=in></i></b></ul></template>",
        )]);
        let app = bindings.of_type("App").unwrap();
        let elements = app.get("a").unwrap().elements.as_ref().unwrap();
        assert_eq!(elements.wrappers, ["Row".into()]);
        assert!(elements.get("x").is_some() && elements.get("y").is_some() && app.get("x").is_none());
        assert!(elements.get("z").unwrap().elements.as_ref().unwrap().get("in").is_some());
    }

    #[test]
    fn a_saved_template_makes_another_list_and_a_saved_file_of_lua_does_not() {
        let first = testing::save(&Default::default(), &[("A.B.html", Some("<template></template>"))]);
        let second = testing::save(&first, &[("a.lua", Some("x = 1"))]);
        assert!(Arc::ptr_eq(&first.bindings, &second.bindings));
        let third = testing::save(&second, &[("A.B.html", Some("<template><b ui-value=x></b></template>"))]);
        assert!(third.bindings.of_type("A").unwrap().get("x").is_some());
        let broken = testing::save(&third, &[("A.B.html", Some("<template>"))]);
        assert!(broken.bindings.of_type("A").unwrap().get("x").is_some());
        let gone = testing::save(&broken, &[("A.B.html", None)]);
        assert!(gone.bindings.of_type("A").is_none());
    }

    #[test]
    fn the_built_in_templates_count() {
        let bindings = Bindings::new(&BTreeMap::new());
        assert!(bindings.of_type("lua.ViewList").unwrap().get("items").unwrap().ways == Ways::SHOWN);
        assert!(bindings.of_type("lua.ViewListItem").unwrap().get("item").is_some());
    }
}
