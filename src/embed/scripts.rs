//! [`Scripts`]: a directory of scripts, watched and compiled beside the program.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use mlua::{Lua, Value};
use tokio::runtime::{self, Handle, Runtime};

use super::{error::EmbedError, mailbox::States, state::State};
use crate::{
    config::{BudgetConfig, WatchConfig},
    lua::Vm,
    reload::{HotLoader, LUA_ROOT, Published, SiteLayout},
    watch::{Health, Registry, Root},
};

/// Globals that scripts find something of the hot loader in, beside `require`.
const GLOBALS: [&str; 3] = ["session", "hot", "EMPTY"];

/// A directory of scripts that is watched and compiled. When it is dropped, the states go on with the code
/// they have.
#[derive(Debug)]
pub struct Scripts {
    loader: HotLoader,
    published: Arc<Published>,
    states: Arc<States>,
    /// Where the loader's tasks run.
    handle: Handle,
    /// If it is ours.
    runtime: Option<Runtime>,
}

/// How a state is made or attached.
#[derive(Debug, Clone, Default)]
pub struct StateOptions {
    /// What the log calls it (`session:log`).
    pub name: String,
    /// Limits of time and memory. `None`: none, and the state's debug hook stays yours. With limits the
    /// hook is taken, and the limit of the state's memory is set.
    pub budget: Option<BudgetConfig>,
}

impl Scripts {
    /// Watches `dir`, on a thread of its own. When this returns, all there is has been compiled, and no
    /// later change is missed. Files that do not compile are no error: [`State::run`] says what is wrong.
    ///
    /// # Errors
    /// If the directory cannot be watched, or this is called in an async context: there, it is
    /// [`start`](Self::start).
    pub fn watch(dir: impl AsRef<Path>, settings: &WatchConfig) -> Result<Self, EmbedError> {
        if Handle::try_current().is_ok() {
            return Err(EmbedError::InsideRuntime { called: "Scripts::watch", instead: "Scripts::start" });
        }
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("hotloader")
            .enable_all()
            .build()
            .map_err(EmbedError::Thread)?;
        let mut scripts = runtime.block_on(Self::start(dir, settings))?;
        scripts.runtime = Some(runtime);
        Ok(scripts)
    }

    /// Watches `dir` in an async program, on its tokio runtime.
    ///
    /// # Errors
    /// If the directory cannot be watched.
    pub async fn start(dir: impl AsRef<Path>, settings: &WatchConfig) -> Result<Self, EmbedError> {
        let dir = dir.as_ref();
        let (published, states) = (Arc::new(Published::default()), Arc::new(States::default()));
        // Errors name files as the program names the directory.
        let layout = SiteLayout { lua: dir.to_owned(), viewdefs: PathBuf::new(), files: PathBuf::new() };
        let root = Root {
            id: LUA_ROOT,
            dir: dir.to_owned(),
            extensions: &["lua"],
            recursive: true,
            max_file: Root::MAX_FILE,
            optional: false,
        };
        let registry = Registry::with_builtin();
        let loader = HotLoader::start(
            settings,
            &registry,
            dir.to_owned(),
            vec![root],
            layout,
            published.clone(),
            states.clone(),
        )
        .await?;
        Ok(Self { loader, published, states, handle: Handle::current(), runtime: None })
    }

    /// Puts `require`, `session` and `hot` into a state of yours. It is not sandboxed, and nothing else in
    /// it changes; what its own `require` knows, scripts still find.
    ///
    /// # Errors
    /// If the state has been attached before, or has globals of these names.
    pub fn attach(&self, lua: &Lua) -> Result<State, EmbedError> {
        self.attach_with(lua, StateOptions::default())
    }

    /// Attaches a state with a name, or with limits.
    ///
    /// # Errors
    /// As for [`attach`](Self::attach).
    pub fn attach_with(&self, lua: &Lua, options: StateOptions) -> Result<State, EmbedError> {
        if Vm::is_in(lua) {
            return Err(EmbedError::Attached);
        }
        for name in GLOBALS {
            if !lua.globals().raw_get::<Value>(name)?.is_nil() {
                return Err(EmbedError::GlobalTaken { name });
            }
        }
        // First of all, so that nothing is published unnoticed.
        let mailbox = self.states.add();
        let vm = Vm::attach(lua.clone(), options.name, self.published.good(), options.budget)?;
        Ok(State::new(vm, mailbox, self.published.clone()))
    }

    /// Makes a state like those of the server's sessions: scripts that nobody has looked at can neither
    /// reach files and processes nor run or grow without end. What they may use of your program, you put
    /// into [`State::lua`].
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn sandboxed(&self, options: StateOptions) -> Result<State, EmbedError> {
        let mailbox = self.states.add();
        let budget = Arc::new(options.budget.unwrap_or_default());
        let vm = Vm::new(options.name, self.published.good(), budget, true, None)?;
        Ok(State::new(vm, mailbox, self.published.clone()))
    }

    /// The hot loader: links, watched directories, and the watcher itself.
    pub fn loader(&self) -> &HotLoader {
        &self.loader
    }

    /// How the watcher is: whether a backend failed, and who watches in its place.
    pub fn health(&self) -> Health {
        self.loader.watch().health()
    }

    /// Returns when everything that was saved before the call has been seen. It may still have to be
    /// compiled: [`State::wait`] follows. For tests and tools.
    ///
    /// # Errors
    /// If the watcher has ended or does not answer, or this is called in an async context: there, it is
    /// `loader().watch().barrier()`.
    pub fn barrier(&self) -> Result<(), EmbedError> {
        if Handle::try_current().is_ok() {
            let instead = "scripts.loader().watch().barrier()";
            return Err(EmbedError::InsideRuntime { called: "Scripts::barrier", instead });
        }
        Ok(self.handle.block_on(self.loader.watch().barrier())?)
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping a runtime blocks, which is not allowed in an async context.
            runtime.shutdown_background();
        }
    }
}
