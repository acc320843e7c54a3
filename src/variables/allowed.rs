//! What a browser may do with a variable: only what the templates of the parent value's type bind, in the
//! way they bind it.
//!
//! A verdict is found by a lookup when a variable is first used, and holds until its parent's value is one of
//! another type, or until the templates are others.

use std::{collections::HashMap, sync::Arc};

use mlua::LuaString;

use super::{
    grant::{Kind, State},
    nodes::Earlier,
    path::{Access, Path, Step},
    properties,
    variable::{ROOT, Variable},
};
use crate::reload::{Binding, Bindings, Bound, Role, Scope, Ways};
use crate::wire::{ErrorCode, Properties};

/// A longer path is cut where it is told.
const MAX_TOLD: usize = 200;
/// Whose elements and `items` may be had, whatever its own name is.
const LIST: &str = "lua.ViewList";

/// What browsers of a session may ask for. Immutable: a new one replaces it.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    /// Whatever they want.
    is_open: bool,
    bindings: Arc<Bindings>,
    /// The types of which `session:expose` named something, with what their templates bind.
    exposed: HashMap<Box<str>, Arc<Scope>>,
}

impl Allowed {
    /// Everything.
    pub(crate) fn anything() -> Self {
        Self { is_open: true, ..Self::default() }
    }

    /// What templates bind, and beside it what is exposed: type and path.
    pub(crate) fn by_templates(bindings: Arc<Bindings>, exposed: &[(String, String)]) -> Self {
        let mut scopes: HashMap<Box<str>, Scope> = HashMap::new();
        for (type_name, path) in exposed {
            let scope = scopes.entry(type_name.as_str().into()).or_insert_with(|| Scope::new(type_name));
            scope.add(&Binding::new(path, Ways::ALL));
        }
        let with_bound = |(name, scope): (Box<str>, Scope)| {
            let both = bindings.of_type(&name).map(|bound| bound.with(&scope));
            (name, both.unwrap_or_else(|| Arc::new(scope)))
        };
        let exposed = scopes.into_iter().map(with_bound).collect();
        Self { is_open: false, bindings, exposed }
    }

    /// Whether it was made of these templates.
    pub(crate) fn is_of(&self, bindings: &Arc<Bindings>) -> bool {
        Arc::ptr_eq(&self.bindings, bindings)
    }

    /// Everything is allowed.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    fn of_type(&self, name: &str) -> Arc<Scope> {
        let found = self.exposed.get(name).or_else(|| self.bindings.of_type(name));
        found.cloned().unwrap_or_else(|| Arc::new(Scope::new(name)))
    }

    /// Whether a variable without a path, which no template can bind, may have that prototype.
    fn names(&self, role: Role, prototype: &str) -> bool {
        let is_named = |scope: &Scope| scope.names(role, prototype);
        self.bindings.names(role, prototype) || self.exposed.values().any(|scope| is_named(scope))
    }
}

/// What a browser asked for and may not have.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// As the browser wrote it, shortened.
    pub(crate) path: String,
    /// That of the parent's value.
    pub(crate) type_name: Box<str>,
    /// What was wanted, why it is refused and what helps.
    pub(crate) description: String,
}

/// Why a variable has no value.
pub(super) enum Denied {
    /// The browser is told.
    Refused,
    /// It hears of it anyway.
    Aside,
}

enum Found {
    /// Bound, in these ways.
    Bound {
        ways: Ways,
        elements: Option<Arc<Scope>>,
    },
    /// The parent's value has no fields: the path leads nowhere, and that is what is told.
    Nothing,
    Not(String),
}

impl Variable {
    /// Takes note of what its value is, for what its children may ask for.
    pub(super) fn note_kind(
        &mut self,
        type_name: Option<&LuaString>,
        is_list: bool,
        is_table: bool,
        allowed: &Allowed,
    ) {
        let grant = &mut self.grant;
        let kind = &grant.kind;
        let is_same_type = match (&kind.scope, type_name) {
            (None, None) => true,
            (Some(scope), Some(name)) => *name.as_bytes() == *scope.name.as_bytes(),
            _ => false,
        };
        if is_same_type && kind.is_list == is_list && kind.is_table == is_table && grant.serial > 0 {
            return;
        }
        let scope = type_name.map(|name| allowed.of_type(&name.to_string_lossy()));
        grant.kind = Kind { scope, is_list, is_table };
        grant.serial = grant.serial.wrapping_add(1).max(1);
    }

