//! Functions of Lua's own that do in one call what the memory allows, some hundredths of a second: their calls
//! are counted, by what they are given and what they give. A thousand instructions, after which the hook looks,
//! may be hundreds of such calls.

use super::{Exchange, Original};
use crate::lua::{
    frame::{After, CFunction, Frame, Next, Op, Ops, Raise, Type},
    limits::deadline::spend,
};

/// So many arguments are looked at; the others are one step each.
const LOOKED_AT: i32 = 8;
/// Bytes of a text that are one step.
const BYTES: usize = 16;
/// A table that was large and is empty is searched from end to end for its first entry.
const FIRST_ENTRY: usize = 1000;

macro_rules! counted {
    ($($library:literal $name:literal $function:ident $original:ident)*) => {
        $(
            static $original: Original = Original::new();

            fn $function(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
                counted(frame, &$original)
            }
        )*

        pub(super) static COUNTED: &[Exchange] = &[
            $(Exchange {
                library: $library,
                name: $name,
                ours: CFunction::once($function),
                original: Some(&$original),
            }),*
        ];
    };
}

counted! {
    c"string" c"byte" byte BYTE
    c"string" c"char" char CHAR
    c"string" c"lower" lower LOWER
    c"string" c"packsize" packsize PACKSIZE
    c"string" c"reverse" reverse REVERSE
    c"string" c"sub" sub SUB
    c"string" c"unpack" unpack UNPACK
    c"string" c"upper" upper UPPER
    c"table" c"pack" table_pack TABLE_PACK
    c"table" c"unpack" table_unpack TABLE_UNPACK
    c"utf8" c"char" utf8_char UTF8_CHAR
    c"utf8" c"codepoint" codepoint CODEPOINT
    c"utf8" c"len" len LEN
    c"utf8" c"offset" offset OFFSET
    c"math" c"max" max MAX
    c"math" c"min" min MIN
    c"_G" c"select" select SELECT
    c"_G" c"tonumber" tonumber TONUMBER
}

#[inline]
fn counted<'f>(frame: Frame<'f>, original: &'static Original) -> Result<Next<'f>, Raise> {
    let arguments = frame.arguments();
    let mut steps = usize::try_from(arguments).unwrap_or(0);
    for at in 1..=arguments.min(LOOKED_AT) {
        steps += frame.text_length(at) / BYTES;
    }
    spend(frame, steps)?;
    Ok(Next::Original(original, Some(After::Look(count_results))))
}

fn count_results(frame: Frame<'_>, results: i32) -> Result<(), Raise> {
    spend(frame, usize::try_from(results).unwrap_or(0))
}

pub(super) static NEXT: Original = Original::new();
pub(super) static PAIRS: Original = Original::new();

pub(super) fn next(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    if frame.is_nothing(2) {
        spend(frame, FIRST_ENTRY)?;
    }
    Ok(Next::Original(&NEXT, None))
}

pub(super) fn pairs(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    spend(frame, FIRST_ENTRY)?;
    Ok(Next::Original(&PAIRS, None))
}

pub(super) static CODES: Original = Original::new();
/// What `utf8.codes` gives, strictly and not.
static STRICT: Original = Original::new();
static LAX: Original = Original::new();

pub(super) fn codes(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    Ok(Next::Original(&CODES, Some(After::Do(if frame.is_true(2) { count_lax } else { count_strict }))))
}

fn count_strict(frame: Frame<'_>, results: i32) -> (Ops<'_>, i32) {
    frame.note(-results, &STRICT);
    (exchange_iterator(results, CFunction::once(next_strict)), results)
}

fn count_lax(frame: Frame<'_>, results: i32) -> (Ops<'_>, i32) {
    frame.note(-results, &LAX);
    (exchange_iterator(results, CFunction::once(next_lax)), results)
}

fn exchange_iterator<'f>(results: i32, ours: CFunction) -> Ops<'f> {
    Ops::from([Op::Function(ours), Op::Replace(-results - 1)])
}

fn next_strict(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    count_skipped(frame)?;
    Ok(Next::Original(&STRICT, None))
}

fn next_lax(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    count_skipped(frame)?;
    Ok(Next::Original(&LAX, None))
}

/// The bytes within a character that come before the next one: a text may have nothing else.
fn count_skipped(frame: Frame<'_>) -> Result<(), Raise> {
    if frame.type_of(1) != Type::String {
        return Ok(());
    }
    let text = frame.text(1)?;
    let from = usize::try_from(frame.try_integer(2).unwrap_or(0)).unwrap_or(text.len());
    let within = text.get(from..).unwrap_or_default().iter().take_while(|byte| **byte & 0xc0 == 0x80);
    spend(frame, 1 + within.count())
}
