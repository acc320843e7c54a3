//! An error as a developer wants to see it: file, line, excerpt, traceback.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::hints::hint;

/// How many lines are shown before and after the failing one.
const CONTEXT: u32 = 2;
/// A message is cut beyond this many bytes; scripts can raise anything.
const MAX_MESSAGE: usize = 4096;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// As people know the file, relative to the site; empty if unknown.
    pub file: String,
    /// Counted from 1.
    pub line: Option<u32>,
    /// Without file and line.
    pub message: String,
    /// The failing line and those around it.
    pub excerpt: Vec<ExcerptLine>,
    /// Lua's stack, one frame a line; empty for syntax errors.
    pub traceback: String,
}

/// A line of source beside its number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ExcerptLine {
    /// Counted from 1.
    pub line: u32,
    /// Without its line end.
    pub text: String,
}

impl Diagnostic {
    /// An error about a file as a whole.
    pub fn about(file: impl Into<String>, line: Option<u32>, message: impl Into<String>) -> Self {
        let message = shorten(message.into());
        Self { file: file.into(), line, message, excerpt: Vec::new(), traceback: String::new() }
    }

    /// Takes apart what Lua raised: `lua/app.lua:42: message`, and perhaps a traceback below it.
    pub fn from_lua(text: &str) -> Self {
        let (head, traceback) = match text.split_once("\nstack traceback:\n") {
            Some((head, traceback)) => (head, tidy_traceback(traceback)),
            None => (text, String::new()),
        };
        // The loader's own code has no debug information: what it raises by itself has no place to show.
        let head = head.trim();
        let head = head.strip_prefix("?:-1: ").unwrap_or(head);
        let innermost = || Some((split_position(traceback.lines().next()?)?, head));
        let ((file, line), message) = match (split_position(head), innermost()) {
            (Some((file, line, message)), _) => ((file, line), message),
            // Then it is where the user's code was.
            (None, Some(((file, line, _), head))) => ((file, line), head),
            (None, None) => (("", None), head),
        };
        let found = Self::about(file, line, message);
        Self { traceback, ..found }
    }

    /// Adds the lines around the failing one.
    #[must_use]
    pub fn with_excerpt(mut self, source: &[u8]) -> Self {
        let Some(line) = self.line else { return self };
        let first = line.saturating_sub(CONTEXT).max(1);
        self.excerpt = (1u32..)
            .zip(String::from_utf8_lossy(source).lines())
            .skip_while(|&(n, _)| n < first)
            .take_while(|&(n, _)| n <= line + CONTEXT)
            .map(|(line, text)| ExcerptLine { line, text: text.chars().take(200).collect() })
            .collect();
        self
    }

    /// The lines that a log shows below the error: the source around it, the traceback if that says more than
    /// the line, and the hint. Each begins with a line break, so that it can follow anything; empty if nothing is
    /// known.
    pub fn details(&self) -> String {
        let width = self.excerpt.last().map_or(0, |last| last.line.to_string().len());
        let line = |excerpt: &ExcerptLine| {
            let mark = if Some(excerpt.line) == self.line { '>' } else { ' ' };
            format!("\n {mark} {:>width$} | {}", excerpt.line, excerpt.text).trim_end().to_owned()
        };
        let frames: Vec<&str> = self.traceback.lines().collect();
        let says_more = frames.len() > 1;
        let frames = frames.into_iter().filter(|_| says_more).map(|frame| format!("\n   from {frame}"));
        let hint = self.hint().map(|hint| format!("\n   hint: {hint}"));
        self.excerpt.iter().map(line).chain(frames).chain(hint).collect()
    }

    /// What was probably meant, if that can be told.
    pub fn hint(&self) -> Option<&'static str> {
        hint(&self.message)
    }

    /// Whether both read alike: same place, same message.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (&self.file, self.line, &self.message) == (&other.file, other.line, &other.message)
    }

    /// `file:line`, as much as is known.
    pub fn position(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }
}