    /// It has no value.
    pub(super) fn forget_kind(&mut self) {
        let grant = &mut self.grant;
        if grant.kind.is_table || grant.serial == 0 {
            grant.kind = Kind::default();
            grant.serial = grant.serial.wrapping_add(1).max(1);
        }
    }

    /// Finds out whether the browser may have it, unless that is known. What is refused for the first time
    /// goes to `refusals`.
    pub(super) fn judge(
        &mut self,
        earlier: Earlier<'_>,
        allowed: &Allowed,
        refusals: &mut Vec<Refusal>,
    ) -> Option<Denied> {
        let serial =
            self.parent.and_then(|parent| earlier.get(parent)).map_or(0, |parent| parent.grant.serial);
        if self.grant.checked != Some(serial) {
            let before = self.grant.state;
            let refusal = self.judge_anew(earlier, allowed);
            self.grant.checked = Some(serial);
            if let Some(description) = refusal {
                self.grant.state = match before {
                    State::Granted | State::Aside => State::Aside,
                    State::Pending | State::Denied => State::Denied,
                };
                self.settled = false;
                if before == State::Pending {
                    refusals.push(self.refusal(earlier, description));
                }
            }
        }
        match self.grant.state {
            State::Pending | State::Granted => None,
            State::Denied => Some(Denied::Refused),
            State::Aside => Some(Denied::Aside),
        }
    }

    pub(super) fn why(&self, earlier: Earlier<'_>, allowed: &Allowed) -> String {
        match self.find(earlier, allowed) {
            Found::Not(why) => why,
            Found::Bound { ways, .. } => self.wrong_way(earlier, ways),
            Found::Nothing => String::new(),
        }
    }

    /// Says why it is refused, if it is.
    fn judge_anew(&mut self, earlier: Earlier<'_>, allowed: &Allowed) -> Option<String> {
        match self.find(earlier, allowed) {
            Found::Bound { ways, elements } => {
                let Some(access) = common(self.grant.asked, ways).or_else(|| self.as_action(ways)) else {
                    return Some(self.wrong_way(earlier, ways));
                };
                (self.access, self.grant.elements, self.grant.state) = (access, elements, State::Granted);
                None
            }
            Found::Nothing => {
                self.access = self.grant.asked;
                self.grant.state = match self.grant.state {
                    State::Pending | State::Denied => State::Pending,
                    State::Granted | State::Aside => State::Granted,
                };
                None
            }
            Found::Not(why) => Some(why),
        }
    }

    /// Released clients bind a key to a field without saying that it is an action.
    fn as_action(&self, ways: Ways) -> Option<Access> {
        let is_field = matches!(self.path.as_ref()?.steps.last()?, Step::Field(_));
        (is_field && ways.called && self.grant.asked.writable()).then_some(Access::Action)
    }

    fn find(&self, earlier: Earlier<'_>, allowed: &Allowed) -> Found {
        let free = Found::Bound { ways: Ways::ALL, elements: None };
        if allowed.is_open || self.id <= ROOT {
            return free;
        }
        if let Some((role, name)) = self.wrongly_named(self.named(), earlier, allowed) {
            return Found::Not(self.not_named(earlier, role, name));
        }
        let Some(path) = &self.path else { return free };
        let Some(parent) = self.parent.and_then(|parent| earlier.get(parent)) else {
            return Found::Not(self.not_bound(earlier));
        };
        let text = path.to_string();
        let bounds = bounds(&text, parent, earlier);
        if let [Some(bound), other] | [other @ None, Some(bound)] = bounds {
            let ways = other.map_or(bound.ways, |other| bound.ways.and(other.ways));
            let elements = match (&bound.elements, other.and_then(|other| other.elements.as_ref())) {
                (Some(one), Some(other)) => Some(one.with(other)),
                (one, other) => one.clone().or_else(|| other.cloned()),
            };
            return Found::Bound { ways, elements };
        }
        let kind = &parent.grant.kind;
        if kind.is_list && is_index(path) {
            return Found::Bound { ways: Ways::SHOWN, elements: None };
        }
        if kind.is_list
            && let Some(bound) = allowed.bindings.of_type(LIST).and_then(|list| list.get(&text))
        {
            return Found::Bound { ways: bound.ways, elements: bound.elements.clone() };
        }
        let starts_below = path.steps.first().is_some_and(|step| *step != Step::Parent);
        if !kind.is_table && starts_below { Found::Nothing } else { Found::Not(self.not_bound(earlier)) }
    }

