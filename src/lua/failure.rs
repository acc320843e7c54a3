//! [`Failure`]: why Lua code did not come to its end, as a developer wants to see it.

use std::sync::Arc;

use super::limits::Budget;
use crate::{
    config::ByteSize,
    reload::{Diagnostic, Generation},
};

/// Why Lua code did not come to its end.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) diagnostic: Diagnostic,
    /// Out of time or memory.
    pub(crate) exhausted: bool,
}

/// What is known of a failure beside Lua's words.
#[derive(Debug, Default)]
pub(super) struct Circumstances<'a> {
    /// The budget of time that ended.
    pub(super) expired: Option<Budget>,
    /// The budget of memory, if there is one.
    pub(super) memory: Option<ByteSize>,
    /// Where the hook saw the script last.
    pub(super) place: String,
    /// The file that ran last: where it is if Lua does not say.
    pub(super) last_file: Option<&'a str>,
    /// For the lines around it.
    pub(super) generation: Option<Arc<Generation>>,
}

impl Failure {
    pub(super) fn new(error: &mlua::Error, circumstances: Circumstances<'_>) -> Self {
        let Circumstances { expired, memory, place, last_file, generation } = circumstances;
        let text = lua_text(error);
        let mut diagnostic = Diagnostic::from_lua(&text);
        let mut exhausted = false;
        if diagnostic.line.is_none()
            && let Some((file, line)) = innermost(&diagnostic.traceback)
        {
            // An error that is a table, or was raised with level 0.
            (diagnostic.file, diagnostic.line) = (file.to_owned(), Some(line));
        }
        if let Some(Budget { time, key }) = expired {
            exhausted = true;
            let traceback = std::mem::take(&mut diagnostic.traceback);
            diagnostic = Diagnostic { traceback, ..Diagnostic::from_lua(&format!("{place}: ran too long")) };
            let time = humantime::format_duration(time);
            diagnostic.message =
                format!("ran longer than {time} ({key}); is there a loop that does not end?");
        } else if text.contains("not enough memory") {
            exhausted = true;
            if diagnostic.line.is_none() && !place.is_empty() {
                diagnostic = Diagnostic::from_lua(&format!("{place}: not enough memory"));
            }
            if let Some(limit) = memory {
                diagnostic.message = format!("used more than {limit} of memory (session.budget.memory)");
            }
        }
        if diagnostic.file.is_empty()
            && let Some(file) = last_file
        {
            file.clone_into(&mut diagnostic.file);
        }
        if let Some(source) = generation.and_then(|generation| generation.source(&diagnostic.file).cloned()) {
            diagnostic.file.clone_from(&source.display);
            diagnostic = diagnostic.with_excerpt(&source.source);
        }
        Self { diagnostic, exhausted }
    }
}

/// File and line of the first frame of a tidy traceback, `lua/app.lua:42: in function 'f'`.
fn innermost(traceback: &str) -> Option<(&str, u32)> {
    let (position, _) = traceback.lines().next()?.split_once(": in ")?;
    let (file, line) = position.rsplit_once(':')?;
    Some((file, line.parse().ok()?))
}

/// What Lua would print for an error: the innermost cause, with the innermost traceback.
fn lua_text(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, traceback } => {
            let text = lua_text(cause);
            if text.contains("\nstack traceback:") || traceback.is_empty() {
                return text;
            }
            let traceback = traceback.strip_prefix("stack traceback:").unwrap_or(traceback);
            format!("{text}\nstack traceback:{traceback}")
        }
        mlua::Error::RuntimeError(text) | mlua::Error::MemoryError(text) => text.clone(),
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        error => error.to_string(),
    }
}
