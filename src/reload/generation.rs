//! The state of all code at one moment: immutable, numbered, shared.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use memchr::memmem;

use super::{
    Binding, Bindings, DataFiles, Diagnostic, EditsFrom, Faults, Mark, PassedOver, ReloadReport, SiteLayout,
    Source, Telling, Viewdef, built_in,
    source::{Owner, Written},
};
use crate::watch::ContentHash;

/// All code and templates of a site as of one change set. Numbers only grow; a file that does not
/// compile is here with its last good version, so every generation can be run.
#[derive(Debug, Default)]
pub struct Generation {
    /// 1 for what was there at the start; 0 for the empty one before it.
    pub number: u64,
    /// Lua files by their name below the Lua directory, links not resolved.
    pub files: BTreeMap<PathBuf, FileEntry>,
    /// Lua files that are not loaded, as another is the same module.
    pub passed_over: BTreeMap<PathBuf, PassedOver>,
    /// Good view templates by key, `TYPE.NAMESPACE`.
    pub viewdefs: BTreeMap<String, Arc<Viewdef>>,
    /// What these bind. The same one for as long as no template changes.
    pub bindings: Arc<Bindings>,
    /// What is wrong with templates at the moment, by file.
    pub viewdef_errors: BTreeMap<PathBuf, Diagnostic>,
    /// What scripts may read beside these.
    pub data: DataFiles,
    /// How people know the site's files.
    pub layout: SiteLayout,
    /// The files that were saved since the last generation, as people know them: `lua/app.lua`.
    pub changed: Vec<String>,
    /// The files that were removed since the last generation, as people know them.
    pub removed: Vec<String>,
    /// What is edited in it, for those who run other versions.
    pub edits: EditsFrom,
}

/// One name below the Lua directory: what can be run, and what is wrong with what cannot.
#[derive(Debug, Clone, Default)]
pub struct FileEntry {
    /// The newest version that compiles, if there was one.
    pub good: Option<Arc<SourceFile>>,
    /// Why the version on disk is not the good one.
    pub failed: Option<Arc<Diagnostic>>,
}

/// A Lua file that compiles.
#[derive(Debug)]
pub struct SourceFile {
    /// The real file, links resolved: the identity of the module.
    pub path: PathBuf,
    /// As people know it, relative to the site: `lua/app.lua`. Errors and tracebacks say it.
    pub display: String,
    /// Identity of the content.
    pub hash: ContentHash,
    /// Not stripped, so errors have lines.
    pub bytecode: Vec<u8>,
    /// For excerpts.
    pub source: Arc<[u8]>,
    /// What the source says.
    pub says: Arc<Source>,
    /// Found when it is first asked for: see [`written`](Self::written).
    pub written: OnceLock<Written>,
    /// Whether some session runs it.
    pub in_use: Mark,
    /// The bytecode hands over the locals of the file: see [`Parsed`](super::source::Parsed).
    pub captures: bool,
}

impl SourceFile {
    /// Which fields its code writes.
    pub fn written(&self) -> &Written {
        self.written.get_or_init(|| Written::of(&self.source))
    }

    fn mentions(&self, text: &str) -> bool {
        memmem::find(&self.source, text.as_bytes()).is_some()
    }

    /// Whether a function of a chunk that is called so is of this file.
    pub fn is_chunk(&self, name: &str) -> bool {
        name.strip_prefix('@') == Some(self.display.as_str())
    }
}

/// A template with the line of its first binding of that kind.
fn line(viewdef: &Viewdef, is_wanted: impl Fn(&Binding) -> bool) -> Option<(&Viewdef, u32)> {
    viewdef.bindings.iter().find(|bound| is_wanted(bound)).map(|bound| (viewdef, bound.line))
}

impl Generation {
    /// The file of that name below the Lua directory, if a version of it compiles.
    pub fn file(&self, name: &Path) -> Option<&Arc<SourceFile>> {
        self.files.get(name)?.good.as_ref()
    }

    /// The templates of a type, of whatever namespace, without those that come with the server.
    fn viewdefs_of<'a>(&'a self, type_name: &'a str) -> impl Iterator<Item = &'a Viewdef> {
        let of_type = move |key: &str| key.rsplit_once('.').is_some_and(|(name, _)| name == type_name);
        // All their keys begin so, and stand side by side.
        let from = self.viewdefs.range(format!("{type_name}.")..);
        let of_prefix = from.take_while(move |(key, _)| key.starts_with(type_name));
        of_prefix.filter(move |(key, _)| of_type(key)).map(|(_, viewdef)| &**viewdef)
    }

    /// Whether there is a template of that type, in any namespace.
    pub fn has_viewdef_of(&self, type_name: &str) -> bool {
        let of_type = |key: &String| key.rsplit_once('.').is_some_and(|(name, _)| name == type_name);
        self.viewdefs_of(type_name).next().is_some() || built_in().keys().any(of_type)
    }

    /// Whether a template shows that path of a type by the template of what is there.
    pub fn is_viewed(&self, type_name: &str, path: &str) -> bool {
        let is_view = |bound: &Binding| bound.path == path && bound.attribute == "ui-view";
        self.viewdefs_of(type_name).any(|viewdef| viewdef.bindings.iter().any(is_view))
    }

    /// The first template, and the line in it, that shows that path as a list.
    pub fn listed_at(&self, path: &str) -> Option<(&Viewdef, u32)> {
        let is_list = |bound: &Binding| bound.path == path && bound.attribute == "ui-viewlist";
        self.viewdefs.values().find_map(|viewdef| line(viewdef, is_list))
    }

