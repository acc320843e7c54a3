//! Two versions of a file become edits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rustc_hash::FxHashMap;

use super::{DefinitionId, Effect, How, Key, KeyPath, Kind, ROOT, Source, Use, pairs::Pairs};

/// What became of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Added,
    /// It takes the value of the new version.
    Edited(Why),
}

/// Why a definition is edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Its own tokens differ.
    Source,
    /// Functions in it differ, and nothing else. Counts only for what has neither a metatable nor a prototype, nor
    /// holds these functions.
    Code,
    /// It is made of something that was edited: the path of that.
    Uses(String),
    /// It is made by a call of that, which is edited, or of a table of which a part is. Counts only for plain
    /// data: a value with a metatable or a prototype is kept.
    Calls(String),
}

/// How far an edit concerns those who use what was edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    Kept,
    /// Counts only for plain data.
    IfPlain,
    Edited,
}

/// The difference between two versions of a file.
#[derive(Debug, Default)]
pub struct Edits {
    changes: Vec<Option<Change>>,
    strengths: Vec<Strength>,
    pairs: Pairs,
    removed: Vec<DefinitionId>,
    whole: bool,
    taken: Option<(String, String)>,
    registers: Registers,
}

/// What a load puts into tables by calls, compared with what the load of the version before has put there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Registers {
    /// The same: no statement that does so is edited, and nothing that it is made of.
    #[default]
    Same,
    /// Something else, as far as the source tells.
    Others {
        /// Texts and numbers that stand in statements which were edited or added.
        come: BTreeSet<Box<str>>,
        /// Those of the statements that were edited or removed, if no statement has them any more.
        gone: BTreeSet<Box<str>>,
    },
}

/// Lines of the old version on which it read a file that is not as it was, with the name of that file.
pub type ReadLines = BTreeMap<u32, String>;

/// Tells how far an export of another module was edited, for one that uses it in this way.
pub(super) type Elsewhere<'a> = dyn Fn(&str, &[Key], bool) -> Strength + 'a;

impl Edits {
    /// What differs, if nothing else is edited.
    pub fn between(old: &Source, new: &Source) -> Self {
        Self::beside(old, new, &ReadLines::new(), &|_, _, _| Strength::Kept)
    }

    /// What differs, if that is edited in other files.
    pub(super) fn beside(old: &Source, new: &Source, read: &ReadLines, elsewhere: &Elsewhere<'_>) -> Self {
        if old.not_understood.is_some() || new.not_understood.is_some() {
            return Self { whole: true, ..Self::default() };
        }
        let pairs = Pairs::of(old, new);
        let removed =
            old.definitions().filter(|(id, _)| pairs.new.get(id.0 as usize).is_some_and(Option::is_none));
        let removed = removed.map(|(id, _)| id).collect();
        let count = new.definitions.len();
        let mut comparison = Comparison {
            old,
            new,
            pairs: &pairs,
            changes: vec![None; count],
            strengths: vec![Strength::Kept; count],
            queue: VecDeque::new(),
        };
        comparison.own();
        comparison.read(read);
        let users = comparison.users(elsewhere);
        comparison.spread(&users);
        let Comparison { changes, strengths, .. } = comparison;
        let registers = Registers::Same;
        let mut edits = Self { changes, strengths, pairs, removed, whole: false, taken: None, registers };
        edits.taken = edits.takes(new, elsewhere);
        edits.registers = edits.registers_of(old, new);
        edits
    }

    /// What a load puts into tables by calls.
    pub fn registers(&self) -> &Registers {
        &self.registers
    }

    fn registers_of(&self, old: &Source, new: &Source) -> Registers {
        let (edited, replaced) = (new.effects_beyond(old), old.effects_beyond(new));
        let is_made_of_edited = |used: &Use| {
            let (at, rest) = new.locate(&used.place);
            let Some(one) = new.get(at).filter(|_| rest.is_empty()) else { return false };
            let is_code = one.kind == Kind::Function && used.how != How::Call;
            !is_code && self.strengths.get(at.index()).is_some_and(|&strength| strength > Strength::Kept)
        };
        let is_same = edited.is_empty()
            && replaced.is_empty()
            && self.taken.is_none()
            && !new.loads.iter().any(is_made_of_edited);
        if is_same {
            return Registers::Same;
        }
        let come = edited.into_iter().flat_map(Effect::literals).cloned().collect();
        let stays = |literal: &str| new.effects.iter().any(|effect| effect.literals().contains(literal));
        let gone = replaced.into_iter().flat_map(Effect::literals).filter(|&literal| !stays(literal));
        Registers::Others { come, gone: gone.cloned().collect() }
    }

