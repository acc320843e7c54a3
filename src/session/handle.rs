//! The mailbox of a session.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::sync::oneshot;

use super::{
    clock::{Clock, Sleeper},
    id::SessionId,
    lua_session::{ClientId, LuaSession, Outbox},
    pool::{RunQueue, Task},
};
use crate::reload::{Diagnostic, Generation, OutcomeSender};

/// One unit of work in a session.
type Work = Box<dyn FnOnce(&mut LuaSession) + Send>;

/// What is waiting for a session that has a thread is done at once while it has had it no longer than
/// that: a reload and the refresh after it need no second turn, and other sessions hardly wait.
const SLICE: Duration = Duration::from_micros(500);

/// Makes the session, on a thread of the pool.
pub(super) type Make = Box<dyn FnOnce() -> mlua::Result<LuaSession> + Send>;

/// The session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the session has ended")]
pub struct SessionGone;

/// Queues work in one session; cheap to clone.
#[derive(Clone)]
pub struct SessionHandle(Arc<Shared>);

struct Shared {
    id: SessionId,
    /// Guards the queue only: the session itself is taken out of it to be worked in.
    mailbox: Mutex<Mailbox>,
    run_queue: RunQueue<SessionHandle>,
    clock: Clock<SessionHandle>,
}

struct Mailbox {
    work: VecDeque<Work>,
    slot: Slot,
    /// In the run queue, or being worked in.
    scheduled: bool,
    alarm: Option<Instant>,
}

/// Where the session is.
enum Slot {
    /// Not made yet; a thread of the pool will.
    New(Make),
    Here(Box<LuaSession>),
    /// With the thread that works in it.
    Away,
    Ended,
}

impl SessionHandle {
    pub(super) fn new(id: SessionId, make: Make, run_queue: RunQueue<Self>, clock: Clock<Self>) -> Self {
        let slot = Slot::New(make);
        let mailbox = Mailbox { work: VecDeque::new(), slot, scheduled: false, alarm: None };
        Self(Arc::new(Shared { id, mailbox: Mutex::new(mailbox), run_queue, clock }))
    }

    /// Which session it is.
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// Whether it would begin at once if it were asked for something.
    pub fn is_idle(&self) -> bool {
        !self.mailbox().scheduled
    }

    /// A browser's socket: frames for it go into `outbox` from now on. The session lets go of
    /// `outbox` when it ends, and when the browser does not take what is sent.
    pub fn attach(&self, outbox: Outbox) -> ClientId {
        let client = ClientId::next();
        let _ = self.queue(move |session| session.attach(client, outbox));
        client
    }

    /// The socket is gone.
    pub fn detach(&self, client: ClientId) {
        let _ = self.queue(move |session| session.detach(client));
    }

    /// One frame of a browser. It is queued when this is called; the future resolves when it has
    /// been worked off.
    ///
    /// # Errors
    /// If the session has ended.
    pub fn receive(
        &self,
        client: ClientId,
        text: String,
    ) -> impl Future<Output = Result<(), SessionGone>> + Send + use<> {
        self.ask(move |session| session.receive(client, &text))
    }

    /// Queues work of the host. AfterBatch follows it.
    ///
    /// # Errors
    /// If the session has ended.
    pub fn execute(&self, work: impl FnOnce(&mut LuaSession) + Send + 'static) -> Result<(), SessionGone> {
        self.queue(move |session| {
            work(session);
            session.refresh_now();
        })
    }

    /// Queues the move to a generation, or a later one. Browsers hear of it with the next refresh.
    ///
    /// # Errors
    /// If the session has ended.
    pub fn reload(&self, target: Arc<Generation>, outcomes: OutcomeSender) -> Result<(), SessionGone> {
        self.queue(move |session| {
            let _ = outcomes.send(session.reload(&target));
        })
    }

    fn queue(&self, work: impl FnOnce(&mut LuaSession) + Send + 'static) -> Result<(), SessionGone> {
        let mut mailbox = self.mailbox();
        if matches!(mailbox.slot, Slot::Ended) {
            return Err(SessionGone);
        }
        mailbox.work.push_back(Box::new(work));
        self.schedule(&mut mailbox);
        Ok(())
    }

