//! A reload as the session drives it: begin, run files, then settle and commit or roll back; then what
//! follows a commit, one call of user code at a time.

use std::{
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use mlua::{Function, LuaString, MultiValue, Value};

use super::{Reloader, Told, notes};
use crate::{
    lua::{
        api::host::HostState,
        calls::FollowCalls,
        failure::Failure,
        limits::Budget,
        state::{MAX_SNAPSHOT, Vm},
    },
    reload::Note,
};

/// A list of functions that are called after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// `hot.dispose` of the replaced version.
    Dispose,
    /// `hot.accept` of the new one.
    Accept,
}

impl Hook {
    /// What it is called in Lua.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dispose => "hot.dispose",
            Self::Accept => "hot.accept",
        }
    }

    fn taken_by(self, calls: &FollowCalls) -> &Function {
        match self {
            Self::Dispose => &calls.take_hook,
            Self::Accept => &calls.take_accept,
        }
    }
}

/// What came of a commit.
pub(crate) struct Committed {
    /// Of replaced versions.
    pub(crate) timers_ended: usize,
    /// What there is to tell.
    pub(in crate::lua) told: Vec<Told>,
    /// There are hooks to be called, or objects to be migrated.
    pub(crate) is_followed: bool,
}

/// What came of the migration of one object.
pub(crate) struct Migrated {
    /// Its prototype.
    pub(crate) prototype: String,
    /// Why it failed.
    pub(crate) failure: Option<Failure>,
}

impl Vm {
    /// From here on everything can be undone. False: there is too much for that, so code alone is.
    pub(crate) fn begin(&self) -> bool {
        self.state(HostState::hold_log);
        // Some hundred kilobytes of garbage at most, which are collected when browsers have been served.
        self.pause_collector();
        let used = self.used_memory();
        let complete = self.trusted(|| {
            self.reload_calls()?.begin.call::<()>(())?;
            self.reloader(|reloader| reloader.begin(self.lua(), MAX_SNAPSHOT))
        });
        // What is needed to undo it is not the user's.
        self.lend(self.used_memory().saturating_sub(used));
        complete
    }

    /// From here on everything can be undone that a file does which runs for the first time. To it that is no reload.
    pub(in crate::lua) fn begin_start(&self) {
        self.begin();
        self.trusted(|| self.reload_calls()?.is_start.call::<()>(()));
    }

    /// It has run well.
    pub(in crate::lua) fn end_start(&self) {
        self.state(|state| state.release_log(true));
        self.finish();
    }

    /// Everything as it was.
    pub(crate) fn rollback(&self) {
        self.sweep();
        self.trusted(|| self.reloader(|reloader| reloader.roll_back(self.lua())));
        self.trusted(|| self.reload_calls()?.undone.call::<()>(()));
        self.end();
        self.state(|state| state.release_log(false));
    }

