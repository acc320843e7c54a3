//! [`SessionHandle`]: how others reach a session.

mod mailbox;
mod turn;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::sync::oneshot;

use super::{
    batch::{ReceivedBatch, asks_for_restart},
    client::ClientId,
    clock::Clock,
    handover::Parked,
    id::SessionId,
    lua_session::LuaSession,
    notice,
    origin::Origin,
    outbox::{Frame, Outbox, Over, WeakOutbox},
    run_queue::RunQueue,
    secret::Secret,
    summary::SessionSummary,
};
use mailbox::{Answer, Mailbox, Slot, Work};

use crate::{
    reload::{Diagnostic, Generation, OutcomeSender},
    wire::Account,
};

/// After a turn that used up its slice, a session waits behind the others for this long. So a row of large
/// batches gets no more time than one.
const RESTED: Duration = Duration::from_millis(250);

/// The session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the session has ended")]
pub struct SessionGone;

/// Queues work in one session; cheap to clone.
#[derive(Clone)]
pub struct SessionHandle(Arc<Shared>);

struct Shared {
    id: SessionId,
    secret: Secret,
    origin: Arc<dyn Origin>,
    /// The lock guards the mailbox only: a thread takes the session out of it to work in it.
    mailbox: Mutex<Mailbox>,
    run_queue: RunQueue<SessionHandle>,
    clock: Clock<SessionHandle>,
}

impl SessionHandle {
    pub(super) fn new(
        id: SessionId,
        secret: Secret,
        origin: Arc<dyn Origin>,
        run_queue: RunQueue<Self>,
        clock: Clock<Self>,
    ) -> Self {
        Self(Arc::new(Shared { id, secret, origin, mailbox: Mutex::default(), run_queue, clock }))
    }

    /// Which session it is.
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// The value of the cookie `hot-session`, by which a browser opens the session. Give it only to the
    /// browser that the session was made for: it belongs in no log and no address.
    pub fn secret(&self) -> String {
        self.0.secret.text()
    }

    /// Whether that is the session's [`secret`](Self::secret).
    pub fn opens_with(&self, secret: &str) -> bool {
        self.0.secret.is(secret)
    }

    /// Whether it runs code. A session of which nothing has been asked does not: it starts with the newest
    /// good code when something is.
    pub fn has_begun(&self) -> bool {
        let mailbox = self.mailbox();
        mailbox.scheduled || !matches!(mailbox.slot, Slot::New | Slot::Ended)
    }

    /// Whether a browser is connected to it.
    pub fn has_browser(&self) -> bool {
        self.mailbox().browsers.iter().any(|(_, outbox)| !outbox.is_gone())
    }

    /// Whether it would begin at once if it were asked for something.
    pub fn is_idle(&self) -> bool {
        !self.mailbox().scheduled
    }

    /// Why it does nothing, if it is stuck inside a library function that nothing can interrupt. It goes
    /// on when the function returns, or anew after a [`restart`](Self::restart_if_stuck).
    pub fn stuck(&self) -> Option<Diagnostic> {
        self.mailbox().stuck.clone()
    }

    /// For what is held for its browsers.
    pub fn account(&self) -> &Account {
        self.0.origin.account()
    }

    /// A browser's socket: frames for it go into `outbox` from now on. The session lets go of
    /// `outbox` when it ends, and when the browser does not take what is sent. One that is more than
    /// `session.sockets` is told so by its [`Line`](super::Line).
    pub fn attach(&self, outbox: impl Into<Outbox>) -> ClientId {
        let (client, outbox) = (ClientId::next(), outbox.into());
        let mut mailbox = self.mailbox();
        mailbox.browsers.retain(|(_, outbox)| !outbox.is_gone());
        if mailbox.browsers.len() >= self.0.origin.max_sockets() {
            outbox.close(Over::Sockets);
            return client;
        }
        if mailbox.unopened_until.take().is_some() {
            self.0.origin.opened();
        }
        if let Some(why) = &mailbox.stuck {
            outbox.try_send(notice::trouble(self.0.origin.generation().number, why, self.0.origin.telling()));
        }
        mailbox.browsers.push((client, outbox.downgrade()));
        self.push(mailbox, move |session| session.attach(client, outbox));
        client
    }

    /// The socket is gone.
    pub fn detach(&self, client: ClientId) {
        let mut mailbox = self.mailbox();
        mailbox.browsers.retain(|(id, _)| *id != client);
        self.push(mailbox, move |session| session.detach(client));
    }

