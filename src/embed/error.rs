//! What can go wrong.

use std::io;

use thiserror::Error;

use crate::{
    reload::{Diagnostic, HotLoaderError},
    watch::WatchError,
};

/// What can go wrong for a program with states of its own.
#[derive(Debug, Error)]
pub enum EmbedError {
    /// The scripts cannot be read or watched.
    #[error(transparent)]
    HotLoader(#[from] HotLoaderError),
    /// The watcher was asked, and has ended or did not answer.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// No thread that could watch.
    #[error("cannot start the thread that watches the scripts")]
    Thread(#[source] io::Error),
    /// It would block a thread of a tokio runtime.
    #[error("{called} blocks and so cannot be called in an async context; call {instead}")]
    InsideRuntime {
        /// What was called.
        called: &'static str,
        /// What does the same there.
        instead: &'static str,
    },
    /// A Lua state is attached once, and stays attached.
    #[error("this Lua state is attached already; keep the State that the first call gave")]
    Attached,
    /// A global that scripts find `session`, `hot` or `EMPTY` in.
    #[error(
        "the Lua state has a global \"{name}\" already, and scripts find the hot loader's there; rename yours"
    )]
    GlobalTaken {
        /// Its name.
        name: &'static str,
    },
    /// The state does not take what is put into it: for want of memory, or since its globals are protected.
    #[error("the hot loader cannot be put into the Lua state: {0}")]
    State(#[from] mlua::Error),
    /// Lua code failed.
    #[error("{}{}", .0, .0.details())]
    Script(Diagnostic),
}

impl EmbedError {
    /// File, line and excerpt, if it was Lua code that failed.
    pub fn diagnostic(&self) -> Option<&Diagnostic> {
        match self {
            Self::Script(diagnostic) => Some(diagnostic),
            _ => None,
        }
    }
}
