//! `string.gsub`, on our matcher.

use super::{
    functions::{Captures, InTime, Matching, integer, push, raise, text_and_pattern},
    matcher::{Capture, Matcher},
    stop::Stop,
};
use crate::lua::{
    frame::{Frame, Next, Op, Raise, Steps, Type, Work},
    limits::deadline::{may_go_on, note_place},
};

/// After so many bytes of a result more, the time and the memory are looked at.
const LOOKED_AT: usize = 256 * 1024;

/// What a match is replaced by.
#[derive(Clone, Copy)]
enum By<'f> {
    /// A text, with its `%1` and the like filled in.
    Text(&'f [u8]),
    Function,
    Table,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Stage<'f> {
    Search,
    /// The captures are pushed for the function, which is called then.
    Call(Captures),
    /// What the function or table has given is on top.
    Given,
    /// So much of the replacement is left.
    Rest(&'f [u8]),
}

#[derive(Clone, Copy)]
struct Replacing<'f> {
    text: &'f [u8],
    matcher: Matching<'f>,
    by: By<'f>,
    most: i64,
    count: i64,
    /// So much of the text has been copied.
    copied: usize,
    last: Option<usize>,
    found: (usize, usize),
    is_changed: bool,
    /// The length of the result when the time was looked at last.
    looked_at: usize,
    stage: Stage<'f>,
}

#[derive(Clone, Copy, Default)]
pub(in crate::lua) struct Gsub<'f>(Option<Replacing<'f>>);

impl Work for Gsub<'_> {
    type Steps<'f> = Gsub<'f>;
}

impl<'f> Steps<'f> for Gsub<'f> {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        match &mut self.0 {
            Some(replacing) => replacing.step(frame),
            None => {
                self.0 = Some(Replacing::begin(frame)?);
                Ok(Next::then([Op::Buffer]))
            }
        }
    }
}

impl<'f> Replacing<'f> {
    fn begin(frame: Frame<'f>) -> Result<Self, Raise> {
        let (text, pattern) = text_and_pattern(frame, 1, 2)?;
        let most = frame.integer_or(4, integer(text.len() + 1))?;
        let by = match frame.type_of(3) {
            Type::String | Type::Number => By::Text(frame.text(3)?),
            Type::Function => By::Function,
            Type::Table => By::Table,
            _ => {
                let kind = frame.type_name(3);
                return Err(Raise::argument(3, format_args!("string/function/table expected, got {kind}")));
            }
        };
        Ok(Self {
            text,
            matcher: Matcher::new(text, pattern, true, InTime(frame)),
            by,
            most,
            count: 0,
            copied: 0,
            last: None,
            found: (0, 0),
            is_changed: false,
            looked_at: 0,
            stage: Stage::Search,
        })
    }

    fn step(&mut self, frame: Frame<'f>) -> Result<Next<'f>, Raise> {
        match self.stage {
            Stage::Search => self.search(frame),
            Stage::Call(mut captures) => {
                let next = captures.push(frame, &self.matcher)?;
                self.stage = if next.is_some() { Stage::Call(captures) } else { Stage::Given };
                let call = Op::Call { arguments: captures.count(), results: 1 };
                Ok(next.unwrap_or_else(|| Next::then([call])))
            }
            Stage::Given => {
                self.advance();
                if !frame.is_true(-1) {
                    return Ok(Next::then([Op::Pop(1), Op::Add(self.matcher.text(self.found))]));
                }
                if !matches!(frame.type_of(-1), Type::String | Type::Number) {
                    let kind = frame.type_name(-1);
                    return Err(Raise::error(format_args!("invalid replacement value (a {kind})")));
                }
                self.is_changed = true;
                Ok(Next::then([Op::AddTop]))
            }
            Stage::Rest(rest) => self.fill_in(frame, rest),
        }
    }

    fn search(&mut self, frame: Frame<'f>) -> Result<Next<'f>, Raise> {
        if self.count >= self.most || self.count > 0 && self.matcher.is_anchored() {
            return Ok(self.end());
        }
        // What it makes may be large where the search is short.
        if frame.buffered() > self.looked_at + LOOKED_AT {
            self.looked_at = frame.buffered();
            note_place(frame);
            if !may_go_on(frame) {
                return Err(raise(frame, Stop::Interrupted));
            }
        }
        let found = self.matcher.search(self.copied, self.last);
        let Some(found) = found.map_err(|stop| raise(frame, stop))? else { return Ok(self.end()) };
        self.count += 1;
        self.found = found;
        let before = Op::Add(&self.text[self.copied..found.0]);
        match self.by {
            By::Text(replacement) => {
                self.is_changed = true;
                self.matcher.spend(replacement.len()).map_err(|stop| raise(frame, stop))?;
                if replacement.contains(&b'%') {
                    self.stage = Stage::Rest(replacement);
                    return Ok(Next::then([before]));
                }
                self.advance();
                Ok(Next::then([before, Op::Add(replacement)]))
            }
            By::Function => {
                self.stage = Stage::Call(Captures::of(&self.matcher, found, 1));
                Ok(Next::then([before, Op::Copy(3)]))
            }
            By::Table => {
                self.stage = Stage::Given;
                Ok(Next::then([before, push(frame, &self.matcher, 0, found)?, Op::Index(3)]))
            }
        }
    }

    /// The match is replaced.
    fn advance(&mut self) {
        (self.copied, self.last) = (self.found.1, Some(self.found.1));
        self.stage = Stage::Search;
    }

    fn end(&self) -> Next<'f> {
        let count = Op::Integer(self.count);
        if self.is_changed {
            Next::Return([Op::Add(&self.text[self.copied..]), Op::Finish, count].into(), 2)
        } else {
            Next::values([Op::Copy(1), count])
        }
    }

    /// The replacement up to its next `%1` or the like, and that.
    fn fill_in(&mut self, frame: Frame<'f>, rest: &'f [u8]) -> Result<Next<'f>, Raise> {
        let Some(at) = rest.iter().position(|&byte| byte == b'%') else {
            self.advance();
            return Ok(Next::then([Op::Add(rest)]));
        };
        let before = Op::Add(&rest[..at]);
        let capture = match rest.get(at + 1) {
            Some(b'%') => Ok(Capture::Text(b"%".as_slice())),
            Some(b'0') => Ok(Capture::Text(self.matcher.text(self.found))),
            Some(digit @ b'1'..=b'9') => self.matcher.capture(usize::from(digit - b'1'), self.found),
            _ => return Err(Raise::error(format_args!("invalid use of '%' in replacement string"))),
        };
        self.stage = Stage::Rest(&rest[at + 2..]);
        Ok(match capture.map_err(|stop| raise(frame, stop))? {
            Capture::Text(text) => Next::then([before, Op::Add(text)]),
            Capture::Position(at) => Next::then([before, Op::Integer(integer(at + 1)), Op::AddTop]),
        })
    }
}