    /// One frame of a browser. It is queued when this is called; the future resolves when it has
    /// been worked off. A session that is stuck takes nothing but the wish to begin anew.
    ///
    /// # Errors
    /// If the session has ended.
    pub fn receive(
        &self,
        client: ClientId,
        text: String,
    ) -> impl Future<Output = Result<(), SessionGone>> + Send + use<> {
        if self.stuck().is_some() && asks_for_restart(&text) {
            self.restart_if_stuck("a browser asked for it");
        }
        let (done, is_done) = oneshot::channel();
        let mailbox = self.mailbox();
        let is_queued = if matches!(mailbox.slot, Slot::Ended) || mailbox.stuck.is_some() {
            Err(SessionGone)
        } else {
            match self.account().passing(text.len()) {
                Ok(charge) => {
                    let batch = ReceivedBatch::new(client, text, charge, done);
                    self.push_work(mailbox, Work::Batch(Box::new(batch)));
                }
                Err(_) => {
                    let outbox = mailbox.browsers.iter().find(|(id, _)| *id == client);
                    if let Some(outbox) = outbox.and_then(|(_, outbox)| outbox.upgrade()) {
                        outbox.close(Over::Browser);
                    }
                }
            }
            Ok(())
        };
        let done = async move {
            is_queued?;
            match is_done.await {
                Ok(()) => Ok(()),
                Err(_) => Err(SessionGone),
            }
        };
        let handle = self.clone();
        async move {
            match done.await {
                // The batch was dropped since the session is stuck. The socket stays: its browser is told,
                // and may restart the session.
                Err(SessionGone) if !matches!(handle.mailbox().slot, Slot::Ended) => Ok(()),
                done => done,
            }
        }
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
        let answer = Arc::new(Answer::new(target.number, outcomes));
        let mut mailbox = self.mailbox();
        if let Some(why) = &mailbox.stuck {
            answer.stuck(why);
            return Ok(());
        }
        mailbox.reloads.retain(|answer| answer.strong_count() > 0);
        mailbox.reloads.push(Arc::downgrade(&answer));
        drop(mailbox);
        self.queue(move |session| answer.send(session.reload(&target)))
    }

    /// Queues a new beginning: a fresh state under the same id, in which the main file runs. Browsers are
    /// told `reason`, and render anew. One that is stuck begins anew at once.
    ///
    /// # Errors
    /// If the session has ended.
    pub fn restart(&self, reason: &'static str) -> Result<(), SessionGone> {
        if self.restart_if_stuck(reason) {
            return Ok(());
        }
        if !self.has_begun() {
            // What has not begun needs no new beginning.
            return if matches!(self.mailbox().slot, Slot::Ended) { Err(SessionGone) } else { Ok(()) };
        }
        self.execute(move |session| session.begin_anew(reason))
    }

    fn queue(&self, work: impl FnOnce(&mut LuaSession) + Send + 'static) -> Result<(), SessionGone> {
        let mailbox = self.mailbox();
        if matches!(mailbox.slot, Slot::Ended) || mailbox.stuck.is_some() {
            return Err(SessionGone);
        }
        self.push(mailbox, work);
        Ok(())
    }

    fn push(&self, mailbox: MutexGuard<'_, Mailbox>, work: impl FnOnce(&mut LuaSession) + Send + 'static) {
        self.push_work(mailbox, Work::Call(Box::new(work)));
    }

