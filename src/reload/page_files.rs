//! [`PageFiles`]: saved files of `html/`, and what pages do about them.
//!
//! Nothing of them is compiled. A page exchanges a stylesheet or an image in place; for scripts, documents, fonts
//! and data it is loaded again, and finds its session as it was.

use std::{ffi::OsStr, path::Path};

use serde::Serialize;

use super::HTML_ROOT;
use crate::watch::ChangeSet;

/// What pages are told of one save.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageFiles {
    /// Their addresses below the server's base: `css/site.css`.
    pub files: Vec<String>,
    /// One of them is in effect only once the page is loaded again.
    pub reload: bool,
}

/// How a saved file comes into effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Exchange,
    Reload,
}

impl PageFiles {
    /// Takes what no page cares for out of a change set.
    pub(super) fn leave_out_others(changes: &mut ChangeSet) {
        changes.changes.retain(|change| change.root != HTML_ROOT || effect(&change.name).is_some());
    }

    /// Takes the files of `html/` out of a change set. `None`: none of them matters to a page.
    pub(super) fn take_from(changes: &mut ChangeSet) -> Option<Self> {
        let (mut files, mut reload) = (Vec::new(), false);
        changes.changes.retain(|change| {
            if change.root != HTML_ROOT {
                return true;
            }
            if let Some(effect) = effect(&change.name) {
                files.push(address(&change.name));
                reload |= effect == Effect::Reload;
            }
            false
        });
        (!files.is_empty()).then_some(Self { files, reload })
    }

    pub(super) fn log(&self) {
        let files = self.files.iter().map(|file| format!("html/{file}")).collect::<Vec<_>>().join(", ");
        let what = if self.reload { "pages are loaded again" } else { "exchanged in the pages" };
        tracing::info!(target: "hot", "[hot] {files}: {what}");
    }
}

/// `None`: editors leave files beside what they save, and downloads and films are not part of a page.
fn effect(name: &Path) -> Option<Effect> {
    let is_hidden = |part: &OsStr| part.as_encoded_bytes().starts_with(b".");
    if name.iter().any(is_hidden) {
        return None;
    }
    let extension = name.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "css" | "png" | "jpg" | "jpeg" | "gif" | "svg" | "webp" | "avif" | "ico" | "bmp" => {
            Some(Effect::Exchange)
        }
        "html" | "htm" | "xhtml" | "js" | "mjs" | "json" | "wasm" | "webmanifest" | "woff" | "woff2"
        | "ttf" | "otf" | "txt" | "xml" | "csv" => Some(Effect::Reload),
        _ => None,
    }
}

fn address(name: &Path) -> String {
    let parts = name.iter().map(|part| part.to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{
        reload::LUA_ROOT,
        watch::{Change, ChangeKind, RootId, Timing},
    };

    fn changes(names: &[(RootId, &str)]) -> ChangeSet {
        let change = |(root, name): &(RootId, &str)| Change {
            root: *root,
            name: name.into(),
            path: name.into(),
            kind: ChangeKind::Removed,
        };
        let timing = Timing { first_hint: Instant::now(), settle: Duration::ZERO, reconcile: Duration::ZERO };
        ChangeSet { changes: names.iter().map(change).collect(), initial: false, timing }
    }

    #[test]
    fn styles_and_images_are_exchanged_and_anything_else_a_page_runs_loads_it_again() {
        let mut saved = changes(&[(HTML_ROOT, "css/site.css"), (LUA_ROOT, "a.lua"), (HTML_ROOT, "Logo.PNG")]);
        let taken = PageFiles::take_from(&mut saved).unwrap();
        assert_eq!(taken, PageFiles { files: vec!["css/site.css".into(), "Logo.PNG".into()], reload: false });
        assert_eq!(saved.changes.len(), 1, "what is compiled is left");
        for name in ["index.html", "app.js", "data/words.json", "font.woff2"] {
            assert!(PageFiles::take_from(&mut changes(&[(HTML_ROOT, name)])).unwrap().reload, "{name}");
        }
    }

    #[test]
    fn what_editors_leave_beside_a_file_matters_to_no_page() {
        for name in [
            ".site.css.swp",
            "site.css~",
            "4913",
            "#site.css#",
            ".git/index.html",
            "film.mp4",
            "site.css.map",
        ] {
            let mut saved = changes(&[(HTML_ROOT, name)]);
            assert_eq!(PageFiles::take_from(&mut saved), None, "{name}");
            assert!(saved.changes.is_empty(), "{name}");
        }
    }
}
