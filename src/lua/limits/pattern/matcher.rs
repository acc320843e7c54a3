//! Lua's patterns, matched as Lua 5.4 does it, but for one thing: it counts its steps, and asks from time to
//! time whether it may go on.
//!
//! A pattern is read while it is matched and not before, as in Lua: what is wrong with it is an error only
//! where matching comes to it.

use super::{
    item::{Item, Set},
    stop::Stop,
    written::Written,
};

/// Captures in one pattern: Lua's `LUA_MAXCAPTURES`.
const MAX_CAPTURES: usize = 32;
/// Calls of the matcher inside each other: Lua's `MAXCCALLS`.
const MAX_DEPTH: u32 = 200;
/// Steps between two questions whether to go on: some ten microseconds.
const STEPS: usize = 10_000;
/// Of a text that is compared as a whole, so many bytes are one step.
const COMPARED: usize = 16;

/// What a pair of parentheses has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capture<'s> {
    Text(&'s [u8]),
    /// Where it is, counted from 0.
    Position(usize),
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    start: usize,
    extent: Extent,
}

/// How many bytes it has. One word and not an enum: 32 of them are set up for each match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent(usize);

impl Extent {
    /// It has no end yet.
    const OPEN: Self = Self(usize::MAX);
    const POSITION: Self = Self(usize::MAX - 1);
}

/// Where the rest of the pattern ends to match, if it does.
type End = Result<Option<usize>, Stop>;

/// Says whether a search may go on.
pub(super) trait GoesOn {
    fn goes_on(&mut self) -> bool;
}

impl<F: FnMut() -> bool> GoesOn for F {
    fn goes_on(&mut self) -> bool {
        self()
    }
}

/// Matches one pattern against one text.
#[derive(Clone, Copy)]
pub(super) struct Matcher<'s, 'p, G> {
    text: &'s [u8],
    pattern: Written<'p>,
    /// Whether the pattern is to match at the place where the search begins, and nowhere else.
    anchored: bool,
    /// What each match begins with, if the pattern says so at once: the places without it need no closer look.
    first: Option<Item<'p>>,
    goes_on: G,
    steps: usize,
    depth: u32,
    level: usize,
    captures: [Taken; MAX_CAPTURES],
}

impl<'s, 'p, G: GoesOn> Matcher<'s, 'p, G> {
    /// A `^` that comes first is an anchor if `anchors`. `goes_on` is asked every so many steps.
    #[inline]
    pub(super) fn new(text: &'s [u8], pattern: &'p [u8], anchors: bool, goes_on: G) -> Self {
        let (pattern, anchored) = match pattern {
            [b'^', rest @ ..] if anchors => (Written(rest), true),
            _ => (Written(pattern), false),
        };
        let first = if anchored { None } else { pattern.first() };
        let captures = [Taken { start: 0, extent: Extent(0) }; MAX_CAPTURES];
        let (steps, depth) = (STEPS, MAX_DEPTH);
        Self { text, pattern, anchored, first, goes_on, steps, depth, level: 0, captures }
    }

    pub(super) fn is_anchored(&self) -> bool {
        self.anchored
    }

    /// The first match that begins at `from` or later, and does not end at `last`: where the one before
    /// ended.
    pub(super) fn search(
        &mut self,
        from: usize,
        last: Option<usize>,
    ) -> Result<Option<(usize, usize)>, Stop> {
        let mut start = from;
        while start <= self.text.len() {
            if let Some(item) = self.first {
                start += self.count(start, item, Item::gap)?;
            }
            (self.depth, self.level) = (MAX_DEPTH, 0);
            if let Some(end) = self.matched(start, 0)?.filter(|end| Some(*end) != last) {
                return Ok(Some((start, end)));
            }
            if self.anchored {
                break;
            }
            start += 1;
        }
        Ok(None)
    }

