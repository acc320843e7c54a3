//! What a developer should know of a reload that went well: one sentence each.

use std::fmt;

use serde::{Serialize, Serializer};

/// At most this many names are listed in a sentence.
const SHOWN: usize = 8;

/// A remark on a reload. Equal ones of several sessions are told once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Note {
    /// A file ran although nobody saved it: it took something when it was loaded that is edited now.
    RanAgain {
        /// As people know it: `lua/app.lua`.
        file: String,
        /// A path in what the module returns; empty for all of it.
        took: String,
        /// The module's file.
        of: String,
    },
    /// A value was made again, because something that makes it was edited, and not the value itself.
    MadeAgain {
        /// The file.
        file: String,
        /// Where the value is made, counted from 1.
        line: u32,
        /// The value, as a path.
        name: String,
        /// What was edited.
        by: String,
    },
    /// Lua accepts the file and the parser of definitions does not: all of it counts as edited.
    Whole {
        /// The file.
        file: String,
        /// What is not understood.
        why: String,
    },
    /// Something outside the reloaded code still runs functions of the previous version.
    StaleCode {
        /// What runs them.
        kind: StaleKind,
        /// How many of that kind.
        count: usize,
        /// The file whose previous version they run.
        file: String,
        /// Where the function begins.
        line: u32,
    },
    /// Files ran again although nobody saved them, because of what a module they require returns.
    DependentsRun {
        /// The module.
        file: String,
        /// Why they had to run again.
        why: RunAgain,
        /// The files that ran again.
        dependents: Vec<String>,
    },
    /// A session that was stuck goes on.
    GoesOn,
    /// A file that sessions have loaded is no longer there.
    Gone {
        /// The file.
        file: String,
    },
    /// A file that is no longer there was let go: nothing requires it any more.
    Pruned {
        /// The file.
        file: String,
    },
    /// Objects of a prototype could not be migrated; all others were.
    MigrationFailed {
        /// The prototype's name.
        prototype: String,
        /// How many objects.
        count: usize,
        /// The error of the first, with file and line.
        error: String,
    },
    /// A migration took longer than it may: the rest of the objects keep their old fields.
    MigrationStopped {
        /// Objects that were not migrated.
        left: usize,
        /// The configuration key of the limit.
        key: &'static str,
    },
    /// A function given to `hot.dispose` or `hot.accept` failed.
    HookFailed {
        /// `hot.dispose` or `hot.accept`.
        hook: &'static str,
        /// The file that registered it.
        file: String,
        /// The error, with file and line.
        error: String,
    },
    /// `hot.invalidate` was called, and no file requires the module.
    Invalidated {
        /// The file.
        file: String,
        /// What it said.
        message: String,
    },
    /// The session has more tables than a rollback restores.
    CodeOnly {
        /// The limit.
        tables: usize,
    },
}

/// What still runs functions of a previous version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StaleKind {
    /// A timer's callback.
    Timer,
    /// A function that other code holds.
    Function,
    /// A suspended coroutine.
    Coroutine,
}

/// Why dependents ran again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunAgain {
    /// The module returns a value that cannot be changed in place.
    Scalar,
    /// It returns another type than before.
    TypeChanged,
    /// It called `hot.invalidate`.
    Invalidated {
        /// With that message.
        message: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RanAgain { file, took, of } if took.is_empty() => {
                write!(f, "{file} ran again: it took what {of} returns when it loaded")
            }
            Self::RanAgain { file, took, of } => {
                write!(f, "{file} ran again: it took {took} from {of} when it loaded")
            }
            Self::MadeAgain { file, line, name, by } => {
                write!(f, "{file}:{line}: {name} was made again, since {by} was edited")
            }
            Self::Whole { file, why } => {
                write!(f, "{file} counts as edited as a whole, so its values start over: {why}")
            }
            Self::StaleCode { kind, count, file, line } => {
                let (one, many) = match kind {
                    StaleKind::Timer => ("timer", "timers"),
                    StaleKind::Function => ("function", "functions"),
                    StaleKind::Coroutine => ("suspended coroutine", "suspended coroutines"),
                };
                let (what, verb) = if *count == 1 { (one, "runs") } else { (many, "run") };
                let place = Position(file, Some(*line));
                write!(f, "{count} {what} still {verb} the previous version of {place}")
            }
            Self::DependentsRun { file, why, dependents } => {
                let why = match why {
                    RunAgain::Scalar => "returns a plain value".to_owned(),
                    RunAgain::TypeChanged => "returns another type than before".to_owned(),
                    RunAgain::Invalidated { message } => format!("called hot.invalidate: {message}"),
                };
                write!(f, "{file} {why}: ran again what requires it: {}", List(dependents))
            }
            Self::GoesOn => f.write_str("the session goes on"),
            Self::Gone { file } => {
                write!(f, "{file} is gone: sessions that have it keep it, new ones will fail to require it")
            }
            Self::Pruned { file } => {
                write!(f, "{file} is gone and nothing requires it any more: it was let go")
            }
            Self::MigrationFailed { prototype, count, error } => {
                let objects = if *count == 1 { "object" } else { "objects" };
                write!(f, "{prototype}: {count} {objects} could not be migrated: {error}")
            }
            Self::MigrationStopped { left, key } => {
                write!(f, "{left} objects were not migrated: it took too long ({key})")
            }
            Self::HookFailed { hook, file, error } => write!(f, "{file}: {hook} failed: {error}"),
            Self::Invalidated { file, message } => {
                write!(f, "{file} called hot.invalidate, and nothing requires it: {message}")
            }
            Self::CodeOnly { tables } => write!(
                f,
                "the session has more than {tables} tables: if this had failed, code would be as before and data not"
            ),
        }
    }
}

impl Note {
    /// Whether the note warns of something unexpected. Other notes only inform.
    pub fn is_warning(&self) -> bool {
        !matches!(
            self,
            Self::DependentsRun { .. }
                | Self::Pruned { .. }
                | Self::RanAgain { .. }
                | Self::MadeAgain { .. }
                | Self::GoesOn
        )
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct Position<'a>(&'a str, Option<u32>);

impl fmt::Display for Position<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(line) => write!(f, "{}:{line}", self.0),
            None => f.write_str(self.0),
        }
    }
}

struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN)];
        f.write_str(&shown.join(", "))?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_note_is_a_sentence_with_its_place() {
        let again = |took: &str| Note::RanAgain {
            file: "lua/app.lua".into(),
            took: took.into(),
            of: "lua/util.lua".into(),
        };
        assert_eq!(
            again("LIMIT").to_string(),
            "lua/app.lua ran again: it took LIMIT from lua/util.lua when it loaded"
        );
        assert_eq!(
            again("").to_string(),
            "lua/app.lua ran again: it took what lua/util.lua returns when it loaded"
        );
        let stale = |kind, count| Note::StaleCode { kind, count, file: "lua/x.lua".into(), line: 40 };
        assert_eq!(
            stale(StaleKind::Timer, 2).to_string(),
            "2 timers still run the previous version of lua/x.lua:40"
        );
        assert_eq!(
            stale(StaleKind::Coroutine, 1).to_string(),
            "1 suspended coroutine still runs the previous version of lua/x.lua:40"
        );
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (1..=10).map(|n| n.to_string()).collect();
        assert_eq!(List(&names).to_string(), "1, 2, 3, 4, 5, 6, 7, 8 and 2 more");
    }
}
