//! What the prelude can ask of Rust, and the state that answers.
//!
//! The state is the Lua state's app data: whoever holds the `Lua` owns it, so there is no lock.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use mlua::{Function, IntoLuaMulti, Lua, LuaString, MultiValue, Table, chunk::ChunkMode};

use super::{
    originals,
    read_files::ReadFiles,
    shared::Shared,
    timers::{TimerHandle, Timers},
};
use crate::{
    config::BudgetConfig,
    lua::{frame::CFunction, limits::deadline},
    reload::{Faults, Generation, SourceFile, source::BatchEdits},
};

/// A longer line is cut in the log.
pub(super) const MAX_LINE: usize = 8 * 1024;
/// The longest a timer may wait: beyond it, instants overflow on some systems.
const MAX_TIMER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What Rust knows of a Lua state.
#[derive(Debug)]
pub(crate) struct HostState {
    /// How the session is called in the log.
    pub(crate) name: String,
    /// Where `require` finds its files.
    pub(crate) generation: Arc<Generation>,
    /// The files that this state has run, by real path.
    pub(crate) loaded: HashMap<PathBuf, LoadedFile>,
    pub(crate) timers: Timers,
    /// By the real path of a file: the files that it required in vain while it ran. When one of them is
    /// there, the file is tried again.
    pub(crate) missing: HashMap<PathBuf, BTreeSet<PathBuf>>,
    /// Files that modules read while they ran. When one of them is saved, the module is run again.
    pub(crate) reads: ReadFiles,
    /// The names that `os.getenv` answers.
    pub(crate) env: Vec<String>,
    /// The modules in C that `require` may open.
    pub(crate) native: Vec<String>,
    pub(super) unfinished: Unfinished,
    /// Another one whenever `session:expose` has named something, or what it named may be gone.
    pub(crate) exposed: u64,
    /// What is edited in the generation, while a session moves to it.
    pub(crate) edits: Arc<BatchEdits>,
    /// What it has of other sessions, and of the store.
    pub(crate) shared: Shared,
    /// Who counts what fails.
    pub(crate) faults: Arc<Faults>,
    /// The script wants a new state.
    pub(crate) restart: bool,
    /// What is printed while a developer waits for it, and how many bytes of it are kept.
    heard: Option<(String, usize)>,
    /// Where in the site the script wants browsers to be.
    pub(crate) destination: Option<String>,
    /// Lines of a reload, until it is known how it ends.
    held: Option<Vec<(String, String)>>,
    budget: Arc<BudgetConfig>,
    lines: Lines,
}

/// What a script has written and not ended by a line break.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    pub(super) level: String,
    pub(super) text: Vec<u8>,
}

/// The lines that were logged in the second that began last.
#[derive(Debug)]
struct Lines {
    began: Instant,
    count: u32,
    dropped: u64,
}

/// What `session.budget.log_lines` bounds.
const LINES_IN: Duration = Duration::from_secs(1);

/// A file that a Lua state has run.
#[derive(Debug, Clone)]
pub(crate) struct LoadedFile {
    /// Its name below the Lua directory.
    pub(crate) file: PathBuf,
    /// The version that ran.
    pub(crate) source: Arc<SourceFile>,
    /// Files that others require have smaller numbers.
    pub(crate) order: usize,
}

impl HostState {
    pub(crate) fn new(
        name: String,
        generation: Arc<Generation>,
        budget: Arc<BudgetConfig>,
        shared: Shared,
    ) -> Self {
        let lines = Lines { began: Instant::now(), count: 0, dropped: 0 };
        Self {
            name,
            generation,
            loaded: HashMap::new(),
            timers: Timers::default(),
            missing: HashMap::new(),
            reads: ReadFiles::default(),
            env: Vec::new(),
            native: Vec::new(),
            unfinished: Unfinished::default(),
            exposed: 0,
            edits: Arc::default(),
            shared,
            faults: Arc::default(),
            restart: false,
            heard: None,
            destination: None,
            held: None,
            budget,
            lines,
        }
    }

