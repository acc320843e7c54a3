//! One value as one layer gives it.

use std::{fmt, path::PathBuf};

use figment::value::Value;

/// A key with the value that one layer gives it.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// `server.port`
    pub(super) key: String,
    pub(super) value: Value,
    /// The value as it was written, for messages.
    pub(super) written: String,
    pub(super) origin: Origin,
}

/// Where a value was written. Ordered as the layers are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Origin {
    /// In a configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key, from 1.
        line: usize,
    },
    /// In an environment variable of this name.
    Variable(String),
    /// In a command line flag (`--port`).
    Flag(&'static str),
    /// Nowhere: it is a default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as a message can show it: on one line, and not too long for one.
pub(super) fn shown(written: &str) -> String {
    const LONGEST: usize = 60;
    let mut line = written.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_shown_on_one_line_and_cut_between_characters() {
        assert_eq!(shown("[\n  1,\n  2,\n]"), "[ 1, 2, ]");
        assert_eq!(shown(&"ä".repeat(100)), format!("{}…", "ä".repeat(60)));
    }
}
