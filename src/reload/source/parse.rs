//! Bytes become a syntax tree, and that becomes what the source says.

use std::borrow::Cow;

use emmylua_parser::{LuaFeaturesSet, LuaLanguageLevel, LuaParser, ParserConfig};

use super::{
    NotUnderstood, Parsed, Source,
    capture::{self, Exit},
    statements,
    text::{Node, Text},
};

pub(super) fn read(bytes: &[u8]) -> Parsed {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = decode(bytes);
    match understand(&text) {
        Ok((source, exits)) => {
            let is_text = matches!(text, Cow::Borrowed(_));
            // Each byte has become a character.
            let place = |at: usize| if is_text { at } else { text[..at].chars().count() };
            Parsed { source, capturing: Some(capture::capturing(bytes, &exits, place)) }
        }
        Err(why) => {
            Parsed { source: Source { not_understood: Some(why), ..Source::default() }, capturing: None }
        }
    }
}

fn understand(text: &str) -> Result<(Source, Vec<Exit>), NotUnderstood> {
    tree(text, |text: &Text<'_>, root: &Node| statements::read(text, root))
}

/// What `read` makes of a file; `None` if it is not understood.
pub(super) fn with_tree<R>(bytes: &[u8], read: impl FnOnce(&Text<'_>, &Node) -> R) -> Option<R> {
    tree(&decode(bytes), read).ok()
}

fn tree<R>(text: &str, read: impl FnOnce(&Text<'_>, &Node) -> R) -> Result<R, NotUnderstood> {
    let tokens = Text::new(text)?;
    let config = ParserConfig::new(
        LuaLanguageLevel::Lua55,
        None,
        Default::default(),
        LuaFeaturesSet::new(Vec::new()),
        false,
    );
    let tree = LuaParser::parse(text, config);
    if tree.has_syntax_errors() {
        let at = tree.get_errors().first().map_or(0, |error| usize::from(error.range.start()));
        return Err(NotUnderstood::Syntax(tokens.line(at)));
    }
    Ok(read(&tokens, &tree.get_red_root()))
}

/// Lua's strings are bytes. In a file that is not UTF-8, each byte becomes the character of its number.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}