    /// `search`: what the script has set `package.path` to.
    fn resolve(
        &mut self,
        name: &str,
        by: Option<PathBuf>,
        search: Option<&str>,
    ) -> Result<(PathBuf, PathBuf), String> {
        let path = name.replace('.', "/");
        if name.contains("..") || name.contains('\0') || name.starts_with('/') || name.is_empty() {
            return Err(format!("module {name:?}: a name is made of parts with single dots between them"));
        }
        let mut candidates = [format!("{path}.lua"), format!("{path}/init.lua")].map(PathBuf::from).to_vec();
        for template in search.into_iter().flat_map(|search| search.split(';')) {
            let file = PathBuf::from(template.trim_start_matches("./").replace('?', &path));
            // What leads out of the Lua directory finds nothing, as the names of files there are plain.
            if let Ok(below) = file.strip_prefix(&self.generation.layout.lua)
                && !candidates.iter().any(|known| known == below)
            {
                candidates.push(below.to_owned());
            }
        }
        let mut problem = None;
        for candidate in &candidates {
            let Some(entry) = self.generation.files.get(candidate) else { continue };
            if let Some(good) = &entry.good {
                return Ok((good.path.clone(), candidate.clone()));
            }
            if let Some(failed) = &entry.failed {
                problem = Some(format!("module '{name}' does not compile: {failed}"));
                break;
            }
        }
        if let Some(by) = by {
            self.missing.entry(by).or_default().extend(candidates.iter().cloned());
        }
        if let Some(problem) = problem {
            return Err(problem);
        }
        let hint = match name.strip_suffix(".lua") {
            Some(bare) => format!("; leave out the .lua: require \"{bare}\""),
            None if name.starts_with('.') => {
                "; names are those below the Lua directory: require \"dir.name\"".into()
            }
            None => String::new(),
        };
        Err(format!(
            "module '{name}' not found: the Lua directory has neither {path}.lua nor {path}/init.lua{hint}"
        ))
    }

    /// Whether it has run, under that name below the Lua directory.
    pub(in crate::lua) fn is_loaded(&self, path: &Path, file: &Path) -> bool {
        self.loaded.get(path).is_some_and(|loaded| loaded.file == file)
    }

    /// That content of the file has run.
    pub(in crate::lua) fn loaded(&mut self, path: PathBuf, file: PathBuf) {
        let Some(source) = self.generation.file(&file).cloned() else { return };
        source.in_use.set();
        let next = self.loaded.len();
        match self.loaded.entry(path) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                (known.file, known.source) = (file, source);
            }
            Entry::Vacant(entry) => {
                entry.insert(LoadedFile { file, source, order: next });
            }
        }
    }

    /// A file failed when it ran first; `by` is the one that required it. What the one waits for, the
    /// other does.
    fn failed(&mut self, real: &Path, file: PathBuf, by: Option<PathBuf>) {
        let missing = self.missing.remove(real).unwrap_or_default();
        self.reads.hand_over(real, by.clone());
        if let Some(by) = by {
            let wanted = self.missing.entry(by).or_default();
            wanted.extend(missing);
            wanted.insert(file);
        }
    }

    /// From now on lines are kept as well, so many bytes.
    pub(crate) fn hear(&mut self, most: usize) {
        self.heard = Some((String::new(), most));
    }

    /// What was logged since then.
    pub(crate) fn heard(&mut self) -> String {
        self.heard.take().map(|(text, _)| text).unwrap_or_default()
    }

    /// From now on lines wait for the end of a reload.
    pub(crate) fn hold_log(&mut self) {
        self.held = Some(Vec::new());
    }

    /// The reload has ended. What a failed one wrote is not what its author wants to read twice.
    pub(crate) fn release_log(&mut self, good: bool) {
        for (level, message) in self.held.take().unwrap_or_default() {
            if good {
                self.log(&level, &message);
            } else {
                self.log("debug", &format!("(undone) {message}"));
            }
        }
    }

    fn start_timer(&mut self, ms: f64, once: bool) -> Result<TimerHandle, String> {
        if self.timers.len() >= self.budget.timers {
            return Err(format!("too many timers: session.budget.timers is {}", self.budget.timers));
        }
        // NaN and negative numbers are "at once", as in browsers.
        let wait = Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default().min(MAX_TIMER);
        let interval = (!once).then(|| wait.max(self.budget.interval));
        Ok(self.timers.start(Instant::now() + interval.unwrap_or(wait), interval))
    }

    pub(super) fn log(&mut self, level: &str, message: &str) {
        if let Some((text, most)) = &mut self.heard
            && text.len() + message.len() < *most
        {
            text.push_str(message);
            text.push('\n');
        }
        if let Some(held) = &mut self.held {
            if held.len() <= self.budget.log_lines as usize {
                held.push((level.to_owned(), message.to_owned()));
            }
            return;
        }
        let now = Instant::now();
        if now >= self.lines.began + LINES_IN {
            self.tell_dropped(now);
            self.lines = Lines { began: now, count: 0, dropped: 0 };
        }
        if self.lines.count >= self.budget.log_lines {
            self.lines.dropped += 1;
            return;
        }
        self.lines.count += 1;
        let session = self.name.as_str();
        match level {
            "error" => tracing::error!(target: "lua", session, "{message}"),
            "warn" => tracing::warn!(target: "lua", session, "{message}"),
            "debug" => tracing::debug!(target: "lua", session, "{message}"),
            "trace" => tracing::trace!(target: "lua", session, "{message}"),
            _ => tracing::info!(target: "lua", session, "{message}"),
        }
    }
}

