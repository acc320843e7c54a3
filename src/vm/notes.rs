//! What the prelude tells of a reload, as [`Note`]s. What it cannot know, the source text says.

use mlua::{LuaString, Table};

use crate::reload::{Generation, Note, RunAgain, StaleKind, source_text};

/// The file that a chunk is called by, as people know it.
pub(super) fn file(source: &LuaString) -> String {
    let name = source.to_string_lossy();
    name.strip_prefix('@').unwrap_or(&name).to_owned()
}

/// `None`: it is not worth telling, as the sources show.
pub(super) fn read(note: &Table, before: &Generation, now: &Generation) -> Option<Note> {
    let text = |key: &str| note.raw_get::<Option<LuaString>>(key).ok().flatten();
    let words = |key: &str| text(key).map(|text| text.to_string_lossy());
    let file = |key: &str| text(key).as_ref().map(self::file);
    let list = |key: &str| note.raw_get::<Option<Vec<LuaString>>>(key).ok().flatten().unwrap_or_default();
    let source = file("source")?;
    match words("kind")?.as_str() {
        "local" => {
            let name = words("name")?;
            let old = before.source(&source)?;
            let new = now.source(&source)?;
            let (_, was) = source_text::declaration(&old.source, &name)?;
            let (line, is) = source_text::declaration(&new.source, &name)?;
            // Who edits a value wants the new one. A number that nobody assigns to has not grown; it was
            // computed from something that is another now.
            let data = note.raw_get::<bool>("data").unwrap_or_default();
            let grown = was == is && (data || source_text::is_assigned(&old.source, &name));
            let line = Some(line);
            grown.then_some(Note::FileLocalReset {
                file: source,
                line,
                name,
                value: words("value")?,
                now: words("now"),
            })
        }
        "stale" => {
            let kind = match words("what")?.as_str() {
                "timer" => StaleKind::Timer,
                "coroutine" => StaleKind::Coroutine,
                _ => StaleKind::Function,
            };
            let count = note.raw_get("count").unwrap_or(1);
            Some(Note::StaleCode { kind, count, file: source, line: note.raw_get("line").unwrap_or(0) })
        }
        "dependents" => {
            let why = match words("why")?.as_str() {
                "scalar" => RunAgain::Scalar,
                "type" => RunAgain::TypeChanged,
                _ => RunAgain::Invalidated { message: words("message").unwrap_or_default() },
            };
            let mut dependents: Vec<_> = list("files").iter().map(self::file).collect();
            dependents.sort();
            Some(Note::DependentsRun { file: source, why, dependents })
        }
        "invalidated" => Some(Note::Invalidated { file: source, message: words("message")? }),
        "copies" => {
            let text = now.source(&source)?;
            let names = list("names");
            let names = names.iter().map(|name| name.to_string_lossy());
            let mut names: Vec<_> = names.filter(|name| source_text::copies(&text.source, name)).collect();
            names.sort();
            (!names.is_empty()).then_some(Note::CopiesMade { file: source, of: file("of")?, names })
        }
        _ => None,
    }
}
