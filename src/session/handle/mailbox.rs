//! [`Mailbox`]: what waits to be done in a session, and what is known of it from outside.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError, Weak},
    time::Instant,
};

use tokio::sync::oneshot;

use super::super::{
    batch::ReceivedBatch, client::ClientId, handover::Parked, lua_session::LuaSession, outbox::WeakOutbox,
};
use crate::reload::{Diagnostic, Effects, Outcome, OutcomeSender, ReloadOutcome};

/// One unit of work in a session.
pub(super) enum Work {
    Call(Box<dyn FnOnce(&mut LuaSession) + Send>),
    /// A frame of a browser. It is done in turns, and nothing else in between.
    Batch(Box<ReceivedBatch>),
    /// The unit of work that waits has its answer.
    GoOn,
    /// The last: what is to be handed on is sent there.
    Park(oneshot::Sender<Parked>),
}

/// A session, as others see it. The lock around it is never held while Lua runs: a thread takes the session
/// out first.
#[derive(Default)]
pub(super) struct Mailbox {
    pub(super) work: VecDeque<Work>,
    pub(super) slot: Slot,
    /// A unit of work in it waits for the store: nothing else is done until it is answered.
    pub(super) waits: bool,
    /// The answer has come before it began to wait.
    pub(super) answered: bool,
    /// In the run queue, or being worked in.
    pub(super) scheduled: bool,
    /// When a turn last used up its slice.
    pub(super) had_slice: Option<Instant>,
    pub(super) alarm: Option<Instant>,
    /// It ends then, unless a browser has connected to it.
    pub(super) unopened_until: Option<Instant>,
    /// The thread that has it is inside a library function that nothing can interrupt.
    pub(super) stuck: Option<Diagnostic>,
    /// Counts the states that were given up: a thread that comes back with one of them is too late.
    pub(super) given_up: u32,
    /// The browsers, to be told of a session that is stuck. Weak: they keep no socket open.
    pub(super) browsers: Vec<(ClientId, WeakOutbox)>,
    /// Reloads that have no outcome yet.
    pub(super) reloads: Vec<Weak<Answer>>,
}

/// Where the session is.
#[derive(Default)]
pub(super) enum Slot {
    /// Not made yet; a thread of the pool will.
    #[default]
    New,
    Here(Box<LuaSession>),
    /// With the thread that works in it.
    Away,
    Ended,
}

/// Sends the outcome of one reload, once.
pub(super) struct Answer {
    generation: u64,
    outcomes: Mutex<Option<OutcomeSender>>,
}

impl Answer {
    pub(super) fn new(generation: u64, outcomes: OutcomeSender) -> Self {
        Self { generation, outcomes: Mutex::new(Some(outcomes)) }
    }

    pub(super) fn send(&self, outcome: ReloadOutcome) {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(outcomes) = outcomes {
            let _ = outcomes.send(outcome);
        }
    }

    pub(super) fn stuck(&self, why: &Diagnostic) {
        let outcome = Outcome::Kept { diagnostic: Box::new(why.clone()), exhausted: true };
        let (unchanged, effects) = (Vec::new(), Effects::default());
        self.send(ReloadOutcome { generation: self.generation, outcome, unchanged, effects });
    }
}
