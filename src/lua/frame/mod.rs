//! C functions written in safe Rust: what they see of their frame, and what they have Lua do.
//!
//! Most of Lua's C interface may raise an error, if only for want of memory, and an error leaves by a long jump, past
//! everything that Rust would have dropped. So Rust code never calls such a function: it looks at its [`Frame`], and
//! returns what Lua is to do [`Next`]. That is done where no Rust code is under way, and then the Rust code is asked
//! again. Between two of these [`Steps`] it keeps only what can be copied, which has nothing to be dropped: the compiler
//! sees to that. An error of its own is a value, a [`Raise`], until the Rust code has returned.
//!
//! | file | what it does |
//! |---|---|
//! | this one | the [`Frame`] |
//! | `looks` | what can be looked at in it: none of that raises errors |
//! | `guarded` | a panic of Rust code does not unwind into Lua |
//! | `steps` | enters Rust code, and asks it step by step |
//! | `next` | what Lua can be told to do |
//! | `execute`, `stack` | does it, after looking whether the values are there |
//! | `raise` | errors as values |
//! | `function` | functions for Lua, and Lua's own in whose place they stand |
//! | `coroutine` | resuming a coroutine; loading a text piece by piece |
//! | `hook` | the hook, the collections of garbage, and where a script is |
//! | `state` | states with the debug library |
//! | `module` | opening a module in C |
//!
//! Why this cannot be misused:
//!
//! - A `Frame` has the lifetime of the call: `'f` is any, so what is written for it can keep none.
//! - Only what the manual says never to raise is done while Rust code is under way. All else is an [`Op`].
//! - An [`Op`] looks first whether the values are there that it takes, and whether there is room for those that it
//!   makes. The first [`Frame::arguments`] are never changed nor taken away while Rust code can still be asked, so texts
//!   borrowed from them stay.
//! - A panic of the Rust code becomes an error of Lua's.
//!
//! The rest of the program must not give scripts of strangers the debug library, which can change the arguments of
//! functions that run; Lua's own library relies on that, too.
#![allow(unsafe_code, reason = "see above")]

mod coroutine;
mod execute;
mod function;
mod guarded;
mod hook;
mod looks;
mod module;
mod next;
mod raise;
mod stack;
mod state;
mod steps;

use mlua::ffi::lua_State;

use self::stack::Stack;
pub(in crate::lua) use self::{
    coroutine::Coroutine,
    function::{CFunction, Exchange, Original, Work, exchange},
    hook::{Hook, Main, on_collection},
    module::module,
    state::{debug_library, new_state},
};
pub(crate) use self::{
    next::{After, Next, Op, Ops},
    raise::Raise,
    steps::{Steps, run},
};

/// The types of Lua.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// There is no value.
    None,
    Nil,
    Boolean,
    Number,
    String,
    Table,
    Function,
    /// A userdata, a coroutine.
    Other,
}

/// The frame of a function that runs: its arguments come first, and above them is what Lua was told to make.
///
/// A value is named by its number, from 1 on, or from the top by -1, -2 and so on. A number that no value has is of
/// [`Type::None`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'f>(&'f Stack);

/// Looks at a state that runs.
///
/// # Safety
/// The state runs on this thread, and its lock is held.
pub(in crate::lua) unsafe fn look_at<R>(state: *mut lua_State, look: impl FnOnce(Frame<'_>) -> R) -> R {
    look(Frame(&Stack::empty(state)))
}

#[cfg(test)]
mod tests;
