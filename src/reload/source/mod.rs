//! What the source of a Lua file says: which definitions it has, what each of them uses, and which of them an
//! edit has touched. Nothing here runs Lua, looks at the disk or knows of sessions.
//!
//! | file | what it does |
//! |---|---|
//! | `parse` | bytes → syntax tree → what the source says, or why it cannot be read |
//! | `text` | tokens, without comments and white space |
//! | `statements` | what each statement defines, and where the file may end |
//! | `definitions` | values → definitions |
//! | `effects` | statements that put something into tables by calls |
//! | `uses` | expressions and bodies of functions → what they read, call and assign |
//! | `reader` | what a name or a path means where it stands |
//! | `key_path` | where that is among the definitions |
//! | `pairs` | which definition of the new version is which of the old one |
//! | `compare` | two versions of a file → [`Edits`] |
//! | `capture` | the text that hands over the locals of a file |
//! | `written` | which fields of objects the code writes: asked for only where a name is not found |
//! | `batch` | all files of two generations → [`BatchEdits`]: edits across files, and who has to run again |
//!
//! The parser is `emmylua_parser`: it knows Lua 5.4 and 5.5, and takes about three times as long as Lua's own
//! compiler (2 ms for 1,000 lines). tree-sitter-lua knows both as well and never recurses, but takes twelve
//! times as long; full_moon takes eleven, and knows no 5.5. The price is 30 crates, most of them for the
//! languages of its messages. It recurses, as Lua's own parser does, which stops at 200 levels. Chains of operators and calls, which Lua takes at any length, are counted before: see `text`.

mod batch;
mod capture;
mod compare;
mod definitions;
mod effects;
mod key_path;
mod pairs;
mod parse;
mod reader;
mod statements;
mod text;
mod uses;
mod written;

#[cfg(test)]
mod tests;

use std::fmt;

use rustc_hash::FxHashMap;

pub use batch::{BatchEdits, RanAgain, ReadBy, Versions};
pub use compare::{Change, Edits, ReadLines, Registers, Why};
pub use effects::{Effect, literal_of_number};
pub use key_path::SharedPlace;
pub use written::{Owner, Written};

/// What one version of a file says. Made once, shared by all sessions.
#[derive(Debug, Default)]
pub struct Source {
    definitions: Vec<Definition>,
    index: FxHashMap<(DefinitionId, Key), DefinitionId>,
    /// By the number of a definition, what is within it.
    parts: Vec<Vec<DefinitionId>>,
    /// What the file returns, if that can be told.
    exports: Option<KeyPath>,
    /// What is read and called while the file is loaded, bodies of functions left out.
    loads: Vec<Use>,
    requires: Vec<String>,
    /// The locals of the file that are in scope at its end, by name.
    locals: Vec<(Box<str>, DefinitionId)>,
    /// Definitions that can be found again in another version: neither aliases, nor what statements compute.
    objects: Vec<DefinitionId>,
    /// File-level functions that no definition names: the lines on which they begin and end, and their fingerprints.
    unnamed: Vec<((u32, u32), u64)>,
    /// Functions that the file hands to others when it is loaded: `bus.on(M.hear)`.
    handed_over: Vec<DefinitionId>,
    /// Statements of the file that are calls, or start a timer.
    calls: Vec<Call>,
    /// Statements that call something, in which a file may be read.
    made: Vec<Made>,
    effects: Vec<effects::Effect>,
    not_understood: Option<NotUnderstood>,
}

/// What a statement gives values to.
#[derive(Debug)]
struct Made {
    /// On which it begins and ends.
    lines: (u32, u32),
    definitions: Box<[DefinitionId]>,
}

/// A place in a file that gives something a name.
#[derive(Debug)]
pub struct Definition {
    /// What it is a part of: the table, or nothing.
    pub parent: Option<DefinitionId>,
    /// Its name there.
    pub key: Key,
    /// What the source puts there.
    pub kind: Kind,
    /// Where it stands first, counted from 1.
    pub line: u32,
    /// Whether something other than its definition assigns to it: a function of the file.
    pub assigned: bool,
    /// Whether its initializer reads it: `RUNS = (RUNS or 0) + 1`. Who writes that has decided what is kept.
    pub reads_itself: bool,
    /// Whether it is the handle of a timer that it starts.
    pub is_timer: bool,
    /// Of its own tokens, those of its parts left out.
    own: u64,
    /// With its parts.
    whole: u64,
    /// Of its own tokens without the functions in it, if there are some.
    shape: Option<u64>,
    /// Of statements that call its methods.
    called: u64,
    uses: Vec<Use>,
    /// The table that it is another name of.
    alias: Option<KeyPath>,
}

/// A definition of a [`Source`], by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DefinitionId(u32);