    /// The first template, and the line in it, that binds a path of a type. What stands within a list is about
    /// its elements, whatever the type of the template.
    pub fn bound_at<'a>(&'a self, type_name: &'a str, path: &str) -> Option<(&'a Viewdef, u32)> {
        let is_own = |bound: &Binding| bound.path == path && bound.lists.is_empty();
        let in_list = |bound: &Binding| bound.path == path && !bound.lists.is_empty();
        let own = self.viewdefs_of(type_name).find_map(|viewdef| line(viewdef, is_own));
        own.or_else(|| self.viewdefs.values().find_map(|viewdef| line(viewdef, in_list)))
    }

    /// Everything that is wrong with files at the moment.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.file_errors().chain(self.viewdef_errors.values())
    }

    /// The Lua files that do not compile at the moment, or came when there was another for their module.
    pub fn file_errors(&self) -> impl Iterator<Item = &Diagnostic> {
        let failed = self.files.values().filter_map(|entry| entry.failed.as_deref());
        failed.chain(self.passed_over.values().filter_map(|passed_over| passed_over.error.as_deref()))
    }

    /// The files whose change led here, as people know them.
    pub fn touched(&self) -> Vec<String> {
        self.changed.iter().chain(&self.removed).cloned().collect()
    }

    /// Whether any code may write that field into an object of one of these types: a type and those that it is
    /// based on.
    pub fn may_write(&self, types: &BTreeSet<String>, field: &str) -> bool {
        let is_its = |owner: &Owner| *owner == Owner::Any || self.is_one_of(types, owner);
        let computes = |file: &SourceFile| file.mentions("[") && file.written().computes(is_its);
        // Most often it is there that it is written.
        let mut likely_first = self.sources_about(types).chain(self.sources());
        likely_first.any(|file| file.mentions(field) && file.written().may_have(field, is_its))
            || self.sources_about(types).any(|file| computes(file))
    }

    /// The fields that code writes into objects of these types, where it says which type it is about.
    pub fn written(&self, types: &BTreeSet<String>) -> BTreeSet<String> {
        let written = self.sources_about(types).flat_map(|file| file.written().fields());
        written.filter(|(owner, _)| self.is_one_of(types, owner)).map(|(_, name)| name.to_string()).collect()
    }

    /// Whether that text stands in any code, between quotes.
    pub fn has_text(&self, text: &str) -> bool {
        self.sources().any(|file| file.mentions(text) && file.written().has_text(text))
    }

    fn sources(&self) -> impl Iterator<Item = &Arc<SourceFile>> {
        self.files.values().filter_map(|entry| entry.good.as_ref())
    }

    fn sources_about(&self, types: &BTreeSet<String>) -> impl Iterator<Item = &Arc<SourceFile>> {
        self.sources().filter(|file| types.iter().any(|name| file.mentions(name)))
    }

    /// Whether that is one of these types, as far as the source says.
    fn is_one_of(&self, types: &BTreeSet<String>, owner: &Owner) -> bool {
        match owner {
            Owner::Any => false,
            Owner::Prototype(name) => types.contains(&**name),
            // What it returns may be anything if that is not said.
            Owner::Module(name) => match self.module(name).and_then(|file| file.written().exports()) {
                Some(Owner::Prototype(name)) => types.contains(&**name),
                _ => true,
            },
        }
    }

    pub(crate) fn module(&self, name: &str) -> Option<&Arc<SourceFile>> {
        let path = name.replace('.', "/");
        let names = [format!("{path}.lua"), format!("{path}/init.lua")];
        names.iter().find_map(|name| self.file(Path::new(name)))
    }

    /// The source of a file as an error message names it. Lua shortens long names to `...` and
    /// their end.
    pub fn source(&self, display: &str) -> Option<&Arc<SourceFile>> {
        let good = || self.files.values().filter_map(|entry| entry.good.as_ref());
        match display.strip_prefix("...") {
            Some(end) => good().find(|file| file.display.ends_with(end)),
            None => good().find(|file| file.display == display),
        }
    }
}

/// Where the newest generation is found by those who need one, without waiting.
#[derive(Debug, Default)]
pub struct Published {
    generation: ArcSwap<Generation>,
    good: ArcSwap<Generation>,
    standing: ArcSwapOption<ReloadReport>,
    telling: Telling,
    faults: Arc<Faults>,
}

impl Published {
    /// An empty one; `telling` says what developers are told of reloads.
    pub fn new(telling: Telling) -> Self {
        Self { telling, ..Self::default() }
    }

    /// What is told of reloads.
    pub fn telling(&self) -> &Telling {
        &self.telling
    }

    /// What fails of it while it runs.
    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    /// The newest generation.
    pub fn generation(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// The newest generation that ran in some session, or that no session had to try: what a new
    /// session starts from.
    pub fn good(&self) -> Arc<Generation> {
        self.good.load_full()
    }

    /// The failure that stands: what a browser is told that connects now.
    pub fn standing(&self) -> Option<Arc<ReloadReport>> {
        self.standing.load_full()
    }

    /// Publishes the newest generation, which sessions have still to try.
    pub fn publish(&self, generation: Arc<Generation>) {
        self.generation.store(generation);
    }

    /// New sessions start from this one.
    pub fn publish_good(&self, generation: Arc<Generation>) {
        if self.generation.load().number < generation.number {
            self.generation.store(generation.clone());
        }
        self.good.store(generation);
    }

    /// Sets or clears the failure that browsers are told when they connect.
    pub fn set_standing(&self, report: Option<Arc<ReloadReport>>) {
        self.standing.store(report);
    }
}