    /// Whether the file counts as edited as a whole, since one of the versions is not understood.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// What became of a definition of the new version; `None` if it is as it was.
    pub fn change(&self, new: DefinitionId) -> Option<&Change> {
        self.changes.get(new.0 as usize)?.as_ref()
    }

    /// The definition of the old version that a new one is.
    pub fn old(&self, new: DefinitionId) -> Option<DefinitionId> {
        self.pairs.old.get(new.0 as usize).copied().flatten()
    }

    /// Definitions of the old version that are gone, parts of such included.
    pub fn removed(&self) -> &[DefinitionId] {
        &self.removed
    }

    /// Whether nothing is edited, added or removed.
    pub fn is_empty(&self) -> bool {
        !self.whole && self.removed.is_empty() && self.changes.iter().all(Option::is_none)
    }

    /// How much is edited: only grows while edits spread.
    pub(super) fn count(&self) -> usize {
        self.removed.len() + self.strengths.iter().map(|&strength| strength as usize).sum::<usize>()
    }

    /// A module and the path of an edited export of which the file makes something when it is loaded.
    pub(super) fn taken(&self) -> Option<&(String, String)> {
        self.taken.as_ref()
    }

    fn takes(&self, new: &Source, elsewhere: &Elsewhere<'_>) -> Option<(String, String)> {
        new.loads.iter().find_map(|one| {
            if let Some((module, keys)) = new.export_of(&one.place) {
                // A name for a module is no copy of what it returns, unless that is a plain value.
                let least = if one.how == How::Alias { Strength::IfPlain } else { Strength::Kept };
                let edited = elsewhere(&module, &keys, one.how == How::Call) > least;
                return edited.then(|| (module.into(), path(&keys)));
            }
            // A function of the file that takes it, called when the file is loaded.
            let (at, rest) = new.locate(&one.place);
            let function = new.get(at).filter(|one| one.kind == Kind::Function && rest.is_empty())?;
            if one.how != How::Call {
                return None;
            }
            function.uses.iter().find_map(|used| {
                let (module, keys) = new.export_of(&used.place)?;
                let edited = elsewhere(&module, &keys, used.how == How::Call) > Strength::Kept;
                edited.then(|| (module.into(), path(&keys)))
            })
        })
    }

    /// How far an export is edited, for somebody who reads it, or calls it.
    pub(super) fn export(&self, old: &Source, new: &Source, keys: &[Key], call: bool) -> Strength {
        if self.whole {
            return Strength::Edited;
        }
        let Some(exports) = &new.exports else {
            return if old.exports.is_some() { Strength::Edited } else { Strength::Kept };
        };
        if old.exports.is_none() {
            return Strength::Edited;
        }
        let place = KeyPath { base: exports.base, keys: exports.keys.iter().chain(keys).cloned().collect() };
        let (at, rest) = new.locate(&place);
        let Some(one) = new.get(at) else { return Strength::Kept };
        let strength = self.strengths.get(at.0 as usize).copied().unwrap_or(Strength::Kept);
        if !rest.is_empty() && one.kind != Kind::Data {
            // It is not there now; it may have been there before.
            let was = old.exports.as_ref().map(|exports| {
                let keys = exports.keys.iter().chain(keys).cloned().collect();
                old.locate(&KeyPath { base: exports.base, keys }).1.len()
            });
            return if was == Some(0) { Strength::Edited } else { Strength::Kept };
        }
        match one.kind {
            Kind::Function if call => strength.min(Strength::IfPlain),
            Kind::Function if self.change(at) == Some(&Change::Added) => Strength::Edited,
            Kind::Function => Strength::Kept,
            // What a call made may have parts, too: a class.
            Kind::Data | Kind::Table | Kind::Outside => {
                let within = |(id, part): (DefinitionId, &super::Definition)| {
                    new.is_within(id, at)
                        && self
                            .change(id)
                            .is_some_and(|change| part.kind != Kind::Function || *change == Change::Added)
                };
                let gone = |id: &DefinitionId| self.old(at).is_some_and(|before| old.is_within(*id, before));
                let touched = new.definitions().any(within) || self.removed.iter().any(gone);
                strength.max(if touched { Strength::IfPlain } else { Strength::Kept })
            }
        }
    }
}

