//! Which directory is served.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{CliError, sample};
use crate::config::{Config, ConfigError};

/// The current directory, by the name that a person knows it by: `PWD` leads through links that may be led
/// elsewhere while the server runs. It may be left over from somewhere else, so it counts only if it is the
/// same directory.
pub(super) fn current_dir(pwd: Option<OsString>) -> PathBuf {
    let here = PathBuf::from(".");
    let identity = |path: &Path| fs::metadata(path).map(|dir| (dir.dev(), dir.ino())).ok();
    let named = pwd.map(PathBuf::from).filter(|pwd| pwd.is_absolute());
    named.filter(|pwd| identity(pwd).is_some_and(|pwd| identity(&here) == Some(pwd))).unwrap_or(here)
}

/// A directory to serve, with its configuration.
#[derive(Debug)]
pub(super) struct Site {
    /// Absolute.
    pub(super) path: PathBuf,
    pub(super) config: Config,
    /// Holds the copy of the sample, which goes away with this value.
    sample: Option<TempDir>,
}

impl Site {
    /// The directory `named`, or `current` if it has a main file, or a copy of the sample.
    ///
    /// `is_meant` is whether something else on the command line says that `current` is meant: then a
    /// main file that is missing is reported, and not papered over with the sample.
    pub(super) fn choose(
        named: Option<&Path>,
        current: &Path,
        is_meant: bool,
        load: impl Fn(&Path) -> Result<Config, ConfigError>,
    ) -> Result<Self, CliError> {
        let path = named.unwrap_or(current);
        if !path.is_dir() {
            return Err(CliError::NoSuchSite(path.to_owned()));
        }
        let site =
            Self { path: path.to_owned(), config: load(path).map_err(CliError::Config)?, sample: None };
        let is_of_fleet = !site.config.fleet.site.is_empty();
        if named.is_some() || is_meant || is_of_fleet || site.main_file().is_file() {
            return Ok(site);
        }
        // What is in it runs: nobody else may write there, and a name that is known beforehand is no help.
        let mut private = tempfile::Builder::new();
        private.prefix("lua-hotloader-").permissions(Permissions::from_mode(0o700));
        let copy = private.tempdir().map_err(CliError::Sample)?;
        sample::write(copy.path(), sample::Template::default()).map_err(CliError::Sample)?;
        let config = load(copy.path()).map_err(CliError::Config)?;
        Ok(Self { path: copy.path().to_owned(), config, sample: Some(copy) })
    }

    /// Whether this is a copy of the sample.
    pub(super) fn is_sample(&self) -> bool {
        self.sample.is_some()
    }

    /// The file that runs when a session begins.
    pub(super) fn main_file(&self) -> PathBuf {
        self.path.join(&self.config.lua.path).join(&self.config.lua.main)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::{FILE, load_str};

    /// As `config::load`, but deaf to the environment of the tests.
    fn load(site: &Path) -> Result<Config, ConfigError> {
        let path = site.join(FILE);
        load_str(&path, &fs::read_to_string(&path).unwrap_or_default(), &["notify"])
    }

    fn directory(files: &[(&str, &str)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn the_current_directory_keeps_the_name_it_was_entered_by_and_no_other() {
        let keep = tempfile::tempdir().unwrap();
        let link = keep.path().join("current");
        symlink(std::env::current_dir().unwrap(), &link).unwrap();
        assert_eq!(current_dir(Some(link.clone().into())), link);
        for other in [Some(keep.path().into()), Some("src/..".into()), Some("/no/such".into()), None] {
            assert_eq!(current_dir(other), Path::new("."));
        }
    }

    #[test]
    fn the_current_directory_is_served_if_it_has_the_main_file_its_configuration_names() {
        for files in [
            &[("lua/main.lua", "")][..],
            &[(FILE, "lua = { path = \"src\", main = \"app.lua\" }"), ("src/app.lua", "")],
        ] {
            let current = directory(files);
            let site = Site::choose(None, current.path(), false, load).unwrap();
            assert_eq!(site.path, current.path());
            assert!(!site.is_sample() && site.main_file().is_file());
        }
    }

    #[test]
    fn anywhere_else_a_private_copy_of_the_sample_is_served_and_removed_at_the_end() {
        let current = directory(&[("README", "not a site")]);
        let site = Site::choose(None, current.path(), false, load).unwrap();
        assert!(site.is_sample() && site.main_file().is_file());
        assert_eq!(site.config.viewdefs.path, Path::new("lua/viewdefs"));
        let mode = fs::metadata(&site.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others may not look into it");
        let path = site.path.clone();
        drop(site);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_is_named_or_meant_is_never_replaced_by_the_sample() {
        let empty = directory(&[]);
        assert!(!Site::choose(Some(empty.path()), Path::new("."), false, load).unwrap().is_sample());
        assert!(!Site::choose(None, empty.path(), true, load).unwrap().is_sample());
    }

    #[test]
    fn a_named_directory_must_exist() {
        let empty = directory(&[]);
        let error = Site::choose(Some(&empty.path().join("no")), empty.path(), false, load).unwrap_err();
        assert!(matches!(error, CliError::NoSuchSite(path) if path.ends_with("no")));
    }

    #[test]
    fn a_wrong_configuration_of_the_current_directory_is_reported() {
        let current = directory(&[(FILE, "prot = 1")]);
        assert!(matches!(Site::choose(None, current.path(), false, load), Err(CliError::Config(_))));
    }
}
