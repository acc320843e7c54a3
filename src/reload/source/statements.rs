//! Statements, from the first one to the last: what each of them defines, and where the file may end.

use emmylua_parser::LuaSyntaxKind as K;
use rustc_hash::FxHashSet;

use super::{
    Definition, DefinitionId, How, Key, KeyPath, Kind, Made, ROOT, Source, Use,
    capture::{Exit, Form, Local},
    definitions::mix,
    reader::Reader,
    text::{Node, Text, arguments, bare, is_call, kind},
};

pub(super) fn read<'a>(text: &'a Text<'a>, root: &Node) -> (Source, Vec<Exit>) {
    let mut reader = Reader::new(text);
    let mut returns = false;
    for block in root.children().filter(|child| kind(child) == K::Block) {
        reader.statements(&block);
        returns = block.children().last().is_some_and(|last| kind(&last) == K::ReturnStat);
    }
    if !returns {
        reader.exit(0, Form::End);
    }
    reader.finish()
}

impl<'a> Reader<'a> {
    /// The file may end here: the locals that are in scope are handed over.
    fn exit(&mut self, at: usize, form: Form) {
        let mut locals: Vec<Local> = Vec::new();
        for (name, id) in self.scopes.iter().rev() {
            let Some(id) = *id else { continue };
            if *name != "_ENV" && locals.iter().all(|known| *known.name != **name) {
                locals.push(Local { name: (*name).into(), id, is_shared: false });
            }
        }
        locals.reverse();
        self.exits.push(Exit { at, form, locals });
    }

    fn finish(mut self) -> (Source, Vec<Exit>) {
        let shared = self.shared.take();
        for local in self.exits.iter_mut().flat_map(|exit| &mut exit.locals) {
            local.is_shared = shared.contains(&local.id);
        }
        for Local { name, id, .. } in self.exits.iter().rev().flat_map(|exit| &exit.locals) {
            if self.source.locals.iter().all(|(known, _)| known != name) {
                self.source.locals.push((name.clone(), *id));
            }
        }
        let is_object = |(_, one): &(DefinitionId, &Definition)| {
            one.alias.is_none() && one.kind != Kind::Outside && one.key != Key::Computed
        };
        self.source.objects = self.source.definitions().filter(is_object).map(|(id, _)| id).collect();
        for i in 0..self.source.definitions.len() {
            let id = DefinitionId(u32::try_from(i).unwrap_or(u32::MAX));
            let reads = |used: &Use| matches!(self.source.locate(&used.place), (at, rest) if at == id && rest.is_empty());
            self.source.definitions[i].reads_itself = self.source.definitions[i].uses.iter().any(reads);
        }
        let mut parts = vec![Vec::new(); self.source.definitions.len()];
        for (id, one) in self.source.definitions() {
            if let Some(of) = one.parent.and_then(|parent| parts.get_mut(parent.index())) {
                of.push(id);
            }
        }
        self.source.parts = parts;
        (self.source, self.exits)
    }

    fn statements(&mut self, block: &Node) {
        for statement in block.children() {
            let outer = std::mem::take(&mut self.given);
            self.note_effect(&statement);
            self.statement(&statement);
            self.note_made(&statement, outer);
        }
    }

    /// `outer`: what the statement around it has given values to.
    fn note_made(&mut self, statement: &Node, outer: Vec<DefinitionId>) {
        let given = std::mem::replace(&mut self.given, outer);
        if given.is_empty() {
            return;
        }
        if statement.descendants().any(|node| is_call(&node)) {
            let lines = self.text.lines_of(statement);
            self.source.made.push(Made { lines, definitions: given.iter().copied().collect() });
        }
        self.given.extend(given);
    }

    fn block(&mut self, block: &Node) {
        let scope = self.scopes.len();
        self.statements(block);
        self.scopes.truncate(scope);
    }

