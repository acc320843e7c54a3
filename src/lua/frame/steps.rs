//! From Lua into Rust code and back, step by step.
#![allow(unsafe_code, reason = "see the first page of `frame`")]

use std::ffi::c_int;

use mlua::{
    FromLuaMulti, IntoLuaMulti, Lua,
    ffi::{self, lua_State},
};

use super::{Frame, Next, Raise, Stack, coroutine, guarded::guarded};

/// A function while it runs: what it keeps between two steps. It is `Copy`: an error of Lua's, which leaves in between,
/// passes nothing that would have to be dropped.
pub(crate) trait Steps<'f>: Copy {
    /// What comes next.
    ///
    /// # Errors
    /// They are raised in the caller. Where an argument is no text but a number, it becomes one, and the step is asked
    /// again.
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's;
}

/// What comes next where it needs one step only.
impl<'f, F> Steps<'f> for F
where
    F: Copy + Fn(Frame<'f>) -> Result<Next<'f>, Raise>,
{
    #[inline(always)]
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        self(frame)
    }
}

/// What Lua calls. The number of results.
///
/// # Safety
/// A C function that Lua has called in that state, and that returns what this does.
#[inline(always)]
pub(super) unsafe fn enter<'f, S: Steps<'f>>(stack: &'f Stack, steps: &mut S) -> c_int {
    loop {
        // SAFETY: the caller's. Of Rust's, only `steps` and what the step has returned is there, which are `Copy`.
        unsafe {
            match &guarded(|| steps.step(Frame(stack))) {
                Ok(Next::Do(ops)) => stack.do_all(ops),
                Ok(Next::Return(ops, count)) => {
                    stack.do_all(ops);
                    return (*count).clamp(0, stack.height.get());
                }
                Ok(Next::Original(original, after)) => {
                    stack.clear();
                    return original.call(stack.state, *after);
                }
                Ok(Next::CallAll(after)) => {
                    stack.clear();
                    return call_all(stack, *after);
                }
                Ok(Next::Resume { may_close }) => {
                    stack.clear();
                    return coroutine::resume(stack.state, *may_close);
                }
                Ok(Next::Load { piece, before_piece }) => {
                    stack.clear();
                    return coroutine::load(stack.state, *piece, *before_piece);
                }
                Err(raise) => raise.out(stack),
            }
        }
    }
}

unsafe fn call_all(stack: &Stack, after: Option<fn(Frame<'_>)>) -> c_int {
    let l = stack.state;
    // SAFETY: the caller's.
    unsafe {
        if stack.height.get() == 0 {
            Raise::NoType(1, super::Type::Function).out(stack);
        }
        ffi::lua_call(l, stack.height.get() - 1, ffi::LUA_MULTRET);
        if let Some(after) = after {
            let stack = Stack::empty(l);
            if let Err(raise) = guarded(|| {
                after(Frame(&stack));
                Ok(())
            }) {
                raise.out(&stack);
            }
        }
        ffi::lua_gettop(l)
    }
}

/// Runs steps in a state, outside any function: within one protected call, with these arguments.
///
/// # Errors
/// What is raised in it; the arguments or the results cannot be converted.
pub(crate) fn run<R: FromLuaMulti>(
    lua: &Lua,
    arguments: impl IntoLuaMulti,
    mut steps: impl for<'f> Steps<'f>,
) -> mlua::Result<R> {
    let work = move |l: *mut lua_State| {
        // SAFETY: mlua calls this in a C function of its own, which returns what is on the stack: nothing but results is
        // left there.
        unsafe {
            let results = enter(&Stack::of_function(l), &mut steps);
            let others = ffi::lua_gettop(l) - results;
            if others > 0 {
                ffi::lua_rotate(l, 1, results);
                ffi::lua_settop(l, results);
            }
        }
    };
    // SAFETY: `work` has nothing that would have to be dropped when an error passes it: it is `Copy`.
    unsafe { lua.exec_raw(arguments, work) }
}
