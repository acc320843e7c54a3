//! [`Follower`]: what a server does about pointers. It has no clock and touches nothing: it is told what happened, and
//! says what to do next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Answer, Digest, Outcome, Pointer, Position};

/// So many refusals are remembered.
const REFUSALS: usize = 64;

/// What a server must not forget when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The number of the last start: milliseconds since 1970, or more than the one before.
    #[serde(default)]
    pub boot: u64,
    /// The newest pointer that was believed: no older one is.
    pub seen: Position,
    /// The release that it named.
    pub seen_root: Option<Digest>,
    /// The release that runs: what it begins with when it starts again.
    pub accepted: Option<Digest>,
    /// Releases that do not run here, with the number of the rollout and why.
    pub refused: BTreeMap<Digest, Refusal>,
}

/// A release that does not run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The rollout that named it. A later one that does is another person's wish, and is tried.
    pub seq: u64,
    /// Why.
    pub why: String,
}

/// Why a pointer is not followed, though it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Stale {
    /// An older one.
    #[error(
        "what is there points to generation {got}, and this server has seen {seen}: it was put back, or lost; publish \
         again, which makes a newer one",
        got = got.seq, seen = seen.seq
    )]
    Older {
        /// Of that pointer.
        got: Position,
        /// The newest.
        seen: Position,
    },
    /// Another of the same number.
    #[error(
        "there are two generations {0}, so neither publisher is believed; publish again, which makes a newer one"
    )]
    Twice(u64),
}

/// What a server does about pointers.
#[derive(Debug)]
pub struct Follower {
    server: String,
    memory: Memory,
    pointer: Option<Pointer>,
    running: Option<Digest>,
    /// What is on its way.
    taking: Option<Digest>,
    answer: Option<Answer>,
}

impl Follower {
    /// A server that starts; `running` is the release that it has loaded from its cache.
    pub fn new(server: String, memory: Memory, running: Option<Digest>) -> Self {
        Self { server, memory, pointer: None, running, taking: None, answer: None }
    }

    /// It starts. A number that grows with every start.
    pub fn boot(&mut self, unix_ms: u64) -> u64 {
        self.memory.boot = unix_ms.max(self.memory.boot + 1);
        self.memory.boot
    }

    /// What it must not forget. Written down before anything is done that follows from it.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The release that runs.
    pub fn running(&self) -> Option<Digest> {
        self.running
    }

    /// The newest pointer, if there was one since the start.
    pub fn pointer(&self) -> Option<&Pointer> {
        self.pointer.as_ref()
    }

    /// What became of the newest release that it was to run.
    pub fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// A pointer, signed by somebody who is trusted.
    ///
    /// # Errors
    /// If a newer one was seen; then nothing changes.
    pub fn hear(&mut self, pointer: &Pointer) -> Result<(), Stale> {
        let (got, seen) = (pointer.position(), self.memory.seen);
        if got < seen {
            return Err(Stale::Older { got, seen });
        }
        let is_known_rollout = got.seq == seen.seq;
        let is_other_root = self.memory.seen_root.is_some_and(|root| root != pointer.root);
        let is_other_step = self.pointer.as_ref().is_some_and(|known| got == seen && known != pointer);
        if is_known_rollout && (is_other_root || is_other_step) {
            return Err(Stale::Twice(got.seq));
        }
        self.memory.seen = got;
        self.memory.seen_root = Some(pointer.root);
        self.pointer = Some(pointer.clone());
        Ok(())
    }

    /// The release to fetch, check and run now; `None` while one is on its way, or all is as it should be. What it
    /// names is on its way from then on.
    pub fn take_up(&mut self) -> Option<Digest> {
        let pointer = self.pointer.as_ref().filter(|_| self.taking.is_none())?;
        // Who has nothing begins with what is accepted, and comes to what is desired as everybody does.
        let first = pointer.accepted().filter(|_| self.running.is_none());
        let mut wanted = [first, pointer.target(&self.server)].into_iter().flatten();
        let next = wanted.find(|root| !self.is_refused(*root, pointer.seq))?;
        if Some(next) == self.running {
            self.already(next);
            return None;
        }
        self.taking = Some(next);
        Some(next)
    }

    fn is_refused(&self, root: Digest, seq: u64) -> bool {
        self.memory.refused.get(&root).is_some_and(|refusal| refusal.seq >= seq)
    }

    /// Equal content costs nothing: a rollout of what runs is answered at once.
    fn already(&mut self, root: Digest) {
        if self
            .answer
            .as_ref()
            .is_some_and(|answer| answer.position == self.memory.seen && answer.root == root)
        {
            return;
        }
        let outcome = match self.answer.take() {
            Some(Answer { root: known, outcome, .. }) if known == root => outcome,
            _ => Outcome::Applied { sessions: 0, kept: 0, diagnostics: Vec::new() },
        };
        self.answer = Some(self.answer_with(root, outcome));
    }

    fn answer_with(&self, root: Digest, outcome: Outcome) -> Answer {
        Answer { position: self.memory.seen, root, outcome }
    }

    /// It is here, whole, and compiles: it is being run now.
    pub fn accept(&mut self, root: Digest) {
        self.taking = None;
        self.running = Some(root);
        self.memory.refused.remove(&root);
        self.answer = Some(self.answer_with(root, Outcome::Accepted));
    }

    /// Sessions have moved to it, or not. `is_good`: new ones begin with it.
    pub fn applied(&mut self, root: Digest, is_good: bool, outcome: Outcome) {
        if self.running != Some(root) {
            // Another has come meanwhile, and is answered for itself.
            return;
        }
        if is_good {
            self.memory.accepted = Some(root);
        }
        self.answer = Some(self.answer_with(root, outcome));
    }

    /// It does not run here: it is not tried again until somebody publishes it anew.
    pub fn refuse(&mut self, root: Digest, why: String) {
        self.taking = None;
        let seq = self.memory.seen.seq;
        if self.memory.refused.len() >= REFUSALS {
            let oldest = self.memory.refused.iter().min_by_key(|(_, refusal)| refusal.seq);
            if let Some(oldest) = oldest.map(|(root, _)| *root) {
                self.memory.refused.remove(&oldest);
            }
        }
        self.memory.refused.insert(root, Refusal { seq, why: why.clone() });
        self.answer = Some(self.answer_with(root, Outcome::Refused { why }));
    }

    /// It could not be fetched or kept: it is tried again with the next look.
    pub fn wait(&mut self, root: Digest, why: String) {
        self.taking = None;
        self.answer = Some(self.answer_with(root, Outcome::Waiting { why }));
    }
}