fn path(keys: &[Key]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

impl Source {
    /// What the innermost statement of the file on that line gives values to.
    fn made_at(&self, line: u32) -> &[DefinitionId] {
        let around = self.made.iter().filter(|made| made.lines.0 <= line && line <= made.lines.1);
        around.min_by_key(|made| made.lines.1 - made.lines.0).map_or(&[], |made| &made.definitions)
    }

    fn is_within(&self, id: DefinitionId, of: DefinitionId) -> bool {
        let mut at = Some(id);
        while let Some(one) = at {
            if one == of {
                return true;
            }
            at = self.get(one).and_then(|one| one.parent);
        }
        false
    }
}

struct Comparison<'a> {
    old: &'a Source,
    new: &'a Source,
    pairs: &'a Pairs,
    changes: Vec<Option<Change>>,
    strengths: Vec<Strength>,
    queue: VecDeque<DefinitionId>,
}

type Users = FxHashMap<DefinitionId, Vec<(DefinitionId, How)>>;

impl Comparison<'_> {
    fn own(&mut self) {
        for (id, one) in self.new.definitions() {
            let before = self.pairs.old.get(id.0 as usize).copied().flatten().and_then(|id| self.old.get(id));
            let Some(before) = before else {
                self.mark(id, Strength::Edited, Change::Added);
                continue;
            };
            if before.own != one.own || before.kind != one.kind {
                let is_data = one.kind == Kind::Data && before.kind == Kind::Data;
                if is_data && one.shape.is_some() && one.shape == before.shape {
                    self.mark(id, Strength::IfPlain, Change::Edited(Why::Code));
                } else {
                    self.mark(id, Strength::Edited, Change::Edited(Why::Source));
                }
            } else if before.called != one.called {
                self.mark(id, Strength::IfPlain, Change::Edited(Why::Calls(self.new.name(id))));
            }
        }
    }

    /// What a statement made of a file that it read is made anew.
    fn read(&mut self, lines: &ReadLines) {
        for (&line, file) in lines {
            for &id in self.old.made_at(line) {
                if let Some(id) = self.pairs.new.get(id.0 as usize).copied().flatten() {
                    self.mark(id, Strength::Edited, Change::Edited(Why::Uses(file.clone())));
                }
            }
        }
    }

    fn mark(&mut self, id: DefinitionId, strength: Strength, change: Change) {
        let at = id.0 as usize;
        let (Some(known), Some(change_of)) = (self.strengths.get_mut(at), self.changes.get_mut(at)) else {
            return;
        };
        if *known >= strength {
            return;
        }
        *known = strength;
        // A function is replaced in any case. That something it uses was edited concerns those who call it.
        let function = self.new.get(id).is_some_and(|one| one.kind == Kind::Function);
        if !function || matches!(change, Change::Added | Change::Edited(Why::Source)) {
            *change_of = Some(change);
        }
        self.queue.push_back(id);
    }

    /// Who uses a definition. What is edited elsewhere, or gone, marks who uses it at once.
    fn users(&mut self, elsewhere: &Elsewhere<'_>) -> Users {
        let mut users = Users::default();
        let new = self.new;
        for (id, one) in new.definitions() {
            for used in &one.uses {
                if let Some((module, keys)) = new.export_of(&used.place) {
                    self.used_elsewhere(id, used, &module, &keys, elsewhere);
                    continue;
                }
                let (at, rest) = new.locate(&used.place);
                if at != id && at != ROOT {
                    let missing = !rest.is_empty() && new.get(at).is_some_and(|one| one.kind != Kind::Data);
                    if !missing {
                        let how = if rest.is_empty() { used.how } else { How::Value };
                        users.entry(at).or_default().push((id, how));
                    }
                }
                if !rest.is_empty() && self.was_there(&used.place) {
                    let name = path(&used.place.keys);
                    self.mark(id, Strength::Edited, Change::Edited(Why::Uses(name)));
                }
            }
        }
        users
    }

    fn used_elsewhere(
        &mut self,
        id: DefinitionId,
        used: &Use,
        module: &str,
        keys: &[Key],
        elsewhere: &Elsewhere<'_>,
    ) {
        let strength = elsewhere(module, keys, used.how == How::Call);
        // The name of a table that is filled anew is still its name.
        let strength =
            if used.how == How::Alias && strength == Strength::IfPlain { Strength::Kept } else { strength };
        let name = if keys.is_empty() { module.to_owned() } else { format!("{module}.{}", path(keys)) };
        let why = if strength == Strength::Edited { Why::Uses(name) } else { Why::Calls(name) };
        self.mark(id, strength, Change::Edited(why));
    }

    /// Whether a place that is nothing now was a definition of the old version.
    fn was_there(&self, place: &KeyPath) -> bool {
        let base = if place.base == ROOT {
            Some(ROOT)
        } else {
            self.pairs.old.get(place.base.0 as usize).copied().flatten()
        };
        base.is_some_and(|base| {
            let (at, rest) = self.old.locate(&KeyPath { base, keys: place.keys.clone() });
            at != ROOT && rest.is_empty()
        })
    }

    fn spread(&mut self, users: &Users) {
        self.removed_parts(users);
        while let Some(id) = self.queue.pop_front() {
            let Some(one) = self.new.get(id) else { continue };
            let strength = self.strengths.get(id.0 as usize).copied().unwrap_or(Strength::Kept);
            let in_place = one.kind == Kind::Table && self.was_table(id);
            for &(user, how) in users.get(&id).map_or(&[][..], |users| users) {
                let strength = match (one.kind, how) {
                    // A function is replaced wherever it is held, unless it was something else before.
                    (Kind::Function, How::Alias) if !self.was_function(id) => strength,
                    (Kind::Function, How::Call) => Strength::IfPlain,
                    (Kind::Function, _) => Strength::Kept,
                    (_, How::Alias) if in_place => Strength::Kept,
                    (_, How::Call) => Strength::IfPlain,
                    _ => strength,
                };
                self.pass(id, user, strength);
            }
            if one.kind != Kind::Function
                && let Some(parent) = one.parent
            {
                self.touch(id, parent, users);
            }
        }
    }

    /// What is made of a table is touched by an edit of the table's parts.
    fn touch(&mut self, id: DefinitionId, mut table: DefinitionId, users: &Users) {
        loop {
            for &(user, how) in users.get(&table).map_or(&[][..], |users| users) {
                if how != How::Alias && !self.new.is_within(id, user) {
                    self.pass(id, user, Strength::IfPlain);
                }
            }
            match self.new.get(table).and_then(|one| one.parent) {
                Some(outer) => table = outer,
                None => return,
            }
        }
    }

    fn removed_parts(&mut self, users: &Users) {
        for (id, one) in self.old.definitions() {
            let gone = self.pairs.new.get(id.0 as usize).is_some_and(Option::is_none);
            if !gone || one.kind == Kind::Function {
                continue;
            }
            let parent =
                one.parent.and_then(|parent| self.pairs.new.get(parent.0 as usize).copied().flatten());
            if let Some(parent) = parent {
                self.touch(parent, parent, users);
            }
        }
    }

    fn was_function(&self, id: DefinitionId) -> bool {
        let before = self.pairs.old.get(id.0 as usize).copied().flatten().and_then(|id| self.old.get(id));
        before.is_none_or(|one| one.kind == Kind::Function)
    }

    fn was_table(&self, id: DefinitionId) -> bool {
        let before = self.pairs.old.get(id.0 as usize).copied().flatten().and_then(|id| self.old.get(id));
        before.is_some_and(|one| one.kind == Kind::Table)
    }

    fn pass(&mut self, from: DefinitionId, to: DefinitionId, strength: Strength) {
        let known = self.strengths.get(to.0 as usize).copied().unwrap_or(Strength::Edited);
        if strength > known {
            let name = self.new.name(from);
            let why = if strength == Strength::Edited { Why::Uses(name) } else { Why::Calls(name) };
            self.mark(to, strength, Change::Edited(why));
        }
    }
}
