//! Functions of Lua's library that could take a thread, or the memory, before any hook looks, and what stands in
//! place of each or in front of it.
//!
//! | file | what it does |
//! |---|---|
//! | this one | the list; results that would be too large are refused |
//! | `library/tables.rs`, `library/sorting.rs` | functions of `table`, which heed the deadline |
//! | `library/loading.rs` | `load`, which does as well |
//! | `library/coroutines.rs` | `coroutine.wrap` and `close`, for what the deadline has ended |
//! | `library/counted.rs` | counts the calls of those that take some hundredths of a second |
//! | `pattern/` | functions of `string` that take a pattern |
//!
//! They are C functions: a wrapper in Lua would stand in every session's memory, cost a call, and hide the name
//! of the function and the line of the caller from error messages. A test goes through all that a session has.

mod coroutines;
mod counted;
mod loading;
mod sorting;
mod tables;

use std::ffi::CStr;

use mlua::Lua;

use super::{
    deadline::{exceeds, limits},
    pattern,
};
use crate::lua::frame::{CFunction, Exchange, Frame, Next, Op, Original, Raise, Steps, Type, Work, exchange};

/// Bytes of a slot in a table: no table that fits into the memory has more elements than this allows.
const SLOT: usize = 16;
/// The most that `string.format` makes of a number: `%99.99f` of the largest.
const NUMBER: usize = 512;
/// The most that one byte of a format of `os.date` becomes: Lua has 250 for two.
const DATE: usize = 125;

static REP: Original = Original::new();
static PACK: Original = Original::new();
static FORMAT: Original = Original::new();
static OS_DATE: Original = Original::new();
static SETMETATABLE: Original = Original::new();

const fn ours(library: &'static CStr, name: &'static CStr, ours: CFunction) -> Exchange {
    Exchange { library, name, ours, original: None }
}

const fn before(
    library: &'static CStr,
    name: &'static CStr,
    ours: CFunction,
    original: &'static Original,
) -> Exchange {
    Exchange { library, name, ours, original: Some(original) }
}

static GUARDS: [Exchange; 19] = [
    ours(c"string", c"find", CFunction::of::<pattern::Find>()),
    ours(c"string", c"match", CFunction::of::<pattern::Match>()),
    ours(c"string", c"gmatch", CFunction::once(pattern::gmatch)),
    ours(c"string", c"gsub", CFunction::of::<pattern::Gsub>()),
    ours(c"table", c"insert", CFunction::of::<tables::Insert>()),
    ours(c"table", c"move", CFunction::of::<tables::Move>()),
    ours(c"table", c"remove", CFunction::of::<tables::Remove>()),
    ours(c"table", c"sort", CFunction::of::<sorting::Sort>()),
    ours(c"debug", c"setmetatable", CFunction::of::<DebugSetMetatable>()),
    before(c"table", c"concat", CFunction::of::<tables::Concat>(), &tables::CONCAT),
    before(c"string", c"rep", CFunction::once(rep), &REP),
    before(c"string", c"pack", CFunction::once(pack), &PACK),
    before(c"string", c"format", CFunction::once(format), &FORMAT),
    before(c"os", c"date", CFunction::once(date), &OS_DATE),
    before(c"utf8", c"codes", CFunction::once(counted::codes), &counted::CODES),
    before(c"_G", c"load", CFunction::once(loading::load), &loading::LOAD),
    before(c"_G", c"next", CFunction::once(counted::next), &counted::NEXT),
    before(c"_G", c"pairs", CFunction::once(counted::pairs), &counted::PAIRS),
    before(c"_G", c"setmetatable", CFunction::of::<SetMetatable>(), &SETMETATABLE),
];

/// Without these, a coroutine that the deadline has ended could go on for ever.
static COROUTINES: [Exchange; 2] = [
    ours(c"coroutine", c"wrap", CFunction::once(coroutines::wrap)),
    before(c"coroutine", c"close", CFunction::once(coroutines::close), &coroutines::CLOSE),
];

