//! What the status page and the debug pages show of a session.

use std::time::Instant;

use super::lua_session::LuaSession;
use crate::reload::Diagnostic;

/// How a session is.
#[derive(Debug, Clone)]
pub struct SessionSummary {
    /// When its state was made.
    pub began: Instant,
    /// Browsers that look at it.
    pub sockets: usize,
    /// Bytes that its Lua state uses.
    pub memory: usize,
    /// The generation of its code.
    pub generation: u64,
    /// What went wrong last, and when.
    pub last_error: Option<(Instant, Diagnostic)>,
}

impl LuaSession {
    /// How the session is.
    pub fn summary(&self) -> SessionSummary {
        SessionSummary {
            began: self.began,
            sockets: self.clients.len(),
            memory: self.used_memory(),
            generation: self.generation().number,
            last_error: self.last_error.clone().map(|error| *error),
        }
    }

    /// What the debug pages show of it.
    pub(super) fn describe(&mut self) -> serde_json::Value {
        let clients: Vec<_> = self.clients.iter().map(|client| client.view.describe()).collect();
        serde_json::json!({
            "session": self.id().short(),
            "generation": self.generation().number,
            "memory": self.used_memory(),
            "startError": self.start_error,
            "browsers": clients,
        })
    }
}
