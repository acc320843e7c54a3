//! One Lua state with its prelude, sandbox and budgets.

use std::{
    cell::{Cell, RefCell},
    panic::Location,
    sync::Arc,
    time::{Duration, Instant},
};

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, LuaString, StdLib, Table, Thread, Value};

use super::{
    api::{
        host::{self, HostState},
        shared::Shared,
        timers::TimerHandle,
    },
    calls::{FollowCalls, LoadCalls, ReloadCalls},
    failure::{Circumstances, Failure},
    frame,
    limits::{
        deadline::{Budget, Deadline, Outer},
        library,
        memory::{MemoryWatch, Pressure},
    },
    parts,
    prelude::{PRELUDE, load_parts},
    reload::Reloader,
};
use crate::{
    config::BudgetConfig,
    hub::Port,
    reload::{Diagnostic, Generation},
};

/// A rollback restores everything reachable up to this many tables.
pub(crate) const MAX_SNAPSHOT: usize = 20_000;

/// A unit of work in the middle of a write.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) thread: Thread,
    pub(super) began: Instant,
}

/// A Lua state. Functions into it are dropped before it: that is why `lua` comes last.
#[derive(Debug)]
pub(crate) struct Vm {
    pub(super) prelude: Table,
    fire: Function,
    /// Functions of the prelude, as far as they have been called.
    pub(super) load_calls: RefCell<Option<Arc<LoadCalls>>>,
    reload_calls: RefCell<Option<Arc<ReloadCalls>>>,
    follow_calls: RefCell<Option<Arc<FollowCalls>>>,
    /// If anything is limited.
    deadline: Option<Deadline>,
    /// Bytes, what a reload needs to undo itself.
    lent: Cell<usize>,
    /// Whether it was us who stopped the garbage collector.
    paused: Cell<bool>,
    /// A unit of work that waits for the store.
    pub(super) waiting: RefCell<Option<Waiting>>,
    /// A coroutine that has come to its end, for the next unit of work.
    pub(super) spare: RefCell<Option<Thread>>,
    pub(crate) memory: MemoryWatch,
    pub(super) budget: Arc<BudgetConfig>,
    /// The file that ran last: where a failure is if Lua does not say.
    pub(super) last_file: Option<String>,
    lua: Lua,
}

impl Vm {
    /// A state in which nothing of the user has run.
    pub(crate) fn new(
        name: String,
        generation: Arc<Generation>,
        budget: Arc<BudgetConfig>,
        hot: bool,
        port: Option<Port>,
    ) -> mlua::Result<Self> {
        let libraries = StdLib::COROUTINE
            | StdLib::TABLE
            | StdLib::OS
            | StdLib::STRING
            | StdLib::UTF8
            | StdLib::MATH
            | StdLib::DEBUG;
        // Only the prelude sees the debug library: the sandbox takes it away before anything of the user runs.
        let lua = frame::new_state(libraries);
        library::guard(&lua)?;
        let prelude = lua.create_table()?;
        seed_random(&lua)?;
        load_parts(&lua, &PRELUDE.sandbox, &prelude)?;
        prelude.raw_set("hot", hot)?;
        let host = HostState::new(name, generation, budget.clone(), Shared::new(port));
        let vm = Self::with_prelude(lua, prelude, host, budget.clone())?;
        vm.limited(&budget)
    }

    /// Into a state that belongs to another program, in which anything may have run. Nothing is taken
    /// away; with no `limits` nothing is limited, and its hook stays whose it is.
    pub(crate) fn attach(
        lua: Lua,
        name: String,
        generation: Arc<Generation>,
        limits: Option<BudgetConfig>,
    ) -> mlua::Result<Self> {
        let prelude = lua.create_table()?;
        prelude.raw_set("debug", frame::debug_library(&lua)?)?;
        // Without limits a migration may take its time, as everything may.
        let unlimited = || BudgetConfig { migration: Duration::MAX, ..BudgetConfig::default() };
        let budget = Arc::new(limits.clone().unwrap_or_else(unlimited));
        load_parts(&lua, &PRELUDE.guest, &prelude)?;
        prelude.raw_set("hot", true)?;
        // These are for pages in a browser; here they may be anything.
        let others = ["ui", "store"];
        let values: [Value; 2] = [lua.globals().raw_get(others[0])?, lua.globals().raw_get(others[1])?];
        let host = HostState::new(name, generation, budget.clone(), Shared::default());
        let vm = Self::with_prelude(lua, prelude, host, budget)?;
        for (name, value) in others.into_iter().zip(values) {
            vm.lua.globals().raw_set(name, value)?;
        }
        match limits {
            Some(limits) => {
                library::guard_coroutines(&vm.lua)?;
                vm.limited(&limits)
            }
            None => Ok(vm),
        }
    }