    pub(super) fn text(&self, (start, end): (usize, usize)) -> &'s [u8] {
        &self.text[start..end]
    }

    /// How many captures the match has that was found.
    pub(super) fn captures(&self) -> usize {
        self.level
    }

    /// A capture of the match, which is where it was found; without captures, the first is the match itself.
    pub(super) fn capture(&self, index: usize, found: (usize, usize)) -> Result<Capture<'s>, Stop> {
        let Some(taken) = self.captures[..self.level].get(index) else {
            return match index {
                0 => Ok(Capture::Text(self.text(found))),
                _ => Err(Stop::NoSuchCapture(u8::try_from(index + 1).unwrap_or(u8::MAX))),
            };
        };
        match taken.extent {
            Extent::OPEN => Err(Stop::UnfinishedCapture),
            Extent::POSITION => Ok(Capture::Position(taken.start)),
            Extent(length) => Ok(Capture::Text(&self.text[taken.start..taken.start + length])),
        }
    }

    /// So many steps have been done, or will be.
    #[inline]
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => self.ask(),
        }
    }

    #[cold]
    fn ask(&mut self) -> Result<(), Stop> {
        self.steps = STEPS;
        if self.goes_on.goes_on() { Ok(()) } else { Err(Stop::Interrupted) }
    }

    /// Matches the pattern from `p` on, with the text from `s` on.
    fn matched(&mut self, s: usize, p: usize) -> End {
        let Some(depth) = self.depth.checked_sub(1) else { return Err(Stop::TooComplex) };
        self.depth = depth;
        let end = self.rest(s, p)?;
        self.depth += 1;
        Ok(end)
    }

    fn rest(&mut self, mut s: usize, mut p: usize) -> End {
        loop {
            self.spend(1)?;
            let Some(&first) = self.pattern.0.get(p) else { return Ok(Some(s)) };
            match first {
                b'(' if self.pattern.at(p + 1) == b')' => return self.open(s, p + 2, Extent::POSITION),
                b'(' => return self.open(s, p + 1, Extent::OPEN),
                b')' => return self.close(s, p + 1),
                b'$' if p + 1 == self.pattern.0.len() => return Ok((s == self.text.len()).then_some(s)),
                b'%' => match self.pattern.at(p + 1) {
                    b'b' => {
                        let Some(end) = self.balanced(s, p + 2)? else { return Ok(None) };
                        (s, p) = (end, p + 4);
                        continue;
                    }
                    b'f' => {
                        let Some(end) = self.frontier(s, p + 2)? else { return Ok(None) };
                        p = end;
                        continue;
                    }
                    digit @ b'0'..=b'9' => {
                        let Some(end) = self.again(s, digit - b'0')? else { return Ok(None) };
                        (s, p) = (end, p + 2);
                        continue;
                    }
                    _ => {}
                },
                _ => {}
            }
            let end = self.pattern.item_end(p)?;
            let item = Item::new(&self.pattern.0[p..end]);
            self.spend(item.cost() - 1)?;
            let takes = self.text.get(s).is_some_and(|&byte| item.takes(byte));
            match self.pattern.at(end) {
                b'?' => {
                    if takes && let Some(found) = self.matched(s + 1, end + 1)? {
                        return Ok(Some(found));
                    }
                    p = end + 1;
                }
                b'+' => return if takes { self.as_many_as_possible(s + 1, item, end + 1) } else { Ok(None) },
                b'*' if takes => return self.as_many_as_possible(s, item, end + 1),
                b'-' if takes => return self.as_few_as_possible(s, item, end + 1),
                b'*' | b'-' => p = end + 1,
                _ if takes => (s, p) = (s + 1, end),
                _ => return Ok(None),
            }
        }
    }

    fn as_many_as_possible(&mut self, s: usize, item: Item<'p>, p: usize) -> End {
        let most = if let Item::Any = item { self.text.len() - s } else { self.count(s, item, Item::run)? };
        for count in (0..=most).rev() {
            if let Some(end) = self.matched(s + count, p)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// Counts bytes from `s` on, by [`Item::run`] or [`Item::gap`].
    #[inline]
    fn count(
        &mut self,
        s: usize,
        item: Item<'p>,
        by: impl Fn(Item<'p>, &[u8]) -> usize,
    ) -> Result<usize, Stop> {
        let cost = item.cost();
        let mut count = 0;
        for part in self.text[s..].chunks((STEPS / cost).max(1)) {
            let counted = by(item, part);
            count += counted;
            self.spend(cost.saturating_mul(counted))?;
            if counted < part.len() {
                break;
            }
        }
        Ok(count)
    }

    fn as_few_as_possible(&mut self, mut s: usize, item: Item<'p>, p: usize) -> End {
        loop {
            if let Some(end) = self.matched(s, p)? {
                return Ok(Some(end));
            }
            self.spend(item.cost())?;
            match self.text.get(s) {
                Some(&byte) if item.takes(byte) => s += 1,
                _ => return Ok(None),
            }
        }
    }

    fn open(&mut self, s: usize, p: usize, extent: Extent) -> End {
        let level = self.level;
        *self.captures.get_mut(level).ok_or(Stop::TooManyCaptures)? = Taken { start: s, extent };
        self.level = level + 1;
        let end = self.matched(s, p)?;
        if end.is_none() {
            self.level -= 1;
        }
        Ok(end)
    }

    fn close(&mut self, s: usize, p: usize) -> End {
        let is_open = |taken: &Taken| taken.extent == Extent::OPEN;
        let last = self.captures[..self.level].iter().rposition(is_open).ok_or(Stop::NothingToClose)?;
        self.captures[last].extent = Extent(s - self.captures[last].start);
        let end = self.matched(s, p)?;
        if end.is_none() {
            self.captures[last].extent = Extent::OPEN;
        }
        Ok(end)
    }

    /// `%1`: what a capture has, once more.
    fn again(&mut self, s: usize, number: u8) -> End {
        let taken =
            usize::from(number).checked_sub(1).and_then(|index| self.captures[..self.level].get(index));
        let (start, length) = match taken {
            // A position is like no text.
            Some(Taken { extent: Extent::POSITION, .. }) => return Ok(None),
            Some(Taken { extent: Extent::OPEN, .. }) | None => return Err(Stop::NoSuchCapture(number)),
            Some(taken) => (taken.start, taken.extent.0),
        };
        self.spend(length / COMPARED)?;
        let is_there = self.text[s..].starts_with(&self.text[start..start + length]);
        Ok(is_there.then_some(s + length))
    }

    /// `%bxy`, whose characters are at `p`.
    fn balanced(&mut self, s: usize, p: usize) -> End {
        let (Some(&open), Some(&close)) = (self.pattern.0.get(p), self.pattern.0.get(p + 1)) else {
            return Err(Stop::BalanceWithoutArguments);
        };
        let Some((&first, rest)) = self.text[s..].split_first() else { return Ok(None) };
        if first != open {
            return Ok(None);
        }
        let (mut inside, mut at) = (1usize, s + 1);
        for part in rest.chunks(STEPS) {
            self.spend(part.len())?;
            for &byte in part {
                at += 1;
                if byte == close {
                    inside -= 1;
                    if inside == 0 {
                        return Ok(Some(at));
                    }
                } else if byte == open {
                    inside += 1;
                }
            }
        }
        Ok(None)
    }

    /// `%f[set]`, whose set is at `p`. Says where the pattern goes on.
    fn frontier(&mut self, s: usize, p: usize) -> End {
        if self.pattern.at(p) != b'[' {
            return Err(Stop::FrontierWithoutSet);
        }
        let end = self.pattern.set_end(p)?;
        self.spend(end - p)?;
        let set = Set::new(&self.pattern.0[p..end]);
        let before = s.checked_sub(1).map_or(0, |before| self.text[before]);
        let here = self.text.get(s).copied().unwrap_or(0);
        Ok((!set.takes(before) && set.takes(here)).then_some(end))
    }
}
