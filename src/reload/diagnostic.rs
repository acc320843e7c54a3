//! An error as a developer wants to see it: file, line, excerpt, traceback.

use std::fmt;

use serde::Serialize;

/// How many lines are shown before and after the failing one.
const CONTEXT: u32 = 2;
/// A message is cut beyond this many bytes; scripts can raise anything.
const MAX_MESSAGE: usize = 4096;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
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
        let head = head.trim();
        let (file, line, message) = split_position(head).unwrap_or(("", None, head));
        Self { traceback, ..Self::about(file, line, message) }
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

    /// `file:line`, as much as is known.
    pub fn position(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
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
