//! One turn of a session on a thread of the pool.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use super::{
    super::{
        batch::ReceivedBatch,
        client::ClientId,
        clock::Sleeper,
        id::SessionId,
        lua_session::LuaSession,
        notice,
        origin::Origin,
        outbox::WeakOutbox,
        slice::Slice,
        worker::{Stuck, Task},
    },
    SessionHandle,
    mailbox::{Slot, Work},
    tell,
};

/// While more sessions than that wait for a thread, what is not urgent waits until they have had one.
const CROWD: usize = 64;

impl Task for SessionHandle {
    fn name(&self) -> String {
        self.0.id.short()
    }

    fn run(&self) {
        let slice = Slice::begin();
        while run_one(self, slice) {}
    }

    fn abandon(&self, stuck: &Stuck) {
        let generation = self.0.origin.generation();
        let why = notice::stuck(&generation, stuck);
        let mut mailbox = self.mailbox();
        if !matches!(mailbox.slot, Slot::Away) {
            return;
        }
        let frame = notice::trouble(generation.number, &why, self.0.origin.telling());
        tell(&mailbox.browsers, &frame);
        for reload in mailbox.reloads.drain(..).filter_map(|reload| reload.upgrade()) {
            reload.stuck(&why);
        }
        // Ends all waiting for it. If it goes on after all, its browsers are attached again.
        let dropped = std::mem::take(&mut mailbox.work);
        let upgraded = |(client, outbox): &(ClientId, WeakOutbox)| Some((*client, outbox.upgrade()?));
        let browsers: Vec<_> = mailbox.browsers.iter().filter_map(upgraded).collect();
        for (client, outbox) in browsers {
            mailbox.work.push_back(Work::Call(Box::new(move |session| {
                if !session.knows(client) {
                    session.attach(client, outbox);
                }
            })));
        }
        mailbox.stuck = Some(why);
        self.expire_later(&mut mailbox);
        drop(mailbox);
        drop(dropped);
    }
}

impl Sleeper for SessionHandle {
    type Id = SessionId;

    fn id(&self) -> SessionId {
        self.0.id
    }

    /// A timer is due.
    fn wake(&self) {
        let mut mailbox = self.mailbox();
        mailbox.alarm = None;
        if mailbox.unopened_until.is_some_and(|at| at <= Instant::now()) {
            drop(mailbox);
            tracing::debug!(session = %self.0.id.short(), "the session ends: no browser within session.unopened");
            self.0.origin.forget();
            self.end();
            return;
        }
        if mailbox.stuck.is_none() {
            drop(mailbox);
            let is_crowded = self.0.run_queue.waiting() > CROWD;
            let _ = self.queue(move |session| session.wake(is_crowded));
            return;
        }
        if !mailbox.browsers.is_empty() {
            self.expire_later(&mut mailbox);
            return;
        }
        drop(mailbox);
        tracing::info!(session = %self.0.id.short(), "a stuck session ends: no browser for session.timeout");
        self.0.origin.forget();
        self.end();
    }
}