impl HostState {
    /// When to say that lines were dropped, if there are any.
    pub(crate) fn dropped_due(&self) -> Option<Instant> {
        (self.lines.dropped > 0).then(|| self.lines.began + LINES_IN)
    }

    /// Says how many lines were dropped, when their second is over.
    pub(crate) fn tell_dropped(&mut self, now: Instant) {
        if self.dropped_due().is_some_and(|due| due <= now) {
            let (session, limit, dropped) =
                (self.name.as_str(), self.budget.log_lines, std::mem::take(&mut self.lines.dropped));
            tracing::warn!(target: "lua", session, "{dropped} lines dropped: more than {limit} in a second (session.budget.log_lines)");
        }
    }
}

impl Drop for HostState {
    fn drop(&mut self) {
        self.tell_dropped(self.lines.began + LINES_IN);
    }
}

/// The table of functions that the prelude gets as `P.host`. More come into it with the parts that call them.
pub(crate) fn functions(lua: &Lua) -> mlua::Result<Table> {
    let host = lua.create_table_with_capacity(0, 4)?;
    let log = |lua: &Lua, (level, message): (LuaString, LuaString)| {
        let message = message.as_bytes();
        let message = String::from_utf8_lossy(&message[..message.len().min(MAX_LINE)]);
        let level = level.to_string_lossy();
        with(lua, |state| {
            state.end_line();
            state.log(&level, &message);
        });
        Ok(())
    };
    host.raw_set("log", lua.create_function(log)?)?;
    Ok(host)
}

/// What it takes to run files: `P.host.files`.
pub(in crate::lua) fn files(lua: &Lua, prelude: &Table) -> mlua::Result<Table> {
    let files = lua.create_table_with_capacity(0, 8)?;
    files.raw_set("resolve", lua.create_function(resolve)?)?;
    let of = prelude.clone();
    let chunk = move |lua: &Lua, file: LuaString| chunk(lua, &of, &path(&file));
    files.raw_set("chunk", lua.create_function(chunk)?)?;
    let loaded = |lua: &Lua, (real, file): (LuaString, LuaString)| {
        with(lua, |state| state.loaded(path(&real), path(&file)));
        Ok(())
    };
    files.raw_set("loaded", lua.create_function(loaded)?)?;
    let unloaded = |lua: &Lua, real: LuaString| {
        let real = path(&real);
        with(lua, |state| {
            state.reads.forget(&real);
            state.loaded.remove(&real)
        });
        Ok(())
    };
    files.raw_set("unloaded", lua.create_function(unloaded)?)?;
    let failed = |lua: &Lua, (real, file, by): (LuaString, LuaString, Option<LuaString>)| {
        with(lua, |state| state.failed(&path(&real), path(&file), by.as_ref().map(path)));
        Ok(())
    };
    files.raw_set("failed", lua.create_function(failed)?)?;
    // A function of C: errors of what it calls come through it as they are.
    let watched = CFunction::once(deadline::watched).into_function(lua)?;
    files.raw_set("watched", watched)?;
    Ok(files)
}

