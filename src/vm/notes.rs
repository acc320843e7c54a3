//! What the prelude tells of a reload, as [`Note`]s. What it cannot know, the source text says.

use mlua::{LuaString, Value};

use crate::reload::{Generation, Note, RunAgain, StaleKind, source_text};

/// The file that a chunk is called by, as people know it.
pub(super) fn file(source: &LuaString) -> String {
    let name = source.to_string_lossy();
    name.strip_prefix('@').unwrap_or(&name).to_owned()
}

/// A note is a list: its kind, the chunk's name of the file that it is about, and what else there is to say.
/// `None`: it is not worth telling, as the sources show.
pub(super) fn read(note: &[Value], before: &Generation, now: &Generation) -> Option<Note> {
    let text = |value: &Value| value.as_string().cloned();
    let words = |at: usize| note.get(at).and_then(text).map(|text| text.to_string_lossy());
    let number = |at: usize| note.get(at).and_then(Value::as_u32).unwrap_or_default();
    let rest = |from: usize| note.get(from..).unwrap_or_default().iter().filter_map(text);
    let source = self::file(note.get(1)?.as_string()?);
    match words(0)?.as_str() {
        // Name, what it was, what it is now if that can be told, whether it was a table.
        "local" => {
            let name = words(2)?;
            let old = before.source(&source)?;
            let new = now.source(&source)?;
            let (_, was) = source_text::declaration(&old.source, &name)?;
            let (line, is) = source_text::declaration(&new.source, &name)?;
            // Who edits a value wants the new one. A number that nobody assigns to has not grown; it was
            // computed from something that is another now.
            let data = note.get(5).and_then(Value::as_boolean).unwrap_or_default();
            let grown = was == is && (data || source_text::is_assigned(&old.source, &name));
            let line = Some(line);
            grown.then_some(Note::FileLocalReset {
                file: source,
                line,
                name,
                value: words(3)?,
                now: words(4),
            })
        }
        // What goes on, the line of its function, how many.
        "stale" => {
            let kind = match words(2)?.as_str() {
                "timer" => StaleKind::Timer,
                "coroutine" => StaleKind::Coroutine,
                _ => StaleKind::Function,
            };
            let count = note.get(4).and_then(Value::as_usize).unwrap_or(1);
            Some(Note::StaleCode { kind, count, file: source, line: number(3) })
        }
        // Why, what `hot.invalidate` said, the files.
        "dependents" => {
            let why = match words(2)?.as_str() {
                "scalar" => RunAgain::Scalar,
                "type" => RunAgain::TypeChanged,
                _ => RunAgain::Invalidated { message: words(3).unwrap_or_default() },
            };
            let mut dependents: Vec<_> = rest(4).map(|source| self::file(&source)).collect();
            dependents.sort();
            Some(Note::DependentsRun { file: source, why, dependents })
        }
        "invalidated" => Some(Note::Invalidated { file: source, message: words(2)? }),
        // Of which file, the names.
        "copies" => {
            let text = now.source(&source)?;
            let names = rest(3).map(|name| name.to_string_lossy());
            let mut names: Vec<_> = names.filter(|name| source_text::copies(&text.source, name)).collect();
            names.sort();
            let of = self::file(note.get(2)?.as_string()?);
            (!names.is_empty()).then_some(Note::CopiesMade { file: source, of, names })
        }
        _ => None,
    }
}
