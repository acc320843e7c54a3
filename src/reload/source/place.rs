//! What a name or a path means where it stands: scopes, other names of a table, environments.

use emmylua_parser::LuaSyntaxKind as K;

use super::{DefinitionId, Key, Place, ROOT, Source, definitions::Reader, parse::Node};

/// So many names of names are followed.
const HOPS: u32 = 16;

impl Place {
    pub(super) fn of(base: DefinitionId) -> Self {
        Self { base, keys: Vec::new() }
    }

    pub(super) fn root(key: Key) -> Self {
        Self { base: ROOT, keys: vec![key] }
    }

    pub(super) fn then(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }
}

impl Source {
    /// The innermost definition on the way to a place, and the keys from there on. Another name of a table
    /// is followed when something within it is meant.
    pub(super) fn locate(&self, place: &Place) -> (DefinitionId, Vec<Key>) {
        let (mut at, mut hops) = (place.base, 0);
        let mut rest: Vec<Key> = place.keys.iter().rev().cloned().collect();
        while let Some(key) = rest.last() {
            let part = self.index.get(&(at, key.clone())).copied();
            if let Some(part) = part {
                at = part;
                rest.pop();
            } else if let Some(alias) = self.get(at).and_then(|one| one.alias.as_ref())
                && hops < HOPS
            {
                hops += 1;
                at = alias.base;
                rest.extend(alias.keys.iter().rev().cloned());
            } else {
                break;
            }
        }
        rest.reverse();
        (at, rest)
    }

    /// The module and the path there, if a place is in what another file exports.
    pub(super) fn export_of(&self, place: &Place) -> Option<(Box<str>, Vec<Key>)> {
        let (mut at, mut rest) = self.locate(place);
        if rest.is_empty()
            && let Some(alias) = self.get(at).and_then(|one| one.alias.as_ref())
        {
            (at, rest) = self.locate(alias);
        }
        let mut keys = Vec::new();
        while let Some(one) = self.get(at) {
            keys.push(one.key.clone());
            at = one.parent.unwrap_or(ROOT);
        }
        keys.reverse();
        keys.extend(rest);
        match keys.first() {
            Some(Key::Module(name)) => {
                let name = name.clone();
                keys.remove(0);
                Some((name, keys))
            }
            _ => None,
        }
    }
}

pub(super) fn kind(node: &Node) -> K {
    node.kind().to_syntax()
}

/// Without the brackets around it.
pub(super) fn bare(node: &Node) -> Node {
    let mut node = node.clone();
    while kind(&node) == K::ParenExpr
        && let Some(inner) = node.first_child()
    {
        node = inner;
    }
    node
}

pub(super) fn is_call(node: &Node) -> bool {
    matches!(
        kind(node),
        K::CallExpr
            | K::RequireCallExpr
            | K::ErrorCallExpr
            | K::AssertCallExpr
            | K::TypeCallExpr
            | K::SetmetatableCallExpr
    )
}

impl<'a> Reader<'a> {
    /// What a name is, if it is neither a local of a function nor of a loop.
    pub(super) fn name(&self, name: &'a str) -> Option<Place> {
        if let Some(bound) = self.bound(name) {
            if self.functions > 0 {
                self.shared.borrow_mut().extend(bound);
            }
            return bound.map(Place::of);
        }
        match self.bound("_ENV") {
            Some(bound) => Some(Place::of(bound?).then(Key::Field(name.into()))),
            None => match &self.environment {
                Some(environment) => Some(environment.clone().then(Key::Field(name.into()))),
                None => Some(Place::root(Key::Global(name.into()))),
            },
        }
    }

    fn bound(&self, name: &str) -> Option<Option<DefinitionId>> {
        self.scopes.iter().rev().find(|(known, _)| *known == name).map(|(_, bound)| *bound)
    }