/// With the hint, for who reads it elsewhere.
impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hint = self.hint();
        let mut fields = serializer.serialize_struct("Diagnostic", 5 + usize::from(hint.is_some()))?;
        fields.serialize_field("file", &self.file)?;
        fields.serialize_field("line", &self.line)?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("excerpt", &self.excerpt)?;
        fields.serialize_field("traceback", &self.traceback)?;
        match hint {
            Some(hint) => fields.serialize_field("hint", hint)?,
            None => fields.skip_field("hint")?,
        }
        fields.end()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position() {
            position if position.is_empty() => f.write_str(&self.message),
            position => write!(f, "{position}: {}", self.message),
        }
    }
}

/// `file:line: message`, where the file may itself contain colons.
fn split_position(text: &str) -> Option<(&str, Option<u32>, &str)> {
    let first_line = text.lines().next()?;
    for (colon, _) in first_line.match_indices(':') {
        let rest = &first_line[colon + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && rest[digits..].starts_with(':') {
            let message = text[colon + 1 + digits + 1..].trim_start();
            return Some((&text[..colon], rest[..digits].parse().ok(), message));
        }
    }
    None
}

/// Keeps the frames that are in files of the user: `[C]` and the loader's own (`?`, as it has no
/// debug information) say nothing to them.
fn tidy_traceback(text: &str) -> String {
    let frames = text.lines().map(str::trim).filter(|line| {
        !line.is_empty() && !["[C]", "?:", "(..."].iter().any(|start| line.starts_with(start))
    });
    frames.take(20).collect::<Vec<_>>().join("\n")
}

fn shorten(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lua_error_is_split_into_file_line_message_and_traceback() {
        let text = "lua/app.lua:42: attempt to index a nil value (local 'x')\nstack traceback:\n\t[C]: in ?\n\tlua/app.lua:42: in function 'f'\n\t?: in upvalue '?'";
        let diagnostic = Diagnostic::from_lua(text);
        assert_eq!(diagnostic.file, "lua/app.lua");
        assert_eq!(diagnostic.line, Some(42));
        assert_eq!(diagnostic.message, "attempt to index a nil value (local 'x')");
        assert_eq!(diagnostic.traceback, "lua/app.lua:42: in function 'f'");
    }

    #[test]
    fn an_error_that_does_not_say_where_is_where_the_users_code_was() {
        for head in ["?:-1: attempt to index nil", "attempt to index nil"] {
            let text =
                format!("{head}\nstack traceback:\n\t[C]: in ?\n\t?: in ?\n\tlua/a.lua:7: in main chunk");
            let diagnostic = Diagnostic::from_lua(&text);
            assert_eq!(diagnostic.to_string(), "lua/a.lua:7: attempt to index nil");
        }
    }

    #[test]
    fn an_error_without_a_position_keeps_its_whole_text() {
        let diagnostic = Diagnostic::from_lua("not enough memory");
        assert_eq!((diagnostic.file.as_str(), diagnostic.line), ("", None));
        assert_eq!(diagnostic.to_string(), "not enough memory");
    }

    #[test]
    fn the_excerpt_shows_two_lines_on_each_side_and_ends_with_the_file() {
        let lines = |line| {
            let diagnostic = Diagnostic::about("a.lua", Some(line), "x").with_excerpt(b"1\n2\n3\n4\n5");
            diagnostic.excerpt.iter().map(|line| line.text.clone()).collect::<String>()
        };
        assert_eq!(lines(3), "12345");
        assert_eq!(lines(1), "123");
        assert_eq!(lines(5), "345");
        assert_eq!(lines(9), "");
    }

    #[test]
    fn a_huge_message_is_cut_at_a_character() {
        let diagnostic = Diagnostic::from_lua(&"ä".repeat(10_000));
        assert!(diagnostic.message.len() < 4200);
    }
}
