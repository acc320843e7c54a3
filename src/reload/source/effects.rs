//! Statements of a file that do something beside giving names: `menu:add { label = "File" }`. What they put into
//! tables is named by no definition, so it is these that tell whether a load puts there what the last one did.

use std::collections::BTreeSet;

use emmylua_parser::LuaSyntaxKind as K;
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Key, Source,
    definitions::mix,
    reader::Reader,
    text::{Node, is_call, kind},
};

/// A statement that calls something, or assigns to what has no path.
#[derive(Debug)]
pub struct Effect {
    /// On which it begins and ends.
    lines: (u32, u32),
    /// Fingerprint of all but the functions in it.
    shape: u64,
    /// The texts and numbers that stand in it.
    literals: BTreeSet<Box<str>>,
}

impl Reader<'_> {
    /// Notes a statement of the file that is one.
    pub(super) fn note_effect(&mut self, node: &Node) {
        let is_loop = matches!(kind(node), K::WhileStat | K::ForStat | K::ForRangeStat | K::RepeatStat);
        // Those in a block are noted by themselves.
        if !is_loop && !matches!(kind(node), K::CallExprStat | K::LocalStat | K::ConstStat | K::AssignStat) {
            return;
        }
        let mut seen = Seen::default();
        self.look_through(node, &mut seen);
        let has_no_path =
            |target: &Node| self.target(target).is_none_or(|place| place.keys.last() == Some(&Key::Computed));
        let assigns = || kind(node) == K::AssignStat && self.sides(node).0.iter().any(has_no_path);
        if !seen.calls && !is_loop && !assigns() {
            return;
        }
        let outer = self.conditions.last().map_or(0, |(all, _)| *all);
        let shape = mix(outer, xxh3_64(&self.text.without(node, &seen.closures)));
        let lines = self.text.lines_of(node);
        self.source.effects.push(Effect { lines, shape, literals: seen.literals });
    }

    /// The fingerprint of all but the functions that an expression hands on, if there are some.
    pub(super) fn shape(&self, value: &Node) -> Option<u64> {
        let mut seen = Seen::default();
        self.look_through(value, &mut seen);
        (!seen.closures.is_empty()).then(|| xxh3_64(&self.text.without(value, &seen.closures)))
    }

    /// All of a statement but the functions that it hands to others. One that it calls itself is a part of it.
    fn look_through(&self, node: &Node, seen: &mut Seen) {
        let is_called = is_call(node) || kind(node) == K::ParenExpr;
        seen.calls |= is_call(node);
        seen.literals.extend(self.literal(node));
        for child in node.children() {
            if kind(&child) == K::ClosureExpr && !is_called {
                seen.closures.push(child);
            } else {
                self.look_through(&child, seen);
            }
        }
    }

    /// As [`literal_of_number`] and the text itself have it.
    fn literal(&self, node: &Node) -> Option<Box<str>> {
        if kind(node) != K::LiteralExpr {
            return None;
        }
        let number = || self.text.first(node).parse().ok().map(literal_of_number);
        self.string(node).map(Box::from).or_else(number)
    }
}

/// What a statement has in it.
#[derive(Default)]
struct Seen {
    calls: bool,
    closures: Vec<Node>,
    literals: BTreeSet<Box<str>>,
}

impl Source {
    /// The statements whose shape the other version does not have as often.
    pub(super) fn effects_beyond(&self, other: &Self) -> Vec<&Effect> {
        let mut known: FxHashMap<u64, usize> = FxHashMap::default();
        for effect in &other.effects {
            *known.entry(effect.shape).or_default() += 1;
        }
        let is_new = |effect: &&Effect| match known.get_mut(&effect.shape) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        };
        self.effects.iter().filter(is_new).collect()
    }

    /// The innermost such statement around a function that begins and ends on these lines.
    pub fn effect_around(&self, lines: (u32, u32)) -> Option<&Effect> {
        let around = self.effects.iter().filter(|one| one.lines.0 <= lines.0 && lines.1 <= one.lines.1);
        around.min_by_key(|one| one.lines.1 - one.lines.0)
    }

    /// Whether such a statement stands in the file, whatever the functions in it.
    pub fn has_effect(&self, effect: &Effect) -> bool {
        self.effects.iter().any(|one| one.shape == effect.shape)
    }
}

impl Effect {
    /// Whether another is the same, but for the functions in it.
    pub fn has_shape_of(&self, other: &Self) -> bool {
        self.shape == other.shape
    }

    /// The texts and numbers that stand in it.
    pub fn literals(&self) -> &BTreeSet<Box<str>> {
        &self.literals
    }
}

/// A number as all literals of it are known.
pub fn literal_of_number(number: f64) -> Box<str> {
    number.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::super::{Edits, Registers};
    use super::*;

    /// Whether the load puts the same there, after one replacement in a text.
    fn is_same(text: &str, old: &str, new: &str) -> bool {
        assert!(text.contains(old), "{old}");
        let (before, after) =
            (Source::parse(text.as_bytes()), Source::parse(text.replacen(old, new, 1).as_bytes()));
        *Edits::between(&before, &after).registers() == Registers::Same
    }

    const TEXT: &str = "local bus = require 'bus' local SIZE = 5\n\
        local function setup() bus.add('s') end\nlocal function later() return 1 end\n\
        bus.on('a', function() return 'a1' end)\nsetup()\nbus.size(SIZE)\n\
        for i = 1, 3 do bus.add(i) end\nlocal item = bus.make('x')\nlocal count = 0\nreturn {}";

    #[test]
    fn bodies_of_functions_and_plain_values_are_no_matter() {
        for (old, new) in [
            ("'a1'", "'a2'"),
            ("return 1", "return 2"),
            ("count = 0", "count = 1"),
            ("return {}", "-- c\nreturn {}"),
        ] {
            assert!(is_same(TEXT, old, new), "{old}");
        }
    }

    #[test]
    fn edited_statements_and_what_they_call_and_are_made_of_are() {
        for (old, new) in [
            ("bus.on('a'", "bus.on('b'"),
            ("add('s')", "add('t')"),
            ("SIZE = 5", "SIZE = 6"),
            ("1, 3", "1, 4"),
            ("make('x')", "make('y')"),
            ("setup()\nbus", "bus"),
            ("return {}", "bus.add('z') return {}"),
        ] {
            assert!(!is_same(TEXT, old, new), "{old}");
        }
    }

    #[test]
    fn literals_tell_what_has_come_and_what_has_left() {
        let (old, new) = ("add('a', 1.50) add('b', 2)", "add('a', 3) add('b', 2)");
        let (old, new) = (Source::parse(old.as_bytes()), Source::parse(new.as_bytes()));
        let edits = Edits::between(&old, &new);
        let Registers::Others { come, gone } = edits.registers() else { panic!() };
        assert_eq!(come.iter().map(|text| &**text).collect::<Vec<_>>(), ["3", "a"]);
        assert_eq!(gone.iter().map(|text| &**text).collect::<Vec<_>>(), ["1.5"]);
    }
}
