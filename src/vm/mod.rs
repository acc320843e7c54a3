//! One Lua state: sandbox, budgets, `require`, prototypes, timers, and the way back from a bad load.
//!
//! | file | what it does |
//! |---|---|
//! | `state` | [`Vm`]: makes a state and runs code in it, always within a budget |
//! | `deadline` | the hook that ends what runs too long or takes too much memory |
//! | `library` | what stands in place of library functions that could take for ever in one go |
//! | `pattern` | Lua's patterns, on a matcher that heeds the deadline |
//! | `memory` | when a session is told that its memory runs short |
//! | `place`, `sighting` | where a script is; what a watchdog on another thread sees of it |
//! | `host` | what the prelude asks of Rust: files, timers, log |
//! | `timers` | when timers are due |
//! | `json` | `ui.json_encode` and `ui.json_decode` |
//! | `prelude` | the Lua code of ours, in parts that come when they are needed: |
//! | `prelude/sandbox.lua` | takes away what a session must not reach |
//! | `prelude/guest.lua` | in its place, where the state belongs to another program |
//! | `prelude/base.lua` | the library, as it was before any script ran, for the code of ours |
//! | `prelude/session.lua` | the global `session` |
//! | `prelude/extras.lua` | the rest of it, `hot` and `ui`, loaded at first use: timers, variables, log, JSON |
//! | `prelude/expose.lua` | `session:expose`, loaded at first use |
//! | `prelude/viewlist.lua` | wrappers and `lua.ViewList`, loaded at first use |
//! | `prelude/modules.lua` | `require` |
//! | | loaded when a file is to run and let go some time after it: |
//! | `prelude/prototypes.lua` | declaring prototypes |
//! | `prelude/load.lua` | which file runs when it is required |
//! | `files` | running one, as functions of C |
//! | `made` | what the definitions of a file are at run time |
//! | `apply` | a generation in one state: all of it or none of it |
//! | `failures` | generations that failed one after the other |
//! | `transaction` | its steps: a reload from outside: all of it or none of it |
//! | `reload` | what it does with what is in the state, as functions of C: see there |
//! | `foreign` | tables of others: the library, ours, prototypes, what other files export |
//! | `raw` | lists of what is in tables |
//! | `names` | names of fields of ours |
//! | `values`, `entries` | Lua's values and tables, read where they lie |
//! | `notes` | what the prelude has to tell of a reload |
//! | | the rest is loaded for a reload and let go some time after it: |
//! | `prelude/snapshot.lua` | what is known of a reload |
//! | `prelude/reload.lua` | which files run again beyond those that were saved |
//! | `prelude/settle.lua` | the end: timers, hooks |
//! | `prelude/follow.lua`, `prelude/migrate.lua` | what follows a commit: hooks, files that are gone; objects get the fields of their prototype |
//! | `prelude/rollback.lua` | what undoes a reload that failed |
//!
//! A [`Vm`] is used by one thread at a time; nothing here waits or locks.

mod apply;
mod deadline;
#[cfg(test)]
mod definitions;
mod entries;
mod failures;
mod files;
mod foreign;
mod host;
mod json;
mod library;
mod made;
mod memory;
mod names;
mod notes;
mod pattern;
mod place;
mod prelude;
mod raw;
mod reload;
mod sighting;
mod state;
mod timers;
mod transaction;
mod values;

pub(crate) use apply::{Applied, Rules};
pub(crate) use deadline::{Budget, sighting};
pub(crate) use failures::Failures;
pub(crate) use memory::Pressure;
pub(crate) use sighting::Sighting;
pub(crate) use state::{Failure, Vm};
