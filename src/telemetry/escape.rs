//! Makes text from outside harmless: it takes one line, does nothing to a terminal, and is bounded.

use std::fmt::{self, Write};

/// A character that ends a line, moves a cursor, or changes the order or look of what stands beside it
/// (Trojan Source). What is left is what it looks like.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// How a harmful character is written instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// As in Rust: `\n`, `\u{202e}`.
    Text,
    /// As in JSON, inside a string: `\u202e`. ASCII is left alone: the JSON writer escapes that.
    Json,
}

/// Writes on, with every harmful character escaped. Text that has none is passed on as it is.
pub(super) struct Escaping<'a> {
    to: &'a mut dyn Write,
    notation: Notation,
}

impl<'a> Escaping<'a> {
    pub(super) fn new(to: &'a mut dyn Write, notation: Notation) -> Self {
        Self { to, notation }
    }
}

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_meant = |c: char| match self.notation {
            Notation::Text => is_harmful(c),
            Notation::Json => !c.is_ascii() && is_harmful(c),
        };
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_meant(*c)) {
            self.to.write_str(&rest[..at])?;
            match self.notation {
                Notation::Text => write!(self.to, "{}", c.escape_default())?,
                // All of them are in the plane that four digits reach.
                Notation::Json => write!(self.to, "\\u{:04x}", u32::from(c))?,
            }
            rest = &rest[at + c.len_utf8()..];
        }
        self.to.write_str(rest)
    }
}

/// Writes on until so many bytes have been written, and counts the rest.
pub(super) struct Bounded<'a> {
    to: &'a mut dyn Write,
    limit: usize,
    seen: usize,
}

impl<'a> Bounded<'a> {
    pub(super) fn new(to: &'a mut dyn Write, limit: usize) -> Self {
        Self { to, limit, seen: 0 }
    }

    /// Says how long the text was, if it had to be cut.
    pub(super) fn finish(self) -> fmt::Result {
        if self.seen <= self.limit {
            return Ok(());
        }
        write!(self.to, "… ({} bytes)", self.seen)
    }
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = self.limit.saturating_sub(self.seen);
        self.seen += text.len();
        let end = (0..=left.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        self.to.write_str(&text[..end.unwrap_or(0)])
    }
}

/// Writes a text from outside: on one line, cut after `limit` bytes.
pub(super) fn write(to: &mut dyn Write, limit: usize, text: fmt::Arguments<'_>) -> fmt::Result {
    let mut escaping = Escaping::new(to, Notation::Text);
    let mut bounded = Bounded::new(&mut escaping, limit);
    bounded.write_fmt(text)?;
    bounded.finish()
}

/// `text` with every harmful character escaped: it takes one line and does nothing to a terminal.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    // Writing to a String cannot fail.
    let _ = Escaping::new(&mut printable, Notation::Text).write_str(text);
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(limit: usize, parts: &[&str]) -> String {
        let mut text = String::new();
        let mut bounded = Bounded::new(&mut text, limit);
        for part in parts {
            bounded.write_str(part).unwrap();
        }
        bounded.finish().unwrap();
        text
    }

    #[test]
    fn whatever_ends_a_line_or_turns_text_around_is_escaped_and_nothing_else() {
        let harmful = (0..=0x1f_u32)
            .chain(0x7f..=0x9f)
            .chain(0x202a..=0x202e)
            .chain(0x2066..=0x2069)
            .chain([0x61c, 0x200e, 0x200f, 0x2028, 0x2029, 0xfeff]);
        for c in harmful.map(|code| char::from_u32(code).unwrap()) {
            assert_eq!(printable(&format!("a{c}b")), format!("a{}b", c.escape_default()));
        }
        let harmless = r#"a "quoted" back\slash – naïve 日本 👩‍👩‍👧 ﷽"#;
        assert_eq!(printable(harmless), harmless);
    }

    #[test]
    fn in_json_only_what_json_leaves_is_escaped_and_is_read_back() {
        let text = "a\n\u{85}\u{202e}\u{feff}\"b";
        let mut json = String::new();
        Escaping::new(&mut json, Notation::Json).write_str(&serde_json::json!(text).to_string()).unwrap();
        assert!(!json.contains(is_harmful), "{json:?}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_and_says_how_long_it_was() {
        assert_eq!(cut(4, &["abc"]), "abc");
        assert_eq!(cut(3, &["abc"]), "abc");
        assert_eq!(cut(5, &["ab", "äää", "x"]), "abä… (9 bytes)");
        assert_eq!(cut(2, &["ab", "c", "d"]), "ab… (4 bytes)");
        assert_eq!(cut(2, &[]), "");
    }
}