    fn statement(&mut self, node: &Node) {
        match kind(node) {
            K::LocalStat | K::ConstStat => self.local(node),
            K::LocalFuncStat => {
                let Some(name) = node.first_child() else { return };
                let id = self.declare(&name);
                self.define(id, node.children().nth(1).as_ref(), 0);
            }
            K::GlobalStat => {
                let (names, values): (Vec<_>, Vec<_>) = node
                    .children()
                    .filter(|child| kind(child) != K::Attribute)
                    .partition(|child| kind(child) == K::LocalName);
                if !values.is_empty() {
                    let places = names.iter().map(|name| self.name(self.text.first(name))).collect();
                    self.assign(places, &values, node);
                }
            }
            K::FuncStat => {
                let mut children = node.children();
                let Some(place) = children.next().and_then(|target| self.target(&target)) else { return };
                let scope = self.scopes.len();
                let id = self.ensure(&place, self.text.line_of(node));
                self.scopes.push(("self", None));
                if let Some(id) = id {
                    self.define(id, children.next().as_ref(), 0);
                }
                self.scopes.truncate(scope);
            }
            K::AssignStat => {
                let (targets, values) = self.sides(node);
                if let [target] = &targets[..]
                    && kind(target) == K::NameExpr
                    && self.text.first(target) == "_ENV"
                    && self.scopes.iter().all(|(name, _)| *name != "_ENV")
                {
                    self.environment = values.first().and_then(|value| self.place(value));
                    return;
                }
                let places = targets.iter().map(|target| self.target(target)).collect();
                self.assign(places, &values, node);
            }
            K::DoStat => node.children().for_each(|block| self.block(&block)),
            K::IfStat => self.choice(node),
            K::WhileStat | K::ForStat | K::ForRangeStat | K::RepeatStat => self.works_on(node),
            K::CallExprStat => self.call(node),
            K::ReturnStat => self.returned(node),
            _ => {}
        }
    }

    fn local(&mut self, node: &Node) {
        let (names, values): (Vec<_>, Vec<_>) = node
            .children()
            .filter(|child| kind(child) != K::Attribute)
            .partition(|child| kind(child) == K::LocalName);
        let outside = self.scopes.len();
        let mut declared = Vec::new();
        for (position, name) in names.iter().enumerate() {
            let id = self.declare(name);
            // It is not in force in its own initializer.
            declared.extend(self.scopes.drain(outside..));
            self.define_nth(id, &values, position);
        }
        self.scopes.extend(declared);
    }

    fn declare(&mut self, name: &Node) -> DefinitionId {
        let text = self.text.first(name);
        let count = self.locals.entry(text).or_default();
        let key = Key::Local(text.into(), *count);
        *count += 1;
        let id = self.part(ROOT, key, self.text.line_of(name));
        self.scopes.push((text, Some(id)));
        id
    }

    fn assign(&mut self, places: Vec<Option<KeyPath>>, values: &[Node], node: &Node) {
        let line = self.text.line_of(node);
        for (position, place) in places.into_iter().enumerate() {
            let computed = place.as_ref().is_some_and(|place| place.keys.last() == Some(&Key::Computed));
            let id = place.and_then(|place| self.ensure(&place, line));
            match id {
                Some(id) if computed => {
                    let uses = self.uses(node);
                    self.give(id, Kind::Data, self.text.fingerprint(node), uses);
                }
                Some(id) => self.define_nth(id, values, position),
                None => {
                    let uses = self.uses(node);
                    self.source.loads.extend(uses);
                }
            }
        }
        self.assigned.clear();
    }

    fn choice(&mut self, node: &Node) {
        let outer = self.conditions.len();
        for child in node.children() {
            match kind(&child) {
                K::Block => self.block(&child),
                K::ElseIfClauseStat | K::ElseClauseStat => self.choice(&child),
                _ => {
                    let uses = self.uses(&child);
                    self.source.loads.extend(uses.iter().cloned());
                    let before = self.conditions.last().map_or(0, |(all, _)| *all);
                    self.conditions.push((mix(before, self.text.fingerprint(&child)), uses));
                }
            }
        }
        // What stands after an `elseif` is under all conditions before it.
        if kind(node) == K::IfStat {
            self.conditions.truncate(outer);
        }
    }