/// Does one unit of work, or a part of it. Returns whether to go on with the next one at once.
fn run_one(handle: &SessionHandle, slice: Slice) -> bool {
    let mut mailbox = handle.mailbox();
    let slot = std::mem::replace(&mut mailbox.slot, Slot::Away);
    let work = match slot {
        Slot::Here(_) => mailbox.work.pop_front(),
        // First the session, then what is asked of it.
        Slot::New => None,
        Slot::Away | Slot::Ended => {
            mailbox.slot = slot;
            return false;
        }
    };
    let turn = mailbox.given_up;
    drop(mailbox);
    let origin = handle.0.origin.as_ref();
    let done = catch_unwind(AssertUnwindSafe(|| work_in(origin, slot, work, slice.until)));
    let done = done.unwrap_or_else(|_| {
        tracing::error!(session = %handle.0.id.short(), "a bug: the session panicked; it is ended");
        Turn::Done(Slot::Ended, None)
    });
    let mut waits = false;
    let (slot, alarm, rest) = match done {
        Turn::Done(slot, alarm) => (slot, Some(alarm), None),
        Turn::Unfinished(slot, rest) => (slot, None, Some(rest)),
        Turn::Waits(slot, rest) => {
            waits = true;
            (slot, None, rest)
        }
    };
    let ended = matches!(slot, Slot::Ended);
    let mut mailbox = handle.mailbox();
    if mailbox.given_up != turn {
        // It was stuck and has been restarted. The old state is dropped outside the lock: this takes a while.
        drop(mailbox);
        drop(slot);
        return false;
    }
    if mailbox.stuck.is_some() {
        handle.goes_on(&mut mailbox);
    }
    if ended || matches!(mailbox.slot, Slot::Ended) {
        drop(mailbox);
        drop(slot);
        handle.end();
        return false;
    }
    mailbox.slot = slot;
    if let Some(rest) = rest {
        mailbox.work.push_front(rest);
    }
    if waits {
        if !std::mem::take(&mut mailbox.answered) {
            (mailbox.waits, mailbox.scheduled) = (true, false);
            return false;
        }
        mailbox.work.push_front(Work::GoOn);
    }
    let (more, now) = (!mailbox.work.is_empty(), Instant::now());
    let again = more && now < slice.until;
    mailbox.scheduled = more;
    if now >= slice.until && slice.is_used_up() {
        mailbox.had_slice = Some(now);
    }
    if more && !again {
        handle.enqueue(&mailbox);
    }
    let alarm = alarm.map(|alarm| alarm.into_iter().chain(mailbox.unopened_until).min());
    if let Some(alarm) = alarm
        && mailbox.alarm != alarm
    {
        mailbox.alarm = alarm;
        // Under the lock: the next unit of work may be done already on another thread, and its alarm
        // must not be replaced by this one.
        handle.0.clock.set(handle.clone(), alarm);
    }
    again
}

/// What came of a turn.
enum Turn {
    /// The unit of work is done; when the session has to be woken.
    Done(Slot, Option<Instant>),
    /// It is not, and the next turn goes on with it.
    Unfinished(Slot, Work),
    /// It waits for the store; what comes after it.
    Waits(Slot, Option<Work>),
}

/// Makes the session if it is not there, does one unit of work in it, and looks at what changed. A batch that
/// is not done at `until` goes on in the next turn.
fn work_in(origin: &dyn Origin, slot: Slot, work: Option<Work>, until: Instant) -> Turn {
    let mut session = match slot {
        Slot::Here(session) => session,
        Slot::New => match origin.make() {
            Ok(session) => Box::new(session),
            Err(error) => {
                tracing::error!(%error, "a session could not be made");
                return Turn::Done(Slot::Ended, None);
            }
        },
        other => return Turn::Done(other, None),
    };
    match work {
        Some(Work::Call(work)) => work(&mut session),
        Some(Work::Batch(mut batch)) => {
            let is_done = session.receive(&mut batch, until);
            if session.is_waiting() {
                return Turn::Waits(Slot::Here(session), Some(Work::Batch(batch)));
            }
            if !is_done {
                return Turn::Unfinished(Slot::Here(session), Work::Batch(batch));
            }
            // Its sender is answered when browsers have been told.
            return done(session, Some(batch));
        }
        Some(Work::GoOn) => session.go_on(),
        Some(Work::Park(asked)) => {
            // Who asked may be gone; the session ends all the same.
            let _ = asked.send(session.park());
            origin.forget();
            return Turn::Done(Slot::Ended, None);
        }
        None => {}
    }
    done(session, None)
}

fn done(mut session: Box<LuaSession>, batch: Option<Box<ReceivedBatch>>) -> Turn {
    session.send_held();
    if session.is_waiting() {
        return Turn::Waits(Slot::Here(session), batch.map(Work::Batch));
    }
    let after = session.after_unit();
    if let Some(batch) = batch {
        batch.finish();
    }
    match after {
        Some(alarm) => Turn::Done(Slot::Here(session), alarm),
        None => Turn::Done(Slot::Ended, None),
    }
}
