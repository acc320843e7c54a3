//! All sessions of a server.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak, atomic::Ordering},
    time::Duration,
};

use thiserror::Error;
use tokio::sync::watch;

use super::{
    clock::Clock,
    handle::SessionHandle,
    handover::Handover,
    id::SessionId,
    lua_session::LuaSession,
    origin::Origin,
    pool::{Pool, PoolStats},
    run_queue::RunQueue,
    secret::Secret,
    settings::SessionSettings,
    unopened::{Crowded, Unopened},
};
use crate::{
    config::SessionConfig,
    hub::{Hub, Wake},
    lua::Snapshot,
    reload::{Generation, Telling},
    wire::Account,
};

/// How long work may take that is not Lua code of the user: recording what can be rolled back, collecting
/// garbage.
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
    /// The server is about to end.
    #[error("the server is drained: it takes no new sessions and ends soon")]
    Draining,
    /// Too many that no browser has connected to were begun from one address.
    #[error(
        "too many sessions were begun from one address that no browser has connected to; they end by themselves \
         (session.unopened), and session.unopened_per_address says how many there may be"
    )]
    Crowded {
        /// When there may be another, at the latest: `session.unopened`.
        after: Duration,
        /// Nobody has been told of that address for a while.
        is_news: bool,
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
    /// Read at every request, written when a session begins, is connected to for the first time, or ends.
    table: RwLock<Table>,
    settings: Arc<SessionSettings>,
    pool: Pool<SessionHandle>,
    run_queue: RunQueue<SessionHandle>,
    clock: Clock<SessionHandle>,
    /// What ids begin with.
    tag: Option<[u8; 2]>,
    handover: Handover,
}

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<SessionId, SessionHandle>,
    unopened: Unopened,
}

impl Table {
    fn remove(&mut self, id: SessionId) -> Option<SessionHandle> {
        self.unopened.remove(id);
        self.sessions.remove(&id)
    }
}

impl LuaSessions {
    /// Starts the threads that sessions will run on.
    ///
    /// # Errors
    /// If the operating system gives no threads.
    pub fn start(settings: SessionSettings) -> io::Result<Self> {
        Self::start_tagged(settings, None)
    }

    /// [`start`](Self::start) on a server whose sessions are known by its tag.
    ///
    /// # Errors
    /// If the operating system gives no threads.
    pub fn start_tagged(settings: SessionSettings, tag: Option<[u8; 2]>) -> io::Result<Self> {
        let (pool, run_queue) = Pool::start(settings.session.threads, BESIDE, settings.session.max_stuck)?;
        let (table, settings, clock) = (RwLock::default(), Arc::new(settings), Clock::start()?);
        Ok(Self(Arc::new(Shared { table, settings, pool, run_queue, clock, tag, handover: Handover::new() })))
    }

    /// Makes a session: its Lua state is made and `main.lua` run when this resolves. If `main.lua`
    /// failed, the session is there all the same and has a
    /// [`start_error`](SessionHandle::start_error).
    ///
    /// # Errors
    /// If there are too many, or the machine has no means for another.
    pub async fn create(&self) -> Result<SessionHandle, CreateError> {
        let handle = self.register(|_, _| Ok(()))?;
        handle.start();
        handle.ask(|_| ()).await.map_err(|_| CreateError::Ended)?;
        Ok(handle)
    }

    /// Begins a session for a browser: its Lua state is made, and `main.lua` run, when something is asked of
    /// it. It ends by itself if no browser connects to it within `session.unopened`.
    ///
    /// # Errors
    /// If there are too many, or too many were begun from that address.
    pub fn begin(&self, address: Option<IpAddr>) -> Result<SessionHandle, CreateError> {
        let (most, after) = (self.config().unopened_per_address, self.config().unopened);
        let handle = self.register(|unopened, id| {
            let crowded = |crowded: Crowded| CreateError::Crowded { after, is_news: crowded.is_news };
            unopened.add(id, address, most).map_err(crowded)
        })?;
        handle.expect_browser(after);
        Ok(handle)
    }

