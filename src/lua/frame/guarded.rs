//! Panics stay on this side.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Raise;

/// Rust code that must not unwind into Lua.
///
/// What it returns is written where it stays: handed on, the 128 bytes of a [`Next`](super::Next) would be copied at each step,
/// which took a tenth of the time of a handler that calls the library often.
#[inline(always)]
pub(super) fn guarded<R: Copy>(code: impl FnOnce() -> Result<R, Raise>) -> Result<R, Raise> {
    let mut done = Err(Raise::Bug);
    let _ = catch_unwind(AssertUnwindSafe(|| done = code()));
    done
}
