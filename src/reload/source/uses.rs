//! What expressions and bodies of functions read, call and assign.

use emmylua_parser::LuaSyntaxKind as K;

use super::{
    How, Key, KeyPath, Use,
    reader::Reader,
    text::{Node, arguments, is_call, kind},
};

/// Functions of the library that change their first argument.
const MUTATORS: [&str; 4] = ["insert", "remove", "sort", "move"];

impl<'a> Reader<'a> {
    /// What an expression or a statement reads and calls. What it assigns goes to `assigned`.
    pub(super) fn uses(&mut self, node: &Node) -> Vec<Use> {
        let mut uses = Vec::new();
        self.walk(node, &mut uses);
        uses
    }

    fn walk(&mut self, node: &Node, uses: &mut Vec<Use>) {
        match kind(node) {
            K::NameExpr => uses.extend(self.place(node).map(|place| Use { place, how: How::Value })),
            K::IndexExpr => self.walk_index(node, uses),
            K::ClosureExpr => {
                if self.functions == 0 && !self.is_named(node) {
                    self.source.unnamed.push((self.text.lines_of(node), self.text.fingerprint(node)));
                }
                self.functions += 1;
                self.in_scope(node, uses);
                self.functions -= 1;
            }
            K::Block => self.in_scope(node, uses),
            K::RepeatStat => {
                let scope = self.scopes.len();
                for child in node.children() {
                    match kind(&child) {
                        K::Block => self.walk_children(&child, uses),
                        _ => self.walk(&child, uses),
                    }
                }
                self.scopes.truncate(scope);
            }
            K::ForStat | K::ForRangeStat => self.walk_for(node, uses),
            K::ParamName | K::LocalName => self.scopes.push((self.text.first(node), None)),
            K::LocalStat | K::ConstStat | K::GlobalStat => {
                let (names, others): (Vec<_>, Vec<_>) =
                    node.children().partition(|child| kind(child) == K::LocalName);
                others.iter().for_each(|one| self.walk(one, uses));
                if kind(node) == K::GlobalStat {
                    let globals = names.iter().filter_map(|name| self.name(self.text.first(name)));
                    self.assigned.extend(globals.collect::<Vec<_>>());
                } else {
                    self.scopes.extend(names.iter().map(|name| (self.text.first(name), None)));
                }
            }
            K::AssignStat => {
                let (targets, values) = self.sides(node);
                self.walk_targets(&targets, uses);
                values.iter().for_each(|value| self.walk(value, uses));
            }
            K::FuncStat => {
                let mut children = node.children();
                let target = children.next();
                self.walk_targets(target.as_slice(), uses);
                let scope = self.scopes.len();
                self.scopes.push(("self", None));
                children.for_each(|child| self.walk(&child, uses));
                self.scopes.truncate(scope);
            }
            _ if is_call(node) => self.walk_call(node, uses),
            _ => self.walk_children(node, uses),
        }
    }

    /// A function that a definition names is known by that name.
    fn is_named(&self, closure: &Node) -> bool {
        self.named == Some(closure.text_range().start().into())
    }

    fn walk_children(&mut self, node: &Node, uses: &mut Vec<Use>) {
        for child in node.children() {
            self.walk(&child, uses);
        }
    }

    fn in_scope(&mut self, node: &Node, uses: &mut Vec<Use>) {
        let scope = self.scopes.len();
        self.walk_children(node, uses);
        self.scopes.truncate(scope);
    }

    fn walk_targets(&mut self, targets: &[Node], uses: &mut Vec<Use>) {
        for target in targets {
            match self.target(target) {
                Some(place) => self.assigned.push(place),
                None => self.walk_children(target, uses),
            }
            // The key that is computed is made of something.
            if let Some(key) = target.children().nth(1) {
                self.walk(&key, uses);
            }
        }
    }

    fn walk_index(&mut self, node: &Node, uses: &mut Vec<Use>) {
        if let Some(place) = self.place(node) {
            uses.push(Use { place, how: How::Value });
        } else {
            self.walk_children(node, uses);
        }
    }

