//! Sessions: one Lua state per browser session, run by a pool of threads, one owner at a time.
//!
//! | file | what it does |
//! |---|---|
//! | `registry` | [`LuaSessions`]: makes, finds and ends sessions |
//! | `handle` | [`SessionHandle`]: queues work in a session from anywhere |
//! | `handle/mailbox` | what waits to be done in a session |
//! | `handle/turn`, `slice` | one turn of a session on a thread, and how long it may be |
//! | `run_queue`, `lines` | where sessions wait for a thread |
//! | `origin` | where a session comes from, and what knows it |
//! | `pool` | the threads that run Lua, and the watchdog that adds some while scripts hog them |
//! | `worker` | one of these threads, as the watchdog sees it |
//! | `cap` | how many threads may be lost to sessions that are stuck |
//! | `notice` | what is told of a session that is stuck or short of memory |
//! | `batch` | one frame of a browser on its way through its session |
//! | `outbox` | where frames for a browser go, and what is known of its socket |
//! | `pace` | how often browsers are told of what none of them waits for |
//! | `clock` | wakes sessions for their timers |
//! | `lua_session` | [`LuaSession`]: units of work, browsers, AfterBatch |
//! | `anew` | another state in the place of its own |
//! | `handover` | sessions that go from one server to another, by way of the store |
//! | `handover/record` | what the store has of them |
//! | `start` | a fresh Lua state for it |
//! | `client` | a browser that looks at it, and what that is told |
//! | `address` | where in the site its browsers are |
//! | `waiting`, `unit` | units of work that wait for the store; what these may be |
//! | `upkeep` | when it cleans up behind itself |
//! | `reload` | a generation in one session: all of it or none of it |
//! | `problems` | what fails while pages use it: told to them and once to the log |
//! | `refusals` | what browsers asked for and may not have: counted, and told |
//! | `summary` | what the status page and the debug pages show of a session |
//! | `check` | what is wrong with the templates, as far as a session can tell |
//! | `console` | code that a developer types |
//! | `unopened` | those that no browser has connected to yet |
//! | `settings` | what all sessions have in common |
//! | `id` | what a session is known by |
//! | `secret` | what opens it |
//!
//! All work in a session is serialised: frames of browsers, timers, reloads and calls from the host
//! wait in its mailbox. A thread takes the session out of the mailbox, does one unit of work, and
//! puts it back; so there is no lock around a Lua state, and no Lua on an async worker.

mod address;
mod anew;
mod batch;
mod cap;
mod check;
mod client;
mod clock;
mod console;
mod handle;
mod handover;
mod id;
mod lines;
mod lua_session;
mod notice;
mod origin;
mod outbox;
mod pace;
mod pool;
mod problems;
mod refusals;
mod registry;
mod reload;
mod run_queue;
mod secret;
mod settings;
mod slice;
mod start;
mod summary;
mod unit;
mod unopened;
mod upkeep;
mod waiting;
mod worker;

pub use crate::lua::Typed;
pub use client::ClientId;
pub use handle::{SessionGone, SessionHandle};
pub use handover::{Drained, Found};
pub use id::{NotASessionId, SessionId};
pub use lua_session::LuaSession;
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
mod tests_hub;
#[cfg(test)]
mod tests_library;
#[cfg(test)]
mod tests_memory;
#[cfg(test)]
mod tests_random;
#[cfg(test)]
mod tests_rest;
#[cfg(test)]
mod tests_sandbox;
#[cfg(test)]
mod tests_stuck;
#[cfg(test)]
mod tests_time;
#[cfg(test)]
mod tests_turns;
