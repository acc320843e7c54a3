//! One Lua state with its prelude, sandbox and budgets.

use std::{
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Arc, LazyLock},
    time::Instant,
};

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, LuaOptions, StdLib, Table, chunk::ChunkMode};

use super::{
    deadline::{Budget, Deadline},
    host::{self, HostState},
    timers::TimerHandle,
};
use crate::{
    config::BudgetConfig,
    reload::{Diagnostic, Generation, SourceFile},
};

/// A rollback restores everything reachable up to this many tables.
const MAX_SNAPSHOT: usize = 20_000;

/// Compiled once for all states. Without debug information: a state is smaller, and tracebacks show
/// the user's files.
static PRELUDE: LazyLock<Prelude> = LazyLock::new(|| {
    let lua = Lua::new();
    let compile = |name: &str, text: &str| {
        let function = lua.load(text).set_name(format!("=[hot] {name}")).into_function();
        // A test loads each of them; an empty one would fail every session at once.
        function.map(|function| function.dump(true)).unwrap_or_default()
    };
    Prelude {
        start: [
            compile("sandbox", include_str!("prelude/sandbox.lua")),
            compile("data", include_str!("prelude/data.lua")),
            compile("session", include_str!("prelude/session.lua")),
            compile("modules", include_str!("prelude/modules.lua")),
        ],
        reload: [
            compile("merge", include_str!("prelude/merge.lua")),
            compile("reload", include_str!("prelude/reload.lua")),
            compile("transaction", include_str!("prelude/transaction.lua")),
        ],
        extras: compile("extras", include_str!("prelude/extras.lua")),
    }
});

/// Code of ours in every state. All of it together would be the greater part of an idle session, so what
/// is not always needed is not always there.
struct Prelude {
    start: [Vec<u8>; 4],
    /// Loaded for a reload, and let go when nobody edits any more.
    reload: [Vec<u8>; 3],
    /// Loaded when user code asks for it.
    extras: Vec<u8>,
}

/// What `Prelude::reload` defines.
const RELOAD: [&str; 6] = ["merge", "reload", "rename", "begin", "rollback", "commit"];

/// Why Lua code did not come to its end.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) diagnostic: Diagnostic,
    /// Out of time or memory.
    pub(crate) exhausted: bool,
}

/// A Lua state. Functions into it are dropped before it: that is why `lua` comes last.
#[derive(Debug)]
pub(crate) struct Vm {
    prelude: Table,
    fire: Function,
    deadline: Deadline,
    budget: Arc<BudgetConfig>,
    /// The file that ran last: where a failure is if Lua does not say.
    last_file: Option<String>,
    lua: Lua,
}

impl Vm {
    /// A state in which nothing of the user has run.
    pub(crate) fn new(
        name: String,
        generation: Arc<Generation>,
        budget: Arc<BudgetConfig>,
    ) -> mlua::Result<Self> {
        let libraries = StdLib::COROUTINE
            | StdLib::TABLE
            | StdLib::OS
            | StdLib::STRING
            | StdLib::UTF8
            | StdLib::MATH
            | StdLib::DEBUG;
        // SAFETY: mlua calls a state with the debug library unsafe because that library can break
        // the interpreter's invariants. Only the prelude ever sees it; the sandbox takes it away
        // before anything of the user runs. No C module can be loaded without `package`.
        #[allow(unsafe_code)]
        let lua = unsafe { Lua::unsafe_new_with(libraries, LuaOptions::new().catch_rust_panics(false)) };
        let prelude = lua.create_table()?;
        let host = host::functions(&lua)?;
        let extras =
            |lua: &Lua, ()| lua.load(PRELUDE.extras.as_slice()).set_mode(ChunkMode::Binary).into_function();
        host.raw_set("extras", lua.create_function(extras)?)?;
        prelude.raw_set("host", host)?;
        prelude.raw_set("max_string", budget.string.as_usize())?;
        prelude.raw_set("max_string_text", budget.string.to_string())?;
        prelude.raw_set("max_memory", budget.memory.as_usize())?;
        prelude.raw_set("max_snapshot", MAX_SNAPSHOT)?;
        for bytecode in &PRELUDE.start {
            lua.load(bytecode.as_slice()).set_mode(ChunkMode::Binary).call::<()>(&prelude)?;
        }
        lua.set_app_data(HostState::new(name, generation, budget.clone()));
        lua.set_memory_limit(hard_limit(&budget))?;
        let deadline = Deadline::install(&lua, budget.memory.as_usize())?;
        let fire = prelude.raw_get("fire")?;
        Ok(Self { prelude, fire, deadline, budget, last_file: None, lua })
    }

