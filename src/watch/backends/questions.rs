//! The barriers that the supervisor has asked lanes for, and those that the watcher waits for.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use hotloader_backend::{BarrierError, BarrierRequest};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use super::lane::Lane;

/// What was asked and not answered yet.
pub(super) struct Questions {
    /// After this long, there is no answer.
    patience: Duration,
    asked: JoinSet<Answer>,
    /// Barriers of the watcher, by number.
    barriers: BTreeMap<u64, Pending>,
    last: u64,
}

/// A barrier that the watcher waits for.
struct Pending {
    request: BarrierRequest,
    /// Lanes that have not passed it yet.
    waiting: BTreeSet<u64>,
}

/// What came of a barrier in one lane.
pub(super) struct Answer {
    pub(super) lane: u64,
    pub(super) purpose: Purpose,
    pub(super) took: Duration,
    pub(super) result: Result<(), Unanswered>,
}

/// Why a barrier was not passed.
pub(super) enum Unanswered {
    Ended,
    TimedOut,
    /// The lane works, but cannot prove it.
    Refused(String),
}

/// What a lane was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The barrier of that number.
    Barrier(u64),
    /// Whether it still lives.
    Heartbeat,
    /// Whether it does what it confirmed: it takes over from others then.
    Proof,
}

impl Questions {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, asked: JoinSet::new(), barriers: BTreeMap::new(), last: 0 }
    }

    /// Asks a lane, if it runs.
    pub(super) fn ask(&mut self, lane: &Lane, purpose: Purpose) {
        let (id, patience, Some(barrier)) = (lane.id, self.patience, lane.barrier()) else { return };
        self.asked.spawn(async move {
            let begun = Instant::now();
            let result = match timeout(patience, pin!(barrier)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(BarrierError::Ended { .. })) => Err(Unanswered::Ended),
                Ok(Err(BarrierError::Refused { reason, .. })) => Err(Unanswered::Refused(reason)),
                Err(_) => Err(Unanswered::TimedOut),
            };
            Answer { lane: id, purpose, took: begun.elapsed(), result }
        });
    }

    /// Asks all those lanes for one barrier.
    pub(super) fn begin<'a>(&mut self, request: BarrierRequest, lanes: impl Iterator<Item = &'a Lane>) {
        self.last += 1;
        let number = self.last;
        let mut waiting = BTreeSet::new();
        for lane in lanes {
            waiting.insert(lane.id);
            self.ask(lane, Purpose::Barrier(number));
        }
        self.barriers.insert(number, Pending { request, waiting });
    }

    /// The next answer; `None` while nothing is asked.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        // A task that panicked has no answer, and none does.
        self.asked.join_next().await?.ok()
    }

    /// That lane need not be waited for any more.
    pub(super) fn answered(&mut self, purpose: Purpose, lane: u64) {
        if let Purpose::Barrier(number) = purpose
            && let Some(pending) = self.barriers.get_mut(&number)
        {
            pending.waiting.remove(&lane);
        }
    }

    /// It will not be passed, which dropping it tells whoever asked.
    pub(super) fn give_up(&mut self, purpose: Purpose) {
        if let Purpose::Barrier(number) = purpose {
            self.barriers.remove(&number);
        }
    }

    /// The question is not answered, for a reason that whoever asked should know.
    pub(super) fn refuse(&mut self, purpose: Purpose, reason: &str) {
        if let Purpose::Barrier(number) = purpose
            && let Some(pending) = self.barriers.remove(&number)
        {
            pending.request.refuse(reason);
        }
    }

    /// Completes the barriers for which nobody is waited for.
    pub(super) fn complete(&mut self) {
        let (done, open) = std::mem::take(&mut self.barriers)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, pending)| pending.waiting.is_empty());
        self.barriers = open;
        done.into_values().for_each(|pending| pending.request.complete());
    }

    /// Asks no more: the tasks hold barriers of lanes, which end now.
    pub(super) async fn end(&mut self) {
        self.asked.shutdown().await;
    }
}
