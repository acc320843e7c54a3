//! A change set becomes a generation: every changed file is parsed once, for all sessions.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use mlua::{Lua, LuaOptions, StdLib, chunk::ChunkMode};

use super::{
    Bindings, DATA_ROOT, DataFiles, Diagnostic, EditsFrom, FileEntry, Generation, LUA_ROOT, Mark, Source,
    SourceFile, VIEWDEF_ROOT, Viewdef, source::Parsed, twins, viewdef,
};
use crate::{
    config::ByteSize,
    watch::{Change, ChangeKind, ChangeSet, Content, Unreadable},
};

/// Where a site's files are, relative to the site: what people call them in messages.
#[derive(Debug, Clone, Default)]
pub struct SiteLayout {
    /// The Lua directory, `lua`.
    pub lua: PathBuf,
    /// The directory of the view templates, `viewdefs`.
    pub viewdefs: PathBuf,
    /// The directory of other files that scripts may read, `data`.
    pub files: PathBuf,
}

/// Compiles in a Lua state of its own, one that has no limits and runs nothing.
#[derive(Debug)]
pub struct Compiler {
    layout: SiteLayout,
    lua: Lua,
}

impl Compiler {
    /// A compiler that names files by `layout`.
    ///
    /// # Errors
    /// If there is no memory for a Lua state.
    pub fn new(layout: SiteLayout) -> mlua::Result<Self> {
        Ok(Self { layout, lua: Lua::new_with(StdLib::NONE, LuaOptions::new())? })
    }

    /// The generation after `last`.
    pub fn compile(&self, last: &Generation, changes: &ChangeSet) -> Generation {
        let mut next = Generation {
            number: last.number + 1,
            files: last.files.clone(),
            passed_over: last.passed_over.clone(),
            viewdefs: last.viewdefs.clone(),
            bindings: last.bindings.clone(),
            viewdef_errors: last.viewdef_errors.clone(),
            data: last.data.clone(),
            layout: self.layout.clone(),
            changed: Vec::new(),
            removed: Vec::new(),
            edits: EditsFrom::default(),
        };
        if changes.initial {
            // The first change set lists everything there is, so a file that it does not name is gone.
            next.files.retain(|name, _| changes.get(LUA_ROOT, name).is_some());
            next.viewdefs
                .retain(|key, _| changes.get(VIEWDEF_ROOT, Path::new(&format!("{key}.html"))).is_some());
            next.viewdef_errors.clear();
            next.data.clear();
        }
        for change in &changes.changes {
            match change.root {
                LUA_ROOT if DataFiles::has(&change.name) => take_data(&mut next, &self.layout.lua, change),
                DATA_ROOT => take_data(&mut next, &self.layout.files, change),
                LUA_ROOT => self.take_lua(&mut next, change),
                VIEWDEF_ROOT => self.take_viewdef(&mut next, change),
                _ => {}
            }
        }
        let saved =
            changes.changes.iter().filter(|change| change.root == LUA_ROOT && !DataFiles::has(&change.name));
        let saved = saved.map(|change| change.name.as_path());
        twins::settle(last, &mut next, saved, changes.initial, |name| display(&self.layout.lua, name));
        let of_templates = |change: &Change| change.root == VIEWDEF_ROOT;
        if changes.initial || last.number == 0 || changes.changes.iter().any(of_templates) {
            next.bindings = Arc::new(Bindings::new(&next.viewdefs));
        }
        if let Err(error) = self.lua.gc_collect() {
            tracing::debug!(%error, "collecting the compiler's garbage");
        }
        next
    }

    fn take_lua(&self, next: &mut Generation, change: &Change) {
        let display = display(&self.layout.lua, &change.name);
        let compiled = match &change.kind {
            ChangeKind::Removed => {
                next.removed.push(display);
                next.files.remove(&change.name);
                return;
            }
            ChangeKind::Unreadable(why) => Err(unreadable(&display, why)),
            ChangeKind::Added(content) | ChangeKind::Modified(content) => {
                self.compile_file(&display, content).map(|bytecode| (content, bytecode))
            }
        };
        next.changed.push(display.clone());
        let entry = next.files.entry(change.name.clone()).or_default();
        *entry = match compiled {
            Ok((content, bytecode)) => {
                // Only what Lua accepts is read for definitions: Lua decides what is an error.
                let Parsed { source: says, capturing } = Source::read(strip_head(&content.bytes));
                let capturing = capturing.and_then(|text| self.compile_text(&display, &text).ok());
                let captures = capturing.is_some();
                let bytecode = capturing.unwrap_or(bytecode);
                let (path, hash, source) = (change.path.clone(), content.hash, content.bytes.clone());
                let says = Arc::new(says);
                let written = OnceLock::new();
                let good = SourceFile {
                    path,
                    display,
                    hash,
                    bytecode,
                    source,
                    says,
                    written,
                    in_use: Mark::default(),
                    captures,
                };
                FileEntry { good: Some(Arc::new(good)), failed: None }
            }
            Err(diagnostic) => FileEntry { good: entry.good.take(), failed: Some(Arc::new(diagnostic)) },
        };
    }

