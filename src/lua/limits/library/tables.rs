//! `table.insert`, `remove`, `move` and `concat` as Lua 5.4 has them, but for one thing: they count their steps, and
//! heed the deadline. Lua's own can't be interrupted, and metamethods may give a table any length.

use std::ffi::CStr;

use super::{SLOT, Type, integer, too_large};
use crate::lua::{
    frame::{Frame, Next, Op, Original, Raise, Steps, Work},
    limits::deadline::{limits, spend},
};

const READ: &[&CStr] = &[c"__index"];
const WRITE: &[&CStr] = &[c"__newindex"];
const READ_LENGTH: &[&CStr] = &[c"__index", c"__len"];
pub(super) const ALL: &[&CStr] = &[c"__index", c"__newindex", c"__len"];
/// Of a text that is copied, so many bytes are one step.
const COPIED: usize = 16;
/// A number that becomes text.
const WRITTEN: usize = 20;
/// No number takes more.
const LONGEST_NUMBER: usize = 32;
/// So many elements are looked at without counting.
const FEW: i64 = 10_000;

pub(super) static CONCAT: Original = Original::new();

#[derive(Clone, Copy, Default)]
pub(super) enum Insert {
    #[default]
    Begin,
    Measured,
    Shift {
        at: i64,
        place: i64,
    },
}

impl Work for Insert {
    type Steps<'f> = Self;
}

impl<'f> Steps<'f> for Insert {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        match *self {
            Self::Begin => {
                *self = Self::Measured;
                return Ok(measured(ALL));
            }
            Self::Measured => {
                let end = frame.answer().wrapping_add(1);
                let place = match frame.arguments() {
                    2 => return Ok(set_last(2, end)),
                    3 => frame.integer(2)?,
                    _ => return Err(Raise::error(format_args!("wrong number of arguments to 'insert'"))),
                };
                check(place >= 1 && place <= end, 2, "position out of bounds")?;
                *self = Self::Shift { at: end, place };
            }
            Self::Shift { .. } => {}
        }
        let Self::Shift { at, place } = self else { return Ok(Next::NOTHING) };
        if at > place {
            spend(frame, 1)?;
            *at -= 1;
            return Ok(moved(*at, *at + 1));
        }
        Ok(set_last(3, *place))
    }
}

fn set_last<'s>(argument: i32, place: i64) -> Next<'s> {
    Next::Return([Op::Copy(argument), Op::Set(1, place)].into(), 0)
}

#[derive(Clone, Copy, Default)]
pub(super) enum Remove {
    #[default]
    Begin,
    Measured,
    Shift {
        at: i64,
        size: i64,
    },
}

impl Work for Remove {
    type Steps<'f> = Self;
}

impl<'f> Steps<'f> for Remove {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        match self {
            Self::Begin => {
                *self = Self::Measured;
                Ok(measured(ALL))
            }
            Self::Measured => {
                let size = frame.answer();
                let place = frame.integer_or(2, size)?;
                let is_within = place >= 1 && place.wrapping_sub(1) <= size;
                check(place == size || is_within, 2, "position out of bounds")?;
                *self = Self::Shift { at: place, size };
                Ok(Next::then([Op::Get(1, place)]))
            }
            Self::Shift { at, size } if *at < *size => {
                spend(frame, 1)?;
                *at += 1;
                Ok(moved(*at, *at - 1))
            }
            // What was there first is left on top.
            Self::Shift { at, .. } => Ok(Next::Return([Op::Nil, Op::Set(1, *at)].into(), 1)),
        }
    }
}

#[derive(Clone, Copy, Default)]
pub(super) enum Move {
    #[default]
    Begin,
    Checked {
        first: i64,
        last: i64,
        to: i64,
    },
    Compared {
        first: i64,
        count: i64,
        to: i64,
    },
    Going {
        first: i64,
        to: i64,
        done: i64,
        count: i64,
        backward: bool,
    },
}

impl Work for Move {
    type Steps<'f> = Self;
}

