//! Whether there is what a path asks for: a name that neither the objects have, nor their prototypes, nor any
//! code puts there, is a typing error.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use mlua::{LuaString, Table, Value};

use super::path::Step;
use crate::reload::Generation;

/// So many prototypes are followed, in case they are in a circle.
const MAX_CHAIN: usize = 100;
/// A name that differs in more places is another one.
const MAX_TYPOS: usize = 3;
/// So many answers are kept.
const MAX_ANSWERS: usize = 1000;

/// What a path asks of objects that have no such thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UnknownName {
    pub(crate) type_name: String,
    pub(crate) name: String,
    pub(crate) nearest: Option<String>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no field or method {:?}", self.type_name, self.name)?;
        did_you_mean(f, self.nearest.as_deref())
    }
}

impl UnknownName {
    /// Whether it is so much like a name that is known that it is that name, misspelt.
    pub(crate) fn is_misspelt(&self) -> bool {
        let most = if self.name.chars().count() > 5 { 2 } else { 1 };
        let typos =
            |nearest: &str| strsim::damerau_levenshtein(&nearest.to_lowercase(), &self.name.to_lowercase());
        self.name.chars().count() > 2 && self.nearest.as_deref().is_some_and(|nearest| typos(nearest) <= most)
    }
}

/// What was found out of names that objects lack. Many objects of a type lack the same one.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The code that they are about.
    generation: u64,
    found: HashMap<(String, Box<str>), Option<UnknownName>>,
}

impl Answers {
    /// What [`unknown`] says of one object.
    pub(crate) fn unknown(
        &mut self,
        object: &Table,
        step: &Step,
        generation: &Generation,
    ) -> Option<UnknownName> {
        let (Step::Field(name) | Step::Call(name) | Step::CallWith(name)) = step else { return None };
        let chain = Chain::of(object)?;
        if chain.has(name) {
            return None;
        }
        if self.generation != generation.number || self.found.len() >= MAX_ANSWERS {
            *self = Self { generation: generation.number, found: HashMap::new() };
        }
        let answer = || unknown(std::slice::from_ref(object), step, generation);
        self.found.entry((chain.type_name()?, name.clone())).or_insert_with(answer).clone()
    }
}

fn did_you_mean(f: &mut impl fmt::Write, nearest: Option<&str>) -> fmt::Result {
    nearest.map_or(Ok(()), |nearest| write!(f, "; did you mean {nearest:?}?"))
}

/// `; did you mean "that"?`, or nothing.
pub(crate) fn hint(nearest: Option<&str>) -> String {
    let mut text = String::new();
    let _ = did_you_mean(&mut text, nearest);
    text
}

/// What a step asks of objects of one type, if none of them has it and no code of the generation writes it. `None`
/// also where that can't be told: of objects without a type, or that make up their fields.
pub(crate) fn unknown(objects: &[Table], step: &Step, generation: &Generation) -> Option<UnknownName> {
    let (Step::Field(name) | Step::Call(name) | Step::CallWith(name)) = step else { return None };
    let (mut types, mut known, mut type_name) = (BTreeSet::new(), BTreeSet::new(), None);
    for object in objects {
        let chain = Chain::of(object)?;
        if chain.has(name) {
            return None;
        }
        for table in &chain.tables {
            if let Ok(Some(name)) = table.raw_get::<Option<LuaString>>("type") {
                let name = name.to_string_lossy();
                type_name.get_or_insert_with(|| name.clone());
                types.insert(name);
            }
        }
    }
    let type_name = type_name.filter(|_| !generation.may_write(&types, name))?;
    for object in objects {
        known.extend(Chain::of(object)?.names());
    }
    known.extend(generation.written(&types));
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    Some(UnknownName { type_name, name: name.to_string(), nearest })
}

/// The name that was meant, if one is so much like it.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typos = |known: &str| strsim::damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase());
    let most = MAX_TYPOS.min(name.chars().count().div_ceil(3));
    let near = known.filter(|known| !known.starts_with('_')).map(|known| (typos(known), known));
    near.filter(|(typos, _)| *typos <= most).min().map(|(_, known)| known)
}

/// An object, and the prototypes that it has its fields from.
struct Chain {
    tables: Vec<Table>,
}

impl Chain {
    /// `None` if a function makes up its fields.
    fn of(object: &Table) -> Option<Self> {
        let mut tables = vec![object.clone()];
        while tables.len() < MAX_CHAIN {
            let Some(metatable) = tables.last()?.metatable() else { break };
            match metatable.raw_get("__index").ok()? {
                Value::Nil => break,
                Value::Table(next) => tables.push(next),
                _ => return None,
            }
        }
        Some(Self { tables })
    }

    fn has(&self, name: &str) -> bool {
        self.tables.iter().any(|table| table.raw_get::<Value>(name).is_ok_and(|value| !value.is_nil()))
    }