    /// Whether a state has one already.
    pub(crate) fn is_in(lua: &Lua) -> bool {
        lua.app_data_ref::<HostState>().is_some()
    }

    fn with_prelude(
        lua: Lua,
        prelude: Table,
        state: HostState,
        budget: Arc<BudgetConfig>,
    ) -> mlua::Result<Self> {
        let host = host::functions(&lua)?;
        let max_string = budget.string.as_usize();
        let need = move |lua: &Lua, (part, prelude): (LuaString, Table)| {
            parts::load(lua, &prelude, &part.to_string_lossy(), max_string)
        };
        host.raw_set("need", lua.create_function(need)?)?;
        prelude.raw_set("host", host)?;
        load_parts(&lua, &PRELUDE.start, &prelude)?;
        lua.set_app_data(state);
        let fire = prelude.raw_get("fire")?;
        let memory = MemoryWatch::default();
        Ok(Self {
            prelude,
            fire,
            load_calls: RefCell::default(),
            reload_calls: RefCell::default(),
            follow_calls: RefCell::default(),
            deadline: None,
            lent: Cell::new(0),
            paused: Cell::new(false),
            waiting: RefCell::default(),
            spare: RefCell::default(),
            memory,
            budget,
            last_file: None,
            lua,
        })
    }

    /// From here on it has limits, and the state's hook.
    fn limited(self, budget: &BudgetConfig) -> mlua::Result<Self> {
        self.lua.set_memory_limit(hard_limit(budget))?;
        let deadline = Some(Deadline::install(&self.lua, budget)?);
        Ok(Self { deadline, ..self })
    }

    pub(crate) fn lua(&self) -> &Lua {
        &self.lua
    }