    /// The prototypes that the browser named.
    fn named(&self) -> impl Iterator<Item = (Role, &str)> {
        let roles = if self.properties.named_by_lua() { &[][..] } else { &Role::ALL };
        roles.iter().filter_map(|&role| Some((role, self.properties.get_set(role.name())?)))
    }

    /// The first of these that no binding of the path names.
    fn wrongly_named<'a>(
        &self,
        mut named: impl Iterator<Item = (Role, &'a str)>,
        earlier: Earlier<'_>,
        allowed: &Allowed,
    ) -> Option<(Role, &'a str)> {
        let parent = self.parent.and_then(|parent| earlier.get(parent));
        named.find(|&(role, name)| {
            let is_named = match (&self.path, parent) {
                (None, _) => allowed.names(role, name),
                (Some(_), None) => false,
                (Some(path), Some(parent)) => {
                    let is = |bound: &Bound| {
                        bound
                            .prototypes
                            .iter()
                            .any(|(named, prototype)| *named == role && **prototype == *name)
                    };
                    bounds(&path.to_string(), parent, earlier).into_iter().flatten().any(is)
                        || role == Role::Wrapper && is_index(path) && is_wrapper_of(name, parent, earlier)
                }
            };
            !is_named
        })
    }

    /// Whether an `update` may give it these properties.
    pub(super) fn may_take(
        &self,
        properties: &Properties,
        earlier: Earlier<'_>,
        allowed: &Allowed,
    ) -> Result<(), Refusal> {
        if allowed.is_open {
            return Ok(());
        }
        let role = |(name, value): (&String, &'_ String)| {
            Some((Role::of(properties::split(name).0)?, value.clone()))
        };
        let named: Vec<_> =
            properties.iter().filter_map(role).filter(|(_, value)| !value.is_empty()).collect();
        let mut each = named.iter().map(|(role, name)| (*role, &**name));
        // Those that are there for every browser are named by Lua code, and by nobody else.
        let wrong = if self.id <= ROOT { each.next() } else { self.wrongly_named(each, earlier, allowed) };
        wrong.map_or(Ok(()), |(role, name)| Err(self.refusal(earlier, self.not_named(earlier, role, name))))
    }

    /// It was granted, but not for writing.
    pub(super) fn refuse_write(&self, earlier: Earlier<'_>, allowed: &Allowed) -> Option<Refusal> {
        if !self.grant.asked.writable() || self.access.writable() {
            return None;
        }
        match self.find(earlier, allowed) {
            Found::Bound { ways, .. } => Some(self.refusal(earlier, self.wrong_way(earlier, ways))),
            _ => None,
        }
    }

    /// The browser wanted it although it is refused.
    pub(super) fn refuse_again(&self, earlier: Earlier<'_>, allowed: &Allowed) -> Refusal {
        self.refusal(earlier, self.why(earlier, allowed))
    }

    fn refusal(&self, earlier: Earlier<'_>, description: String) -> Refusal {
        Refusal { path: self.told_path(), type_name: self.type_above(earlier), description }
    }

    fn told_path(&self) -> String {
        let path = self.path.as_ref().map(Path::to_string).unwrap_or_default();
        match path.char_indices().nth(MAX_TOLD) {
            Some((at, _)) => format!("{}…", &path[..at]),
            None => path,
        }
    }

    fn type_above(&self, earlier: Earlier<'_>) -> Box<str> {
        let parent = self.parent.and_then(|parent| earlier.get(parent));
        let scope = parent.and_then(|parent| parent.grant.kind.scope.as_ref());
        scope.map(|scope| scope.name.chars().take(MAX_TOLD).collect::<String>().into()).unwrap_or_default()
    }

    fn not_bound(&self, earlier: Earlier<'_>) -> String {
        let (path, type_name) = (self.told_path(), self.type_above(earlier));
        if type_name.is_empty() {
            return format!(
                "{path:?}: the value above it has no type, so no viewdef binds it; give its object a prototype \
                 and bind it there, or set server.bindings = \"any\""
            );
        }
        format!("{path:?}: no viewdef of {type_name} binds it; {}", self.remedy(earlier))
    }