/// What Lua 5.5 has beyond these.
#[cfg(feature = "lua55")]
static NEW: &[Exchange] = &[before(c"table", c"create", CFunction::once(create), &CREATE)];
#[cfg(not(feature = "lua55"))]
static NEW: &[Exchange] = &[];

#[cfg(feature = "lua55")]
static CREATE: Original = Original::new();

/// Room for that many elements is taken at once.
#[cfg(feature = "lua55")]
fn create(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    let slots = |at| usize::try_from(frame.try_integer(at).unwrap_or(0)).unwrap_or(0);
    let size = slots(1).saturating_add(slots(2).saturating_mul(2)).saturating_mul(SLOT);
    has_memory(frame, size)?;
    Ok(Next::Original(&CREATE, None))
}

/// Puts them into a state in which nothing of the user has run.
pub(in crate::lua) fn guard(lua: &Lua) -> mlua::Result<()> {
    for exchanges in [&GUARDS[..], counted::COUNTED, NEW] {
        exchange(lua, exchanges)?;
    }
    guard_coroutines(lua)
}

/// What a state needs that has a deadline, and a library that is left as it is. Who has taken the functions out of
/// it before goes without.
pub(in crate::lua) fn guard_coroutines(lua: &Lua) -> mlua::Result<()> {
    exchange(lua, &COROUTINES)
}

/// Said here because Lua's own "not enough memory" comes without file and line.
fn has_memory(frame: Frame<'_>, size: usize) -> Result<(), Raise> {
    match limits() {
        Some(limits)
            if frame.used().saturating_add(size) > limits.memory
                && exceeds(frame, limits.memory.saturating_sub(size)) =>
        {
            Err(Raise::error(format_args!("not enough memory")))
        }
        _ => Ok(()),
    }
}

fn rep(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    let original = Ok(Next::Original(&REP, None));
    let (Some(limits), Some(one), Some(times)) = (limits(), length(frame, 1), frame.try_integer(2)) else {
        return original;
    };
    let Ok(times) = usize::try_from(times) else { return original };
    let separator = length(frame, 3).unwrap_or(0);
    if one + separator == 0 {
        // Lua would count to `times` all the same.
        return Ok(Next::values([Op::Text(b"")]));
    }
    let size = one.saturating_mul(times).saturating_add(separator.saturating_mul(times.saturating_sub(1)));
    if size > limits.string {
        return Err(too_large("string.rep", limits.string));
    }
    has_memory(frame, size)?;
    original
}

/// The limit for one string, and the first argument, if there is a limit and it is a string.
fn limit_and_format(frame: Frame<'_>) -> Result<Option<(usize, &[u8])>, Raise> {
    match limits().filter(|_| frame.type_of(1) == Type::String) {
        Some(limits) => Ok(Some((limits.string, frame.text(1)?))),
        None => Ok(None),
    }
}

/// Fields of a fixed size are filled up: a short format makes a string of any length.
fn pack(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    if let Some((most, format)) = limit_and_format(frame)?
        && fixed_size(format).saturating_add(format.len()) > most
    {
        return Err(too_large("string.pack", most));
    }
    Ok(Next::Original(&PACK, None))
}

