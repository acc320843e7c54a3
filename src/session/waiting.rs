//! Units of work that wait for the store, and those that the hub begins.

use std::time::{Duration, Instant};

use super::{lua_session::LuaSession, unit::Waiting};
use crate::lua::Failure;

/// How often a session says that it has dropped messages.
const TELL: Duration = Duration::from_secs(1);

impl LuaSession {
    /// Whether a unit of work waits for the store. Nothing else is done in the session meanwhile.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Goes on with the unit of work that waits, if its answer is there.
    pub(super) fn go_on(&mut self) {
        let Some(waiting) = self.waiting else { return };
        let Some(ran) = self.vm.go_on_waiting() else { return };
        self.waiting = None;
        self.ran(waiting, ran);
    }

    /// A unit of work has been run, to its end or until it waits.
    pub(super) fn ran(&mut self, what: Waiting, ran: Result<(), Failure>) {
        if self.vm.is_waiting() {
            self.waiting = Some(what);
            return;
        }
        self.refresh_soon();
        match what {
            Waiting::Handler(id) => {
                self.refresh_now();
                let Some(client) = self.clients.iter_mut().find(|client| client.id == id) else { return };
                let from = client.pending.len();
                client.view.written(ran, &self.vm, &mut self.objects, &mut client.pending);
                client.charge_pending(from);
            }
            Waiting::Timer(handle) => {
                self.problems.timer_ran(handle, ran.as_ref().err().map(|failure| &failure.diagnostic));
                self.tell_failed("a timer", ran);
            }
            Waiting::Subscription => self.tell_failed("a subscription", ran),
            Waiting::Held => self.tell_failed("what a file sends when it is loaded", ran),
        }
    }

    pub(super) fn tell_failed(&mut self, what: &str, ran: Result<(), Failure>) {
        let Err(Failure { diagnostic, .. }) = ran else { return };
        let session = self.vm.name();
        tracing::warn!(target: "lua", session, limited_by = session, "{what} failed: {diagnostic}");
        self.settings.published.faults().note(&diagnostic);
        self.remember_error(&diagnostic);
    }

    /// Something has come from the hub. One of them for each unit of work.
    pub(super) fn take_delivery(&mut self) {
        let Some((delivery, has_changed)) = self.vm.state(|state| state.shared.take()) else { return };
        if has_changed {
            self.refresh_soon();
        }
        if let Some(delivery) = delivery {
            let ran = self.vm.deliver(&delivery);
            self.ran(Waiting::Subscription, ran);
        }
    }

    /// What files have sent while they were loaded well goes out.
    pub(super) fn send_held(&mut self) {
        if self.waiting.is_none() && self.vm.state(|state| state.shared.take_holds()) == Some(true) {
            let ran = self.vm.send_held();
            self.ran(Waiting::Held, ran);
        }
    }

    /// Says how many messages were dropped, once a second.
    pub(super) fn tell_dropped_messages(&mut self, now: Instant) {
        if self.dropped_at.is_some_and(|at| at > now) {
            return;
        }
        self.dropped_at = None;
        let Some((dropped, limit)) = self.vm.state(|state| state.shared.take_dropped()).flatten() else {
            return;
        };
        let session = self.vm.name();
        tracing::warn!(target: "lua", session, "{dropped} messages dropped: more than {limit} in a second (hub.messages)");
    }

    /// Messages that were dropped are to be told.
    pub(super) fn note_dropped(&mut self, now: Instant) {
        if self.vm.state(|state| state.shared.has_dropped()) == Some(true) {
            self.dropped_at.get_or_insert(now + TELL);
        }
    }
}
