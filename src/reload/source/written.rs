//! Which fields of objects the code of a file writes. A prototype need not declare a field that is set later,
//! so a name that no object has is a typing error only if no code writes it either.

use std::collections::{HashMap, HashSet};

use emmylua_parser::LuaSyntaxKind as K;

use super::{
    parse,
    text::{Node, Text, arguments, bare, is_call, kind},
};

/// Whose field is written, as far as the source says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Any object.
    Any,
    /// The prototype of that name, or an object of it.
    Prototype(Box<str>),
    /// What that module returns, or an object of it.
    Module(Box<str>),
}

/// The fields that a file writes. Found when somebody asks: most names are there, and nobody does.
#[derive(Debug, Default)]
pub struct Written {
    /// Each with those whose field it is.
    fields: HashMap<Box<str>, HashSet<Owner>>,
    /// Their fields are written by names that are computed: they may have any.
    computed: HashSet<Owner>,
    /// Texts in the code, which may be names of fields.
    texts: HashSet<Box<str>>,
    exports: Option<Owner>,
    not_understood: bool,
}

impl Written {
    /// Reads a file.
    pub fn of(bytes: &[u8]) -> Self {
        let read = |text: &Text<'_>, root: &Node| {
            let mut reader = Reader { text, scopes: Vec::new(), owner: Owner::Any, found: Self::default() };
            reader.walk(root);
            reader.found
        };
        parse::with_tree(bytes, read).unwrap_or(Self { not_understood: true, ..Self::default() })
    }

    /// Whether an object that `is_its` says something of may get that field.
    pub fn may_have(&self, field: &str, is_its: impl Fn(&Owner) -> bool) -> bool {
        self.has_text(field)
            || self.computes(&is_its)
            || self.fields.get(field).is_some_and(|owners| owners.iter().any(is_its))
    }

    /// Whether it writes fields of such an object by names that it computes.
    pub fn computes(&self, is_its: impl Fn(&Owner) -> bool) -> bool {
        self.computed.iter().any(is_its)
    }

    /// The fields that it writes.
    pub fn fields(&self) -> impl Iterator<Item = (&Owner, &str)> {
        self.fields.iter().flat_map(|(name, owners)| owners.iter().map(move |owner| (owner, &**name)))
    }

    /// Whether that text stands in the code, as a whole.
    pub fn has_text(&self, text: &str) -> bool {
        self.not_understood || self.texts.contains(text)
    }

    fn add(&mut self, field: &str, owner: Owner) {
        self.fields.entry(field.into()).or_default().insert(owner);
    }

    /// What the file returns, if it is a prototype or a module's.
    pub fn exports(&self) -> Option<&Owner> {
        self.exports.as_ref()
    }
}

struct Reader<'a> {
    text: &'a Text<'a>,
    /// The locals in force, the innermost last.
    scopes: Vec<(&'a str, Owner)>,
    /// What `self` is.
    owner: Owner,
    found: Written,
}