    fn push_work(&self, mut mailbox: MutexGuard<'_, Mailbox>, work: Work) {
        if !matches!(mailbox.slot, Slot::Ended) {
            mailbox.work.push_back(work);
            self.schedule(&mut mailbox);
        }
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

    /// Ends the session after what it has been asked so far, and hands back what is to go on elsewhere. Nothing
    /// is answered after that.
    ///
    /// # Errors
    /// If the session has ended, or is stuck.
    pub(super) fn park(&self) -> impl Future<Output = Result<Parked, SessionGone>> + Send + use<> {
        let (sender, receiver) = oneshot::channel();
        let mailbox = self.mailbox();
        let is_gone = matches!(mailbox.slot, Slot::Ended) || mailbox.stuck.is_some();
        if !is_gone {
            self.push_work(mailbox, Work::Park(sender));
        }
        async move {
            if is_gone {
                return Err(SessionGone);
            }
            receiver.await.map_err(|_| SessionGone)
        }
    }

    pub(super) fn secret_digest(&self) -> String {
        Secret::digest(&self.0.secret.text())
    }

    /// Why `main.lua` failed, if it did, in the words that its readers may see
    /// ([`Telling::told`](crate::reload::Telling::told)): the session is tried again when a file is saved.
    pub async fn start_error(&self) -> Option<Diagnostic> {
        self.ask(|session| session.told_start_error()).await.ok().flatten()
    }

    /// How the session is.
    ///
    /// # Errors
    /// If the session has ended.
    pub async fn summary(&self) -> Result<SessionSummary, SessionGone> {
        self.ask(|session| session.summary()).await
    }

    /// The variables of all its browsers, for debugging.
    ///
    /// # Errors
    /// If the session has ended.
    pub async fn variables(&self) -> Result<serde_json::Value, SessionGone> {
        self.ask(|session| session.describe()).await
    }

    /// Begins a session anew that is stuck: same id, same browsers, newest good code. Its old state is
    /// freed when the library function returns, if it ever does. While `session.max_stuck` sessions are stuck,
    /// the new state waits until one of them is back. Says whether it was stuck.
    pub fn restart_if_stuck(&self, reason: &str) -> bool {
        let mut mailbox = self.mailbox();
        if mailbox.stuck.take().is_none() || matches!(mailbox.slot, Slot::Ended) {
            return false;
        }
        mailbox.given_up += 1;
        mailbox.slot = Slot::New;
        (mailbox.waits, mailbox.answered) = (false, false);
        let dropped = std::mem::take(&mut mailbox.work);
        let frame = notice::restart(reason, self.0.origin.telling());
        for (client, outbox) in std::mem::take(&mut mailbox.browsers) {
            let Some(outbox) = outbox.upgrade() else { continue };
            outbox.try_send(frame.clone());
            mailbox.browsers.push((client, outbox.downgrade()));
            mailbox.work.push_back(Work::Call(Box::new(move |session| session.attach(client, outbox))));
        }
        // The thread that is stuck has taken it out of the run queue.
        mailbox.scheduled = true;
        let at_once = self.0.run_queue.push_again(self.clone());
        drop(mailbox);
        drop(dropped);
        let session = self.0.id.short();
        if at_once {
            tracing::warn!(target: "lua", %session, reason, "a stuck session begins anew");
        } else {
            tracing::warn!(
                target: "lua", %session, reason,
                "a stuck session begins anew when another is back: session.max_stuck of them are stuck"
            );
        }
        true
    }

    /// Tells browsers that it was stuck and goes on after all.
    fn goes_on(&self, mailbox: &mut Mailbox) {
        mailbox.stuck = None;
        tracing::warn!(target: "lua", session = %self.0.id.short(), "the session that was stuck goes on");
        let frame = notice::relief(self.0.origin.generation().number);
        tell(&mailbox.browsers, &frame);
    }

    /// Ends the session: its sockets are closed, what is queued is dropped.
    pub(super) fn end(&self) {
        let mut mailbox = self.mailbox();
        let slot = std::mem::replace(&mut mailbox.slot, Slot::Ended);
        let work = std::mem::take(&mut mailbox.work);
        (mailbox.alarm, mailbox.unopened_until, mailbox.stuck) = (None, None, None);
        self.0.clock.set(self.clone(), None);
        drop(mailbox);
        // Outside the lock: closing a Lua state takes a while.
        drop((slot, work));
    }

    /// Something has come for it from the hub.
    pub(super) fn delivered(&self) {
        // One that has ended gets nothing.
        let _ = self.queue(LuaSession::take_delivery);
    }

    /// The unit of work that waits has its answer.
    pub(super) fn answered(&self) {
        let mut mailbox = self.mailbox();
        if matches!(mailbox.slot, Slot::Away) {
            mailbox.answered = true;
        } else if std::mem::take(&mut mailbox.waits) {
            mailbox.work.push_front(Work::GoOn);
            self.schedule(&mut mailbox);
        }
    }

    /// Begins to make the session, before anybody asks something of it.
    pub(super) fn start(&self) {
        self.schedule(&mut self.mailbox());
    }

    /// It ends after that time, unless a browser connects to it.
    pub(super) fn expect_browser(&self, within: Duration) {
        let mut mailbox = self.mailbox();
        mailbox.unopened_until = Instant::now().checked_add(within);
        mailbox.alarm = mailbox.unopened_until;
        self.0.clock.set(self.clone(), mailbox.alarm);
    }

    /// A stuck session cannot see for itself that nobody comes back.
    fn expire_later(&self, mailbox: &mut Mailbox) {
        let timeout = self.0.origin.timeout();
        mailbox.alarm = Instant::now().checked_add(timeout).filter(|_| !timeout.is_zero());
        self.0.clock.set(self.clone(), mailbox.alarm);
    }

    fn schedule(&self, mailbox: &mut Mailbox) {
        if !mailbox.scheduled && !mailbox.waits {
            mailbox.scheduled = true;
            self.enqueue(mailbox);
        }
    }

    fn enqueue(&self, mailbox: &Mailbox) {
        if mailbox.had_slice.is_some_and(|at| at.elapsed() < RESTED) {
            self.0.run_queue.push_behind(self.clone());
        } else {
            self.0.run_queue.push(self.clone());
        }
    }

    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        // Nothing that can panic runs under the lock.
        self.0.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(browsers: &[(ClientId, WeakOutbox)], frame: &Frame) {
    for outbox in browsers.iter().filter_map(|(_, outbox)| outbox.upgrade()) {
        outbox.try_send(frame.clone());
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.0.id).finish()
    }
}