    /// The code it runs.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        self.state(|state| state.generation.clone()).unwrap_or_default()
    }

    /// How the session is called in the log.
    pub(crate) fn name(&self) -> String {
        self.state(|state| state.name.clone()).unwrap_or_default()
    }

    /// The private table, for tests that break what is in it.
    #[cfg(test)]
    pub(crate) fn prelude(&self) -> &Table {
        &self.prelude
    }

    /// Bytes in use.
    pub(crate) fn used_memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// What is to be said about the memory in use, if anything. Follows each unit of work.
    pub(crate) fn memory_pressure(&mut self) -> Option<Pressure> {
        self.memory.look(&self.lua, self.budget.memory.as_usize())
    }

    pub(crate) fn budget(&self) -> &Arc<BudgetConfig> {
        &self.budget
    }

    /// Budget of a handler, a timer or a call from the host.
    pub(crate) fn handler(&self) -> Budget {
        Budget { time: self.budget.handler, key: "session.budget.handler" }
    }

    pub(super) fn load_budget(&self) -> Budget {
        Budget { time: self.budget.load, key: "session.budget.load" }
    }

    /// Runs `work`, Lua code of the user among it, within a budget.
    pub(crate) fn run<R>(
        &self,
        budget: Budget,
        work: impl FnOnce(&Lua) -> mlua::Result<R>,
    ) -> Result<R, Failure> {
        self.run_from(Deadline::start, budget, work)
    }

    pub(super) fn run_from<R>(
        &self,
        start: fn(&Deadline, Budget) -> Outer,
        budget: Budget,
        work: impl FnOnce(&Lua) -> mlua::Result<R>,
    ) -> Result<R, Failure> {
        let limited = self.deadline.as_ref().map(|deadline| (deadline, start(deadline, budget)));
        let waited = self.is_waiting();
        let result = work(&self.lua);
        let expired = limited.is_some_and(|(deadline, outer)| deadline.end(outer));
        self.state(HostState::end_line);
        if expired {
            // Not even the guards of the prelude could run.
            self.sweep();
        }
        let result = match result {
            // It was told to stop, and kept that to itself: `coroutine.close` hands an error back as a value.
            Ok(_) if expired => Err(mlua::Error::runtime("")),
            result => result,
        };
        result.map_err(|error| {
            if !waited {
                // It has ended, whatever it waits for.
                self.waiting.take();
            }
            let failure = self.failure(&error, expired.then_some(budget));
            if failure.exhausted {
                // What it took is given back before anybody else runs.
                self.collect_garbage();
            }
            failure
        })
    }

    /// What it takes to reload.
    pub(super) fn reload_calls(&self) -> mlua::Result<Arc<ReloadCalls>> {
        known(&self.reload_calls, || {
            if self.prelude.raw_get::<Option<Table>>("R")?.is_none() {
                parts::load_reload(&self.lua, &self.prelude)?;
            }
            ReloadCalls::of(&self.prelude.raw_get("R")?)
        })
    }

    /// What may follow a reload.
    pub(super) fn follow_calls(&self) -> mlua::Result<Arc<FollowCalls>> {
        self.reload_calls()?;
        known(&self.follow_calls, || {
            load_parts(&self.lua, &PRELUDE.follow, &self.prelude)?;
            FollowCalls::of(&self.prelude.raw_get("R")?)
        })
    }

    /// Calls a function of `prelude/viewlist.lua`, in the budget that is running.
    pub(crate) fn wrapping<R: FromLuaMulti>(&self, name: &str, args: impl IntoLuaMulti) -> mlua::Result<R> {
        if self.prelude.raw_get::<Option<Function>>(name)?.is_none() {
            load_parts(&self.lua, &PRELUDE.viewlist, &self.prelude)?;
        }
        self.prelude.raw_get::<Function>(name)?.call(args)
    }

    /// Code of ours, without limits.
    pub(super) fn try_trusted<R>(&self, work: impl FnOnce() -> mlua::Result<R>) -> mlua::Result<R> {
        let limit = self.lua.set_memory_limit(0);
        let done = work();
        if let Ok(limit) = limit {
            let _ = self.lua.set_memory_limit(limit);
        }
        done
    }

    /// Code of ours, without limits, that has a result also where it fails, which is told in the log.
    #[track_caller]
    pub(super) fn trusted<R: Default>(&self, work: impl FnOnce() -> mlua::Result<R>) -> R {
        let at = Location::caller();
        self.try_trusted(work).unwrap_or_else(|error| {
            tracing::error!(%error, "the prelude failed at {at}; this is a bug");
            R::default()
        })
    }

    /// Whether there is room for the next reload.
    #[cfg(test)]
    pub(crate) fn keeps_room(&self) -> bool {
        Reloader::is_kept(&self.lua)
    }

    /// What a reload does with the values of the state.
    pub(super) fn reloader<R>(&self, work: impl FnOnce(&mut Reloader) -> mlua::Result<R>) -> mlua::Result<R> {
        Reloader::with(&self.lua, &self.prelude, work)
    }

    /// So many bytes are ours for now: they do not count as the user's.
    pub(super) fn lend(&self, bytes: usize) {
        let before = self.lent.replace(bytes);
        if let Some(deadline) = &self.deadline {
            deadline.lend(bytes);
        }
        // None is 0.
        if let Ok(limit @ 1..) = self.lua.set_memory_limit(0) {
            let _ = self.lua.set_memory_limit(limit.saturating_sub(before).saturating_add(bytes));
        }
    }

    /// No garbage is collected until [`resume_collector`](Self::resume_collector).
    pub(super) fn pause_collector(&self) {
        self.paused.set(self.lua.gc_is_running());
        self.lua.gc_stop();
    }

    /// Unless it was stopped before.
    pub(super) fn resume_collector(&self) {
        if self.paused.take() {
            self.lua.gc_restart();
        }
    }

    pub(super) fn failure(&self, error: &mlua::Error, expired: Option<Budget>) -> Failure {
        let deadline = self.deadline.as_ref();
        let circumstances = Circumstances {
            expired,
            memory: deadline.map(|_| self.budget.memory),
            place: deadline.map(Deadline::take_place).unwrap_or_default(),
            last_file: self.last_file.as_deref(),
            generation: self.state(|state| state.generation.clone()),
        };
        Failure::new(error, circumstances)
    }

    /// What Lua code caught, as a developer wants to see it.
    pub(crate) fn raised(&self, error: Value) -> Diagnostic {
        let error = match error {
            Value::Error(error) => *error,
            other => mlua::Error::RuntimeError(other.to_string().unwrap_or_default()),
        };
        self.failure(&error, None).diagnostic
    }

    /// No file runs any more.
    pub(super) fn sweep(&self) {
        self.trusted(|| self.prelude.raw_get::<Function>("sweep")?.call::<()>(()));
    }

    /// Fires a timer.
    pub(crate) fn fire(&self, handle: TimerHandle) -> Result<(), Failure> {
        self.run(self.handler(), |_| self.call_unit(&self.fire, handle))
    }

    /// The first timer that is due.
    pub(crate) fn take_due_timer(&self, now: Instant) -> Option<TimerHandle> {
        self.state(|state| state.timers.take_due(now)).flatten()
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.state(|state| state.timers.next_due()).flatten()
    }

    /// When to call [`tell_dropped_lines`](Self::tell_dropped_lines).
    pub(crate) fn dropped_lines_due(&self) -> Option<Instant> {
        self.state(|state| state.dropped_due()).flatten()
    }

    /// Says in the log how many lines of the script's were not written.
    pub(crate) fn tell_dropped_lines(&self, now: Instant) {
        self.state(|state| state.tell_dropped(now));
    }

    /// Accesses what Rust knows of the state. `None` only while Lua code runs that asks for it.
    pub(crate) fn state<R>(&self, f: impl FnOnce(&mut HostState) -> R) -> Option<R> {
        self.lua.app_data_mut::<HostState>().map(|mut state| f(&mut state))
    }

    /// Lets go of what only a reload needs; the next one loads it again. Not while one is under way.
    pub(crate) fn forget_reload(&self) {
        self.reload_calls.take();
        self.follow_calls.take();
        let _ = parts::forget_reload(&self.prelude);
        self.forget_load();
    }

    /// Lets go of what it takes to run files, unless a reload has come that needs it as well. Not while one
    /// runs.
    pub(crate) fn forget_load(&self) {
        if let Ok(None) = self.prelude.raw_get::<Option<Table>>("R") {
            self.load_calls.take();
            Reloader::forget(&self.lua);
            let _ = parts::forget_files(&self.prelude);
        }
    }

    /// Frees what is no longer reachable.
    pub(crate) fn collect_garbage(&self) {
        if let Err(error) = self.lua.gc_collect() {
            tracing::debug!(%error, "collecting garbage");
        }
    }
}

/// What is there, or is found.
pub(super) fn known<T>(
    place: &RefCell<Option<Arc<T>>>,
    find: impl FnOnce() -> mlua::Result<T>,
) -> mlua::Result<Arc<T>> {
    if let Some(known) = &*place.borrow() {
        return Ok(known.clone());
    }
    let found = Arc::new(find()?);
    *place.borrow_mut() = Some(found.clone());
    Ok(found)
}

/// Beyond it the allocator fails, which Lua reports without file and line. So it leaves room above the
/// budget, for what is allocated between two looks of the hook.
fn hard_limit(budget: &BudgetConfig) -> usize {
    let memory = budget.memory.as_usize();
    memory.saturating_add(memory / 4)
}

/// Lua seeds by the time and an address: two states made in one second by one thread may give the same numbers.
fn seed_random(lua: &Lua) -> mlua::Result<()> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(mlua::Error::external)?;
    let math: Table = lua.globals().raw_get("math")?;
    math.raw_get::<Function>("randomseed")?.call(i64::from_ne_bytes(seed))
}
