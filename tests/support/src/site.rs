//! [`Site`]: a directory with Lua files and viewdefs, and all the ways in which people save.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::setup::{Ground, Setup};

/// An application with a counter, a word from a module, and a label to edit.
pub const MAIN: &str = r#"local words = require "words"
local App = session:prototype("App", { count = 0 })
function App:click() self.count = self.count + 1 end
function App:label() return "first" end
function App:word() return words.word() end
function App:said() return words.said() end
if not session:getApp() then session:createAppVariable(App:new {}) end
"#;

/// The module, with state of its own that it builds up at run time.
pub const WORDS: &str = r#"local M = { times = 0 }
function M.word() return "alpha" end
function M.said() M.times = M.times + 1; return M.times end
return M
"#;

/// Binds what tests show and call of it.
pub const VIEWDEF: &str = r#"<template><p ui-value="label()"></p>
<p ui-attr-title="word()"></p><b ui-attr-title="count?access=rw" ui-event-dblclick="click()"></b></template>
"#;

/// For tests whose saves have to be one batch: a busy machine may keep a test from its second save for longer
/// than the usual `quiet`.
pub const PATIENT: &str = "[watch]\nquiet = \"500ms\"\n";

/// A temporary site. A second directory beside it, [`outside`](Self::outside), is not part of it.
pub struct Site {
    ground: Ground,
}

impl Site {
    /// Makes a site with these files and nothing else.
    pub fn with(setup: Setup, files: &[(&str, &str)]) -> Self {
        let site = Self { ground: Ground::new(setup) };
        fs::create_dir_all(site.path("")).unwrap();
        fs::create_dir_all(site.outside("")).unwrap();
        for (name, text) in files {
            site.save(name, text);
        }
        site
    }

    /// Makes a site of [`MAIN`], [`WORDS`] and [`VIEWDEF`], without any configuration.
    pub fn new(setup: Setup) -> Self {
        let files =
            [("lua/main.lua", MAIN), ("lua/words.lua", WORDS), ("viewdefs/App.DEFAULT.html", VIEWDEF)];
        Self::with(setup, &files)
    }

    /// Adds a configuration file to what [`Site::new`] makes.
    pub fn configured(setup: Setup, config: &str) -> Self {
        let site = Self::new(setup);
        site.save("config/config.toml", config);
        site
    }

    /// Where the server finds it.
    pub fn dir(&self) -> PathBuf {
        self.ground.in_front(&self.path(""))
    }

    /// A file of the site, to be written.
    pub fn path(&self, name: &str) -> PathBuf {
        self.ground.back.join("site").join(name)
    }

    /// A file that is not in the site, for links to lead to.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.ground.back.join("outside").join(name)
    }

    /// Writes into the file that is there, as most editors do; makes directories on the way.
    pub fn save(&self, name: &str, text: &str) {
        write(&self.path(name), text);
    }

    /// Lets browsers show and write more paths of the application.
    pub fn bind(&self, paths: &[&str]) {
        let bound: String =
            paths.iter().map(|path| format!("<i ui-attr-title=\"{path}?access=rw\"></i>")).collect();
        self.save(
            "viewdefs/App.DEFAULT.html",
            &VIEWDEF.replace("</template>", &format!("{bound}</template>")),
        );
    }

    /// Writes a file that is not in the site.
    pub fn save_outside(&self, name: &str, text: &str) {
        write(&self.outside(name), text);
    }

    /// Puts a new file in the place of the old one, as careful editors do.
    pub fn save_atomically(&self, name: &str, text: &str) {
        let path = self.path(name);
        let fresh = path.with_extension("tmp");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, path).unwrap();
    }

    /// Replaces one text by another in a file, and saves it.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} has no {from:?}");
        self.save(name, &text.replace(from, to));
    }

    /// The text of a file.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Removes a file, or a directory with all that is in it.
    pub fn delete(&self, name: &str) {
        let path = self.path(name);
        let gone = if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        gone.unwrap();
    }

    /// Makes a link to a path that a test writes at.
    pub fn link(&self, name: &str, target: &Path) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(self.ground.in_front(target), path).unwrap();
    }

    /// Lets a link lead elsewhere, in one step.
    pub fn retarget(&self, name: &str, target: &Path) {
        let path = self.path(name);
        let fresh = path.with_extension("tmp");
        symlink(self.ground.in_front(target), &fresh).unwrap();
        fs::rename(fresh, path).unwrap();
    }

    /// Copies a directory of this checkout into the site.
    pub fn copy(&self, from: &Path, name: &str) {
        copy(from, &self.path(name)).unwrap();
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to)? } else { fs::copy(&from, &to).map(drop)? }
    }
    Ok(())
}
