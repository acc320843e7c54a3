//! HTML view templates: `TYPE.NAMESPACE.html` with exactly one root `<template>`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use html5gum::{Token, Tokenizer, emitters::default::DefaultEmitter};

use super::{Binding, Diagnostic, Mark, bindings};
use crate::watch::{Content, ContentHash};

/// A template that was checked.
#[derive(Debug)]
pub struct Viewdef {
    /// The file as people know it, relative to the site.
    pub display: String,
    /// The real file; empty for one that comes with the server.
    pub path: PathBuf,
    /// The text of the file.
    pub html: String,
    /// What it binds.
    pub bindings: Vec<Binding>,
    /// What was probably meant otherwise, each with its line.
    pub doubts: Vec<(u32, String)>,
    /// Identity of the content.
    pub hash: ContentHash,
    /// Whether some page has it.
    pub in_use: Mark,
}

impl Viewdef {
    /// Checks a template.
    ///
    /// # Errors
    /// Says what is wrong and on which line: not UTF-8, no or more than one root `<template>`,
    /// anything outside of it, or one that is never closed.
    pub fn parse(display: &str, content: &Content) -> Result<Self, Diagnostic> {
        let html = std::str::from_utf8(&content.bytes).map_err(|error| {
            let line = line_at(&content.bytes, error.valid_up_to());
            Diagnostic::about(display, Some(line), "the template is not valid UTF-8")
        })?;
        // As in a Lua file: some editors put it there, and nobody sees it.
        let html = html.strip_prefix('\u{feff}').unwrap_or(html);
        check_root(html).map_err(|(at, message)| {
            let line = line_at(html.as_bytes(), at);
            Diagnostic::about(display, Some(line), message).with_excerpt(&content.bytes)
        })?;
        Ok(Self::of(display, html, content.hash))
    }

    fn of(display: &str, html: &str, hash: ContentHash) -> Self {
        let (bindings, doubts) = bindings::of_template(html);
        Self {
            display: display.to_owned(),
            path: PathBuf::new(),
            html: html.to_owned(),
            bindings,
            doubts,
            hash,
            in_use: Mark::default(),
        }
    }
}

/// The templates that come with the server, by key: used where the site has none of that name.
pub fn built_in() -> &'static BTreeMap<String, Arc<Viewdef>> {
    static ALL: LazyLock<BTreeMap<String, Arc<Viewdef>>> = LazyLock::new(|| {
        let list = "<template><div ui-viewlist=\"items\"></div></template>";
        let item = "<template><div ui-view=\"item\"></div></template>";
        let all = [
            ("lua.ViewList.DEFAULT", list),
            ("lua.ViewList.list-item", list),
            ("lua.ViewListItem.list-item", item),
        ];
        let viewdef = |key: &str, html: &str| Viewdef::of(key, html, Content::new(html.as_bytes()).hash);
        all.map(|(key, html)| (key.into(), Arc::new(viewdef(key, html)))).into()
    });
    &ALL
}

/// The key of a template's file: its name without `.html`, if that is `TYPE.NAMESPACE`.
pub(super) fn key(name: &Path) -> Option<&str> {
    let key = name.to_str()?.strip_suffix(".html")?;
    let (type_name, namespace) = key.rsplit_once('.')?;
    (!type_name.is_empty() && !namespace.is_empty()).then_some(key)
}

fn check_root(html: &str) -> Result<(), (usize, String)> {
    let mut open: Vec<usize> = Vec::new();
    let mut roots = 0;
    let emitter = DefaultEmitter::<usize>::new_with_span();
    for token in Tokenizer::new_with_emitter(html, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) if tag.name.as_slice() == b"template" => {
                if open.is_empty() {
                    roots += 1;
                    if roots > 1 {
                        let message = "a second root <template>; one file holds exactly one";
                        return Err((tag.span.start, message.into()));
                    }
                }
                open.push(tag.span.start);
            }
            Token::EndTag(tag) if tag.name.as_slice() == b"template" && open.pop().is_none() => {
                return Err((tag.span.start, "</template> closes nothing".into()));
            }
            Token::StartTag(tag) if open.is_empty() => {
                let name = String::from_utf8_lossy(&tag.name).into_owned();
                let message =
                    format!("<{name}> stands outside the root <template>; put everything inside of it");
                return Err((tag.span.start, message));
            }
            Token::String(text) if open.is_empty() && !text.value.trim_ascii().is_empty() => {
                return Err((text.span.start, "text stands outside the root <template>".into()));
            }
            _ => {}
        }
    }
    match (open.first(), roots) {
        (Some(&at), _) => Err((at, "this <template> is never closed".into())),
        (None, 0) => Err((0, "no <template>: a view template is one <template>…</template>".into())),
        (None, _) => Ok(()),
    }
}

fn line_at(bytes: &[u8], at: usize) -> u32 {
    let before = &bytes[..at.min(bytes.len())];
    1 + u32::try_from(before.iter().filter(|&&byte| byte == b'\n').count()).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_in_a_template_is_read_or_refused(text in "(<template>)?(<[a-z]{1,4}( ui-[a-z]{1,5}=\"?.{0,8}\"?)*>|</[a-z]{1,4}>|.{0,6}){0,8}(</template>)?") {
            drop(Viewdef::parse("a", &Content::new(text.as_bytes())));
        }
    }

    fn error(html: &str) -> (Option<u32>, String) {
        let content = Content::new(html.as_bytes());
        let diagnostic = Viewdef::parse("viewdefs/A.DEFAULT.html", &content).unwrap_err();
        (diagnostic.line, diagnostic.message)
    }

    #[test]
    fn one_root_template_is_taken_with_comments_and_templates_inside() {
        let html = "<!-- a -->\n<template><style>a > b {}</style><p>x<template></template></p></template>\n";
        assert!(Viewdef::parse("a", &Content::new(html.as_bytes())).is_ok());
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_and_does_not_reach_the_browser() {
        let content = Content::new("\u{feff}<template>x</template>".as_bytes());
        assert_eq!(Viewdef::parse("a", &content).unwrap().html, "<template>x</template>");
        assert_eq!(error("\u{feff}\n<p>x</p>").0, Some(2));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        assert_eq!(error("\n<template>\n<p>").0, Some(2));
        assert!(error("").1.starts_with("no <template>"));
        assert_eq!(error("<template></template>\n<template></template>").0, Some(2));
        assert_eq!(error("<template></template>\n\n<p>x</p>").0, Some(3));
        assert!(error("hello <template></template>").1.starts_with("text stands outside"));
        assert!(error("<template></template></template>").1.contains("closes nothing"));
    }

    #[test]
    fn the_namespace_is_what_follows_the_last_dot() {
        assert_eq!(key(Path::new("lua.ViewListItem.list-item.html")), Some("lua.ViewListItem.list-item"));
        assert_eq!(key(Path::new("App.html")), None);
        assert_eq!(key(Path::new(".DEFAULT.html")), None);
    }
}
