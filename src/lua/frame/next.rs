//! What Lua can be told to do. Each of these may raise an error, or runs code that may.

use std::ffi::{CStr, c_int};

use super::{CFunction, Coroutine, Frame, Original, Raise};

/// So many in one go.
const MOST: usize = 5;

/// One thing to do. Values are named as in [`Frame`]; an error is raised where there is none of that name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op<'s> {
    Nothing,
    /// Takes so many values from the top.
    Pop(c_int),
    /// Takes all but the arguments.
    Clear,
    /// Pushes nil.
    Nil,
    Boolean(bool),
    Integer(i64),
    Text(&'s [u8]),
    Function(CFunction),
    /// Pushes a value that is there already.
    Copy(c_int),
    /// The two on top change places.
    Swap,
    /// What is on top takes the place of another, and is gone.
    Replace(c_int),
    /// Pushes a variable of the function itself: from here on it counts as an argument.
    Pin(u8),
    /// A variable of the function, which is a number, gets what is on top.
    SetUpvalue(u8),
    /// Makes a function of ours with so many values, which it takes from the top, as variables.
    Closure(CFunction, u8),
    /// Makes a coroutine that will run that function.
    NewCoroutine(c_int),
    /// Raises an error unless the value is a table, or has metamethods of these names.
    TableLike(c_int, &'static [&'static CStr]),
    /// `#t`, as [`Frame::answer`].
    Length(c_int),
    /// `t[i]`
    Get(c_int, i64),
    /// `t[i]`, without metamethods; of what is no table, nil.
    RawGet(c_int, i64),
    /// `t[name]`
    Field(c_int, &'s [u8]),
    /// `t[k]`, where `k` is on top and is taken.
    Index(c_int),
    /// The same without metamethods; of what is no table, nil.
    RawIndex(c_int),
    /// `t[i] = v`, where `v` is on top and is taken.
    Set(c_int, i64),
    /// Both: what is on top, and what is below it.
    SetBoth(c_int, i64, i64),
    /// `t[k] = v` without metamethods, where both are on top and are taken.
    RawSet(c_int),
    /// `into[to] = of[from]`: these are few, so that an operation stays small.
    Move {
        of: u8,
        from: i64,
        into: u8,
        to: i64,
    },
    /// The table or nil on top becomes the metatable, and is taken.
    SetMetatable(c_int),
    /// Calls a function: takes it and so many arguments from the top, and pushes so many results.
    Call {
        arguments: c_int,
        results: c_int,
    },
    /// `a < b`, as [`Frame::is_so`].
    Less(c_int, c_int),
    /// What that function says of `a` and `b`.
    LessBy {
        order: c_int,
        a: c_int,
        b: c_int,
    },
    /// `a == b`
    Equal(c_int, c_int),
    /// Begins a text that is put together. Until [`Op::Finish`], texts are added where nothing has been pushed since.
    Buffer,
    Add(&'s [u8]),
    /// What is on top, a string or a number, is taken and added.
    AddTop,
    /// Pushes the text.
    Finish,
}

/// Some operations, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ops<'s> {
    list: [Op<'s>; MOST],
    count: usize,
}

impl<'s> Ops<'s> {
    #[inline(always)]
    pub(super) fn list(&self) -> &[Op<'s>] {
        self.list.get(..self.count).unwrap_or_default()
    }
}

impl<'s, const N: usize> From<[Op<'s>; N]> for Ops<'s> {
    #[inline(always)]
    fn from(list: [Op<'s>; N]) -> Self {
        const { assert!(N <= MOST, "too many operations") };
        let mut ops = Self { list: [Op::Nothing; MOST], count: N };
        ops.list[..N].copy_from_slice(&list);
        ops
    }
}

/// What comes after a step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Next<'s> {
    /// Lua does that, and the Rust code is asked again.
    Do(Ops<'s>),
    /// The function returns so many values from the top, after these operations; they may take arguments.
    Return(Ops<'s>, c_int),
    /// The function is what Lua's own is, which gets the arguments, but for what is to be said when it is done.
    Original(&'static Original, Option<After>),
    /// The first argument is called with the others; all results are returned. The frame is looked at once more.
    CallAll(Option<fn(Frame<'_>)>),
    /// The coroutine that is the function's first variable goes on with the arguments. If it fails, it is closed if it
    /// may be.
    Resume { may_close: fn(Coroutine<'_>) -> bool },
    /// The arguments are those of `load`, and the first one is a text: the compiler gets it in pieces of so many bytes.
    Load { piece: usize, before_piece: fn(Frame<'_>) -> Result<(), Raise> },
}

/// What is done when a function of Lua's own has returned so many values.
#[derive(Debug, Clone, Copy)]
pub(crate) enum After {
    /// They are looked at, and stay.
    Look(for<'f> fn(Frame<'f>, c_int) -> Result<(), Raise>),
    /// Operations, and how many values there are then.
    Do(for<'f> fn(Frame<'f>, c_int) -> (Ops<'f>, c_int)),
}

impl<'s> Next<'s> {
    #[inline(always)]
    pub(crate) fn then<const N: usize>(ops: [Op<'s>; N]) -> Self {
        Self::Do(ops.into())
    }

    /// Returns as many values as these push.
    #[inline(always)]
    pub(in crate::lua) fn values<const N: usize>(values: [Op<'s>; N]) -> Self {
        Self::Return(values.into(), N as c_int)
    }

    pub(in crate::lua) const NOTHING: Self = Self::Return(Ops { list: [Op::Nothing; MOST], count: 0 }, 0);

    pub(crate) const NIL: Self = Self::Return(
        Ops { list: [Op::Nil, Op::Nothing, Op::Nothing, Op::Nothing, Op::Nothing], count: 1 },
        1,
    );
}
