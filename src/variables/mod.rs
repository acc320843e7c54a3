//! What browsers see of a session's objects: variables, their values, and the templates to show them.
//!
//! | file | what it does |
//! |---|---|
//! | `message` | the protocol's messages, both ways |
//! | `path` | `a.b.0.name()?key=value` taken apart |
//! | `value` | Lua values as the protocol writes them, and back |
//! | `access` | follows a path through Lua objects: reads, calls, writes |
//! | `tree` | the variables of one browser: made, watched, destroyed |
//! | `after_batch` | the pass that finds what differs from what the browser has |
//! | `viewdefs` | which templates the browser has |
//!
//! This layer knows no sockets: it takes messages and returns messages.

mod access;
mod after_batch;
mod message;
mod path;
mod tree;
mod value;
mod viewdefs;

pub use message::{BadMessage, Batch, ErrorCode, Incoming, Outgoing};
pub(crate) use tree::View;
pub(crate) use value::Objects;