impl DefinitionId {
    /// Its number, from 0: definitions of a file are numbered one after the other.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The parent of all definitions at file level.
const ROOT: DefinitionId = DefinitionId(u32::MAX);

/// The name of a definition within what it is a part of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A local at file level, and its number among those of that name, from 0.
    Local(Box<str>, u32),
    /// A global.
    Global(Box<str>),
    /// What the file returns, if no other name leads there.
    Returned,
    /// What `session:prototype` gives for that name.
    Prototype(Box<str>),
    /// What another module exports: the file puts something into it.
    Module(Box<str>),
    /// `.name`, or `["name"]`.
    Field(Box<str>),
    /// An element of a constructor, from 1. Those of two versions belong together by their source.
    Element(u32),
    /// `[expression]` of which the tokens are the name.
    At(Box<str>),
    /// The metatable.
    Metatable,
    /// All keys that statements compute.
    Computed,
}

/// What a source puts in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A function of the file: always new.
    Function,
    /// A constructor: its fields are definitions themselves.
    Table,
    /// Anything else.
    Data,
    /// Nothing: the file only puts something into it.
    Outside,
}

/// A statement that is a call.
#[derive(Debug)]
struct Call {
    line: u32,
    /// Fingerprints of all of it, and of what is called.
    whole: u64,
    called: u64,
}

/// Something by its path: keys from a definition on, or from [`ROOT`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct KeyPath {
    base: DefinitionId,
    keys: Vec<Key>,
}

/// A use: a definition reads or calls something.
#[derive(Debug, Clone)]
struct Use {
    place: KeyPath,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It is that value, and nothing more.
    Alias,
    /// It is made of that value.
    Value,
    /// It is made by that function, or by a method of that object.
    Call,
}

/// Why a file that Lua takes has no definitions here: it counts as edited as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUnderstood {
    /// The parser of definitions stops there, and Lua does not.
    #[error("line {0} is not understood by the parser of definitions")]
    Syntax(u32),
    /// An expression is deeper than this.
    #[error("an expression at line {0} has more than {max} operators or calls in a chain", max = text::DEEPEST)]
    TooDeep(u32),
}

/// A file that was read.
#[derive(Debug, Default)]
pub struct Parsed {
    /// What it says.
    pub source: Source,
    /// Its text with each `return` of the file handing over, beside what it returns, a function that has the
    /// locals of the file as upvalues and a table of their values. `None`: the file was not understood.
    pub capturing: Option<Vec<u8>>,
}

impl Definition {
    /// Whether it is another name of something that has one.
    pub fn is_alias(&self) -> bool {
        self.alias.is_some()
    }
}

impl Source {
    /// Reads a file, and makes of it the text that hands over its locals.
    pub fn read(bytes: &[u8]) -> Parsed {
        parse::read(bytes)
    }

    /// Reads a file. Never fails: what is not understood is told by [`not_understood`](Self::not_understood).
    pub fn parse(bytes: &[u8]) -> Self {
        parse::read(bytes).source
    }

    /// Why there are no definitions.
    pub fn not_understood(&self) -> Option<&NotUnderstood> {
        self.not_understood.as_ref()
    }

    /// All definitions, what contains others before these.
    pub fn definitions(&self) -> impl Iterator<Item = (DefinitionId, &Definition)> {
        (0u32..).map(DefinitionId).zip(&self.definitions)
    }

    /// One of them; `None` if it is of another source.
    pub fn get(&self, id: DefinitionId) -> Option<&Definition> {
        self.definitions.get(id.0 as usize)
    }

    /// The part of a definition with that name.
    pub fn part(&self, of: DefinitionId, key: &Key) -> Option<DefinitionId> {
        self.index.get(&(of, key.clone())).copied()
    }

    /// The first local of that name at file level.
    pub fn local(&self, name: &str) -> Option<(DefinitionId, &Definition)> {
        let id = self.part(ROOT, &Key::Local(name.into(), 0))?;
        Some((id, self.get(id)?))
    }

    /// The names of modules that the file requires by a constant name.
    pub fn requires(&self) -> &[String] {
        &self.requires
    }

    /// Functions that the file hands to others when it is loaded: `bus.on(M.hear)`.
    pub fn handed_over(&self) -> &[DefinitionId] {
        &self.handed_over
    }