    /// These files will run: who requires one has it run first.
    pub(crate) fn plan<'a>(&self, paths: impl Iterator<Item = &'a Path>) {
        let paths: Vec<_> =
            paths.filter_map(|path| self.lua().create_string(path.as_os_str().as_bytes()).ok()).collect();
        self.trusted(|| self.reload_calls()?.plan.call::<()>(paths));
    }

    /// Files that have to run beyond the plan: real path, and name below the Lua directory.
    pub(crate) fn take_extra(&self) -> Vec<(PathBuf, PathBuf)> {
        pairs(&self.trusted(|| self.reload_calls()?.take_extra.call::<Vec<LuaString>>(())))
    }

    /// Files that have to run since one that they require called `hot.invalidate`: real path, and name below the Lua
    /// directory.
    pub(crate) fn take_invalidated(&self) -> Vec<(PathBuf, PathBuf)> {
        pairs(&self.trusted(|| self.follow_calls()?.take_invalidated.call::<Vec<LuaString>>(())))
    }

    /// Everything has run well: who holds replaced functions gets the new ones; nothing is undone from
    /// here on, unless this fails.
    pub(crate) fn commit(&self) -> Result<Committed, Failure> {
        let committed = self.try_trusted(|| {
            let told = self.reloader(|reloader| reloader.settle(self.lua()))?;
            let (timers_ended, is_followed) = self.reload_calls()?.commit.call(())?;
            Ok(Committed { timers_ended, told, is_followed })
        });
        let committed = committed.map_err(|error| {
            // An error of ours: half of it must not stay.
            tracing::error!(%error, "a reload could not be committed; this is a bug");
            self.failure(&error, None)
        })?;
        self.state(|state| state.release_log(true));
        Ok(committed)
    }

    /// What there is to tell since the last call.
    pub(in crate::lua) fn take_told(&self) -> Vec<Told> {
        self.trusted(|| self.reloader(|reloader| Ok(reloader.take_told())))
    }

    /// What of it is worth telling.
    pub(in crate::lua) fn notes(&self, told: Vec<Told>) -> Vec<Note> {
        told.into_iter().filter_map(notes::read).collect()
    }

    /// The reload is over.
    pub(crate) fn finish(&self) {
        self.trusted(|| self.reload_calls()?.finish.call::<()>(()));
        self.end();
    }

    /// The prelude knows that it is.
    fn end(&self) {
        if self.trusted(|| self.reloader(|reloader| Ok(reloader.finish(self.lua())))) {
            Reloader::forget(self.lua());
        }
        self.lend(0);
        self.resume_collector();
    }

    /// Loaded files that are gone, by real path, are let go if nothing requires them. Hands back which.
    pub(crate) fn prune(&self, gone: &[PathBuf]) -> Vec<String> {
        let paths: Vec<_> = gone
            .iter()
            .filter_map(|path| self.lua().create_string(path.as_os_str().as_bytes()).ok())
            .collect();
        let pruned: Vec<LuaString> = self.trusted(|| self.follow_calls()?.prune.call(paths));
        pruned.iter().map(notes::file).collect()
    }

    /// A module whose link leads to another file now.
    pub(crate) fn rename(&self, old: &Path, new: &Path) {
        let text = |path: &Path| self.lua().create_string(path.as_os_str().as_bytes());
        if let (Ok(from), Ok(to)) = (text(old), text(new)) {
            self.trusted(|| self.follow_calls()?.rename.call::<()>((from, to)));
        }
        self.state(|state| {
            if let Some(loaded) = state.loaded.remove(old) {
                state.loaded.insert(new.to_owned(), loaded);
            }
        });
    }

    /// Calls the next hook of that kind. `None`: there are no more.
    pub(crate) fn call_hook(&self, hook: Hook) -> Option<Result<(), (String, Failure)>> {
        self.call_taken(self.try_trusted(|| hook.taken_by(&*self.follow_calls()?).call(())))
    }

    fn call_taken(
        &self,
        taken: mlua::Result<(Option<Function>, Value, Option<LuaString>)>,
    ) -> Option<Result<(), (String, Failure)>> {
        let (function, argument, source) = taken
            .inspect_err(|error| tracing::error!(%error, "a hook could not be found; this is a bug"))
            .ok()?;
        let (function, file) = (function?, notes::file(&source?));
        let called = self.run(self.handler(), |_| function.call::<()>(argument));
        Some(called.map_err(|failure| (file, failure)))
    }

    /// Calls the next `hot.dispose` of the version of a file that runs. `None`: there are no more.
    pub(crate) fn call_dispose(&self, path: &Path) -> Option<Result<(), (String, Failure)>> {
        let path = self.lua().create_string(path.as_os_str().as_bytes()).ok()?;
        self.call_taken(self.try_trusted(|| self.reload_calls()?.take_dispose.call(path)))
    }

    /// How many objects have to follow their prototypes.
    pub(crate) fn plan_migration(&self) -> usize {
        self.trusted(|| self.follow_calls()?.plan_migration.call(()))
    }

    /// Migrates the next object. `None`: there are no more.
    pub(crate) fn migrate(&self) -> Option<Migrated> {
        let budget = Budget { time: self.budget().mutate, key: "session.budget.mutate" };
        let mut prototype = None;
        let done = self.run(budget, |_| {
            let mut entry = self.follow_calls()?.take_migration.call::<MultiValue>(())?.into_iter();
            let Some(Value::String(name)) = entry.next() else { return Ok(()) };
            prototype = Some(name.to_string_lossy());
            match entry.next() {
                Some(Value::Function(mutate)) => mutate.call::<()>(entry.collect::<MultiValue>()),
                _ => Ok(()),
            }
        });
        Some(Migrated { prototype: prototype?, failure: done.err() })
    }

    /// No object is migrated any more.
    pub(crate) fn end_migration(&self) {
        self.trusted(|| self.follow_calls()?.end_migration.call::<()>(()));
    }
}

fn pairs(list: &[LuaString]) -> Vec<(PathBuf, PathBuf)> {
    let path = |text: &LuaString| PathBuf::from(std::ffi::OsString::from_vec(text.as_bytes().to_vec()));
    list.chunks_exact(2).map(|pair| (path(&pair[0]), path(&pair[1]))).collect()
}
