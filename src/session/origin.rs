//! [`Origin`]: where a session comes from, and what knows it.

use std::{sync::Arc, time::Duration};

use super::lua_session::LuaSession;
use crate::{
    reload::{Generation, Telling},
    wire::Account,
};

/// Where the session comes from, and what knows it.
pub(super) trait Origin: Send + Sync {
    /// Makes the session, on a thread of the pool.
    fn make(&self) -> mlua::Result<LuaSession>;
    /// A browser has connected to it for the first time.
    fn opened(&self);
    /// It has ended: nobody shall find it any more.
    fn forget(&self);
    /// The newest good code, to show where the session is.
    fn generation(&self) -> Arc<Generation>;
    /// How a developer wants to be told.
    fn telling(&self) -> &Telling;
    /// How long it waits for its browser to come back; zero: for ever.
    fn timeout(&self) -> Duration;
    /// How many sockets it may have.
    fn max_sockets(&self) -> usize;
    /// For what is held for its browsers.
    fn account(&self) -> &Account;
}