/// Bytes of all `c123` in a format of `string.pack`. The other options that have a number after them are of
/// 16 bytes at most.
fn fixed_size(format: &[u8]) -> usize {
    let mut fields = format.split(|&byte| byte == b'c');
    fields.next();
    fields.fold(0, |sum: usize, field| {
        let digits = field.iter().take_while(|byte| byte.is_ascii_digit());
        let size =
            digits.fold(0, |n: usize, &digit| n.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
        sum.saturating_add(size)
    })
}

/// How long the text will be is known when it is made. Until then: no longer than this.
fn format(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    if let Some((most, format)) = limit_and_format(frame)? {
        let quotes = memchr::memmem::find(format, b"%q").is_some();
        let mut size = format.len();
        for at in 2..=frame.arguments() {
            size = size.saturating_add(match frame.type_of(at) {
                // A byte may become `\\255`.
                Type::String if quotes => frame.text_length(at).saturating_mul(4),
                Type::String => frame.text_length(at),
                _ => NUMBER,
            });
        }
        if size > most {
            return Err(could_be_too_large("string.format", most));
        }
    }
    Ok(Next::Original(&FORMAT, None))
}

fn date(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    if let Some((most, format)) = limit_and_format(frame)?
        && format.len().saturating_mul(DATE) > most
    {
        return Err(could_be_too_large("os.date", most));
    }
    Ok(Next::Original(&OS_DATE, None))
}

/// A finalizer runs where no deadline can stop it.
#[derive(Clone, Copy, Default)]
struct SetMetatable {
    is_looked_for: bool,
}

impl Work for SetMetatable {
    type Steps<'f> = Self;
}

impl<'f> Steps<'f> for SetMetatable {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        if !self.is_looked_for && frame.type_of(2) == Type::Table {
            self.is_looked_for = true;
            return Ok(Next::then([Op::Text(b"__gc"), Op::RawIndex(2)]));
        }
        if self.is_looked_for && frame.type_of(-1) != Type::Nil {
            return Err(Raise::error(format_args!("__gc is not available in a session; use __close")));
        }
        Ok(Next::Original(&SETMETATABLE, None))
    }
}

/// The prelude's. Lua looks for a finalizer when a metatable is set and never again; so here it finds none,
/// even if the user put one into a metatable that was set before.
#[derive(Clone, Copy, Default)]
enum DebugSetMetatable {
    #[default]
    Begin,
    Finalizer,
    Without,
    Again,
    Done,
}

impl Work for DebugSetMetatable {
    type Steps<'f> = Self;
}

impl<'f> Steps<'f> for DebugSetMetatable {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        let (next, then) = match self {
            Self::Begin if frame.type_of(2) == Type::Table => {
                (Self::Finalizer, Next::then([Op::Text(b"__gc"), Op::RawIndex(2)]))
            }
            Self::Finalizer if frame.type_of(-1) != Type::Nil => {
                (Self::Without, Next::then([Op::Text(b"__gc"), Op::Nil, Op::RawSet(2)]))
            }
            // What was found lies on top.
            Self::Without => {
                (Self::Again, Next::then([Op::Copy(2), Op::SetMetatable(1), Op::Text(b"__gc"), Op::Swap]))
            }
            Self::Again => (Self::Done, Next::then([Op::RawSet(2)])),
            Self::Done => (Self::Done, Next::values([Op::Copy(1)])),
            Self::Begin if frame.is_nothing(2) => (Self::Done, Next::then([Op::Nil, Op::SetMetatable(1)])),
            Self::Begin | Self::Finalizer => (Self::Done, Next::then([Op::Copy(2), Op::SetMetatable(1)])),
        };
        *self = next;
        Ok(then)
    }
}

/// Bytes of an argument that is text; a number has few.
fn length(frame: Frame<'_>, at: i32) -> Option<usize> {
    match frame.type_of(at) {
        Type::String => Some(frame.text_length(at)),
        Type::Number => Some(1),
        _ => None,
    }
}

fn integer(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn too_large(function: &str, most: usize) -> Raise {
    let most = most / 1024;
    Raise::error(format_args!(
        "{function}: the result would be larger than {most} KiB (session.budget.string)"
    ))
}

fn could_be_too_large(function: &str, most: usize) -> Raise {
    let most = most / 1024;
    Raise::error(format_args!(
        "{function}: the result could be larger than {most} KiB (session.budget.string)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_fixed_size_in_a_format_are_added_up() {
        for (format, size) in
            [("", 0), ("c10", 10), ("<i4c100zc1", 101), ("c", 0), ("s1c99999999999999999999c1", usize::MAX)]
        {
            assert_eq!(fixed_size(format.as_bytes()), size, "{format}");
        }
    }
}