    /// Queues work and hands back what it returns.
    pub(super) fn ask<R, F>(&self, work: F) -> impl Future<Output = Result<R, SessionGone>> + Send + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&mut LuaSession) -> R + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let queued = self.queue(move |session| {
            let _ = sender.send(work(session));
        });
        async move {
            queued?;
            receiver.await.map_err(|_| SessionGone)
        }
    }

    /// Why `main.lua` failed, if it did: the session is tried again when a file is saved.
    pub async fn start_error(&self) -> Option<Diagnostic> {
        self.ask(|session| session.start_error().cloned()).await.ok().flatten()
    }

    /// The variables of all its browsers, for debugging.
    ///
    /// # Errors
    /// If the session has ended.
    pub async fn variables(&self) -> Result<serde_json::Value, SessionGone> {
        self.ask(|session| session.describe()).await
    }

    /// Ends the session: its sockets are closed, what is queued is dropped.
    pub(super) fn end(&self) {
        let mut mailbox = self.mailbox();
        let slot = std::mem::replace(&mut mailbox.slot, Slot::Ended);
        let work = std::mem::take(&mut mailbox.work);
        mailbox.alarm = None;
        self.0.clock.set(self.clone(), None);
        drop(mailbox);
        // Outside the lock: closing a Lua state takes a while.
        drop((slot, work));
    }

    /// Begins to make the session, before anybody asks something of it.
    pub(super) fn start(&self) {
        self.schedule(&mut self.mailbox());
    }

    fn schedule(&self, mailbox: &mut Mailbox) {
        if !mailbox.scheduled {
            mailbox.scheduled = true;
            self.0.run_queue.push(self.clone());
        }
    }

    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        // Nothing that can panic runs under the lock.
        self.0.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work_in(slot: Slot, work: Option<Work>) -> (Slot, Option<Instant>) {
    let mut session = match slot {
        Slot::Here(session) => session,
        Slot::New(make) => match make() {
            Ok(session) => Box::new(session),
            Err(error) => {
                tracing::error!(%error, "a session could not be made");
                return (Slot::Ended, None);
            }
        },
        other => return (other, None),
    };
    if let Some(work) = work {
        work(&mut session);
    }
    match session.after_unit() {
        Some(alarm) => (Slot::Here(session), alarm),
        None => (Slot::Ended, None),
    }
}

impl Task for SessionHandle {
    fn name(&self) -> String {
        self.0.id.short()
    }

    fn run(&self) {
        let until = Instant::now() + SLICE;
        while self.run_one(until) {}
    }
}

impl SessionHandle {
    /// Does one unit of work. Says whether the next is to be done now, too.
    fn run_one(&self, until: Instant) -> bool {
        let mut mailbox = self.mailbox();
        let slot = std::mem::replace(&mut mailbox.slot, Slot::Away);
        let work = match slot {
            Slot::Here(_) => mailbox.work.pop_front(),
            // First the session, then what is asked of it.
            Slot::New(_) => None,
            Slot::Away | Slot::Ended => {
                mailbox.slot = slot;
                return false;
            }
        };
        drop(mailbox);
        let done = catch_unwind(AssertUnwindSafe(|| work_in(slot, work)));
        let (slot, alarm) = done.unwrap_or_else(|_| {
            tracing::error!(session = %self.0.id.short(), "a bug: the session panicked; it is ended");
            (Slot::Ended, None)
        });
        let ended = matches!(slot, Slot::Ended);
        let mut mailbox = self.mailbox();
        if ended || matches!(mailbox.slot, Slot::Ended) {
            drop(mailbox);
            drop(slot);
            self.end();
            return false;
        }
        mailbox.slot = slot;
        let more = !mailbox.work.is_empty();
        let again = more && Instant::now() < until;
        mailbox.scheduled = again;
        if more {
            self.schedule(&mut mailbox);
        }
        if mailbox.alarm != alarm {
            mailbox.alarm = alarm;
            // Under the lock: the next unit of work may be done already on another thread, and its alarm
            // must not be replaced by this one.
            self.0.clock.set(self.clone(), alarm);
        }
        again
    }
}

impl Sleeper for SessionHandle {
    type Id = SessionId;

    fn id(&self) -> SessionId {
        self.0.id
    }

    /// A timer is due.
    fn wake(&self) {
        self.mailbox().alarm = None;
        let _ = self.queue(LuaSession::wake);
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.0.id).finish()
    }
}
