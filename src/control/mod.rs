//! The control socket: how a program of the same user reaches the sessions and the store of a running server.
//!
//! | file | what it does |
//! |---|---|
//! | `place` | where the sockets are, and that nobody else gets there |
//! | `protocol` | what is asked and answered, one JSON object a line |
//! | `listener` | the server's end, [`Control`] |
//! | `client` | the other one, [`Client`] |

mod client;
mod listener;
mod place;
mod protocol;

pub use client::{Client, ClientError, find, of_site};
pub use listener::{Control, DrainRequest, Served};
pub use place::PlaceError;
pub use protocol::{Answer, Listed, Request};
