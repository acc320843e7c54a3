//! The sample site inside this program: the checkout's `lua/` and its `config/config.toml`.

use std::{fs, io, path::Path};

use include_dir::{Dir, include_dir};

use crate::config;

static LUA: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/lua");
const CONFIG: &str = include_str!("../../config/config.toml");

/// All files: path below the site, and content.
pub(super) fn files() -> Vec<(String, &'static [u8])> {
    fn walk(dir: &Dir<'static>, files: &mut Vec<(String, &'static [u8])>) {
        for file in dir.files() {
            files.push((format!("lua/{}", file.path().display()), file.contents()));
        }
        for dir in dir.dirs() {
            walk(dir, files);
        }
    }
    let mut files = vec![(config::FILE.to_owned(), CONFIG.as_bytes())];
    walk(&LUA, &mut files);
    files
}

/// Writes the sample below `dir`, which exists. Returns the number of files.
///
/// # Errors
///
/// The first file that could not be written; one that exists is never overwritten.
pub(super) fn write(dir: &Path) -> io::Result<usize> {
    let files = files();
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
    fn what_is_written_is_the_folder_of_the_checkout() {
        let dir = tempfile::tempdir().unwrap();
        let count = write(dir.path()).unwrap();

        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut expected = vec![(config::FILE.to_owned(), fs::read(root.join(config::FILE)).unwrap())];
        tree(&root.join("lua"), root, &mut expected);
        let mut written = Vec::new();
        tree(dir.path(), dir.path(), &mut written);
        expected.sort();
        written.sort();
        assert_eq!(written, expected);
        assert_eq!(count, written.len());
        assert!(dir.path().join("lua/main.lua").is_file());
    }
}
