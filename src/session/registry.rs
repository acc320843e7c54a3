//! All sessions of a server.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use thiserror::Error;
use tokio::sync::watch;

use super::{
    clock::Clock,
    handle::{Origin, SessionHandle},
    id::SessionId,
    lua_session::LuaSession,
    pool::{Pool, PoolStats, RunQueue},
    secret::Secret,
    settings::SessionSettings,
};
use crate::{
    config::SessionConfig,
    reload::{Generation, Telling},
    variables::Account,
};

/// What is done beside Lua code of the user may take so long in one go: taking everything apart that
/// can be undone, collecting garbage.
const BESIDE: Duration = Duration::from_secs(10);

/// Why there is no new session.
#[derive(Debug, Error)]
pub enum CreateError {
    /// The limit is reached.
    #[error("there are {max} sessions already; raise session.max, or wait until some end (session.timeout)")]
    TooMany {
        /// `session.max`
        max: usize,
    },
    /// No randomness for an id or a secret.
    #[error("the operating system has no randomness for a session: {0}")]
    Id(#[from] getrandom::Error),
    /// No Lua state could be made.
    #[error("the session ended before it began; the log says why")]
    Ended,
}

/// All active sessions; cheap to clone.
#[derive(Debug, Clone)]
pub struct LuaSessions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Read at every request, written when a session begins or ends.
    sessions: RwLock<HashMap<SessionId, SessionHandle>>,
    settings: Arc<SessionSettings>,
    pool: Pool<SessionHandle>,
    run_queue: RunQueue<SessionHandle>,
    clock: Clock<SessionHandle>,
}

impl LuaSessions {
    /// Starts the threads that sessions will run on.
    ///
    /// # Errors
    /// If the operating system gives no threads.
    pub fn start(settings: SessionSettings) -> io::Result<Self> {
        let (pool, run_queue) = Pool::start(settings.session.threads, BESIDE, settings.session.max_stuck)?;
        let (sessions, settings, clock) = (RwLock::default(), Arc::new(settings), Clock::start()?);
        Ok(Self(Arc::new(Shared { sessions, settings, pool, run_queue, clock })))
    }

    /// Makes a session: its Lua state is made and `main.lua` run when this resolves. If `main.lua`
    /// failed, the session is there all the same and has a
    /// [`start_error`](SessionHandle::start_error).
    ///
    /// # Errors
    /// If there are too many, or the machine has no means for another.
    pub async fn create(&self) -> Result<SessionHandle, CreateError> {
        let handle = self.register()?;
        handle.ask(|_| ()).await.map_err(|_| CreateError::Ended)?;
        Ok(handle)
    }

    fn register(&self) -> Result<SessionHandle, CreateError> {
        let id = SessionId::random()?;
        let max = self.0.settings.session.max;
        let account = Account::new(self.0.settings.session.budget.browser.as_usize());
        let (settings, registry) = (self.0.settings.clone(), Arc::downgrade(&self.0));
        let origin = Registered { id, settings, account, registry };
        let (run_queue, clock) = (self.0.run_queue.clone(), self.0.clock.clone());
        let handle = SessionHandle::new(id, Secret::random()?, Arc::new(origin), run_queue, clock);
        let mut sessions = self.0.sessions.write().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= max {
            return Err(CreateError::TooMany { max });
        }
        sessions.insert(id, handle.clone());
        drop(sessions);
        handle.start();
        Ok(handle)
    }

    /// The session of that id.
    pub fn get(&self, id: SessionId) -> Option<SessionHandle> {
        self.read().get(&id).cloned()
    }

    /// All of them.
    pub fn handles(&self) -> Vec<SessionHandle> {
        self.read().values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[session]`
    pub fn config(&self) -> &SessionConfig {
        &self.0.settings.session
    }

    /// How a developer wants to be told of what goes wrong in them.
    pub fn telling(&self) -> &Telling {
        self.0.settings.published.telling()
    }

    /// How the threads are.
    pub fn pool(&self) -> PoolStats {
        self.0.pool.stats()
    }

    /// How many sessions are stuck now in a library function that nothing can interrupt.
    pub fn follow_stuck(&self) -> watch::Receiver<usize> {
        self.0.pool.follow_lost()
    }

    /// Ends a session: its sockets are closed, its state is freed. Unknown is fine.
    pub fn end(&self, id: SessionId) {
        if let Some(handle) = self.forget(id) {
            handle.end();
        }
    }

    /// Ends all of them.
    pub fn end_all(&self) {
        for handle in self.handles() {
            self.end(handle.id());
        }
    }

    fn forget(&self, id: SessionId) -> Option<SessionHandle> {
        self.0.sessions.write().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<SessionId, SessionHandle>> {
        self.0.sessions.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session of the registry.
struct Registered {
    id: SessionId,
    settings: Arc<SessionSettings>,
    account: Account,
    registry: Weak<Shared>,
}

impl Origin for Registered {
    fn make(&self) -> mlua::Result<LuaSession> {
        let (id, registry) = (self.id, self.registry.clone());
        let (settings, account) = (self.settings.clone(), self.account.clone());
        LuaSession::new(id, settings, account, Box::new(move || forget(&registry, id)))
    }

    fn forget(&self) {
        forget(&self.registry, self.id);
    }

    fn generation(&self) -> Arc<Generation> {
        self.settings.published.good()
    }

    fn telling(&self) -> &Telling {
        self.settings.published.telling()
    }

    fn timeout(&self) -> Duration {
        self.settings.session.timeout
    }

    fn max_sockets(&self) -> usize {
        self.settings.session.sockets
    }

    fn account(&self) -> &Account {
        &self.account
    }
}

fn forget(registry: &Weak<Shared>, id: SessionId) {
    if let Some(registry) = registry.upgrade() {
        LuaSessions(registry).forget(id);
    }
}
