//! A site that is edited step by step, as its author would: a piece of text is replaced by another, and saved.

use std::collections::BTreeMap;

use super::{Outcome, Site};

pub(super) struct Story {
    site: Site,
    texts: BTreeMap<&'static str, String>,
}

impl Story {
    pub(super) fn new(files: &[(&'static str, &'static str)]) -> Self {
        let texts = files.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        Self { site: Site::new(files), texts }
    }

    /// What an expression, or the return of some statements, gives: all values, with spaces between.
    #[track_caller]
    pub(super) fn gives(&mut self, code: &str, expected: &str) {
        let code = if code.contains("return ") { code.to_owned() } else { format!("return {code}") };
        let values = self.site.session.with_lua(|lua| lua.load(&code).eval::<mlua::MultiValue>());
        let values = values.unwrap_or_else(|error| panic!("{code}: {error}"));
        let texts: Vec<_> = values.iter().map(|value| value.to_string().unwrap()).collect();
        assert_eq!(texts.join(" "), expected, "{code}");
    }

    #[track_caller]
    pub(super) fn edit(&mut self, file: &'static str, old: &str, new: &str) {
        self.edits(&[(file, old, new)]);
    }

    /// Several edits that are saved at once.
    #[track_caller]
    pub(super) fn edits(&mut self, edits: &[(&'static str, &str, &str)]) {
        for (file, old, new) in edits {
            let text = self.texts.get_mut(file).unwrap();
            assert!(text.contains(old), "{file} has no {old:?}");
            *text = text.replacen(old, new, 1);
        }
        let files: Vec<_> = edits.iter().map(|(file, ..)| (*file, Some(self.texts[file].as_str()))).collect();
        match self.site.save(&files) {
            Outcome::Applied { .. } => {}
            other => panic!("{edits:?}: {other:?}"),
        }
    }
}