/// Timers, and what else `prelude/extras.lua` calls.
pub(in crate::lua) fn extras(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let restart = |lua: &Lua, ()| {
        with(lua, |state| state.restart = true);
        Ok(())
    };
    host.raw_set("restart", lua.create_function(restart)?)?;
    let start_timer = |lua: &Lua, (ms, once): (f64, bool)| {
        let started = with(lua, |state| state.start_timer(ms, once));
        Ok(started.unwrap_or_else(|| Err("the session is ending".into())))
    };
    host.raw_set("start_timer", lua.create_function(start_timer)?)?;
    let clear_timer = |lua: &Lua, handle: TimerHandle| {
        with(lua, |state| state.timers.clear(handle));
        Ok(())
    };
    host.raw_set("clear_timer", lua.create_function(clear_timer)?)?;
    Ok(())
}

/// What `prelude/variables.lua` calls.
pub(in crate::lua) fn seldom(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let navigate = |lua: &Lua, path: LuaString| {
        with(lua, |state| state.destination = Some(path.to_string_lossy()));
        Ok(())
    };
    host.raw_set("navigate", lua.create_function(navigate)?)
}

/// What `prelude/expose.lua` calls.
pub(in crate::lua) fn expose(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let exposed = |lua: &Lua, ()| {
        with(lua, |state| state.exposed += 1);
        Ok(())
    };
    host.raw_set("exposed", lua.create_function(exposed)?)
}

pub(super) fn with<R>(lua: &Lua, f: impl FnOnce(&mut HostState) -> R) -> Option<R> {
    lua.app_data_mut::<HostState>().map(|mut state| f(&mut state))
}

/// Real path and name below the Lua directory, or nil and why not.
fn resolve(
    lua: &Lua,
    (name, by, search): (LuaString, Option<LuaString>, Option<LuaString>),
) -> mlua::Result<MultiValue> {
    let (name, search) = (name.to_string_lossy(), search.map(|search| search.to_string_lossy()));
    match with(lua, |state| state.resolve(&name, by.as_ref().map(path), search.as_deref())) {
        Some(Ok((real, file))) => {
            let text = |path: &Path| lua.create_string(path.as_os_str().as_bytes());
            (text(&real)?, text(&file)?).into_lua_multi(lua)
        }
        Some(Err(problem)) => (mlua::Nil, problem).into_lua_multi(lua),
        None => (mlua::Nil, "the session is ending").into_lua_multi(lua),
    }
}

/// The function that runs a file, and whether it hands over the locals of the file.
fn chunk(lua: &Lua, prelude: &Table, file: &Path) -> mlua::Result<(Function, bool)> {
    let source = with(lua, |state| state.generation.file(file).cloned()).flatten();
    let source = source.ok_or_else(|| mlua::Error::runtime(format!("{} is gone", file.display())))?;
    Ok((load_chunk(lua, prelude, &source)?, source.captures))
}

/// The function that runs a file.
pub(in crate::lua) fn load_chunk(lua: &Lua, prelude: &Table, source: &SourceFile) -> mlua::Result<Function> {
    originals::keep(lua, prelude, &source.says)?;
    // Our own bytecode, made from this text in this process: it has the chunk's name inside.
    lua.load(source.bytecode.as_slice()).set_mode(ChunkMode::Binary).into_function()
}

/// A path that the prelude has as a string.
pub(in crate::lua) fn path(text: &LuaString) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&text.as_bytes()))
}