    pub(crate) fn lua(&self) -> &Lua {
        &self.lua
    }

    /// How the session is called in the log.
    pub(crate) fn name(&self) -> String {
        self.state(|state| state.name.clone()).unwrap_or_default()
    }

    /// The object that `session:createAppVariable` named.
    pub(crate) fn app(&self) -> Option<Table> {
        self.prelude.raw_get("app").ok().flatten()
    }

    /// Bytes in use.
    pub(crate) fn used_memory(&self) -> usize {
        self.lua.used_memory()
    }

    pub(crate) fn budget(&self) -> &Arc<BudgetConfig> {
        &self.budget
    }

    /// Budget of a handler, a timer or a call from the host.
    pub(crate) fn handler(&self) -> Budget {
        Budget { time: self.budget.handler, key: "session.budget.handler" }
    }

    fn load_budget(&self) -> Budget {
        Budget { time: self.budget.load, key: "session.budget.load" }
    }

    /// Runs `work`, Lua code of the user among it, within a budget.
    pub(crate) fn run<R>(
        &self,
        budget: Budget,
        work: impl FnOnce(&Lua) -> mlua::Result<R>,
    ) -> Result<R, Failure> {
        self.deadline.start(budget);
        let result = work(&self.lua);
        let expired = self.deadline.end(&self.lua);
        if expired {
            // Not even the guards of the prelude could run.
            self.trusted::<()>("sweep", ());
        }
        result.map_err(|error| self.failure(&error, expired.then_some(budget)))
    }

    /// A function of the prelude.
    fn function(&self, name: &str) -> mlua::Result<Function> {
        if let Some(function) = self.prelude.raw_get(name)? {
            return Ok(function);
        }
        for bytecode in &PRELUDE.reload {
            self.lua.load(bytecode.as_slice()).set_mode(ChunkMode::Binary).call::<()>(&self.prelude)?;
        }
        self.prelude.raw_get(name)
    }

    /// Calls a function of the prelude, without limits.
    fn trusted<R: FromLuaMulti + Default>(&self, name: &str, args: impl IntoLuaMulti) -> R {
        let unlimited = self.lua.set_memory_limit(0);
        let called = self.function(name).and_then(|function| function.call::<R>(args));
        if unlimited.is_ok() {
            let _ = self.lua.set_memory_limit(hard_limit(&self.budget));
        }
        called.unwrap_or_else(|error| {
            tracing::error!(%error, "the prelude failed in {name}; this is a bug");
            R::default()
        })
    }

    fn failure(&self, error: &mlua::Error, expired: Option<Budget>) -> Failure {
        let text = lua_text(error);
        let mut diagnostic = Diagnostic::from_lua(&text);
        let mut exhausted = false;
        let place = self.deadline.take_place();
        if let Some(Budget { time, key }) = expired {
            exhausted = true;
            let traceback = std::mem::take(&mut diagnostic.traceback);
            diagnostic = Diagnostic { traceback, ..Diagnostic::from_lua(&format!("{place}: ran too long")) };
            let time = humantime::format_duration(time);
            diagnostic.message =
                format!("ran longer than {time} ({key}); is there a loop that does not end?");
        } else if text.contains("not enough memory") {
            exhausted = true;
            if diagnostic.line.is_none() && !place.is_empty() {
                diagnostic = Diagnostic::from_lua(&format!("{place}: not enough memory"));
            }
            let limit = self.budget.memory;
            diagnostic.message = format!("used more than {limit} of memory (session.budget.memory)");
        }
        if diagnostic.file.is_empty()
            && let Some(file) = &self.last_file
        {
            diagnostic.file.clone_from(file);
        }
        let generation = self.state(|state| state.generation.clone());
        if let Some(source) = generation.and_then(|generation| generation.source(&diagnostic.file).cloned()) {
            diagnostic.file.clone_from(&source.display);
            diagnostic = diagnostic.with_excerpt(&source.source);
        }
        Failure { diagnostic, exhausted }
    }

