//! Copies that sync tools and file managers leave beside a file: nobody means them to run.

use std::{ffi::OsStr, path::Path};

use crate::watch::ChangeSet;

/// Takes copies out of a change set, and tells the log of those that came.
pub(super) fn leave_out(changes: &mut ChangeSet) {
    changes.changes.retain(|change| {
        let is_copy = is_copy(&change.name);
        if is_copy && change.content().is_some() {
            tracing::info!(target: "hot", file = ?change.path,
                "left out: by its name it is a copy that a file manager or a sync tool made; delete or rename it");
        }
        !is_copy
    });
}

/// `App copy.html` and `App copy 2.html` (macOS), `App (1).html` (browsers), `App - Copy (2).html` (Windows),
/// `App (another copy).html` (Linux), `App (Ada's conflicted copy 2026-11-28).html` (Dropbox, Nextcloud),
/// `App.sync-conflict-20261128-081500-ABCDEFG.html` (Syncthing). The names of modules and views have no spaces.
fn is_copy(name: &Path) -> bool {
    let Some(stem) = name.file_stem().and_then(OsStr::to_str) else { return false };
    if stem.contains(".sync-conflict-") {
        return true;
    }
    let Some((_, addition)) = stem.split_once(' ') else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = addition.split(|letter: char| !letter.is_alphanumeric()).map(str::to_lowercase);
    let in_brackets = addition.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    in_brackets.is_some_and(is_number) || words.any(|word| word == "copy" || word == "conflict")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_told_from_files_that_somebody_named() {
        for name in [
            "App.DEFAULT copy.html",
            "App copy 2.html",
            "App.DEFAULT (1).html",
            "sub/greet - Copy (2).lua",
            "greet (another copy).lua",
            "App.DEFAULT (Ada's conflicted copy 2026-11-28).html",
            "App.DEFAULT.sync-conflict-20261128-081500-ABCDEFG.html",
        ] {
            assert!(is_copy(Path::new(name)), "{name}");
        }
        for name in
            ["copy.lua", "a copy/greet.lua", "App.copy.html", "greet 2.lua", "photo copying.lua", "x(1).lua"]
        {
            assert!(!is_copy(Path::new(name)), "{name}");
        }
    }
}
