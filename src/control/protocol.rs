//! What is asked and answered: one JSON object a line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::hub::Stored;

/// A longer line of code is not sent.
pub(super) const MAX_LINE: u64 = 64 << 10;

/// A longer line is not read by a server that allows values of that size (`hub.max_value`).
pub(super) fn longest(max_value: usize) -> u64 {
    // Half as long is what is written together with others; nobody needs both to the byte.
    MAX_LINE.saturating_add((max_value as u64).saturating_mul(2))
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "do")]
pub enum Request {
    /// Which sessions run.
    Sessions,
    /// Run that code.
    Run {
        /// The id of a session.
        session: String,
        /// An expression, or statements.
        code: String,
    },
    /// Say how a text may go on.
    Complete {
        /// The id of a session.
        session: String,
        /// Up to the cursor.
        text: String,
    },
    /// Say which site is served.
    Site,
    /// Hand sessions on, and end.
    Drain {
        /// Milliseconds that it may take.
        within: u64,
    },
    /// What the store has of a key.
    Get {
        /// The key.
        key: String,
    },
    /// What the store has, one answer each, and `End` after them.
    List {
        /// Of keys that begin so.
        prefix: String,
    },
    /// Write into the store, all at once.
    Set {
        /// What.
        entries: Vec<Stored>,
    },
    /// Delete a key of the store.
    Delete {
        /// The key.
        key: String,
    },
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum Answer {
    /// Those that run.
    Sessions {
        /// In the order in which they began.
        sessions: Vec<Listed>,
    },
    /// The code ran.
    Done {
        /// What it printed.
        printed: String,
        /// The values that it gave, one a line.
        values: String,
    },
    /// The code is the beginning of a statement.
    Incomplete,
    /// The code failed.
    Failed {
        /// What it had printed.
        printed: String,
        /// Why.
        error: String,
    },
    /// How the text may go on.
    Names {
        /// The byte at which they would begin.
        start: usize,
        /// Whole names.
        names: Vec<String>,
    },
    /// The site that is served.
    Site {
        /// Its directory, by each name that it has had.
        dirs: Vec<PathBuf>,
    },
    /// Sessions were handed on, and the server ends.
    Drained {
        /// Those that ran.
        sessions: usize,
        /// Those that the store has.
        stored: usize,
    },
    /// What the store has.
    Entry {
        /// `None`: there is no such key.
        entry: Option<Stored>,
    },
    /// There is no more.
    End,
    /// It is written, but for these.
    Written {
        /// Which of the entries is not, counted from 0, and why.
        failed: Vec<(usize, String)>,
    },
    /// The request cannot be done.
    Refused {
        /// Why, and what helps.
        why: String,
    },
}

/// A session, for those who choose one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// As the address has it.
    pub id: String,
    /// As the log has it.
    pub short: String,
    /// Browsers that look at it.
    pub browsers: usize,
}
