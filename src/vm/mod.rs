//! One Lua state: sandbox, budgets, `require`, prototypes, timers, and the way back from a bad load.
//!
//! | file | what it does |
//! |---|---|
//! | `state` | [`Vm`]: makes a state and runs code in it, always within a budget |
//! | `deadline` | the hook that ends what runs too long or takes too much memory |
//! | `host` | what the prelude asks of Rust: files, timers, log |
//! | `timers` | when timers are due |
//! | `prelude/sandbox.lua` | takes away what a session must not reach |
//! | `prelude/session.lua` | the global `session` |
//! | `prelude/extras.lua` | more of it, loaded at first use: timers, log |
//! | `prelude/data.lua` | copies of what a source declares |
//! | `prelude/modules.lua` | `require` |
//! | | the rest is loaded for a reload and let go after it: |
//! | `prelude/reload.lua` | running a file again |
//! | `prelude/merge.lua` | new exports into the tables that other code holds |
//! | `prelude/transaction.lua` | snapshot, rollback, commit |
//!
//! A [`Vm`] is used by one thread at a time; nothing here waits or locks.

mod deadline;
mod host;
mod state;
mod timers;

pub(crate) use deadline::Budget;
pub(crate) use host::LoadedFile;
pub(crate) use state::{Failure, Vm};