    /// Runs a file that is given by its name below the Lua directory, for the first time.
    pub(crate) fn load_first(&mut self, file: &Path) -> Result<(), Failure> {
        let source = self.source(file)?;
        self.load(&source, file, "load_first")
    }

    /// Runs the new version of a file.
    pub(crate) fn reload(&mut self, source: &SourceFile, file: &Path) -> Result<(), Failure> {
        self.load(source, file, "reload")
    }

    fn load(&mut self, source: &SourceFile, file: &Path, how: &str) -> Result<(), Failure> {
        self.last_file = Some(source.display.clone());
        let name = file.with_extension("").to_string_lossy().replace('/', ".");
        let run = |lua: &Lua| {
            let text = |path: &Path| lua.create_string(path.as_os_str().as_bytes());
            let load = self.function(how)?;
            load.call::<()>((text(&source.path)?, text(file)?, name))
        };
        let result = self.run(self.load_budget(), run);
        self.last_file = None;
        result
    }

    fn source(&self, file: &Path) -> Result<Arc<SourceFile>, Failure> {
        let generation = self.state(|state| state.generation.clone()).unwrap_or_default();
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

    /// Fires a timer.
    pub(crate) fn fire(&self, handle: TimerHandle) -> Result<(), Failure> {
        self.run(self.handler(), |_| self.fire.call::<()>(handle))
    }

    /// The first timer that is due.
    pub(crate) fn take_due_timer(&self, now: Instant) -> Option<TimerHandle> {
        self.state(|state| state.timers.take_due(now)).flatten()
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.state(|state| state.timers.next_due()).flatten()
    }

    /// Accesses what Rust knows of the state. `None` only while Lua code runs that asks for it.
    pub(crate) fn state<R>(&self, f: impl FnOnce(&mut HostState) -> R) -> Option<R> {
        self.lua.app_data_mut::<HostState>().map(|mut state| f(&mut state))
    }

    /// From here on everything can be undone. False: there is too much for that, so code alone is.
    pub(crate) fn begin(&self) -> bool {
        self.trusted("begin", ())
    }

    pub(crate) fn rollback(&self) {
        self.trusted::<()>("rollback", ());
    }

    pub(crate) fn commit(&self) {
        self.trusted::<()>("commit", ());
    }

    /// A module whose link leads to another file now.
    pub(crate) fn rename(&self, old: &Path, new: &Path) {
        let text = |path: &Path| self.lua.create_string(path.as_os_str().as_bytes());
        if let (Ok(from), Ok(to)) = (text(old), text(new)) {
            self.trusted::<()>("rename", (from, to));
        }
        self.state(|state| {
            if let Some(loaded) = state.loaded.remove(old) {
                state.loaded.insert(new.to_owned(), loaded);
            }
        });
    }

    /// Lets go of what only a reload needs; the next one loads it again. Not while one is under way.
    pub(crate) fn forget_reload(&self) {
        for name in RELOAD {
            let _ = self.prelude.raw_set(name, mlua::Nil);
        }
    }

    /// Frees what is no longer reachable.
    pub(crate) fn collect_garbage(&self) {
        if let Err(error) = self.lua.gc_collect() {
            tracing::debug!(%error, "collecting garbage");
        }
    }
}

/// Beyond it the allocator fails, which Lua reports without file and line. So it leaves room above the
/// budget, for what is allocated between two looks of the hook.
fn hard_limit(budget: &BudgetConfig) -> usize {
    let memory = budget.memory.as_usize();
    memory.saturating_add(memory / 4)
}

/// What Lua would print for an error: the innermost cause, with the innermost traceback.
fn lua_text(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, traceback } => {
            let text = lua_text(cause);
            if text.contains("\nstack traceback:") || traceback.is_empty() {
                return text;
            }
            let traceback = traceback.strip_prefix("stack traceback:").unwrap_or(traceback);
            format!("{text}\nstack traceback:{traceback}")
        }
        mlua::Error::RuntimeError(text) | mlua::Error::MemoryError(text) => text.clone(),
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        error => error.to_string(),
    }
}