    /// A session that no browser has connected to makes room for another.
    fn register(
        &self,
        note: impl FnOnce(&mut Unopened, SessionId) -> Result<(), CreateError>,
    ) -> Result<SessionHandle, CreateError> {
        if self.0.handover.is_draining() {
            return Err(CreateError::Draining);
        }
        let id = SessionId::tagged(self.0.tag)?;
        let max = self.0.settings.session.max;
        let handle = self.handle_of(id, Secret::random()?, None);
        let mut table = self.write();
        let full = table.sessions.len() >= max;
        let oldest = table.unopened.oldest().filter(|_| full);
        if full && oldest.is_none() {
            return Err(CreateError::TooMany { max });
        }
        note(&mut table.unopened, id)?;
        let replaced = oldest.and_then(|oldest| table.remove(oldest));
        table.sessions.insert(id, handle.clone());
        drop(table);
        if let Some(replaced) = replaced {
            replaced.end();
        }
        Ok(handle)
    }

    fn handle_of(&self, id: SessionId, secret: Secret, arrived: Option<Snapshot>) -> SessionHandle {
        let account = Account::new(self.0.settings.session.budget.browser.as_usize());
        let (settings, registry) = (self.0.settings.clone(), Arc::downgrade(&self.0));
        let origin = Registered { id, settings, account, registry, arrived: Mutex::new(arrived) };
        let (run_queue, clock) = (self.0.run_queue.clone(), self.0.clock.clone());
        SessionHandle::new(id, secret, Arc::new(origin), run_queue, clock)
    }

    /// A session that has come from elsewhere.
    pub(super) fn settle(&self, id: SessionId, secret: Secret, arrived: Snapshot) -> SessionHandle {
        let handle = self.handle_of(id, secret, Some(arrived));
        self.write().sessions.insert(id, handle.clone());
        // It ends by itself if no browser comes back to it.
        handle.start();
        handle
    }

    pub(super) fn handover(&self) -> &Handover {
        &self.0.handover
    }

    pub(super) fn hub(&self) -> Option<&Hub> {
        self.0.settings.hub.as_ref()
    }

    /// The session of that id.
    pub fn get(&self, id: SessionId) -> Option<SessionHandle> {
        self.read().sessions.get(&id).cloned()
    }

    /// All of them.
    pub fn handles(&self) -> Vec<SessionHandle> {
        self.read().sessions.values().cloned().collect()
    }

    /// Those that run code: something has been asked of them.
    pub fn running(&self) -> Vec<SessionHandle> {
        let mut running = self.handles();
        running.retain(SessionHandle::has_begun);
        running
    }

    /// How often browsers asked for what they may not have, since the start.
    pub fn refused(&self) -> u64 {
        self.0.settings.refused.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().sessions.len()
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
        self.write().remove(id)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session of the registry.
struct Registered {
    id: SessionId,
    settings: Arc<SessionSettings>,
    account: Account,
    registry: Weak<Shared>,
    /// Of its life elsewhere.
    arrived: Mutex<Option<Snapshot>>,
}

impl Origin for Registered {
    fn make(&self) -> mlua::Result<LuaSession> {
        let (id, registry) = (self.id, self.registry.clone());
        let (settings, account) = (self.settings.clone(), self.account.clone());
        let wake = Arc::new(Waker { id, registry: registry.clone() });
        let mut session =
            LuaSession::new(id, settings, account, Box::new(move || forget(&registry, id)), wake)?;
        if let Some(arrived) = self.arrived.lock().unwrap_or_else(PoisonError::into_inner).take() {
            session.arrive(arrived);
        }
        Ok(session)
    }

    fn forget(&self) {
        forget(&self.registry, self.id);
    }

    fn opened(&self) {
        if let Some(registry) = self.registry.upgrade() {
            LuaSessions(registry).write().unopened.remove(self.id);
        }
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

/// Tells a session that something has come for it.
struct Waker {
    id: SessionId,
    registry: Weak<Shared>,
}

impl Waker {
    fn session(&self) -> Option<SessionHandle> {
        LuaSessions(self.registry.upgrade()?).get(self.id)
    }
}

impl Wake for Waker {
    fn delivered(&self) {
        if let Some(session) = self.session() {
            session.delivered();
        }
    }

    fn answered(&self) {
        if let Some(session) = self.session() {
            session.answered();
        }
    }
}

fn forget(registry: &Weak<Shared>, id: SessionId) {
    if let Some(registry) = registry.upgrade() {
        LuaSessions(registry).forget(id);
    }
}
