//! What a developer types into a session, and what comes of it.

use super::lua_session::LuaSession;
use crate::lua;

/// What came of code that was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// It ran.
    Done {
        /// What it printed, which is in the log as well.
        printed: String,
        /// The values that it gave, one a line.
        values: String,
    },
    /// It is only the beginning of a statement.
    Incomplete,
    /// It did not come to its end.
    Failed {
        /// What it had printed.
        printed: String,
        /// The error, with file and line, and the traceback below it.
        error: String,
    },
}

impl LuaSession {
    /// Runs code that a developer types, with the budget and in the sandbox of the session.
    pub fn type_in(&mut self, code: &str) -> Typed {
        match self.vm.type_in(code) {
            lua::Typed::Done { printed, values } => Typed::Done { printed, values },
            lua::Typed::Incomplete => Typed::Incomplete,
            lua::Typed::Failed { printed, failure } => {
                let error = format!("{}{}", failure.diagnostic, failure.diagnostic.details());
                Typed::Failed { printed, error }
            }
        }
    }

    /// Names that the end of a text may go on with, and the byte at which they would begin.
    pub fn complete(&self, text: &str) -> (usize, Vec<String>) {
        self.vm.complete(text)
    }
}