    /// The line in `new` of the call that is on `line` here. `None`: it was removed. Edited calls of one
    /// function are matched in their order.
    pub fn moved_call(&self, line: u32, new: &Self) -> Option<u32> {
        let at = self.calls.iter().position(|call| call.line == line)?;
        let (before, call) = (self.calls.get(..at)?, self.calls.get(at)?);
        let nth = before.iter().filter(|other| other.whole == call.whole).count();
        if let Some(same) = new.calls.iter().filter(|other| other.whole == call.whole).nth(nth) {
            return Some(same.line);
        }
        let edited = |calls: &[Call], others: &[Call]| -> Vec<u32> {
            let is_known = |one: &Call| others.iter().any(|other| other.whole == one.whole);
            let of_it = calls.iter().filter(|one| one.called == call.called && !is_known(one));
            of_it.map(|one| one.line).collect()
        };
        let (gone, come) = (edited(&self.calls, &new.calls), edited(&new.calls, &self.calls));
        let nth = gone.iter().position(|known| *known == line)?;
        (gone.len() == come.len()).then(|| come.get(nth).copied()).flatten()
    }

    /// The definition of that name that is no part of another.
    pub fn root(&self, key: &Key) -> Option<DefinitionId> {
        self.part(ROOT, key)
    }

    /// What the file returns, if that is a definition.
    pub fn returned(&self) -> Option<DefinitionId> {
        let (at, rest) = self.locate(self.exports.as_ref()?);
        (rest.is_empty() && at != ROOT).then_some(at)
    }

    /// The locals of the file that are in scope at its end, by name.
    pub fn locals(&self) -> &[(Box<str>, DefinitionId)] {
        &self.locals
    }

    /// The local of that name that is in scope at the end of the file.
    pub fn last_local(&self, name: &str) -> Option<DefinitionId> {
        self.locals.iter().find(|(known, _)| **known == *name).map(|(_, id)| *id)
    }

    /// The name of a local that is in scope at the end of the file.
    pub fn name_of_local(&self, id: DefinitionId) -> Option<&str> {
        self.locals.iter().find(|(_, known)| *known == id).map(|(name, _)| &**name)
    }

    /// The locals that a function uses and that are not in scope at the end of the file: in a `do` block, or
    /// with another of their name after them.
    pub fn hidden_locals(&self, function: DefinitionId) -> impl Iterator<Item = (&str, DefinitionId)> {
        let uses = self.get(function).map_or(&[][..], |one| &one.uses);
        uses.iter().filter_map(|used| {
            let base = used.place.base;
            let Key::Local(name, _) = &self.get(base)?.key else { return None };
            let is_visible = self.locals.iter().any(|(_, id)| *id == base);
            (!is_visible).then_some((&**name, base))
        })
    }

    /// Definitions that can be found again in another version.
    pub fn objects(&self) -> &[DefinitionId] {
        &self.objects
    }

    /// Whether a function that begins and ends on these lines may be one of the file's top level without a name.
    pub fn is_unnamed_function(&self, lines: (u32, u32)) -> bool {
        self.unnamed.iter().any(|(known, _)| *known == lines)
    }

    /// Whether a function that a definition names begins on that line.
    pub fn has_function_at(&self, line: u32) -> bool {
        self.definitions.iter().any(|one| one.kind == Kind::Function && one.line == line)
    }

    /// The fingerprint of the function of the file's top level on these lines, if no other begins and ends there.
    pub fn unnamed_function(&self, lines: (u32, u32)) -> Option<u64> {
        let mut found = self.unnamed.iter().filter(|(known, _)| *known == lines);
        found.next().filter(|_| found.next().is_none()).map(|(_, own)| *own)
    }

    /// The parts of a definition, in the order of the source.
    pub fn parts(&self, of: DefinitionId) -> impl Iterator<Item = (DefinitionId, &Definition)> {
        let parts = self.parts.get(of.index()).map_or(&[][..], |parts| parts);
        parts.iter().filter_map(|&id| Some((id, self.get(id)?)))
    }

    /// The path of a definition as people write it: `M.conf.rate`.
    pub fn name(&self, id: DefinitionId) -> String {
        let mut keys = Vec::new();
        let mut at = Some(id);
        while let Some(one) = at.and_then(|id| self.get(id)) {
            keys.push(&one.key);
            at = one.parent;
        }
        let mut name = String::new();
        for key in keys.iter().rev() {
            if !name.is_empty() && matches!(key, Key::Field(_)) {
                name.push('.');
            }
            name.push_str(&key.to_string());
        }
        name
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(name, 0) | Self::Global(name) | Self::Field(name) => f.write_str(name),
            Self::Local(name, nth) => write!(f, "{name}#{}", nth + 1),
            Self::Returned => f.write_str("return"),
            Self::Prototype(name) => write!(f, "prototype {name}"),
            Self::Module(name) => write!(f, "require \"{name}\""),
            Self::Element(position) => write!(f, "[{position}]"),
            Self::At(text) => write!(f, "[{text}]"),
            Self::Metatable => f.write_str(" metatable"),
            Self::Computed => f.write_str("[…]"),
        }
    }
}
