//! What goes over the WebSocket: every frame, in both directions. `docs/protocol.md` says what they mean.
//!
//! A text frame of a browser is a [`Batch`] of [`Incoming`] messages, one of the server an array of
//! [`Outgoing`] ones. A message is `{"type": …, "data": {…}}`.
//!
//! | type | from a browser | from the server |
//! |---|---|---|
//! | `create` | [`Incoming::Create`] | |
//! | `watch`, `unwatch` | [`Incoming::Watch`], [`Incoming::Unwatch`] | |
//! | `update` | [`Incoming::Update`] | [`Outgoing::Update`] |
//! | `upload` | [`Incoming::Upload`] | |
//! | `destroy` | [`Incoming::Destroy`] | [`Outgoing::Destroy`] |
//! | `error` | [`Incoming::Error`] | [`Outgoing::Error`], with an [`ErrorCode`] |
//! | `reload` | | [`Outgoing::Reload`] |
//! | `problems` | | [`Outgoing::Problems`] |
//! | `files` | | [`Outgoing::Files`] |
//! | `restart` | [`Incoming::Restart`] | [`Outgoing::Restart`] |
//!
//! Values in messages are [`Encoded`]. The server ends a socket by a [`Close`]. What is held of all this for
//! the browsers of a session is charged to its [`Account`].

mod account;
mod close;
mod incoming;
mod outgoing;
mod problem;
mod shared;
mod value;

use std::collections::BTreeMap;

pub use account::{Account, Charge, Exceeded};
pub use close::Close;
pub use incoming::{BadMessage, Batch, Incoming, Piece};
pub use outgoing::{ErrorCode, Outgoing};
pub(crate) use outgoing::{cut, frame};
pub use problem::ProblemReport;
pub(crate) use shared::{SHORT, Shared};
pub use value::{Elements, Encoded, LongText};

/// A variable's id: from 2 up the browser numbers them, from -1 down the server.
pub type VarId = i64;
/// A variable's properties.
pub type Properties = BTreeMap<String, String>;
