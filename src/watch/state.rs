//! What the watcher is doing, and how one thing leads to another.
//!
//! | while it is | and this comes | it goes on to |
//! |---|---|---|
//! | idle | a hint | holding |
//! | idle | an audit finds differences | verifying |
//! | holding | quiet | a look, then idle |
//! | holding | quiet, while a checkout is under way | deferred |
//! | holding | quiet, and the look comes upon a save of just now | deferred |
//! | deferred | quiet | the backends are asked for the rest, then as holding |
//! | verifying | a hint | holding, with what the audit found: the hint may explain it |
//! | verifying | the barrier, and no hint | a look at what the audit found, which counts as missed; then idle |
//!
//! Whatever it is, it does what it is told ([`Command`](super::handle::Command)) and looks again at places of which
//! that was asked ([`Reminders`](super::settle::Reminders)).

use std::{future::Future, pin::Pin, time::Instant};

use hotloader_backend::{BackendFailure, HintSet};

use super::settle::{Debounce, Held};

/// Why work broke off.
pub(super) enum End {
    Stopped,
    Panicked,
    Failed(BackendFailure),
}

/// True when it was passed.
pub(super) type Barrier = Pin<Box<dyn Future<Output = bool> + Send>>;

/// What the watcher is doing.
#[derive(Default)]
pub(super) enum State {
    /// Nothing is known to be different.
    #[default]
    Idle,
    /// Places are to be looked at when it is quiet.
    Holding(Held),
    /// It was quiet, and a look was too early: what belongs to these places may not have been reported yet.
    Deferred(Held),
    /// An audit found these places different. Was a hint missed, or is it on its way? The barrier tells.
    Verifying { found: HintSet, barrier: Barrier },
}

impl State {
    /// Takes in hints that came in between `first` and `last`.
    pub(super) fn hold(&mut self, hints: HintSet, first: Instant, last: Instant) {
        if hints.is_empty() {
            return;
        }
        match self {
            Self::Holding(held) | Self::Deferred(held) => held.add(hints, last),
            Self::Idle => *self = Self::Holding(Held::new(hints, first, last)),
            Self::Verifying { found, .. } => {
                let mut held = Held::new(std::mem::take(found), first, last);
                held.add(hints, last);
                *self = Self::Holding(held);
            }
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    pub(super) fn held(&mut self) -> Option<&mut Held> {
        match self {
            Self::Holding(held) | Self::Deferred(held) => Some(held),
            Self::Idle | Self::Verifying { .. } => None,
        }
    }

    pub(super) fn is_ripe(&mut self, debounce: Debounce, now: Instant) -> bool {
        self.held().is_some_and(|held| held.is_ripe(debounce, now))
    }

    /// What is held, if there is any; then it is idle.
    pub(super) fn take_held(&mut self) -> Option<Held> {
        match std::mem::take(self) {
            Self::Holding(held) | Self::Deferred(held) => Some(held),
            other => {
                *self = other;
                None
            }
        }
    }

    /// The look is put off.
    pub(super) fn defer(&mut self) {
        if let Some(held) = self.take_held() {
            *self = Self::Deferred(held);
        }
    }

    /// Waits for the barrier, for ever if there is none.
    pub(super) async fn barrier(&mut self) -> bool {
        match self {
            Self::Verifying { barrier, .. } => barrier.await,
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hotloader_backend::Phase;

    use super::*;

    fn hints(path: &str) -> HintSet {
        let mut hints = HintSet::new();
        hints.insert(path, Phase::Complete);
        hints
    }

    #[test]
    fn a_hint_that_comes_while_an_audit_is_verified_is_looked_at_with_what_the_audit_found() {
        let now = Instant::now();
        let barrier = Box::pin(std::future::pending());
        let mut state = State::Verifying { found: hints("/found"), barrier };
        state.hold(HintSet::new(), now, now);
        assert!(matches!(state, State::Verifying { .. }), "nothing was hinted");
        state.hold(hints("/hinted"), now, now);
        let held = state.take_held().unwrap();
        assert!(held.hints.covers("/found".as_ref()) && held.hints.covers("/hinted".as_ref()));
        assert!(state.is_idle());
    }

    #[test]
    fn what_is_deferred_stays_so_when_more_comes() {
        let now = Instant::now();
        let mut state = State::Idle;
        state.defer();
        assert!(state.is_idle(), "there is nothing to be put off");
        state.hold(hints("/a"), now, now);
        state.defer();
        state.hold(hints("/b"), now, now + Duration::from_millis(1));
        assert!(matches!(&state, State::Deferred(held) if held.hints.len() == 2));
    }
}