    /// The variables of a loop are tokens, not nodes.
    fn walk_for(&mut self, node: &Node, uses: &mut Vec<Use>) {
        let scope = self.scopes.len();
        let (blocks, bounds): (Vec<_>, Vec<_>) = node.children().partition(|child| kind(child) == K::Block);
        bounds.iter().for_each(|bound| self.walk(bound, uses));
        let names = self.text.words(node).skip(1).take_while(|word| !matches!(*word, "=" | "in"));
        let names: Vec<_> = names.filter(|word| *word != ",").map(|name| (name, None)).collect();
        self.scopes.extend(names);
        blocks.iter().for_each(|block| self.walk(block, uses));
        self.scopes.truncate(scope);
    }

    fn walk_call(&mut self, call: &Node, uses: &mut Vec<Use>) {
        if kind(call) == K::RequireCallExpr
            && let Some(module) = self.required(call)
        {
            if !self.source.requires.iter().any(|known| known == module) {
                self.source.requires.push(module.to_owned());
            }
            uses.push(Use { place: KeyPath::root(Key::Module(module.into())), how: How::Value });
            return;
        }
        // `pcall(require, "name")`
        let mut given = arguments(call);
        if let (Some(first), Some(second)) = (given.next(), given.next())
            && kind(&first) == K::NameExpr
            && self.text.first(&first) == "require"
            && let Some(module) = self.string(&second)
        {
            uses.push(Use { place: KeyPath::root(Key::Module(module.into())), how: How::Value });
        }
        let Some(callee) = call.first_child() else { return };
        match self.place(&callee) {
            Some(place) => {
                if let Some(of) = self.receiver(call) {
                    uses.push(Use { place: of, how: How::Call });
                }
                uses.push(Use { place, how: How::Call });
            }
            None => self.walk_children(&callee, uses),
        }
        self.assigned.extend(self.mutated(call));
        let is_coroutine = self.makes_coroutine(&callee);
        for argument in arguments(call) {
            if is_coroutine && kind(&argument) == K::ClosureExpr {
                // It calls them when the coroutine is resumed: nothing is made by them here.
                let mut within = Vec::new();
                self.walk(&argument, &mut within);
                uses.extend(within.into_iter().filter(|one| one.how != How::Call));
            } else {
                self.walk(&argument, uses);
            }
        }
    }

    fn makes_coroutine(&self, callee: &Node) -> bool {
        let words: Vec<_> = self.text.words(callee).collect();
        matches!(words[..], ["coroutine", ".", "wrap" | "create"])
    }

    /// The object of which a call runs a method.
    pub(super) fn receiver(&self, call: &Node) -> Option<KeyPath> {
        let callee = call.first_child().filter(|callee| kind(callee) == K::IndexExpr)?;
        let method = self.text.words(&callee).rev().nth(1) == Some(":");
        if method { self.place(&callee.first_child()?) } else { None }
    }

    /// What a call of the library changes.
    pub(super) fn mutated(&self, call: &Node) -> Option<KeyPath> {
        let callee = call.first_child()?;
        let mut words = self.text.words(&callee);
        let changes = match (words.next()?, words.next(), words.next(), words.next()) {
            ("rawset", None, ..) => true,
            ("table", Some("."), Some(function), None) => MUTATORS.contains(&function),
            _ => false,
        };
        let key = match kind(call) {
            K::SetmetatableCallExpr => Key::Metatable,
            _ if changes => Key::Computed,
            _ => return None,
        };
        let first = arguments(call).next()?;
        matches!(kind(&first), K::NameExpr | K::IndexExpr)
            .then(|| self.place(&first))
            .flatten()
            .map(|of| of.then(key))
    }

    /// Both sides of an assignment.
    pub(super) fn sides(&self, node: &Node) -> (Vec<Node>, Vec<Node>) {
        let assigned = node
            .children_with_tokens()
            .find(|child| child.as_token().is_some_and(|token| token.text() == "="));
        let at = assigned.map_or(node.text_range().end(), |token| token.text_range().start());
        node.children().partition(|child| child.text_range().start() < at)
    }
}
