//! `lua-hotloader new DIR`: a site to begin with.

use std::{fs, io, path::Path};

use super::{
    CliError,
    sample::{self, Template},
    say,
};

pub(super) fn run(dir: &Path, template: Template) -> Result<(), CliError> {
    let count = create(dir, template)?;
    let dir = dir.display();
    say(&format!(
        "{dir}: a site of {count} files\n\n\
         Next:\n  \
         lua-hotloader serve {dir} --hotload\n  \
         open the address it prints, and edit {dir}/lua/main.lua while you watch"
    ));
    Ok(())
}

/// Writes a template into `dir`; returns the number of files.
fn create(dir: &Path, template: Template) -> Result<usize, CliError> {
    let failed = |source: io::Error| CliError::Write { path: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    if let Some(entry) = fs::read_dir(dir).map_err(failed)?.next() {
        let entry = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        return Err(CliError::NotEmpty { dir: dir.to_owned(), entry });
    }
    sample::write(dir, template).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_written_into_a_directory_that_is_made_or_empty() {
        let parent = tempfile::tempdir().unwrap();
        for dir in [parent.path().join("a/b"), parent.path().join("a/c")] {
            fs::create_dir_all(parent.path().join("a/c")).unwrap();
            create(&dir, Template::Board).unwrap();
            for file in ["lua/main.lua", "config/config.toml", "README.md", ".gitignore", ".luarc.json"] {
                assert!(dir.join(file).is_file(), "{file}");
            }
            assert!(dir.join("html").is_dir());
        }
    }

    #[test]
    fn a_directory_with_anything_in_it_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".notes"), "mine").unwrap();
        let error = create(dir.path(), Template::Poll).unwrap_err();
        assert!(matches!(&error, CliError::NotEmpty { entry, .. } if entry == ".notes"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_the_place_is_an_error_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(matches!(create(&file, Template::Board), Err(CliError::Write { path, .. }) if path == file));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }
}
