//! What the sources say of a file that runs again: its definitions before and now, and what is edited.

use std::{path::Path, sync::Arc};

use crate::{
    lua::api::host::HostState,
    reload::{
        SourceFile,
        source::{Change, DefinitionId, Edits, Key, Source},
    },
};

/// Of one file.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) old: Arc<SourceFile>,
    pub(super) new: Arc<SourceFile>,
    pub(super) edits: Arc<Edits>,
    /// What left the source, and is in another file's as well.
    covered: Vec<(DefinitionId, Covered)>,
}

/// What a definition took the place of: `speak` of main.lua, say, which the file has wrapped.
#[derive(Debug)]
pub(super) struct Covered {
    /// The file that defines it, too.
    pub(super) by: Arc<SourceFile>,
    pub(super) id: DefinitionId,
}

impl Plan {
    /// Of the loaded file at that real path, whose new version is that file of the generation.
    pub(super) fn new(state: &HostState, path: &Path, file: &Path) -> Option<Self> {
        let new = state.generation.file(file)?.clone();
        let loaded = state.loaded.get(path)?;
        let old = loaded.source.clone();
        let known = state.edits.files.get(&loaded.file).cloned();
        let edits = known.unwrap_or_else(|| Arc::new(Edits::between(&old.says, &new.says)));
        let removed = edits.removed().iter();
        let covered =
            removed.filter_map(|&id| Some((id, Covered::find(state, path, &old.says, id)?))).collect();
        Some(Self { old, new, edits, covered })
    }

    /// What comes back when that definition of the old version has left the source.
    pub(super) fn covered(&self, id: DefinitionId) -> Option<&Covered> {
        self.covered.iter().find(|(of, _)| *of == id).map(|(_, covered)| covered)
    }

    /// Whether the definitions of both versions are known.
    pub(super) fn is_known(&self) -> bool {
        !self.edits.is_whole() && self.old.captures && self.new.captures
    }

    pub(super) fn change(&self, id: DefinitionId) -> Option<&Change> {
        self.edits.change(id)
    }

    /// What has changed in the declaration of that prototype: the field, and `added`, `edited` or `removed`. `None`:
    /// the source does not say.
    pub(super) fn changed_fields(&self, prototype: &str) -> Option<Vec<(&str, &'static str)>> {
        let new = self.new.says.root(&Key::Prototype(prototype.into())).filter(|_| self.is_known())?;
        fn field(key: &Key) -> Option<&str> {
            if let Key::Field(name) = key { Some(name) } else { None }
        }
        let changed = self.new.says.parts(new).filter_map(|(id, one)| {
            let what = match self.change(id)? {
                Change::Added => "added",
                Change::Edited(_) => "edited",
            };
            Some((field(&one.key)?, what))
        });
        let old = self.edits.old(new).into_iter().flat_map(|old| self.old.says.parts(old));
        let removed = old
            .filter(|(id, _)| self.edits.removed().contains(id))
            .filter_map(|(_, one)| Some((field(&one.key)?, "removed")));
        Some(changed.chain(removed).collect())
    }
}

impl Covered {
    /// Of a definition of the loaded file at that real path. Of several files, that which ran last.
    fn find(state: &HostState, path: &Path, source: &Source, id: DefinitionId) -> Option<Self> {
        let place = source.place_for_others(id)?;
        let module = place.module.as_ref().map(|name| state.generation.module(name).map(|file| &*file.path));
        let others = state.loaded.iter().filter(|(other, _)| match module {
            Some(module) => module == Some(other),
            None => *other != path,
        });
        let found = others.filter_map(|(_, file)| Some((file, file.source.says.find(&place)?)));
        let (file, id) = found.max_by_key(|(file, _)| file.order)?;
        Some(Self { by: file.source.clone(), id })
    }
}
