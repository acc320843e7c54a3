//! What a script may take.
//!
//! | file | what it does |
//! |---|---|
//! | `deadline` | the hook that ends what runs too long or takes too much memory |
//! | `library` | what stands in place of library functions that could take for ever in one go |
//! | `pattern` | Lua's patterns, on a matcher that heeds the deadline |
//! | `memory` | when a session is told that its memory runs short |
//! | `clock` | the time that deadlines are kept in |
//! | `place`, `sighting` | where a script is; what a watchdog on another thread sees of it |

mod clock;
pub(super) mod deadline;
pub(super) mod library;
pub(super) mod memory;
mod pattern;
mod place;
mod sighting;

pub(crate) use deadline::{Budget, sighting};
pub(crate) use memory::Pressure;
pub(crate) use sighting::Sighting;