impl<'f> Steps<'f> for Move {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        let target: u8 = if frame.is_nothing(5) { 1 } else { 5 };
        match *self {
            Self::Begin => {
                let (first, last, to) = (frame.integer(2)?, frame.integer(3)?, frame.integer(4)?);
                *self = Self::Checked { first, last, to };
                return Ok(Next::then([Op::TableLike(1, READ), Op::TableLike(target.into(), WRITE)]));
            }
            Self::Checked { first, last, .. } if last < first => {
                return Ok(Next::values([Op::Copy(target.into())]));
            }
            Self::Checked { first, last, to } => {
                if let Some(limits) = limits()
                    && last.saturating_sub(first) >= integer(limits.memory / SLOT)
                {
                    return Err(Raise::error(format_args!(
                        "table.move: more elements than fit into the memory (session.budget.memory)"
                    )));
                }
                check(first > 0 || last < i64::MAX + first, 3, "too many elements to move")?;
                let count = last - first + 1;
                check(to <= i64::MAX - count + 1, 4, "destination wrap around")?;
                if to <= last && to > first && target != 1 {
                    *self = Self::Compared { first, count, to };
                    return Ok(Next::then([Op::Equal(1, target.into())]));
                }
                *self = Self::Going { first, to, done: 0, count, backward: to <= last && to > first };
            }
            Self::Compared { first, count, to } => {
                *self = Self::Going { first, to, done: 0, count, backward: frame.is_so() };
            }
            Self::Going { .. } => {}
        }
        let Self::Going { first, to, done, count, backward } = self else { return Ok(Next::NOTHING) };
        if done == count {
            return Ok(Next::values([Op::Copy(target.into())]));
        }
        spend(frame, 1)?;
        let at = if *backward { *count - 1 - *done } else { *done };
        *done += 1;
        Ok(Next::then([Op::Move { of: 1, from: *first + at, into: target, to: *to + at }]))
    }
}

#[derive(Clone, Copy, Default)]
pub(super) enum Concat<'f> {
    #[default]
    Begin,
    Measured,
    /// The element at that place is on top.
    Got {
        at: i64,
        last: i64,
        separator: &'f [u8],
        most: usize,
    },
    /// The last was added.
    Over {
        most: usize,
    },
}

impl Work for Concat<'_> {
    type Steps<'f> = Concat<'f>;
}

impl<'f> Steps<'f> for Concat<'f> {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        match self {
            Self::Begin => {
                *self = Self::Measured;
                Ok(measured(READ_LENGTH))
            }
            Self::Measured => {
                let separator = if frame.is_nothing(2) { &[] } else { frame.text(2)? };
                let at = frame.integer_or(3, 1)?;
                let last = frame.integer_or(4, frame.answer())?;
                if at > last {
                    return Ok(Next::values([Op::Text(b"")]));
                }
                let most = limits().map_or(usize::MAX, |limits| limits.string);
                // Step by step it takes four times as long.
                if last.saturating_sub(at) < FEW
                    && let Some(bytes) =
                        frame.length_of_elements(1, at..=last, separator.len(), LONGEST_NUMBER)
                    && bytes <= most
                {
                    spend(frame, 1 + bytes / COPIED)?;
                    return Ok(Next::Original(&CONCAT, None));
                }
                *self = Self::Got { at, last, separator, most };
                Ok(Next::then([Op::Buffer, Op::Get(1, at)]))
            }
            Self::Got { at, last, separator, most } => {
                check_size(frame, *most)?;
                match frame.type_of(-1) {
                    Type::String => spend(frame, 1 + (frame.text_length(-1) + separator.len()) / COPIED)?,
                    Type::Number => spend(frame, WRITTEN + separator.len() / COPIED)?,
                    _ => {
                        let kind = frame.type_name(-1);
                        return Err(Raise::error(format_args!(
                            "invalid value ({kind}) at index {at} in table for 'concat'"
                        )));
                    }
                }
                if at == last {
                    *self = Self::Over { most: *most };
                    return Ok(Next::then([Op::AddTop]));
                }
                *at += 1;
                Ok(Next::then([Op::AddTop, Op::Add(separator), Op::Get(1, *at)]))
            }
            Self::Over { most } => {
                check_size(frame, *most)?;
                Ok(Next::Return([Op::Finish].into(), 1))
            }
        }
    }
}

/// Of what is there so far.
fn check_size(frame: Frame<'_>, most: usize) -> Result<(), Raise> {
    if frame.buffered() > most { Err(too_large("table.concat", most)) } else { Ok(()) }
}

