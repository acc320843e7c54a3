//! `table.sort`: Lua's quicksort, step by step. What an order function is called with, and when it is called invalid, is
//! what scripts are used to.

use super::{
    Type,
    tables::{ALL, check, measured},
};
use crate::lua::{
    frame::{Frame, Next, Op, Raise, Steps, Work},
    limits::{clock::now, deadline::spend},
};

/// From so many elements on, a bad pivot is replaced by one chosen by chance.
const LARGE: i64 = 100;
/// Of two texts that are compared, so many bytes are one step.
const COMPARED: usize = 4;
/// Parts that wait: each is at least as large as all that come after it.
const WAITING: usize = 32;

/// What was done last.
#[derive(Clone, Copy, Default)]
enum Stage {
    #[default]
    Begin,
    Measured,
    /// First and last element were compared.
    Ends,
    /// The pivot with the first.
    First,
    /// The pivot with the last.
    Last,
    /// The three are in order.
    Ordered,
    /// The pivot, which stays on the stack, has changed places with the last element but one.
    Aside,
    /// An element from the left with the pivot.
    Left,
    /// The pivot with an element from the right.
    Right,
    /// The pivot is in its place.
    Placed,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Sort {
    stage: Stage,
    by_function: bool,
    low: i64,
    high: i64,
    pivot: i64,
    left: i64,
    right: i64,
    chance: u64,
    waiting: [(i64, i64, u64); WAITING],
    length: usize,
}

impl Work for Sort {
    type Steps<'f> = Self;
}

impl Sort {
    fn less<'s>(&self, a: i32, b: i32) -> Op<'s> {
        if self.by_function { Op::LessBy { order: 2, a, b } } else { Op::Less(a, b) }
    }

    /// What the comparison of these has cost.
    fn spend(&self, frame: Frame<'_>, a: i32, b: i32) -> Result<(), Raise> {
        let bytes = if self.by_function { 0 } else { frame.text_length(a).min(frame.text_length(b)) };
        spend(frame, 1 + bytes / COMPARED)
    }

    /// After that, the part from `low` to `high` or, if it is sorted, the one that waits.
    fn begin_part<'s>(&mut self, before: Op<'s>) -> Next<'s> {
        while self.low >= self.high {
            let Some(length) = self.length.checked_sub(1) else { return Next::Return([before].into(), 0) };
            self.length = length;
            (self.low, self.high, self.chance) = self.waiting[length];
        }
        self.stage = Stage::Ends;
        Next::then([before, Op::Get(1, self.low), Op::Get(1, self.high), self.less(-1, -2)])
    }

    /// The part is sorted when that is done.
    fn end_part<'s>(&mut self, last: Op<'s>) -> Next<'s> {
        self.low = self.high;
        self.begin_part(last)
    }

    /// The pivot is in its place: the smaller part comes first, the other one waits.
    fn divide(&mut self, pivot: i64) {
        let (left, right) = ((self.low, pivot - 1), (pivot + 1, self.high));
        let is_left_smaller = pivot - self.low < self.high - pivot;
        let (smaller, larger) = if is_left_smaller { (left, right) } else { (right, left) };
        let size = if is_left_smaller { pivot - self.low } else { self.high - pivot };
        let is_bad = (larger.1 - larger.0) / 128 > size;
        let chance = if is_bad { now() } else { self.chance };
        if let Some(place) = self.waiting.get_mut(self.length) {
            *place = (larger.0, larger.1, chance);
            self.length += 1;
        }
        (self.low, self.high) = smaller;
    }
}

fn middle(low: i64, high: i64, chance: u64) -> i64 {
    if high - low < LARGE || chance == 0 {
        return low + (high - low) / 2;
    }
    let quarter = (high - low) / 4;
    low + quarter + i64::try_from(chance >> 1).unwrap_or(0) % (quarter * 2)
}

