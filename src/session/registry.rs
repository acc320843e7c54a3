//! All sessions of a server.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use thiserror::Error;

use super::{
    clock::Clock,
    handle::SessionHandle,
    id::SessionId,
    lua_session::LuaSession,
    pool::{Pool, PoolStats, RunQueue},
    settings::SessionSettings,
};
/// Why there is no new session.
#[derive(Debug, Error)]
pub enum CreateError {
    /// The limit is reached.
    #[error("there are {max} sessions already; raise session.max, or wait until some end (session.timeout)")]
    TooMany {
        /// `session.max`
        max: usize,
    },
    /// No randomness for an id.
    #[error("the operating system has no randomness for a session id: {0}")]
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
        let budget = &settings.session.budget;
        let limit = budget.load.max(budget.handler) * 2 + Duration::from_secs(1);
        let (pool, run_queue) = Pool::start(settings.session.threads, limit)?;
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
        let (settings, registry) = (self.0.settings.clone(), Arc::downgrade(&self.0));
        let forget = move || {
            if let Some(registry) = registry.upgrade() {
                LuaSessions(registry).forget(id);
            }
        };
        let make = move || LuaSession::new(id, settings, Box::new(forget));
        let handle = SessionHandle::new(id, Box::new(make), self.0.run_queue.clone(), self.0.clock.clone());
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

    /// How the threads are.
    pub fn pool(&self) -> PoolStats {
        self.0.pool.stats()
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
