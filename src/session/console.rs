//! What a developer types into a session, and what comes of it.

use super::lua_session::LuaSession;
use crate::lua::Typed;

impl LuaSession {
    /// Runs code that a developer types, with the budget and in the sandbox of the session.
    pub fn type_in(&mut self, code: &str) -> Typed {
        self.vm.type_in(code)
    }

    /// Names that the end of a text may go on with, and the byte at which they would begin.
    pub fn complete(&self, text: &str) -> (usize, Vec<String>) {
        self.vm.complete(text)
    }
}
