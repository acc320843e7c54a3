//! `string.find`, `match` and `gmatch`, on our matcher: what they take, give and raise is what Lua's own do.

use super::{
    matcher::{Capture, GoesOn, Matcher},
    stop::Stop,
};
use crate::lua::{
    frame::{CFunction, Frame, Next, Op, Raise, Steps, Work},
    limits::deadline::{look, may_go_on, spend},
};

/// A pattern without any of them is a text.
const SPECIAL: &[u8] = b"^$*+?.([%-";
/// Bytes of a text in which a text is searched that are one step.
const SEARCHED: usize = 64;
/// From so many bytes on it is worth to get ready for the search of a text.
const LONG: usize = 128;

/// As long as there is time.
#[derive(Clone, Copy)]
pub(super) struct InTime<'f>(pub(super) Frame<'f>);

impl GoesOn for InTime<'_> {
    fn goes_on(&mut self) -> bool {
        may_go_on(self.0)
    }
}

pub(super) type Matching<'f> = Matcher<'f, 'f, InTime<'f>>;

/// What was found, while its captures are pushed one by one.
#[derive(Clone, Copy)]
pub(super) struct Captures {
    found: (usize, usize),
    next: usize,
    count: usize,
}

impl Captures {
    /// At least `least` of them, of which the first is the match itself.
    pub(super) fn of(matcher: &Matching<'_>, found: (usize, usize), least: usize) -> Self {
        Self { found, next: 0, count: matcher.captures().max(least) }
    }

    pub(super) fn count(&self) -> i32 {
        i32::try_from(self.count).unwrap_or(i32::MAX)
    }

    /// Some of those that are left; nothing when all are there.
    pub(super) fn push<'f>(
        &mut self,
        frame: Frame<'f>,
        matcher: &Matching<'f>,
    ) -> Result<Option<Next<'f>>, Raise> {
        if self.next == self.count {
            return Ok(None);
        }
        let mut ops = [Op::Nothing; 4];
        for op in ops.iter_mut().take(self.count - self.next) {
            *op = push(frame, matcher, self.next, self.found)?;
            self.next += 1;
        }
        Ok(Some(Next::then(ops)))
    }
}

/// Pushes one capture.
pub(super) fn push<'f>(
    frame: Frame<'f>,
    matcher: &Matching<'f>,
    index: usize,
    found: (usize, usize),
) -> Result<Op<'f>, Raise> {
    match matcher.capture(index, found) {
        Ok(Capture::Text(text)) => Ok(Op::Text(text)),
        Ok(Capture::Position(at)) => Ok(Op::Integer(integer(at + 1))),
        Err(stop) => Err(raise(frame, stop)),
    }
}

/// A search, and then its captures.
#[derive(Clone, Copy, Default)]
struct Search<'f>(Option<(Matching<'f>, Captures)>);

impl<'f> Search<'f> {
    fn is_over(&self) -> bool {
        self.0.is_some()
    }

    /// The captures that are left, and then so many values with them.
    fn captures(&mut self, frame: Frame<'f>, with: i32) -> Result<Next<'f>, Raise> {
        let Some((matcher, captures)) = &mut self.0 else { return Ok(Next::NIL) };
        let next = captures.push(frame, matcher)?;
        Ok(next.unwrap_or_else(|| Next::Return([].into(), with + captures.count())))
    }

    /// Searches once. Says what was found, of which there are at least `least` captures.
    fn search(
        &mut self,
        frame: Frame<'f>,
        (text, pattern): (&'f [u8], &'f [u8]),
        from: usize,
        least: usize,
    ) -> Result<Option<(usize, usize)>, Raise> {
        let mut matcher = Matcher::new(text, pattern, true, InTime(frame));
        let found = matcher.search(from, None).map_err(|stop| raise(frame, stop))?;
        if let Some(found) = found {
            self.0 = Some((matcher, Captures::of(&matcher, found, least)));
        }
        Ok(found)
    }
}

#[derive(Clone, Copy, Default)]
pub(in crate::lua) struct Find<'f>(Search<'f>);

impl Work for Find<'_> {
    type Steps<'f> = Find<'f>;
}

impl<'f> Steps<'f> for Find<'f> {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        if self.0.is_over() {
            return self.0.captures(frame, 2);
        }
        let (text, pattern) = text_and_pattern(frame, 1, 2)?;
        let Some(from) = start(frame, text)? else { return Ok(Next::NIL) };
        if frame.is_true(4) || !pattern.iter().any(|byte| SPECIAL.contains(byte)) {
            let Some(at) = find_text(&text[from..], pattern) else { return Ok(Next::NIL) };
            return Ok(Next::values(range(from + at, from + at + pattern.len())));
        }
        match self.0.search(frame, (text, pattern), from, 0)? {
            Some((start, end)) => Ok(Next::then(range(start, end))),
            None => Ok(Next::NIL),
        }
    }
}

