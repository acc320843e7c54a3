//! Which files are in use: those that some session has loaded, and the templates that some page has.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use super::Generation;

/// Whether a version of a file is in use. It stays so for as long as it is the newest one: who closes a page mostly
/// comes back.
#[derive(Debug, Default)]
pub struct Mark(AtomicBool);

impl Mark {
    /// From now on it is.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Generation {
    /// The real files that are in use.
    pub fn in_use(&self) -> BTreeSet<PathBuf> {
        let lua = self.files.values().filter_map(|entry| entry.good.as_ref());
        let lua = lua.filter(|file| file.in_use.is_set()).map(|file| &file.path);
        let viewdefs = self.viewdefs.values().filter(|viewdef| viewdef.in_use.is_set());
        lua.chain(viewdefs.map(|viewdef| &viewdef.path)).cloned().collect()
    }
}
