//! A session begins anew: another state in the place of its own, under the same id.

use std::{sync::Arc, time::Instant};

use super::{
    client::view,
    lua_session::{LuaSession, Refresh},
    problems::{PageProblems, Problems},
    start::start,
};
use crate::{
    lua::{Failures, Vm},
    reload::{Diagnostic, Generation},
    variables::Objects,
    wire::Outgoing,
};

impl LuaSession {
    /// Begins anew, with the newest good code. Browsers render anew.
    pub(super) fn restart(&mut self, generation: Arc<Generation>, reason: &str) -> mlua::Result<()> {
        let (vm, objects, error) =
            start(&self.id, &self.settings, &self.account, generation, self.url.as_deref(), &self.wake)?;
        self.replace(vm, objects, error.map(|failure| failure.diagnostic), reason);
        Ok(())
    }

    /// Restarts with the newest good code. If that fails, the log tells.
    pub(super) fn begin_anew(&mut self, reason: &str) {
        if let Err(error) = self.restart(self.settings.published.good(), reason) {
            tracing::error!(session = %self.id.short(), %error, "the session could not be restarted");
        }
    }

    /// For the status page.
    pub(super) fn remember_error(&mut self, error: &Diagnostic) {
        self.last_error = Some(Box::new((Instant::now(), error.clone())));
    }

    /// Puts a fresh state in the place of the old one.
    pub(super) fn replace(
        &mut self,
        vm: Vm,
        objects: Objects,
        start_error: Option<Diagnostic>,
        reason: &str,
    ) {
        let telling = self.settings.published.telling();
        let (reason, is_developing) =
            (telling.reason(reason), !telling.is_concealing && start_error.is_none());
        for client in &mut self.clients {
            client.view = view(self.url.as_deref(), is_developing);
            client.problems = PageProblems::default();
            client.pending.clear();
            client.waiting.clear();
            client.held = None;
            client.pending.push(Outgoing::Restart { reason: reason.to_owned() });
        }
        self.began = Instant::now();
        self.last_error = start_error.clone().map(|error| Box::new((self.began, error)));
        (self.objects, self.start_error, self.vm) = (objects, start_error, vm);
        self.waiting = None;
        self.allowed = Default::default();
        self.failures = Failures::default();
        self.problems = Problems::new(&self.id, self.settings.published.faults().clone());
        self.refresh = Refresh::Now;
        self.restore_arrived();
    }
}