    fn type_name(&self) -> Option<String> {
        let name = |table: &Table| table.raw_get::<Option<LuaString>>("type").ok().flatten();
        self.tables.iter().find_map(name).map(|name| name.to_string_lossy())
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let pairs = self.tables.iter().flat_map(|table| table.pairs::<Value, Value>().flatten());
        pairs.filter_map(|(key, _)| Some(key.as_string()?.to_string_lossy()))
    }
}

#[cfg(test)]
mod tests {
    use mlua::Lua;

    use super::*;
    use crate::reload::testing;

    const CLASSES: &str = "local function class(type, base) local C = setmetatable({ type = type }, base) \
        C.__index = C return C end Base = class 'Base' App = class('App', Base) Card = class 'Card' ";

    fn asked(text: &str, step: &str) -> Option<String> {
        let lua = Lua::new();
        let object: Table = lua.load(format!("{CLASSES} {text}")).eval().unwrap();
        let source = "local App, Base = session:prototype('App', { soon = EMPTY }), session:prototype 'Base'\n\
             function Base:reset() self.count = nil end";
        let generation = testing::save(&Default::default(), &[("main.lua", Some(source))]);
        assert_eq!(generation.diagnostics().count(), 0);
        let step = match step.strip_suffix("()") {
            Some(name) => Step::Call(name.into()),
            None => Step::Field(step.into()),
        };
        unknown(&[object], &step, &generation).map(|unknown| unknown.to_string())
    }

    #[test]
    fn a_name_that_nobody_knows_is_told_with_the_nearest_one() {
        let app = "return setmetatable({ name = 1, other = 2 }, App)";
        assert_eq!(
            asked(app, "nmae").as_deref(),
            Some("App has no field or method \"nmae\"; did you mean \"name\"?")
        );
        assert_eq!(
            asked(app, "soom").unwrap(),
            "App has no field or method \"soom\"; did you mean \"soon\"?"
        );
        assert_eq!(asked(app, "elsewhere").unwrap(), "App has no field or method \"elsewhere\"");
    }

    #[test]
    fn what_is_declared_inherited_or_set_later_is_no_typing_error() {
        let app = "function Base.hello() end return setmetatable({ name = 1 }, App)";
        for step in ["name", "hello()", "soon", "count", "type"] {
            assert_eq!(asked(app, step), None, "{step}");
        }
    }

    #[test]
    fn nothing_is_said_of_what_makes_up_its_fields_or_has_no_type() {
        assert_eq!(asked("return setmetatable({ type = 'X' }, { __index = function() end })", "x"), None);
        assert_eq!(asked("return {}", "x"), None);
        assert_eq!(
            asked("local a = { type = 'A' } a.__index = a return setmetatable(a, a)", "x"),
            Some("A has no field or method \"x\"".into())
        );
    }

    #[test]
    fn what_another_object_of_the_type_has_is_known() {
        let lua = Lua::new();
        let objects: Vec<Table> =
            lua.load("return { { type = 'A' }, { type = 'A', x = 1 } }").eval().unwrap();
        let unknown = |name: &str| unknown(&objects, &Step::Field(name.into()), &Generation::default());
        assert!(unknown("x").is_none() && unknown("y").is_some());
    }

    #[test]
    fn what_is_a_letter_or_two_away_is_misspelt() {
        let is_misspelt = |name: &str, nearest: Option<&str>| {
            let nearest = nearest.map(str::to_owned);
            UnknownName { type_name: "A".into(), name: name.into(), nearest }.is_misspelt()
        };
        assert!(is_misspelt("nmae", Some("name")) && is_misspelt("Clikcs", Some("clicks")));
        assert!(
            !is_misspelt("note", Some("name")) && !is_misspelt("x", Some("y")) && !is_misspelt("name", None)
        );
    }

    #[test]
    fn an_answer_holds_for_its_code_and_not_for_an_object_that_has_the_name() {
        let lua = Lua::new();
        let (mut answers, step) = (Answers::default(), Step::Field("x".into()));
        let object = |text: &str| lua.load(text).eval::<Table>().unwrap();
        let generation = testing::save(&Generation::default(), &[("a.lua", Some("local y = 1"))]);
        assert!(answers.unknown(&object("return { type = 'A' }"), &step, &generation).is_some());
        assert!(answers.unknown(&object("return { type = 'A', x = 1 }"), &step, &generation).is_none());
        let next = testing::save(&generation, &[("a.lua", Some("function f(a) a.x = 1 end"))]);
        assert!(answers.unknown(&object("return { type = 'A' }"), &step, &next).is_none());
    }

    #[test]
    fn a_name_that_is_another_word_is_not_suggested() {
        let nearest = |name| super::nearest(name, ["name", "_nam", "clicks", "id"].into_iter());
        assert_eq!(
            (nearest("Name"), nearest("nam"), nearest("clikcs")),
            (Some("name"), Some("name"), Some("clicks"))
        );
        assert_eq!((nearest("x"), nearest("title"), nearest("dates")), (None, None, None));
    }
}