    /// A statement that runs more than once belongs to all that it assigns to.
    fn works_on(&mut self, node: &Node) {
        self.assigned.clear();
        let uses = self.uses(node);
        let (own, line) = (self.text.fingerprint(node), self.text.line_of(node));
        let mut first: Option<DefinitionId> = None;
        let mut done = FxHashSet::default();
        for place in std::mem::take(&mut self.assigned) {
            let Some(id) = self.ensure(&place, line).filter(|&id| done.insert(id)) else { continue };
            let kind = match self.source.get(id).map(|one| one.kind) {
                Some(Kind::Function) => continue,
                Some(Kind::Table) => Kind::Table,
                _ => Kind::Data,
            };
            // All of them are made of the same things, so it is enough that the others use the first.
            let uses = match first {
                Some(first) => vec![Use { place: KeyPath::of(first), how: How::Value }],
                None => uses.clone(),
            };
            first = first.or(Some(id));
            self.give(id, kind, own, uses);
        }
        self.source.loads.extend(uses);
    }

    fn note_handed_over(&mut self, node: &Node) {
        let Some(call) = node.first_child() else { return };
        for argument in arguments(&call) {
            let place = self.place(&argument);
            let Some((id, rest)) = place.map(|place| self.source.locate(&place)) else { continue };
            let is_function = self.source.get(id).is_some_and(|one| one.kind == Kind::Function);
            if rest.is_empty() && is_function && !self.source.handed_over.contains(&id) {
                self.source.handed_over.push(id);
            }
        }
    }

    fn call(&mut self, node: &Node) {
        self.note_call(node);
        self.note_handed_over(node);
        let Some(call) = node.first_child() else { return };
        let line = self.text.line_of(node);
        if kind(&call) == K::SetmetatableCallExpr
            && let Some(place) = self.mutated(&call)
            && let Some(id) = self.ensure(&place, line)
        {
            self.define(id, arguments(&call).nth(1).as_ref(), 0);
            return;
        }
        if let Some((place, value)) = self.raw_assignment(&call) {
            let id = self.ensure(&place, line);
            if let Some(id) = id {
                self.define(id, Some(&value), 0);
            }
            return;
        }
        if kind(&call) == K::RequireCallExpr {
            // What it returns is not used.
            self.uses(&call);
            return;
        }
        if self.place(&call).is_some() {
            // A prototype that nobody keeps.
            let key = self.scopes.len();
            self.define_unnamed(&call);
            self.scopes.truncate(key);
            return;
        }
        if self.mutated(&call).is_some() {
            return self.works_on(node);
        }
        if let Some(place) = self.receiver(&call) {
            let (id, rest) = self.source.locate(&place);
            let own = self.text.fingerprint(node);
            if rest.is_empty()
                && let Some(one) = self.source.definitions.get_mut(id.0 as usize)
            {
                one.called = mix(one.called, own);
            }
        }
        let uses = self.uses(node);
        self.source.loads.extend(uses);
        self.note_assigned();
    }

    /// `rawset(table, "name", value)` is an assignment.
    fn raw_assignment(&self, call: &Node) -> Option<(KeyPath, Node)> {
        let callee = call.first_child()?;
        if kind(&callee) != K::NameExpr || self.text.first(&callee) != "rawset" {
            return None;
        }
        let mut given = arguments(call);
        let (table, key, value) = (given.next()?, given.next()?, given.next()?);
        Some((self.field_of(&table, self.constant(&bare(&key))?)?, value))
    }

    fn returned(&mut self, node: &Node) {
        let (at, form) = match node.children().last() {
            Some(last) => (self.text.end_of(&last), Form::Values),
            None => (self.text.end_of_first(node), Form::Nothing),
        };
        self.exit(at, form);
        let Some(value) = node.first_child().map(|value| bare(&value)) else { return };
        if kind(&value) == K::SetmetatableCallExpr
            && let Some(place) = self.mutated(&value)
            && let Some(id) = self.ensure(&place, self.text.line_of(&value))
        {
            self.define(id, arguments(&value).nth(1).as_ref(), 0);
        }
        let place = self.place(&value);
        if kind(&value) != K::SetmetatableCallExpr && is_call(&value) || place.is_none() {
            self.define_unnamed(&value);
        }
        let place = place.or_else(|| Some(KeyPath::root(Key::Returned)));
        if self.source.exports.is_none() {
            self.source.exports = place;
        }
    }
}
