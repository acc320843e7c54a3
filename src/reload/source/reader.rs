//! [`Reader`]: what names mean where they stand: scopes, environments, constant keys.

use std::cell::RefCell;

use emmylua_parser::LuaSyntaxKind as K;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    DefinitionId, Key, KeyPath, Source, Use,
    capture::Exit,
    text::{Node, Text, arguments, bare, kind},
};

/// What is known of a file up to the statement that is read.
pub(super) struct Reader<'a> {
    pub(super) text: &'a Text<'a>,
    pub(super) source: Source,
    /// Names that are in force, the innermost last. `None`: a local of a function or a loop.
    pub(super) scopes: Vec<(&'a str, Option<DefinitionId>)>,
    /// What `_ENV` was set to.
    pub(super) environment: Option<KeyPath>,
    /// What has been assigned to since this was last taken.
    pub(super) assigned: Vec<KeyPath>,
    /// The conditions that the statement stands under: each with all before it, and what it uses.
    pub(super) conditions: Vec<(u64, Vec<Use>)>,
    /// How many locals of each name there were.
    pub(super) locals: FxHashMap<&'a str, u32>,
    /// Locals of the file that functions use.
    pub(super) shared: RefCell<FxHashSet<DefinitionId>>,
    /// How many functions the walk is in.
    pub(super) functions: u32,
    /// What the statement that is read has given values to.
    pub(super) given: Vec<DefinitionId>,
    pub(super) exits: Vec<Exit>,
    /// Where the function begins that the present definition names.
    pub(super) named: Option<u32>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a Text<'a>) -> Self {
        Self {
            text,
            source: Source::default(),
            scopes: Vec::new(),
            environment: None,
            assigned: Vec::new(),
            conditions: Vec::new(),
            locals: FxHashMap::default(),
            shared: RefCell::default(),
            functions: 0,
            given: Vec::new(),
            exits: Vec::new(),
            named: None,
        }
    }

    /// What a name is, if it is neither a local of a function nor of a loop.
    pub(super) fn name(&self, name: &'a str) -> Option<KeyPath> {
        if let Some(bound) = self.bound(name) {
            if self.functions > 0 {
                self.shared.borrow_mut().extend(bound);
            }
            return bound.map(KeyPath::of);
        }
        match self.bound("_ENV") {
            Some(bound) => Some(KeyPath::of(bound?).then(Key::Field(name.into()))),
            None => match &self.environment {
                Some(environment) => Some(environment.clone().then(Key::Field(name.into()))),
                None => Some(KeyPath::root(Key::Global(name.into()))),
            },
        }
    }

    fn bound(&self, name: &str) -> Option<Option<DefinitionId>> {
        self.scopes.iter().rev().find(|(known, _)| *known == name).map(|(_, bound)| *bound)
    }

    /// What an expression that is a path means. `None` if it is none, or has a key that is computed.
    pub(super) fn place(&self, node: &Node) -> Option<KeyPath> {
        match kind(node) {
            K::NameExpr => self.name(self.text.first(node)),
            K::ParenExpr => self.place(&bare(node)),
            K::RequireCallExpr => Some(KeyPath::root(Key::Module(self.required(node)?.into()))),
            K::CallExpr => Some(KeyPath::root(Key::Prototype(self.prototype(node)?.into()))),
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
    pub(super) fn field_of(&self, of: &Node, key: Key) -> Option<KeyPath> {
        let is_environment = kind(of) == K::NameExpr && matches!(self.text.first(of), "_G" | "_ENV");
        if is_environment
            && self.bound(self.text.first(of)).is_none()
            && (self.environment.is_none() || self.text.first(of) == "_G")
            && let Key::Field(name) = &key
        {
            return Some(KeyPath::root(Key::Global(name.clone())));
        }
        Some(self.place(of)?.then(key))
    }

    /// What an assignment puts something into; a key that is computed is told as such.
    pub(super) fn target(&self, node: &Node) -> Option<KeyPath> {
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
