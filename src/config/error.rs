//! What is wrong with a configuration, told so that it can be mended without reading code.

use std::{fmt, io, path::PathBuf};

use super::Origin;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file that was named does not exist.
    #[error("{}: no such configuration file; --config needs one that exists (without --config, {file} of the site is read if there)", path.display(), file = super::FILE)]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read as text.
    #[error("{}: the configuration file cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What reading it said.
        reason: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}:{column}: not valid TOML: {message}\n{excerpt}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where the parser stopped, from 1.
        line: usize,
        /// Where the parser stopped, in characters from 1.
        column: usize,
        /// What the parser missed.
        message: String,
        /// The line with a mark under the place.
        excerpt: String,
    },
    /// All keys and values that are not allowed, in the order of the layers.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
    /// The built-in defaults are broken; a mistake in this program.
    #[error("the built-in configuration is broken (please report this)")]
    Internal(#[from] Box<figment::Error>),
}

/// One key or value that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `server.port`
    pub key: String,
    /// The value as it was written.
    pub value: String,
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a key or value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// There is no such key.
    Unknown {
        /// The one that was probably meant.
        nearest: Option<String>,
        /// Those that there are in its place.
        siblings: Vec<String>,
    },
    /// The value is not one the key takes.
    Wrong {
        /// What the key takes, to be read after "must be".
        wanted: String,
    },
    /// A watch backend does not take the option.
    Refused {
        /// Its own words.
        why: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, origin, reason } = self;
        match reason {
            Reason::Wrong { wanted } => write!(f, "{origin}: {key} = {value}: must be {wanted}"),
            // It names key and value itself, as far as it knows them.
            Reason::Refused { why } if why.contains(key) => write!(f, "{origin}: {why}"),
            Reason::Refused { why } => write!(f, "{origin}: {key} = {value}: {why}"),
            Reason::Unknown { nearest, siblings } => {
                match origin {
                    Origin::Variable(_) => write!(f, "{origin}: sets no known key")?,
                    _ => write!(f, "{origin}: unknown key {key}")?,
                }
                match nearest {
                    Some(nearest) => write!(f, "; did you mean {nearest}?"),
                    None if siblings.is_empty() => f.write_str("; its table has no such keys"),
                    None => write!(f, "; known here: {}", siblings.join(", ")),
                }
            }
        }
    }
}
