//! What is asked for: the roots, the names that are ignored, and where links may lead.

use std::{ffi::OsStr, path::PathBuf};

use crate::{
    config::WatchConfig,
    watch::{
        change::{Root, RootId},
        disk::Ignore,
    },
};

/// What belongs to the watched trees.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) roots: Vec<Root>,
    /// Where links may lead; nothing here: anywhere.
    pub(super) allowed_roots: Vec<PathBuf>,
    pub(super) ignore: Ignore,
}

impl Scope {
    pub(super) fn new(settings: &WatchConfig, roots: Vec<Root>) -> Self {
        Self { roots, allowed_roots: settings.allowed_roots.clone(), ignore: Ignore::new(&settings.ignore) }
    }

    pub(super) fn configure(&mut self, settings: &WatchConfig) {
        self.allowed_roots.clone_from(&settings.allowed_roots);
        self.ignore = Ignore::new(&settings.ignore);
    }

    /// Whether a file of that name in a directory of that root is to be read.
    pub(super) fn wants(&self, id: RootId, file: &OsStr) -> bool {
        self.is_of(id, file) && !self.ignore.matches(file)
    }

    /// Whether a root of that id takes files of that name, ignored or not.
    pub(super) fn is_of(&self, id: RootId, file: &OsStr) -> bool {
        self.roots.iter().any(|root| root.id == id && root.wants(file))
    }
}
