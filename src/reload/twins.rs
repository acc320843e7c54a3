//! Two files for one module: `require "greet"` means `greet.lua` or `greet/init.lua`. The one that was there
//! first is the module, so that all sessions run the same code. The other is not loaded, and the log says so.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Diagnostic, FileEntry, Generation};

/// A file that is not loaded, as another is the same module.
#[derive(Debug, Clone)]
pub struct PassedOver {
    /// What it is when the other goes.
    entry: FileEntry,
    /// It came later than the other.
    pub(super) error: Option<Arc<Diagnostic>>,
}

/// Finds twins among the saved files of a generation that has been compiled. `display` gives the name that
/// people know a file by.
pub(super) fn settle<'a>(
    last: &Generation,
    next: &mut Generation,
    saved: impl Iterator<Item = &'a Path>,
    is_start: bool,
    display: impl Fn(&Path) -> String,
) {
    if is_start {
        // All that is there is among what was saved.
        next.passed_over.clear();
    }
    for name in saved {
        next.passed_over.remove(name);
        let is_there = |name: &Path| next.files.contains_key(name);
        // One that was removed leaves the other alone.
        let Some(twin) = twin(name).filter(|twin| is_there(name) && is_there(twin)) else { continue };
        let (taken, other) = match (last.files.contains_key(name), last.files.contains_key(&twin)) {
            (false, true) => (&*twin, name),
            (true, false) => (name, &*twin),
            _ if name.ends_with(INIT) => (&*twin, name),
            _ => (name, &*twin),
        };
        let Some(entry) = next.files.remove(other) else { continue };
        let message = format!(
            "not loaded: {} is the same module, and was there before; remove or rename one of the two",
            display(taken)
        );
        let diagnostic = Diagnostic::about(display(other), None, message);
        if is_start {
            tracing::warn!(target: "hot", "[hot] WARN {diagnostic}");
        }
        let error = (!is_start).then(|| Arc::new(diagnostic));
        next.passed_over.insert(other.to_owned(), PassedOver { entry, error });
    }
    let is_alone = |name: &Path| twin(name).is_none_or(|twin| !next.files.contains_key(&twin));
    let alone: Vec<PathBuf> = next.passed_over.keys().filter(|name| is_alone(name)).cloned().collect();
    for name in alone {
        if let Some(PassedOver { entry, .. }) = next.passed_over.remove(&name) {
            next.changed.push(display(&name));
            next.files.insert(name, entry);
        }
    }
}

const INIT: &str = "init.lua";

/// The other file that is the same module, if both are there.
pub(crate) fn twin(name: &Path) -> Option<PathBuf> {
    if name.ends_with(INIT) {
        let dir = name.parent().filter(|dir| dir.file_name().is_some())?;
        let mut file = dir.as_os_str().to_owned();
        file.push(".lua");
        Some(file.into())
    } else {
        Some(name.with_extension("").join(INIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::testing::save;

    const ONE: &str = "greet.lua";
    const TWO: &str = "greet/init.lua";

    fn names(generation: &Generation) -> Vec<&str> {
        generation.files.keys().filter_map(|name| name.to_str()).collect()
    }

    fn errors(generation: &Generation) -> Vec<&str> {
        generation.diagnostics().map(|diagnostic| &*diagnostic.file).collect()
    }

    #[test]
    fn the_file_that_was_there_first_is_the_module_and_the_other_one_when_it_goes() {
        for (first, second) in [(ONE, TWO), (TWO, ONE)] {
            let start = save(&Generation::default(), &[(first, Some("return 1")), ("init.lua", Some(""))]);
            let both = save(&start, &[(second, Some("return 2"))]);
            assert_eq!(names(&both), names(&start));
            assert_eq!(errors(&both), [format!("lua/{second}")]);
            let edited = save(&both, &[(first, Some("return 3"))]);
            assert_eq!((names(&edited), errors(&edited)), (names(&start), errors(&both)));
            let other = save(&edited, &[(first, None)]);
            assert_eq!(other.file(Path::new(second)).unwrap().source[..], *b"return 2");
            assert_eq!((other.changed.len(), errors(&other).len()), (1, 0));
            let mended = save(&edited, &[(second, None)]);
            assert_eq!((names(&mended), errors(&mended).len()), (names(&start), 0));
        }
    }

    #[test]
    fn of_two_that_come_together_it_is_the_one_that_require_looks_for_first() {
        for files in [[(ONE, Some("1")), (TWO, Some("2"))], [(TWO, Some("2")), (ONE, Some("1"))]] {
            let both = save(&Generation::default(), &files.map(|(name, _)| (name, Some("return 1"))));
            assert_eq!(names(&both), [ONE]);
        }
    }
}
