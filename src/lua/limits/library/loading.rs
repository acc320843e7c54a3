//! `load`, given its text in small pieces: a text of 200 KB can take the compiler seconds, and between two
//! pieces the deadline is heeded.

use super::{Original, Type};
use crate::lua::{
    frame::{Frame, Next, Raise},
    limits::deadline::spend,
};

/// Bytes. Each may cost as much as all that came before it, as in a chain of a hundred thousand `and`.
const PIECE: usize = 512;
/// What a piece costs.
const STEPS: usize = 2_500;

pub(super) static LOAD: Original = Original::new();

pub(super) fn load(frame: Frame<'_>) -> Result<Next<'_>, Raise> {
    if frame.type_of(1) != Type::String {
        // A function gives the pieces.
        return Ok(Next::Original(&LOAD, None));
    }
    Ok(Next::Load { piece: PIECE, before_piece: |frame| spend(frame, STEPS) })
}