    fn compile_text(&self, display: &str, text: &[u8]) -> mlua::Result<Vec<u8>> {
        let chunk = self.lua.load(text).set_name(format!("@{display}")).set_mode(ChunkMode::Text);
        Ok(chunk.into_function()?.dump(false))
    }

    fn compile_file(&self, display: &str, content: &Content) -> Result<Vec<u8>, Diagnostic> {
        match self.compile_text(display, strip_head(&content.bytes)) {
            Ok(bytecode) => Ok(bytecode),
            Err(mlua::Error::SyntaxError { message, .. }) => {
                let diagnostic = Diagnostic::from_lua(&message);
                // If something is missing at the end of the file, Lua names a line after the last one.
                let last = content.bytes.trim_ascii_end().split(|&byte| byte == b'\n').count();
                let line = diagnostic.line.map(|line| line.min(u32::try_from(last).unwrap_or(line)));
                // Lua shortens long names; here the whole one is known.
                Err(Diagnostic { file: display.to_owned(), line, ..diagnostic }.with_excerpt(&content.bytes))
            }
            Err(error) => Err(Diagnostic::about(display, None, error.to_string())),
        }
    }

    fn take_viewdef(&self, next: &mut Generation, change: &Change) {
        let display = display(&self.layout.viewdefs, &change.name);
        let is_there = !matches!(change.kind, ChangeKind::Removed);
        let touched = if is_there { &mut next.changed } else { &mut next.removed };
        touched.push(display.clone());
        let Some(key) = viewdef::key(&change.name) else {
            if is_there {
                let message =
                    "not a view template: its name has to be TYPE.NAMESPACE.html, such as App.DEFAULT.html";
                next.viewdef_errors.insert(change.name.clone(), Diagnostic::about(display, None, message));
            } else {
                next.viewdef_errors.remove(&change.name);
            }
            return;
        };
        let parsed = match &change.kind {
            ChangeKind::Removed => None,
            ChangeKind::Unreadable(why) => Some(Err(unreadable(&display, why))),
            ChangeKind::Added(content) | ChangeKind::Modified(content) => {
                Some(Viewdef::parse(&display, content))
            }
        };
        match parsed {
            None => {
                next.viewdefs.remove(key);
                next.viewdef_errors.remove(&change.name);
            }
            Some(Ok(viewdef)) => {
                let viewdef = Viewdef { path: change.path.clone(), ..viewdef };
                next.viewdefs.insert(key.to_owned(), Arc::new(viewdef));
                next.viewdef_errors.remove(&change.name);
            }
            Some(Err(diagnostic)) => {
                next.viewdef_errors.insert(change.name.clone(), diagnostic);
            }
        }
    }
}

fn take_data(next: &mut Generation, directory: &Path, change: &Change) {
    let is_there = !matches!(change.kind, ChangeKind::Removed);
    let touched = if is_there { &mut next.changed } else { &mut next.removed };
    touched.push(display(directory, &change.name));
    next.data.take(directory.join(&change.name), change);
}

fn display(directory: &Path, name: &Path) -> String {
    directory.join(name).to_string_lossy().into_owned()
}

/// Lua's own loader of files passes over a byte order mark and a `#!` line; so do we, and keep the
/// line's end so that line numbers hold.
fn strip_head(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if !bytes.starts_with(b"#") {
        return bytes;
    }
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    &bytes[end..]
}