    /// What an expression that is a path means. `None` if it is none, or has a key that is computed.
    pub(super) fn place(&self, node: &Node) -> Option<Place> {
        match kind(node) {
            K::NameExpr => self.name(self.text.first(node)),
            K::ParenExpr => self.place(&bare(node)),
            K::RequireCallExpr => Some(Place::root(Key::Module(self.required(node)?.into()))),
            K::CallExpr => Some(Place::root(Key::Prototype(self.prototype(node)?.into()))),
            K::SetmetatableCallExpr => self.place(&arguments(node).next()?),
            K::IndexExpr => {
                let of = node.first_child()?;
                let key = self.key(node)?;
                self.field_of(&of, key)
            }
            _ => None,
        }
    }

    /// A field of what an expression means. The fields of the globals are globals.
    pub(super) fn field_of(&self, of: &Node, key: Key) -> Option<Place> {
        let is_environment = kind(of) == K::NameExpr && matches!(self.text.first(of), "_G" | "_ENV");
        if is_environment
            && self.bound(self.text.first(of)).is_none()
            && (self.environment.is_none() || self.text.first(of) == "_G")
            && let Key::Field(name) = &key
        {
            return Some(Place::root(Key::Global(name.clone())));
        }
        Some(self.place(of)?.then(key))
    }

    /// What an assignment puts something into; a key that is computed is told as such.
    pub(super) fn target(&self, node: &Node) -> Option<Place> {
        self.place(node).or_else(|| {
            let of = (kind(node) == K::IndexExpr).then(|| node.first_child()).flatten()?;
            Some(self.place(&of)?.then(Key::Computed))
        })
    }

    /// The key of an index, if the source says which it is.
    fn key(&self, index: &Node) -> Option<Key> {
        match index.children().nth(1) {
            Some(expression) => self.constant(&bare(&expression)),
            None => Some(Key::Field(self.text.last(index).into())),
        }
    }

    /// The key that an expression is, if it is the same each time.
    pub(super) fn constant(&self, expression: &Node) -> Option<Key> {
        match kind(expression) {
            K::LiteralExpr => match self.string(expression) {
                Some(text) => Some(Key::Field(text.into())),
                None => Some(Key::At(self.text.first(expression).into())),
            },
            K::NameExpr | K::IndexExpr => {
                self.place(expression)?;
                Some(Key::At(self.text.words(expression).collect::<String>().into()))
            }
            _ => None,
        }
    }

    /// The key of a field of a constructor.
    pub(super) fn constructor_key(&self, expression: &Node) -> Key {
        let text = || self.text.words(expression).collect::<Vec<_>>().join(" ");
        self.constant(&bare(expression)).unwrap_or_else(|| Key::At(text().into()))
    }

    /// The text of a plain string.
    pub(super) fn string(&self, literal: &Node) -> Option<&'a str> {
        if kind(literal) != K::LiteralExpr {
            return None;
        }
        let word = self.text.first(literal);
        let inner = ['"', '\''].iter().find_map(|&quote| word.strip_prefix(quote)?.strip_suffix(quote))?;
        (!inner.contains('\\')).then_some(inner)
    }

    /// The module that a call of `require` names.
    pub(super) fn required(&self, call: &Node) -> Option<&'a str> {
        self.string(&bare(&arguments(call).next()?))
    }

    /// The prototype that `session:prototype("Name", …)` gives.
    pub(super) fn prototype(&self, call: &Node) -> Option<&'a str> {
        let callee = call.first_child()?;
        let of = callee.first_child()?;
        let called = kind(&callee) == K::IndexExpr
            && self.text.last(&callee) == "prototype"
            && kind(&of) == K::NameExpr
            && self.text.first(&of) == "session";
        if called { self.string(&arguments(call).next()?) } else { None }
    }
}

/// The arguments of a call.
pub(super) fn arguments(call: &Node) -> impl Iterator<Item = Node> + use<> {
    call.children().filter(|child| kind(child) == K::CallArgList).flat_map(|list| list.children())
}
