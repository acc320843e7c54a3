//! What browsers and the log are told of a session in trouble: stuck, or short of memory.
//!
//! Browsers get it in the shape of a failed reload, which every client shows, with `offerRestart` for
//! those that can ask for one.

use super::{lua_session::LuaSession, outbox::Frame, worker::Stuck};
use crate::{
    lua::Pressure,
    reload::{Diagnostic, Generation, ReloadReport, Telling},
    wire::Outgoing,
};

/// Where a session is stuck, and since when.
pub(super) fn stuck(generation: &Generation, stuck: &Stuck) -> Diagnostic {
    let seconds = stuck.time.as_secs_f64();
    let message = format!(
        "the session is stuck since {seconds:.1} s in a library function that nothing can interrupt; it goes on when that returns, or restart it"
    );
    let mut why = match stuck.place.as_str() {
        "" => Diagnostic::about("", None, message),
        place => Diagnostic::from_lua(&format!("{place}: {message}")),
    };
    if let Some(source) = generation.source(&why.file) {
        why.file.clone_from(&source.display);
        why = why.with_excerpt(&source.source);
    }
    why
}

/// Tells browsers what is wrong, and that a restart would help.
pub(super) fn trouble(generation: u64, why: &Diagnostic, telling: &Telling) -> Frame {
    let report = ReloadReport::of_trouble(generation, why);
    Outgoing::Reload(Box::new(telling.apply(report))).into()
}

/// Takes the notice back.
pub(super) fn relief(generation: u64) -> Frame {
    Outgoing::Reload(Box::new(ReloadReport::of_relief(generation))).into()
}

/// The state was replaced.
pub(super) fn restart(reason: &str, telling: &Telling) -> Frame {
    Outgoing::Restart { reason: telling.reason(reason).to_owned() }.into()
}

impl LuaSession {
    pub(super) fn tell_pressure(&self, pressure: Pressure) {
        let (session, limit) = (self.id().short(), self.settings.session.budget.memory);
        match pressure {
            Pressure::High(used) => {
                let percent = used / (limit.as_usize() / 100).max(1);
                tracing::warn!(
                    target: "lua", session, limited_by = session,
                    "the session uses {percent} % of its memory, {limit} (session.budget.memory)"
                );
            }
            Pressure::Full(used) => {
                let percent = used / (limit.as_usize() / 100).max(1);
                let message = format!(
                    "the session uses {percent} % of its memory, {limit} (session.budget.memory), and none of it is garbage; a restart would free it"
                );
                tracing::error!(target: "lua", session, limited_by = session, "{message}");
                let why = Diagnostic::about("", None, message);
                let telling = self.settings.published.telling();
                self.broadcast(&trouble(self.generation().number, &why, telling));
            }
        }
    }
}