fn find_text(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let Some(first) = wanted.first() else { return Some(0) };
    if text.len() >= LONG {
        return memchr::memmem::find(text, wanted);
    }
    let last = text.len().checked_sub(wanted.len())?;
    (0..=last).find(|&at| text[at] == *first && text[at..].starts_with(wanted))
}

#[derive(Clone, Copy, Default)]
pub(in crate::lua) struct Match<'f>(Search<'f>);

impl Work for Match<'_> {
    type Steps<'f> = Match<'f>;
}

impl<'f> Steps<'f> for Match<'f> {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        if !self.0.is_over() {
            let (text, pattern) = text_and_pattern(frame, 1, 2)?;
            let Some(from) = start(frame, text)? else { return Ok(Next::NIL) };
            if self.0.search(frame, (text, pattern), from, 1)?.is_none() {
                return Ok(Next::NIL);
            }
        }
        self.0.captures(frame, 0)
    }
}

/// An iterator with four upvalues: text, pattern, where to go on, where the last match ended or -1.
pub(in crate::lua) fn gmatch(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    let (text, _) = text_and_pattern(frame, 1, 2)?;
    // Beyond the end there is nothing to be found.
    let from = start(frame, text)?.unwrap_or(text.len() + 1);
    let variables = [Op::Copy(1), Op::Copy(2), Op::Integer(integer(from)), Op::Integer(-1)];
    let [text, pattern, from, last] = variables;
    let iterator = Op::Closure(CFunction::of::<NextMatch<'_>>(), 4);
    Ok(Next::Return([text, pattern, from, last, iterator].into(), 1))
}

#[derive(Clone, Copy, Default)]
struct NextMatch<'f> {
    /// Text and pattern are the last arguments.
    is_pinned: bool,
    search: Search<'f>,
}

impl Work for NextMatch<'_> {
    type Steps<'f> = NextMatch<'f>;
}

impl<'f> Steps<'f> for NextMatch<'f> {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        if !std::mem::replace(&mut self.is_pinned, true) {
            return Ok(Next::then([Op::Pin(1), Op::Pin(2)]));
        }
        if self.search.is_over() {
            return self.search.captures(frame, 0);
        }
        let position = |number| usize::try_from(frame.upvalue_integer(number)).ok();
        let (from, last) = (position(3).unwrap_or(usize::MAX), position(4));
        let at = frame.arguments();
        let (text, pattern) = text_and_pattern(frame, at - 1, at)?;
        let mut matcher = Matcher::new(text, pattern, false, InTime(frame));
        let found = matcher.search(from, last).map_err(|stop| raise(frame, stop))?;
        let Some(found) = found else { return Ok(Next::NOTHING) };
        self.search = Search(Some((matcher, Captures::of(&matcher, found, 1))));
        let end = Op::Integer(integer(found.1));
        Ok(Next::then([end, Op::SetUpvalue(3), end, Op::SetUpvalue(4)]))
    }
}

/// As Lua counts.
fn range<'s>(start: usize, end: usize) -> [Op<'s>; 2] {
    [Op::Integer(integer(start + 1)), Op::Integer(integer(end))]
}

/// What is looked at before the matcher begins to count is counted here.
pub(super) fn text_and_pattern(frame: Frame<'_>, at: i32, then: i32) -> Result<(&[u8], &[u8]), Raise> {
    let (text, pattern) = (frame.text(at)?, frame.text(then)?);
    spend(frame, pattern.len() + text.len() / SEARCHED)?;
    Ok((text, pattern))
}

/// Where the third argument has the search begin, unless that is beyond the end.
fn start(frame: Frame<'_>, text: &[u8]) -> Result<Option<usize>, Raise> {
    let from = match frame.integer_or(3, 1)? {
        from @ 1.. => usize::try_from(from - 1).unwrap_or(usize::MAX),
        0 => 0,
        from => text.len().saturating_sub(usize::try_from(from.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    Ok(Some(from).filter(|from| *from <= text.len()))
}

pub(super) fn integer(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

/// The error of a search that has come to no end.
#[cold]
pub(super) fn raise(frame: Frame<'_>, stop: Stop) -> Raise {
    let message = match stop {
        Stop::Interrupted => match look(frame) {
            Err(raise) => return raise,
            Ok(()) => "interrupted",
        },
        Stop::NoSuchCapture(number) => return Raise::error(format_args!("invalid capture index %{number}")),
        Stop::TooComplex => "pattern too complex",
        Stop::TooManyCaptures => "too many captures",
        Stop::NothingToClose => "invalid pattern capture",
        Stop::UnfinishedCapture => "unfinished capture",
        Stop::EndsWithPercent => "malformed pattern (ends with '%')",
        Stop::SetWithoutEnd => "malformed pattern (missing ']')",
        Stop::BalanceWithoutArguments => "malformed pattern (missing arguments to '%b')",
        Stop::FrontierWithoutSet => "missing '[' after '%f' in pattern",
    };
    Raise::error(format_args!("{message}"))
}
