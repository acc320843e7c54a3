//! Lua's patterns, on a matcher of ours: Lua's own can't be interrupted, and `s:gsub("%s+$", "")` takes
//! minutes for a long text of blanks.
//!
//! | file | what it does |
//! |---|---|
//! | `item` | what one item of a pattern takes |
//! | `written` | a pattern as it is written: where its items end |
//! | `matcher` | matches, and counts its steps; knows nothing of Lua states |
//! | `stop` | why it cannot go on |
//! | `functions`, `gsub` | the functions of `string` that take a pattern |

mod functions;
mod gsub;
mod item;
mod matcher;
mod stop;
#[cfg(test)]
mod tests;
mod written;

pub(super) use {
    functions::{Find, Match, gmatch},
    gsub::Gsub,
};
