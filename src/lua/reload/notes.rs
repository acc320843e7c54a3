//! What a reload has told, as [`Note`]s.

use mlua::LuaString;

use crate::lua::reload::{Told, What};
use crate::reload::{Note, RunAgain};

/// The file that a chunk is called by, as people know it.
pub(in crate::lua) fn file(source: &LuaString) -> String {
    known(&source.to_string_lossy()).to_owned()
}

fn known(source: &str) -> &str {
    source.strip_prefix('@').unwrap_or(source)
}

pub(in crate::lua) fn read(told: Told) -> Option<Note> {
    let file = known(&told.source).to_owned();
    match told.what {
        What::MadeAgain { line, name, by } => Some(Note::MadeAgain { file, line, name, by }),
        What::Whole { why } => Some(Note::Whole { file, why }),
        What::Stale { kind, line, count } => Some(Note::StaleCode { kind, count, file, line }),
        What::Dependents { why, message, sources } => {
            let why = match why.as_str() {
                "scalar" => RunAgain::Scalar,
                "type" => RunAgain::TypeChanged,
                _ => RunAgain::Invalidated { message: message.unwrap_or_default() },
            };
            let mut dependents: Vec<_> = sources.iter().map(|source| known(source).to_owned()).collect();
            dependents.sort();
            Some(Note::DependentsRun { file, why, dependents })
        }
        What::Invalidated { message } => Some(Note::Invalidated { file, message }),
    }
}
