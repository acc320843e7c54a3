//! What a reload has told, as [`Note`]s. What it cannot know, the source text says.

use mlua::LuaString;

use super::reload::{Told, What};
use crate::reload::{Generation, Note, RunAgain, source_text};

/// The file that a chunk is called by, as people know it.
pub(super) fn file(source: &LuaString) -> String {
    known(&source.to_string_lossy()).to_owned()
}

fn known(source: &str) -> &str {
    source.strip_prefix('@').unwrap_or(source)
}

/// `None`: it is not worth telling, as the sources show.
pub(super) fn read(told: Told, before: &Generation, now: &Generation) -> Option<Note> {
    let file = known(&told.source).to_owned();
    match told.what {
        What::Local { name, was, now: text, was_table } => {
            let old = before.source(&file)?;
            let new = now.source(&file)?;
            let (_, declared) = source_text::declaration(&old.source, &name)?;
            let (line, is) = source_text::declaration(&new.source, &name)?;
            // Who edits a value wants the new one. A number that nobody assigns to has not grown; it was
            // computed from something that is another now.
            let grown = declared == is && (was_table || source_text::is_assigned(&old.source, &name));
            grown.then_some(Note::FileLocalReset { file, line: Some(line), name, value: was, now: text })
        }
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
        What::Copies { of, mut names } => {
            let text = now.source(&file)?;
            names.retain(|name| source_text::copies(&text.source, name));
            names.sort();
            (!names.is_empty()).then(|| Note::CopiesMade { file, of: known(&of).to_owned(), names })
        }
    }
}
