//! The sample site inside this program: the checkout's `lua/` and its `config/config.toml`, and beside them what
//! a directory of one's own has.

use std::{fs, io, path::Path};

use include_dir::{Dir, include_dir};

use crate::config;

static LUA: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/lua");
const BESIDE: [(&str, &str); 5] = [
    (config::FILE, include_str!("../../config/config.toml")),
    ("README.md", include_str!("sample/README.md")),
    (".gitignore", include_str!("sample/gitignore")),
    (".luarc.json", include_str!("sample/luarc.json")),
    // Git keeps no directory that is empty, and no browser is given a hidden name.
    ("html/.gitkeep", ""),
];

/// What a site begins as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Template {
    /// A board of cards, a counter, a clock, and what everybody has added: the sample
    #[default]
    Board,
    /// Votes that show in every window and outlive the server: the poll of docs/shared-state.md
    Poll,
    /// A name and a greeting
    Minimal,
}

impl Template {
    /// Its own main file, how the app is shown, and what is said of it; the sample has more.
    fn own(self) -> Option<[&'static str; 3]> {
        match self {
            Self::Board => None,
            Self::Poll => Some([
                include_str!("sample/poll/main.lua"),
                include_str!("sample/poll/App.DEFAULT.html"),
                include_str!("sample/poll/README.md"),
            ]),
            Self::Minimal => Some([
                include_str!("sample/minimal/main.lua"),
                include_str!("sample/minimal/App.DEFAULT.html"),
                include_str!("sample/minimal/README.md"),
            ]),
        }
    }

    /// All files: path below the site, and content.
    fn files(self) -> Vec<(String, &'static [u8])> {
        let mut files = files();
        let Some([main, view, readme]) = self.own() else { return files };
        // What editors want is the same for all.
        files.retain(|(name, _)| {
            name != "README.md" && (!name.starts_with("lua/") || name.starts_with("lua/meta/"))
        });
        for (name, text) in
            [("lua/main.lua", main), ("lua/viewdefs/App.DEFAULT.html", view), ("README.md", readme)]
        {
            files.push((name.to_owned(), text.as_bytes()));
        }
        files
    }
}

/// All files of the sample: path below the site, and content.
pub(super) fn files() -> Vec<(String, &'static [u8])> {
    fn walk(dir: &Dir<'static>, files: &mut Vec<(String, &'static [u8])>) {
        for file in dir.files() {
            files.push((format!("lua/{}", file.path().display()), file.contents()));
        }
        for dir in dir.dirs() {
            walk(dir, files);
        }
    }
    let mut files: Vec<_> = BESIDE.map(|(name, text)| (name.to_owned(), text.as_bytes())).to_vec();
    walk(&LUA, &mut files);
    files
}

/// Writes a template below `dir`, which exists. Returns the number of files.
///
/// # Errors
///
/// The first file that could not be written; one that exists is never overwritten.
pub(super) fn write(dir: &Path, template: Template) -> io::Result<usize> {
    let files = template.files();
    for (name, content) in &files {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        io::Write::write_all(&mut fs::File::create_new(&path)?, content)?;
    }
    Ok(files.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(dir: &Path, below: &Path, found: &mut Vec<(String, Vec<u8>)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                tree(&path, below, found);
            } else {
                let name = path.strip_prefix(below).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }

    #[test]
    fn what_is_written_is_the_folder_of_the_checkout_and_what_a_site_has_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let count = write(dir.path(), Template::Board).unwrap();

        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut expected: Vec<_> = BESIDE.map(|(name, text)| (name.into(), text.into())).to_vec();
        assert!(expected.contains(&(config::FILE.to_owned(), fs::read(root.join(config::FILE)).unwrap())));
        tree(&root.join("lua"), root, &mut expected);
        let mut written = Vec::new();
        tree(dir.path(), dir.path(), &mut written);
        expected.sort();
        written.sort();
        assert_eq!(written, expected);
        assert_eq!(count, written.len());
        assert!(dir.path().join("lua/main.lua").is_file());
    }

    #[test]
    fn the_smaller_ones_have_their_own_code_and_the_poll_is_that_of_the_page() {
        let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/shared-state.md")).unwrap();
        for template in [Template::Poll, Template::Minimal] {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), template).unwrap();
            let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
            let (main, view) = (read("lua/main.lua"), read("lua/viewdefs/App.DEFAULT.html"));
            if template == Template::Poll {
                assert!(
                    page.contains(&format!("```lua\n{main}```"))
                        && page.contains(&format!("```html\n{view}```"))
                );
            }
            assert!(
                !dir.path().join("lua/board.lua").exists() && dir.path().join("lua/meta/store.lua").exists()
            );
            assert!(read(config::FILE).contains("viewdefs"));
            assert!(
                read("README.md").contains("lua-hotloader serve --hotload")
                    && !read("README.md").contains("board")
            );
        }
    }

    #[test]
    fn it_refers_to_no_file_that_it_has_not() {
        for template in [Template::Board, Template::Poll, Template::Minimal] {
            refers_to_what_it_has(&template.files());
        }
    }

    fn refers_to_what_it_has(files: &[(String, &[u8])]) {
        // The definitions say how modules are found.
        let examples = ["a/b.lua", "a/b/init.lua"];
        let is_there = |name: &str| {
            let is_it = |(file, _): &(String, _)| file == name || file.ends_with(&format!("/{name}"));
            examples.contains(&name) || files.iter().any(is_it)
        };
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
        let mut looked_at = 0;
        for (file, text) in files {
            for word in std::str::from_utf8(text).unwrap().split(|c: char| !is_part(c)) {
                let name = word.trim_end_matches('.').trim_start_matches("./");
                let endings = [".lua", ".html", ".md", ".toml", ".json", ".css", ".js"];
                let is_file =
                    endings.iter().any(|end| name.strip_suffix(end).is_some_and(|stem| !stem.is_empty()));
                // Neither addresses nor patterns.
                if is_file && !name.starts_with('/') {
                    looked_at += 1;
                    assert!(is_there(name), "{file} refers to {name}");
                }
            }
        }
        assert!(looked_at > 5, "are they still found?");
    }
}
