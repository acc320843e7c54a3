//! Running files: the first time, and again when they were saved.

use std::{os::unix::ffi::OsStrExt, path::Path, sync::Arc};

use mlua::{FromLuaMulti, Function, Lua};

use super::{
    api::host::{self, HostState},
    calls::LoadCalls,
    failure::Failure,
    limits::deadline::Deadline,
    parts,
    state::{Vm, known},
};
use crate::reload::{Diagnostic, SourceFile};

impl Vm {
    /// What it takes to run a file.
    fn load_calls(&self) -> mlua::Result<Arc<LoadCalls>> {
        known(&self.load_calls, || {
            parts::load_files(self.lua(), &self.prelude)?;
            LoadCalls::of(&self.prelude.raw_get("L")?)
        })
    }

    /// Runs a file that is given by its name below the Lua directory, for the first time.
    pub(crate) fn load_first(&mut self, file: &Path) -> Result<(), Failure> {
        let source = self.source(file)?;
        self.load(&source, file, |vm| Ok(vm.load_calls()?.load_first.clone()))
    }

    /// Runs the new version of a file. Says whether there are files to run beyond the plan.
    pub(crate) fn reload(&mut self, source: &SourceFile, file: &Path) -> Result<bool, Failure> {
        let has_more = self.load(source, file, |vm| Ok(vm.reload_calls()?.reload.clone()))?;
        self.state(|state| state.loaded(source.path.clone(), file.to_owned()));
        Ok(has_more)
    }

    fn load<R: FromLuaMulti>(
        &mut self,
        source: &SourceFile,
        file: &Path,
        how: impl FnOnce(&Self) -> mlua::Result<Function>,
    ) -> Result<R, Failure> {
        self.last_file = Some(source.display.clone());
        let is_known = |state: &mut HostState| state.is_loaded(&source.path, file);
        let is_known = self.state(is_known).unwrap_or_default();
        let run = |lua: &Lua| {
            let text = |path: &Path| lua.create_string(path.as_os_str().as_bytes());
            let load = how(self)?;
            let chunk = host::load_chunk(lua, &self.prelude, source)?;
            if is_known {
                // The prelude has its names.
                return load.call((text(&source.path)?, chunk, source.captures));
            }
            let name = file.with_extension("").to_string_lossy().replace('/', ".");
            load.call((text(&source.path)?, chunk, source.captures, text(file)?, name))
        };
        // Most of it is code of ours, which watches what it calls of the user's.
        let result = self.run_from(Deadline::start_unwatched, self.load_budget(), run);
        self.last_file = None;
        result
    }

    fn source(&self, file: &Path) -> Result<Arc<SourceFile>, Failure> {
        let generation = self.generation();
        let entry = generation.files.get(file);
        if let Some(good) = entry.and_then(|entry| entry.good.clone()) {
            return Ok(good);
        }
        let diagnostic = match entry.and_then(|entry| entry.failed.as_deref()) {
            Some(failed) => failed.clone(),
            None => {
                Diagnostic::about(file.to_string_lossy(), None, "there is no such file in the Lua directory")
            }
        };
        Err(Failure { diagnostic, exhausted: false })
    }
}
