//! The browser client, inside the binary: what is served of its sources.
//!
//! They are plain ES modules, written for people and for TypeScript's checker, which reads the types in
//! their comments. A browser needs neither, so comments, indentation and most line breaks stay behind when a
//! file is first asked for. Nothing else is changed: it is the code that was written.

use std::{collections::HashMap, sync::LazyLock};

use bytes::Bytes;
use include_dir::{Dir, include_dir};

use crate::config::Base;

static SOURCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/web/client");

static FILES: LazyLock<HashMap<&str, ClientFile>> = LazyLock::new(|| {
    let named = SOURCES.files().filter_map(|file| Some((file.path().to_str()?, file.contents())));
    named.map(|(name, source)| (name, ClientFile::new(name, source))).collect()
});

/// A `Link` header for pages that run the client. A module is known of when the one that imports it has
/// come, which would take four turns: with this, a browser asks for all of them at once.
pub(super) fn preload(base: &Base) -> String {
    let mut scripts: Vec<_> = FILES.keys().filter(|name| name.ends_with(".js")).collect();
    scripts.sort_unstable();
    let prefix = base.path(PREFIX);
    let links = scripts.into_iter().map(|name| format!("<{prefix}{name}>;rel=modulepreload"));
    links.collect::<Vec<_>>().join(",")
}

/// Where browsers find the files, below the base.
const PREFIX: &str = "/_client/";

/// What a browser gets.
#[derive(Debug)]
pub(super) struct ClientFile {
    pub(super) body: Bytes,
    /// Of the body.
    pub(super) etag: String,
    /// Its MIME type.
    pub(super) kind: String,
}

impl ClientFile {
    fn new(name: &str, source: &'static [u8]) -> Self {
        let text = std::str::from_utf8(source).unwrap_or_default();
        let body = match name.rsplit_once('.') {
            Some((_, "js")) => Bytes::from(strip_script(text)),
            Some((_, "css")) => Bytes::from(strip_lines(&strip_blocks(text, "/*"))),
            Some((_, "html")) => Bytes::from(strip_lines(text)),
            _ => Bytes::from_static(source),
        };
        Self {
            etag: etag(&body),
            kind: mime_guess::from_path(name).first_or_octet_stream().to_string(),
            body,
        }
    }
}

/// Another content, another tag.
pub(super) fn etag(body: &[u8]) -> String {
    format!("\"{:x}\"", xxhash_rust::xxh3::xxh3_128(body))
}

/// The file of this name.
pub(super) fn get(name: &str) -> Option<&'static ClientFile> {
    FILES.get(name)
}

/// Whether a page asks for the client.
pub(super) fn runs_in(page: &[u8]) -> bool {
    let script = format!("{PREFIX}main.js");
    page.windows(script.len()).any(|part| part == script.as_bytes())
}

/// The page for a site that has none; `nonce` is what its scripts show.
pub(super) fn index(nonce: &str, base: &Base) -> String {
    let page = get("index.html").map(|file| String::from_utf8_lossy(&file.body));
    page.unwrap_or_default().replace("{nonce}", nonce).replace("{base}", &base.path(""))
}

/// After these a line break means nothing to a browser.
const NEEDS_NO_BREAK: [char; 5] = [';', ',', '{', '(', '['];

/// Without comments, indentation, and line breaks that say nothing; within a template literal nothing is touched. Knows three forms of
/// comments: `/** … */`, lines of `//`, and `//` between spaces at the end of a line. The tests see to it
/// that no literal of the client looks like one.
fn strip_script(source: &str) -> String {
    let mut stripped = String::with_capacity(source.len());
    let mut in_template = false;
    for line in strip_blocks(source, "/**").lines() {
        let line = if in_template { line } else { strip_comment(line).trim() };
        let was_in_template = in_template;
        in_template ^= line.matches('`').count() % 2 == 1;
        if !line.is_empty() || was_in_template {
            stripped.push_str(line);
        }
        if in_template || !line.is_empty() && !line.ends_with(NEEDS_NO_BREAK) {
            stripped.push('\n');
        }
    }
    stripped
}

/// Up to a comment at its end.
fn strip_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.split_once(" // ").map_or(line, |(code, _)| code)
}

/// Without what stands between `open` and `*/`.
fn strip_blocks(source: &str, open: &str) -> String {
    let mut stripped = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, comment)) = rest.split_once(open) {
        stripped.push_str(before);
        let after = comment.split_once("*/").map_or("", |(_, after)| after);
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    stripped + rest
}

/// Without indentation and empty lines.
fn strip_lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts() -> impl Iterator<Item = (&'static str, &'static str)> {
        let files = SOURCES.files().filter_map(|file| Some((file.path().to_str()?, file.contents_utf8()?)));
        files.filter(|(name, _)| name.ends_with(".js"))
    }

    #[test]
    fn what_is_served_stays_below_40_kb() {
        let sizes: Vec<_> = FILES.iter().map(|(name, file)| (file.body.len(), *name)).collect();
        let sum: usize = sizes.iter().map(|(size, _)| size).sum();
        assert!(sum < 40_000, "{sum} bytes: {sizes:?}");
        assert!(scripts().count() > 10, "are they still found?");
    }

    #[test]
    fn comments_and_indentation_stay_behind_and_code_does_not() {
        let source = "// What it does.\n\n/** Says\n * more. */\nexport class A {\n  /** @type {B} */\n  b = /** @type {C} */ (c); // why\n\n  url = \"http://x\"; // see https://y\n}\n";
        assert_eq!(strip_script(source), "export class A {b = (c);url = \"http://x\";}\n");
    }

    #[test]
    fn a_template_literal_is_left_as_it_is() {
        let source =
            "  const CSS = `\n  p { a: b }\n\n  // not a comment\n  q { }`;\n  // a comment\n  f(`x`);\n";
        let stripped = "const CSS = `\n  p { a: b }\n\n  // not a comment\n  q { }`;f(`x`);";
        assert_eq!(strip_script(source), stripped);
    }

    #[test]
    fn a_style_sheet_loses_its_comments() {
        let text = "/* Why. */\np {\n  a: b;\n}\n\n/* Two\n   lines. */\nq { }\n";
        assert_eq!(strip_lines(&strip_blocks(text, "/*")), "p {\na: b;\n}\nq { }\n");
    }

    #[test]
    fn no_literal_of_the_client_looks_like_a_comment() {
        for (name, source) in scripts() {
            for (before, _) in source.lines().filter_map(|line| line.split_once(" // ")) {
                for quote in ['"', '\'', '`'] {
                    assert_eq!(before.matches(quote).count() % 2, 0, "{name}: {before}");
                }
            }
            assert_eq!(source.matches("/**").count(), source.matches("*/").count(), "{name}");
        }
    }
}
