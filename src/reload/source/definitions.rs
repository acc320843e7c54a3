//! Values become definitions.

use emmylua_parser::LuaSyntaxKind as K;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Call, Definition, DefinitionId, How, Key, KeyPath, Kind, ROOT, Use,
    reader::Reader,
    text::{Node, arguments, bare, is_call, kind},
};

/// Only this many conditions around a statement are followed.
const CONDITIONS: usize = 16;

/// Combines two fingerprints, in this order.
pub(super) fn mix(first: u64, second: u64) -> u64 {
    let mut both = [0; 16];
    both[..8].copy_from_slice(&first.to_le_bytes());
    both[8..].copy_from_slice(&second.to_le_bytes());
    xxh3_64(&both)
}

impl Reader<'_> {
    /// A name without a value of its own gets a further result of the last call.
    pub(super) fn define_nth(&mut self, id: DefinitionId, values: &[Node], position: usize) {
        match (values.get(position), values.last()) {
            (Some(value), _) => self.define(id, Some(value), 0),
            (None, Some(last)) => self.define(id, Some(last), position + 1 - values.len()),
            (None, None) => self.define(id, None, 0),
        }
    }

    pub(super) fn note_call(&mut self, call: &Node) {
        let statement = kind(call) == K::CallExprStat;
        let callee = if statement { call.first_child() } else { Some(call.clone()) }
            .and_then(|call| call.first_child());
        self.source.calls.push(Call {
            line: self.text.line_of(call),
            whole: self.text.fingerprint(call),
            called: callee.map_or(0, |callee| self.text.fingerprint(&callee)),
        });
    }

    /// A value without a name, which may have parts.
    pub(super) fn define_unnamed(&mut self, value: &Node) {
        let id = self.part(ROOT, Key::Returned, self.text.line_of(value));
        self.define(id, Some(value), 0);
    }

    /// The definition of a place; one is made if there is none.
    pub(super) fn ensure(&mut self, place: &KeyPath, line: u32) -> Option<DefinitionId> {
        let (mut at, rest) = self.source.locate(place);
        for key in rest {
            at = self.part(at, key, line);
        }
        (at != ROOT).then_some(at)
    }

    pub(super) fn part(&mut self, of: DefinitionId, key: Key, line: u32) -> DefinitionId {
        if let Some(known) = self.source.part(of, &key) {
            return known;
        }
        let id = DefinitionId(u32::try_from(self.source.definitions.len()).unwrap_or(u32::MAX - 1));
        self.source.index.insert((of, key.clone()), id);
        self.source.definitions.push(Definition {
            parent: (of != ROOT).then_some(of),
            key,
            kind: Kind::Outside,
            line,
            assigned: false,
            reads_itself: false,
            is_timer: false,
            own: 0,
            whole: 0,
            shape: None,
            called: 0,
            uses: Vec::new(),
            alias: None,
        });
        id
    }

    /// Gives a definition its value: result number `result` of the expression, counted from 0.
    pub(super) fn define(&mut self, id: DefinitionId, value: Option<&Node>, result: usize) {
        let Some(value) = value.map(bare) else { return self.give(id, Kind::Data, 0, Vec::new()) };
        let own = self.text.fingerprint(&value);
        if let Some(one) = self.source.definitions.get_mut(id.0 as usize) {
            one.whole = mix(one.whole, own);
            if one.kind == Kind::Outside {
                one.line = self.text.line_of(&value).min(one.line);
            }
        }
        if result > 0 {
            let uses = self.uses(&value);
            return self.give(id, Kind::Data, mix(own, result as u64), uses);
        }
        match kind(&value) {
            K::ClosureExpr => {
                self.named = Some(value.text_range().start().into());
                let uses = self.uses(&value);
                self.give(id, Kind::Function, own, uses);
            }
            K::TableArrayExpr | K::TableObjectExpr | K::TableEmptyExpr => self.table(id, &value),
            K::SetmetatableCallExpr => self.with_metatable(id, &value, own),
            K::BinaryExpr if self.is_kept(id, &value) => {
                let made = value.children().nth(1);
                self.give(id, Kind::Table, xxh3_64(b"or"), Vec::new());
                self.define(id, made.as_ref(), 0);
            }
            _ => match self.place(&value) {
                Some(place) => self.other_name(id, &value, place, own),
                None => {
                    let uses = self.uses(&value);
                    self.give(id, Kind::Data, own, uses);
                    let shape = self.shape(&value);
                    if let Some(one) = self.source.definitions.get_mut(id.0 as usize) {
                        one.shape = shape;
                    }
                    let is_timer = self.starts_timer(&value);
                    if is_timer {
                        self.note_call(&value);
                    }
                    if let Some(one) = self.source.definitions.get_mut(id.0 as usize) {
                        one.is_timer = is_timer;
                    }
                }
            },
        }
        self.note_assigned();
    }

    /// `session:setInterval(…)` and the like.
    fn starts_timer(&self, call: &Node) -> bool {
        let Some(callee) = call.first_child().filter(|_| is_call(call)) else { return false };
        self.text.first(&callee) == "session"
            && matches!(self.text.last(&callee), "setInterval" | "setTimeout" | "setImmediate")
    }

    /// Recognizes `X = X or {…}`, the usual idiom to keep a table.
    fn is_kept(&self, id: DefinitionId, value: &Node) -> bool {
        let mut sides = value.children();
        let (first, second) = (sides.next(), sides.next().map(|second| bare(&second)));
        let same = first.and_then(|first| self.place(&first)).map(|place| self.source.locate(&place));
        let table = second.is_some_and(|second| {
            matches!(kind(&second), K::TableArrayExpr | K::TableObjectExpr | K::TableEmptyExpr)
        });
        table
            && same.is_some_and(|(at, rest)| at == id && rest.is_empty())
            && self.text.words(value).any(|word| word == "or")
    }

    fn with_metatable(&mut self, id: DefinitionId, call: &Node, own: u64) {
        let mut given = arguments(call);
        match (given.next().map(|first| bare(&first)), given.next()) {
            (Some(table), Some(metatable))
                if matches!(kind(&table), K::TableArrayExpr | K::TableObjectExpr | K::TableEmptyExpr) =>
            {
                self.table(id, &table);
                let part = self.part(id, Key::Metatable, self.text.line_of(&metatable));
                self.define(part, Some(&metatable), 0);
            }
            (Some(table), Some(metatable)) if self.place(&table).is_some() => {
                // Another name of the table.
                let Some(place) = self.place(&table) else { return };
                let line = self.text.line_of(&metatable);
                if let Some(part) = self.ensure(&place.clone().then(Key::Metatable), line) {
                    self.define(part, Some(&metatable), 0);
                }
                self.name_again(id, place, own);
            }
            _ => {
                let uses = self.uses(call);
                self.give(id, Kind::Data, own, uses);
            }
        }
    }

    /// The definition is another name of something.
    fn other_name(&mut self, id: DefinitionId, value: &Node, place: KeyPath, own: u64) {
        if let [Key::Prototype(_)] = &place.keys[..] {
            let mut given = arguments(value).skip(1);
            let prototype = self.ensure(&place, self.text.line_of(value));
            if let (Some(prototype), Some(fields)) = (prototype, given.next()) {
                self.define(prototype, Some(&fields), 0);
                for base in given {
                    let part = self.part(prototype, Key::Metatable, self.text.line_of(&base));
                    self.define(part, Some(&base), 0);
                }
            }
        } else if kind(value) == K::RequireCallExpr {
            self.uses(value);
        } else if is_call(value) {
            let uses = self.uses(value);
            return self.give(id, Kind::Data, own, uses);
        }
        let own = if is_call(value) { xxh3_64(format!("{:?}", place.keys).as_bytes()) } else { own };
        self.name_again(id, place, own);
    }

    fn name_again(&mut self, id: DefinitionId, place: KeyPath, own: u64) {
        let (at, rest) = self.source.locate(&place);
        if at == id && rest.is_empty() {
            return self.give(id, Kind::Data, own, Vec::new());
        }
        self.give(id, Kind::Data, own, vec![Use { place: place.clone(), how: How::Alias }]);
        if let Some(one) = self.source.definitions.get_mut(id.0 as usize) {
            one.alias = Some(place);
        }
    }

    fn table(&mut self, id: DefinitionId, table: &Node) {
        self.give(id, Kind::Table, xxh3_64(b"{"), Vec::new());
        let mut position = 0;
        for field in table.children() {
            let mut expressions = field.children();
            let key = match kind(&field) {
                K::TableFieldValue => {
                    position += 1;
                    Key::Element(position)
                }
                K::TableFieldAssign if self.text.first(&field) == "[" => {
                    let Some(key) = expressions.next() else { continue };
                    let uses = self.uses(&key);
                    self.source.loads.extend(uses);
                    self.constructor_key(&key)
                }
                K::TableFieldAssign => Key::Field(self.text.first(&field).into()),
                _ => continue,
            };
            let part = self.part(id, key, self.text.line_of(&field));
            self.define(part, expressions.next().as_ref(), 0);
        }
    }

    /// Notes that a function assigns to it: it changes at run time.
    pub(super) fn note_assigned(&mut self) {
        for place in std::mem::take(&mut self.assigned) {
            let (at, rest) = self.source.locate(&place);
            if rest.is_empty()
                && let Some(one) = self.source.definitions.get_mut(at.0 as usize)
            {
                one.assigned = true;
            }
        }
    }

    pub(super) fn give(&mut self, id: DefinitionId, kind: Kind, own: u64, mut uses: Vec<Use>) {
        let own = self.conditions.last().map_or(own, |(all, _)| mix(own, *all));
        uses.extend(self.conditions.iter().take(CONDITIONS).flat_map(|(_, used)| used).cloned());
        for used in &uses {
            // `require("m").LIMIT`, without a name for the module.
            if let (ROOT, Some(Key::Module(name))) = (used.place.base, used.place.keys.first())
                && !self.source.requires.iter().any(|known| **known == **name)
            {
                self.source.requires.push(name.to_string());
            }
        }
        if kind != Kind::Function {
            self.source.loads.extend(
                uses.iter().filter(|one| one.how != How::Alias || !one.place.keys.is_empty()).cloned(),
            );
        }
        let Some(one) = self.source.definitions.get_mut(id.0 as usize) else { return };
        if kind != Kind::Function && !self.given.contains(&id) {
            self.given.push(id);
        }
        one.own = mix(one.own, own);
        one.kind = kind;
        one.uses.append(&mut uses);
    }
}
