//! `coroutine.wrap` and `close`, for coroutines that the deadline has ended.
//!
//! Lua turns hooks off while one runs, and a coroutine that a hook has ended by an error stays so. What is then to be
//! closed in it (`local x <close>`) would run without a deadline. So it is not closed any more.

use super::{Original, Type};
use crate::lua::{
    frame::{CFunction, Coroutine, Frame, Next, Op, Raise},
    limits::deadline::was_ended,
};

pub(super) static CLOSE: Original = Original::new();

pub(super) fn close(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    Ok(match frame.coroutine(1) {
        Some(coroutine) if was_ended(coroutine) => {
            Next::values([Op::Boolean(false), Op::Text(b"a coroutine that ran too long is not closed")])
        }
        _ => Next::Original(&CLOSE, None),
    })
}

/// As Lua's own makes one, with a function of ours that resumes it.
pub(super) fn wrap(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    if frame.type_of(1) != Type::Function {
        return Err(Raise::NoType(1, Type::Function));
    }
    Ok(Next::Return([Op::NewCoroutine(1), Op::Closure(CFunction::once(resume), 1)].into(), 1))
}

fn resume(_: Frame<'_>) -> Result<Next<'_>, Raise> {
    Ok(Next::Resume { may_close: |coroutine: Coroutine<'_>| !was_ended(coroutine) })
}