/// Of the first argument, which has to be a table or to behave like one in so far.
pub(super) fn measured<'s>(names: &'static [&'static CStr]) -> Next<'s> {
    Next::then([Op::TableLike(1, names), Op::Length(1)])
}

/// From a place in the first argument to another.
fn moved<'s>(from: i64, to: i64) -> Next<'s> {
    Next::then([Op::Move { of: 1, from, into: 1, to }])
}

pub(super) fn check(is_so: bool, argument: i32, otherwise: &str) -> Result<(), Raise> {
    if is_so { Ok(()) } else { Err(Raise::argument(argument, format_args!("{otherwise}"))) }
}

#[cfg(test)]
mod tests {
    use mlua::Lua;

    use super::super::guard;

    /// Both do the same to tables of their own, and give the same, errors included.
    const COMPARE: &str = "
local ours, original = ...
local function shown(t, n)
  local parts = {}
  for i = 0, n + 3 do parts[#parts + 1] = tostring(rawget(t, i)) end
  return table.concat(parts, ',')
end
local function values(n, kind)
  local t = {}
  for i = 1, n do
    local v = math.random(n)
    if kind == 'text' then v = ('k'):rep(v % 5) .. v elseif kind == 'mixed' and v % 7 == 0 then v = v + 0.5 end
    t[i] = v
  end
  return kind == 'stepwise' and setmetatable(t, {}) or t
end
local orders = {
  false, function(a, b) return a > b end, function(a, b) return a < b end,
  function() return true end, function(a, b) return a <= b end, function() return false end,
  function(a, b) if a == 3 then error('three') end return a < b end,
}
local seed = 0
local function both(name, n, kind, ...)
  seed = seed + 1
  local results = {}
  for i, library in ipairs { ours, original } do
    math.randomseed(seed)
    local t = values(n, kind)
    local r = table.pack(pcall(library[name], t, ...))
    for j = 1, r.n do if r[j] == t then r[j] = 'the table' else r[j] = tostring(r[j]):gsub([[to '[%w.?]+']], '') end end
    results[i] = table.concat(r, ' ') .. ' ' .. shown(t, n)
  end
  assert(results[1] == results[2], name .. ': ' .. results[1] .. ' / ' .. results[2])
end
for round = 1, 2000 do
  local n = math.random(0, 12)
  local place = math.random(-2, 15)
  both('insert', n, 'mixed', place, 'new')
  both('insert', n, 'mixed', 'new')
  both('insert', n, 'mixed', 1, 2, 3)
  both('remove', n, 'mixed', place)
  both('remove', n, 'mixed')
  both('move', n, 'mixed', place, math.random(-2, 15), math.random(-2, 15))
  both('concat', n, 'mixed', ', ', math.random(0, 3), math.random(0, 13))
  both('concat', n, 'text')
  both('concat', n, 'stepwise', ', ', math.random(0, 3), math.random(0, 13))
  both('concat', n, 'stepwise')
  for _, order in ipairs(orders) do both('sort', n, 'mixed', order or nil) end
  both('sort', n, 'text')
end
for _, n in ipairs { 99, 100, 101, 128, 1000 } do
  for _, order in ipairs(orders) do both('sort', n, 'mixed', order or nil) end
end
both('move', 3, 'mixed', 1, 3, 2, 'x')
both('move', 3, 'mixed', math.mininteger, math.maxinteger, 1)
both('move', 3, 'mixed', 1, 3, math.maxinteger)
both('concat', 3, 'mixed', {})
both('sort', 3, 'mixed', 1)
local proxy = function()
  local inner = { 3, 1, 2 }
  return setmetatable({}, { __len = function() return #inner end, __index = inner, __newindex = function(_, k, v) inner[k] = v end }), inner
end
for _, library in ipairs { ours, original } do
  -- It is asked for its length once: the second time it might have another.
  local asked = 0
  local long = setmetatable({ 'a', 'b', 'c' }, { __len = function() asked = asked + 1 return 4 - asked end })
  assert(library.concat(long) == 'abc' and asked == 1)
  local p, inner = proxy()
  library.sort(p)
  library.insert(p, 2, 9)
  assert(library.concat(p, ',') == '1,9,2,3' and library.remove(p, 1) == 1 and #inner == 3)
  for _, bad in ipairs { 1, 'x', print } do
    assert(not pcall(library.insert, bad, 1) and not pcall(library.sort, bad) and not pcall(library.concat, bad))
  end
end
return true";

    #[test]
    fn they_do_to_tables_what_those_of_lua_do() {
        let lua = Lua::new();
        let original: mlua::Table = lua.globals().get("table").unwrap();
        let kept = lua.create_table().unwrap();
        for pair in original.pairs::<String, mlua::Function>() {
            let (name, function) = pair.unwrap();
            kept.set(name, function).unwrap();
        }
        guard(&lua).unwrap();
        // The same table, with our functions.
        assert!(lua.load(COMPARE).call::<bool>((original, kept)).unwrap());
    }
}