impl Reader<'_> {
    fn walk(&mut self, node: &Node) {
        match kind(node) {
            K::Block => {
                let scope = self.scopes.len();
                self.walk_children(node);
                self.scopes.truncate(scope);
            }
            K::LocalStat => self.local(node),
            K::AssignStat => self.assign(node),
            K::FuncStat => self.function(node),
            K::ClosureExpr => self.closure(node, Owner::Any),
            K::TableObjectExpr => self.table(node, &Owner::Any),
            K::LiteralExpr => self.literal(node),
            K::ReturnStat => {
                let first = node.first_child();
                let is_of_file = node.parent().and_then(|block| block.parent());
                if is_of_file.is_some_and(|parent| kind(&parent) == K::Chunk) {
                    self.found.exports =
                        first.map(|value| self.owner_of(&value)).filter(|owner| *owner != Owner::Any);
                }
                self.walk_children(node);
            }
            _ if is_call(node) => self.call(node),
            _ => self.walk_children(node),
        }
    }

    fn walk_children(&mut self, node: &Node) {
        node.children().for_each(|child| self.walk(&child));
    }

    fn local(&mut self, node: &Node) {
        let (names, values): (Vec<_>, Vec<_>) = node
            .children()
            .filter(|child| kind(child) != K::Attribute)
            .partition(|child| kind(child) == K::LocalName);
        let owners: Vec<_> = values.iter().map(|value| self.owner_of(value)).collect();
        values.iter().for_each(|value| self.walk(value));
        for (place, name) in names.iter().enumerate() {
            let owner = owners.get(place).cloned().unwrap_or(Owner::Any);
            self.scopes.push((self.text.first(name), owner));
        }
    }

    fn assign(&mut self, node: &Node) {
        let assigned = node
            .children_with_tokens()
            .find(|child| child.as_token().is_some_and(|token| token.text() == "="));
        let at = assigned.map_or(node.text_range().end(), |token| token.text_range().start());
        let (targets, values): (Vec<_>, Vec<_>) =
            node.children().partition(|child| child.text_range().start() < at);
        for (place, target) in targets.iter().enumerate() {
            let value = values.get(place);
            match kind(target) {
                K::IndexExpr => {
                    self.written(target);
                    self.walk_children(target);
                    if let (Some(value), Some(of)) = (value, target.first_child()) {
                        self.value(value, self.owner_of(&of));
                        continue;
                    }
                }
                K::NameExpr => {
                    let name = self.text.first(target);
                    let owner = value.map_or(Owner::Any, |value| self.owner_of(value));
                    match self.scopes.iter_mut().rev().find(|(known, _)| *known == name) {
                        Some((_, known)) => *known = owner,
                        // A global: it is in force from here on.
                        None => self.scopes.insert(0, (name, owner)),
                    }
                }
                _ => {}
            }
            if let Some(value) = value {
                self.walk(value);
            }
        }
        values.iter().skip(targets.len()).for_each(|value| self.walk(value));
    }

    /// What is put into a field: a function there is a method of its owner.
    fn value(&mut self, value: &Node, owner: Owner) {
        match kind(value) {
            K::ClosureExpr => self.closure(value, owner),
            _ => self.walk(value),
        }
    }

    fn function(&mut self, node: &Node) {
        let mut children = node.children();
        let Some(target) = children.next() else { return };
        let mut owner = Owner::Any;
        if kind(&target) == K::IndexExpr {
            self.written(&target);
            owner = target.first_child().map_or(Owner::Any, |of| self.owner_of(&of));
        }
        let is_method = self.text.words(&target).rev().nth(1) == Some(":");
        for child in children {
            match kind(&child) {
                K::ClosureExpr if is_method => self.method(&child, owner.clone()),
                K::ClosureExpr => self.closure(&child, owner.clone()),
                _ => self.walk(&child),
            }
        }
    }

    /// A function whose first parameter, if it is `self`, is that.
    fn closure(&mut self, closure: &Node, owner: Owner) {
        let names = closure.children().filter(|child| kind(child) == K::ParamList);
        let first = names.flat_map(|list| list.children()).next();
        let takes_self = first.is_some_and(|name| self.text.first(&name) == "self");
        let owner = if takes_self { owner } else { self.owner.clone() };
        self.method(closure, owner);
    }

    fn method(&mut self, closure: &Node, owner: Owner) {
        let (scope, outer) = (self.scopes.len(), std::mem::replace(&mut self.owner, owner));
        for child in closure.children() {
            if kind(&child) == K::ParamList {
                let names = child.children().map(|name| (self.text.first(&name), Owner::Any));
                self.scopes.extend(names.filter(|(name, _)| *name != "self"));
            } else {
                self.walk(&child);
            }
        }
        self.scopes.truncate(scope);
        self.owner = outer;
    }

    fn table(&mut self, table: &Node, owner: &Owner) {
        for field in table.children() {
            let is_named = kind(&field) == K::TableFieldAssign && self.text.first(&field) != "[";
            if is_named {
                self.found.add(self.text.first(&field), owner.clone());
            }
            // A key in brackets is a text like any other.
            for child in field.children() {
                self.value(&child, owner.clone());
            }
        }
    }

    fn call(&mut self, call: &Node) {
        let owner = self.made_of(call);
        for child in call.children() {
            if kind(&child) != K::CallArgList {
                self.walk(&child);
                continue;
            }
            for argument in child.children() {
                match kind(&argument) {
                    K::TableObjectExpr => self.table(&argument, &owner),
                    _ => self.walk(&argument),
                }
            }
        }
    }

    /// Of which prototype a call makes an object, or which it declares.
    fn made_of(&self, call: &Node) -> Owner {
        let mut given = arguments(call);
        if kind(call) == K::SetmetatableCallExpr {
            return given.nth(1).map_or(Owner::Any, |prototype| self.owner_of(&prototype));
        }
        let Some(callee) = call.first_child().filter(|callee| kind(callee) == K::IndexExpr) else {
            return Owner::Any;
        };
        let Some(of) = callee.first_child() else { return Owner::Any };
        match (self.text.first(&of), self.text.last(&callee)) {
            ("session", "prototype") => {
                let name = given.next().and_then(|name| self.string(&name));
                name.map_or(Owner::Any, |name| Owner::Prototype(name.into()))
            }
            ("session", "create") => given.next().map_or(Owner::Any, |prototype| self.owner_of(&prototype)),
            (_, "new") => self.owner_of(&of),
            _ => Owner::Any,
        }
    }

    /// The prototype that an expression is, or of which it is an object.
    fn owner_of(&self, node: &Node) -> Owner {
        let node = bare(node);
        match kind(&node) {
            K::NameExpr => match self.text.first(&node) {
                "self" => self.owner.clone(),
                name => {
                    let known = self.scopes.iter().rev().find(|(known, _)| *known == name);
                    known.map_or(Owner::Any, |(_, owner)| owner.clone())
                }
            },
            K::RequireCallExpr => {
                let name = arguments(&node).next().and_then(|name| self.string(&name));
                name.map_or(Owner::Any, |name| Owner::Module(name.into()))
            }
            // A class of plain Lua.
            K::TableObjectExpr => {
                let is_type =
                    |field: &Node| kind(field) == K::TableFieldAssign && self.text.first(field) == "type";
                let name = node.children().find(is_type).and_then(|field| field.first_child());
                let name = name.and_then(|name| self.string(&name).map(Box::from));
                name.map_or(Owner::Any, Owner::Prototype)
            }
            _ if is_call(&node) => self.made_of(&node),
            _ => Owner::Any,
        }
    }

    /// A field that is assigned to.
    fn written(&mut self, target: &Node) {
        let Some(of) = target.first_child() else { return };
        let owner = self.owner_of(&of);
        match target.children().nth(1) {
            None => {
                self.found.add(self.text.last(target), owner);
            }
            // A text is found as such, and a number is no name.
            Some(key) if kind(&bare(&key)) == K::LiteralExpr || owner == Owner::Any => {}
            Some(_) => {
                self.found.computed.insert(owner);
            }
        }
    }

    fn literal(&mut self, node: &Node) {
        if let Some(text) = self.string(node) {
            self.found.texts.insert(text.into());
        }
    }

    fn string(&self, node: &Node) -> Option<&str> {
        let node = bare(node);
        let word = (kind(&node) == K::LiteralExpr).then(|| self.text.first(&node))?;
        ['"', '\''].iter().find_map(|&quote| word.strip_prefix(quote)?.strip_suffix(quote))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_have(text: &str, prototype: &str, field: &str) -> bool {
        Written::of(text.as_bytes()).may_have(field, |owner| match owner {
            Owner::Any => true,
            Owner::Prototype(name) => **name == *prototype,
            Owner::Module(_) => false,
        })
    }

    #[test]
    fn what_code_writes_belongs_to_the_prototype_that_it_names() {
        let text = "local App = session:prototype('App', { declared = EMPTY })\n\
             function App:start() self.set, self.both = 1, 2\n  local function later() self.later = 1 end\n\
               local one = App:new { given = 1 }\n  one.own = 1 end\n\
             App.stop = function(self) self.stopped = true end\n\
             local other = { loose = 1 }\n other.free = 1";
        for field in ["declared", "set", "both", "later", "given", "own", "start", "stop", "stopped"] {
            assert!(may_have(text, "App", field), "{field}");
            assert!(!may_have(text, "Card", field), "{field}");
        }
        for field in ["loose", "free"] {
            assert!(may_have(text, "App", field) && may_have(text, "Card", field), "{field}");
        }
        assert!(!may_have(text, "App", "one") && !may_have(text, "App", "sett"));
    }

    #[test]
    fn a_class_of_plain_lua_says_its_name_itself() {
        let text = "local App = { type = 'App' }\nfunction App.new() return setmetatable({ user = nil }, App) end\n\
             function App:login() self.name = 1 end";
        for field in ["user", "name", "new"] {
            assert!(may_have(text, "App", field) && !may_have(text, "Card", field), "{field}");
        }
    }

    #[test]
    fn what_only_reads_a_field_does_not_make_it() {
        let text =
            "local App = session:prototype('App')\nfunction App:show() return self.nmae, f(self.x == 1) end";
        assert!(!may_have(text, "App", "nmae") && !may_have(text, "App", "x"));
    }

    #[test]
    fn names_that_are_computed_may_be_any_and_texts_may_be_names() {
        let text = "local A = session:prototype('A')\nfunction A:put(key) self[key] = 1 end\n\
             local B = session:prototype('B')\nfor _, key in ipairs { 'one' } do f(B, key) end\nlocal t = {}\nt[#t + 1] = 2";
        assert!(may_have(text, "A", "whatever") && may_have(text, "B", "one") && !may_have(text, "B", "two"));
    }

    #[test]
    fn a_file_that_is_not_understood_may_write_anything() {
        assert!(may_have("x = = 1", "App", "x"));
    }

    #[test]
    fn a_module_is_what_it_returns() {
        let written = Written::of(b"local Card = session:prototype('Card', {})\nreturn Card");
        assert_eq!(written.exports(), Some(&Owner::Prototype("Card".into())));
        let user = Written::of(b"local Card = require 'card'\nCard:new { colour = 1 }");
        assert!(user.may_have("colour", |owner| *owner == Owner::Module("card".into())));
        assert!(!user.may_have("colour", |owner| *owner == Owner::Any));
    }
}