    fn wrong_way(&self, earlier: Earlier<'_>, ways: Ways) -> String {
        let (path, type_name) = (self.told_path(), self.type_above(earlier));
        let bound = match ways {
            Ways { written: true, shown: true, .. } => "shown and written",
            Ways { written: true, .. } => "written",
            Ways { called: true, .. } => "called",
            _ => "shown",
        };
        let wanted = match self.grant.asked {
            Access::Read => "shown",
            Access::Action => "called",
            Access::Write | Access::ReadWrite => "written",
        };
        let remedy = self.remedy(earlier);
        format!("{path:?}: viewdefs of {type_name} bind it to be {bound}, and not to be {wanted}; {remedy}")
    }

    fn not_named(&self, earlier: Earlier<'_>, role: Role, name: &str) -> String {
        let (path, role) = (self.told_path(), role.name());
        let name: String = name.chars().take(MAX_TOLD).collect();
        let type_name = self.type_above(earlier);
        let whose = if type_name.is_empty() { String::new() } else { format!(" of {type_name}") };
        format!(
            "{path:?}: no viewdef{whose} names {role}={name:?} for it; name it in a template, or set \
             server.bindings = \"any\""
        )
    }

    fn remedy(&self, earlier: Earlier<'_>) -> String {
        let (path, type_name) = (self.told_path(), self.type_above(earlier));
        format!(
            "bind it in a template, call session:expose({type_name:?}, {{ {path:?} }}), or set \
             server.bindings = \"any\""
        )
    }
}

impl Variable {
    /// Judges it anew by what is allowed from now on. What no longer is loses its value in the next pass.
    pub(super) fn allow(&mut self, earlier: Earlier<'_>, allowed: &Allowed) {
        if let Some(scope) = &self.grant.kind.scope {
            self.grant.kind.scope = Some(allowed.of_type(&scope.name));
        }
        let (before, access) = (self.grant.state, self.access);
        if self.grant.checked.is_none() || before == State::Pending {
            return;
        }
        if self.judge_anew(earlier, allowed).is_some() {
            self.grant.state = State::Denied;
        }
        if (before, access) != (self.grant.state, self.access) {
            self.settled = false;
        }
    }
}

/// How a path is bound: by the template that shows the list whose element the parent is, and by those of the
/// parent value's type.
fn bounds<'a>(path: &str, parent: &'a Variable, earlier: Earlier<'a>) -> [Option<&'a Bound>; 2] {
    let is_element = parent.path.as_ref().is_some_and(is_index);
    let list = parent.parent.filter(|_| is_element).and_then(|list| earlier.get(list));
    let elements = list.and_then(|list| list.grant.elements.as_deref());
    [elements, parent.grant.kind.scope.as_deref()].map(|scope| scope?.get(path))
}

/// Whether elements of that list may have that wrapper: a template, the list, or the variable above the list
/// names it.
fn is_wrapper_of(name: &str, list: &Variable, earlier: Earlier<'_>) -> bool {
    let of_template = list
        .grant
        .elements
        .as_ref()
        .is_some_and(|elements| elements.wrappers.iter().any(|one| **one == *name));
    let of = |variable: &Variable| variable.properties.get_set(Role::ItemWrapper.name()) == Some(name);
    of_template || of(list) || list.parent.and_then(|above| earlier.get(above)).is_some_and(of)
}

fn is_index(path: &Path) -> bool {
    matches!(path.steps.as_slice(), [Step::Index(_)])
}

/// What is left of what a browser wants to do.
fn common(asked: Access, ways: Ways) -> Option<Access> {
    let Ways { shown, written, called } = ways;
    match asked {
        Access::Read => shown.then_some(asked),
        Access::Write => written.then_some(asked),
        Access::Action => called.then_some(asked),
        Access::ReadWrite => match (shown, written) {
            (true, true) => Some(asked),
            (true, false) => Some(Access::Read),
            (false, true) => Some(Access::Write),
            (false, false) => None,
        },
    }
}

/// What a browser is told.
pub(super) fn unauthorized(description: String) -> (ErrorCode, String) {
    (ErrorCode::Unauthorized, description)
}
