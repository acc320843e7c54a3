//! Sessions: one Lua state per browser session, run by a pool of threads, one owner at a time.
//!
//! | file | what it does |
//! |---|---|
//! | `registry` | [`LuaSessions`]: makes, finds and ends sessions |
//! | `handle` | [`SessionHandle`]: the mailbox of a session; whoever has one can queue work |
//! | `pool` | the threads that run Lua, and the watchdog that adds some while scripts hog them |
//! | `cap` | how many threads may be lost to sessions that are stuck |
//! | `notice` | what is told of a session that is stuck or short of memory |
//! | `batch` | one frame of a browser on its way through its session |
//! | `outbox` | where frames for a browser go, and what is known of its socket |
//! | `clock` | wakes sessions for their timers |
//! | `lua_session` | [`LuaSession`]: units of work, browsers, AfterBatch |
//! | `reload` | a generation in one session: all of it or none of it |
//! | `refusals` | what browsers asked for and may not have: counted, and told |
//! | `summary` | what the status page tells of a session |
//! | `unopened` | those that no browser has connected to yet |
//! | `settings` | what all sessions have in common |
//! | `id` | what a session is known by |
//! | `secret` | what opens it |
//!
//! All work in a session is serialised: frames of browsers, timers, reloads and calls from the host
//! wait in its mailbox. A thread takes the session out of the mailbox, does one unit of work, and
//! puts it back; so there is no lock around a Lua state, and no Lua on an async worker.

mod batch;
mod cap;
mod clock;
mod handle;
mod id;
mod lua_session;
mod notice;
mod outbox;
mod pool;
mod refusals;
mod registry;
mod reload;
mod run_queue;
mod secret;
mod settings;
mod slice;
mod summary;
mod unopened;

pub use handle::{SessionGone, SessionHandle};
pub use id::{NotASessionId, SessionId};
pub use lua_session::{ClientId, LuaSession};
pub use outbox::{Frame, Line, Outbox, Over};
pub use pool::PoolStats;
pub use registry::{CreateError, LuaSessions};
pub use settings::SessionSettings;
pub use summary::SessionSummary;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_concealed;
#[cfg(test)]
mod tests_library;
#[cfg(test)]
mod tests_random;
#[cfg(test)]
mod tests_rest;
#[cfg(test)]
mod tests_sandbox;
#[cfg(test)]
mod tests_stuck;
#[cfg(test)]
mod tests_turns;