fn unreadable(display: &str, why: &Unreadable) -> Diagnostic {
    let message = match why {
        Unreadable::TooLarge { size, limit } => {
            let limit = ByteSize::bytes(*limit as u64);
            format!(
                "the file has {size} bytes, and lua.max_file is \"{limit}\": make it smaller, or raise lua.max_file"
            )
        }
        Unreadable::Failed(why) => {
            format!("the file cannot be read: {why}; let the user that the server runs as read it")
        }
    };
    Diagnostic::about(display, None, message)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::watch::{RootId, Timing};

    fn compiler() -> Compiler {
        Compiler::new(SiteLayout { lua: "lua".into(), viewdefs: "viewdefs".into(), files: "data".into() })
            .unwrap()
    }

    fn change_set(root: RootId, name: &str, text: Option<&str>) -> ChangeSet {
        let kind = match text {
            Some(text) => ChangeKind::Modified(Content::new(text.as_bytes())),
            None => ChangeKind::Removed,
        };
        let change = Change { root, name: name.into(), path: Path::new("/site").join(name), kind };
        let timing = Timing { first_hint: Instant::now(), settle: Duration::ZERO, reconcile: Duration::ZERO };
        ChangeSet { changes: vec![change], initial: false, timing }
    }

    #[test]
    fn a_file_that_does_not_compile_keeps_its_last_good_version() {
        let compiler = compiler();
        let name = Path::new("a.lua");
        let first = compiler.compile(&Generation::default(), &change_set(LUA_ROOT, "a.lua", Some("x = 1")));
        let second = compiler.compile(&first, &change_set(LUA_ROOT, "a.lua", Some("\nfunction x(")));
        assert_eq!(second.number, 2);
        assert_eq!(second.file(name).unwrap().hash, first.file(name).unwrap().hash);
        let diagnostic = second.diagnostics().next().unwrap();
        assert_eq!(diagnostic.position(), "lua/a.lua:2");
        assert_eq!(diagnostic.excerpt.last().unwrap().text, "function x(");
        let third = compiler.compile(&second, &change_set(LUA_ROOT, "a.lua", Some("x = 2")));
        assert_eq!(third.diagnostics().count(), 0);
    }

    #[test]
    fn precompiled_code_is_not_taken() {
        let generation =
            compiler().compile(&Generation::default(), &change_set(LUA_ROOT, "a.lua", Some("\x1bLua")));
        assert!(generation.file(Path::new("a.lua")).is_none());
        assert_eq!(generation.diagnostics().count(), 1);
    }

    #[test]
    fn a_byte_order_mark_and_a_first_line_for_the_shell_are_passed_over() {
        let text = "\u{feff}#!/usr/bin/lua\nreturn (";
        let generation =
            compiler().compile(&Generation::default(), &change_set(LUA_ROOT, "a.lua", Some(text)));
        assert_eq!(generation.diagnostics().next().unwrap().line, Some(2));
    }

    #[test]
    fn what_is_missing_at_the_end_is_reported_at_the_last_line_of_text() {
        let text = "x = 1\nfunction x(\n\n\n";
        let generation =
            compiler().compile(&Generation::default(), &change_set(LUA_ROOT, "a.lua", Some(text)));
        assert_eq!(generation.diagnostics().next().unwrap().line, Some(2));
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_its_last_good_version_and_is_no_deletion() {
        let compiler = compiler();
        for (root, name, text) in
            [(LUA_ROOT, "a.lua", "x = 1"), (VIEWDEF_ROOT, "A.B.html", "<template>1</template>")]
        {
            let good = compiler.compile(&Generation::default(), &change_set(root, name, Some(text)));
            for (why, words) in [
                (
                    Unreadable::TooLarge { size: 9 << 20, limit: 8 << 20 },
                    "has 9437184 bytes, and lua.max_file is \"8MiB\"",
                ),
                (Unreadable::Failed("Permission denied".into()), "cannot be read: Permission denied"),
            ] {
                let mut changes = change_set(root, name, None);
                changes.changes[0].kind = ChangeKind::Unreadable(why);
                let next = compiler.compile(&good, &changes);
                assert!(next.removed.is_empty());
                assert_eq!((next.files.len(), next.viewdefs.len()), (good.files.len(), good.viewdefs.len()));
                let message = &next.diagnostics().next().unwrap().message;
                assert!(message.contains(words), "{message}");
                let mended = compiler.compile(&next, &change_set(root, name, Some(text)));
                assert_eq!(mended.diagnostics().count(), 0);
            }
        }
    }

    #[test]
    fn a_broken_template_keeps_the_old_one_until_it_is_mended_or_removed() {
        let compiler = compiler();
        let save =
            |last: &Generation, text| compiler.compile(last, &change_set(VIEWDEF_ROOT, "A.B.html", text));
        let good = save(&Generation::default(), Some("<template>1</template>"));
        let broken = save(&good, Some("<template>2"));
        assert_eq!(broken.viewdefs["A.B"].html, "<template>1</template>");
        assert_eq!(broken.diagnostics().count(), 1);
        let gone = save(&broken, None);
        assert!(gone.viewdefs.is_empty());
        assert_eq!(gone.diagnostics().count(), 0);
    }
}
