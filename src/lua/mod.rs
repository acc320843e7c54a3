//! One Lua state: what scripts see in it, what they may take, and the way from one version of their files to the next.
//!
//! | file | what it does |
//! |---|---|
//! | `state` | [`Vm`]: makes a state and runs code in it, always within a budget |
//! | `files` | runs files, the first time and again |
//! | `failure` | [`Failure`]: why code did not come to its end |
//! | `objects` | what others ask of its objects: the application, prototypes, what is exposed |
//! | `unit` | a handler or timer that waits in the middle for the store |
//! | `handover` | what a session hands on to its successor |
//! | `console` | code that a developer types |
//! | `reload/` | from one version of the files to the next, or back; an edited value is decided in `reload/definitions.rs` |
//! | `api/` | what the prelude asks of Rust, and so what scripts can: files, timers, log, JSON |
//! | `limits/` | what a script may take: time, memory, and how long a function of the library runs |
//! | `frame/` | functions that Lua calls, and what they have it do: unsafe code, with a safe interface |
//! | `heap/` | Lua's values as a reload works with them: unsafe code as well |
//! | `prelude`, `parts`, `calls` | the Lua code of ours; parts of it that come when they are needed; its functions that Rust calls: |
//! | `prelude/sandbox.lua` | takes away what a session must not reach |
//! | `prelude/guest.lua` | in its place, where the state belongs to another program |
//! | `prelude/outside.lua` | `io`, the rest of `os` and `package`, loaded at first use |
//! | `prelude/base.lua` | the library, as it was before any script ran, for the code of ours |
//! | `prelude/session.lua` | the global `session` |
//! | `prelude/extras.lua` | more of it, `hot` and `ui`, loaded at first use: timers, log, JSON |
//! | `prelude/variables.lua`, `prelude/unload.lua` | the rest of it, loaded at first use |
//! | `prelude/expose.lua` | `session:expose`, loaded at first use |
//! | `prelude/store.lua` | reading from `store`, loaded at first use |
//! | `prelude/hub.lua` | the rest of `store`, and topics, loaded at first use |
//! | `prelude/viewlist.lua` | wrappers and `lua.ViewList`, loaded at first use |
//! | `prelude/modules.lua` | `require` |
//! | | loaded when a file is to run and let go some time after it: |
//! | `prelude/prototypes.lua` | declaring prototypes |
//! | `prelude/load.lua` | which file runs when it is required, and running it |
//! | | loaded for a reload and let go some time after it: |
//! | `prelude/snapshot.lua` | beginning and end of a reload |
//! | `prelude/reload.lua` | running a file again, and which files run again beyond those that were saved |
//! | `prelude/settle.lua` | the end: timers, hooks |
//! | `prelude/follow.lua`, `prelude/migrate.lua` | what follows a commit: hooks, files that are gone; objects get the fields of their prototype |
//!
//! A [`Vm`] is used by one thread at a time; nothing here waits or locks. `session` and `embed` both stand on it: what
//! they decide differently are the [`Rules`] of a reload.

mod api;
mod calls;
mod console;
mod failure;
mod files;
pub(crate) mod frame;
mod handover;
mod heap;
mod limits;
mod objects;
mod parts;
mod prelude;
mod reload;
mod state;
mod unit;

pub(crate) use api::timers::TimerHandle;
pub use console::Typed;
pub(crate) use failure::Failure;
pub(crate) use handover::Snapshot;
pub(crate) use limits::{Budget, Pressure, Sighting, sighting};
pub(crate) use reload::{Applied, Failures, Rules};
pub(crate) use state::Vm;
