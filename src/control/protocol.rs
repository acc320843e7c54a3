//! What is asked and answered: one JSON object a line.

use serde::{Deserialize, Serialize};

/// A longer line is not read.
pub(super) const MAX_LINE: u64 = 64 << 10;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