impl<'f> Steps<'f> for Sort {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        let is_less = frame.is_so();
        match self.stage {
            Stage::Begin => {
                self.stage = Stage::Measured;
                Ok(measured(ALL))
            }
            Stage::Measured => {
                let count = frame.answer();
                if count > 1 {
                    check(count < i64::from(i32::MAX), 1, "array too big")?;
                    self.by_function = !frame.is_nothing(2);
                    if self.by_function && frame.type_of(2) != Type::Function {
                        return Err(Raise::NoType(2, Type::Function));
                    }
                }
                (self.low, self.high) = (1, count);
                Ok(self.begin_part(Op::Nothing))
            }
            Stage::Ends => {
                self.spend(frame, -1, -2)?;
                let last = if is_less { Op::SetBoth(1, self.low, self.high) } else { Op::Pop(2) };
                if self.high - self.low == 1 {
                    return Ok(self.end_part(last));
                }
                self.pivot = middle(self.low, self.high, self.chance);
                self.stage = Stage::First;
                Ok(Next::then([last, Op::Get(1, self.pivot), Op::Get(1, self.low), self.less(-2, -1)]))
            }
            Stage::First => {
                self.spend(frame, -2, -1)?;
                if is_less {
                    return Ok(self.take_pivot(Op::SetBoth(1, self.pivot, self.low)));
                }
                self.stage = Stage::Last;
                Ok(Next::then([Op::Pop(1), Op::Get(1, self.high), self.less(-1, -2)]))
            }
            Stage::Last => {
                self.spend(frame, -1, -2)?;
                let last = if is_less { Op::SetBoth(1, self.pivot, self.high) } else { Op::Pop(2) };
                Ok(self.take_pivot(last))
            }
            Stage::Ordered => {
                (self.left, self.right) = (self.low, self.high - 1);
                self.stage = Stage::Aside;
                let aside = Op::SetBoth(1, self.pivot, self.high - 1);
                Ok(Next::then([Op::Get(1, self.pivot), Op::Copy(-1), Op::Get(1, self.high - 1), aside]))
            }
            Stage::Aside => Ok(self.step_right(Op::Nothing)),
            Stage::Left => {
                self.spend(frame, -1, -2)?;
                if !is_less {
                    return Ok(self.step_left(Op::Nothing));
                }
                if self.left == self.high - 1 {
                    return Err(invalid_order());
                }
                Ok(self.step_right(Op::Pop(1)))
            }
            Stage::Right => {
                self.spend(frame, -3, -1)?;
                if is_less {
                    if self.right < self.left {
                        return Err(invalid_order());
                    }
                    return Ok(self.step_left(Op::Pop(1)));
                }
                if self.right >= self.left {
                    return Ok(self.step_right(Op::SetBoth(1, self.left, self.right)));
                }
                // The pivot comes to its place. On the stack are it, the element from the left and one more.
                self.stage = Stage::Placed;
                Ok(Next::then([Op::Pop(1), Op::SetBoth(1, self.high - 1, self.left)]))
            }
            Stage::Placed => {
                self.divide(self.left);
                Ok(self.begin_part(Op::Nothing))
            }
        }
    }
}

impl Sort {
    fn take_pivot<'s>(&mut self, last: Op<'s>) -> Next<'s> {
        if self.high - self.low == 2 {
            return self.end_part(last);
        }
        self.stage = Stage::Ordered;
        Next::then([last])
    }

    fn step_right<'s>(&mut self, before: Op<'s>) -> Next<'s> {
        self.left += 1;
        self.stage = Stage::Left;
        Next::then([before, Op::Get(1, self.left), self.less(-1, -2)])
    }

    fn step_left<'s>(&mut self, before: Op<'s>) -> Next<'s> {
        self.right -= 1;
        self.stage = Stage::Right;
        Next::then([before, Op::Get(1, self.right), self.less(-3, -1)])
    }
}

fn invalid_order() -> Raise {
    Raise::error(format_args!("invalid order function for sorting"))
}
