//! [`Client`]: a browser that looks at a session, and what it is told.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{
    outbox::{Frame, Outbox, Over},
    problems::{PageProblems, Problems},
};
use crate::{
    lua::Vm,
    reload::{Diagnostic, Generation, Telling, conceal},
    variables::{Objects, ROOT, View},
    wire::{self, Account, Charge, ErrorCode, Incoming, Outgoing},
};

/// Notices that may wait for a browser that does not take its frames.
pub(super) const MAX_PENDING: usize = 10_000;

/// The property of variable 1 that says where in the site the page is.
pub(super) const URL: &str = "url";
/// Bytes of a longer one are too many.
const MAX_ADDRESS: usize = 2000;

/// A browser's socket, as sessions know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(u64);

impl ClientId {
    pub(super) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Relaxed))
    }
}

/// A browser that looks at a session.
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) outbox: Outbox,
    pub(super) view: View,
    pub(super) pending: Vec<Outgoing>,
    /// For what is pending.
    pub(super) waiting: Charge,
    /// A frame that there was no room for. Nothing else is said before it.
    pub(super) held: Option<String>,
    /// What fails on its page.
    pub(super) problems: PageProblems,
}

impl Client {
    /// Charges the pending messages from `from` on. Closes the socket if there is no room for them.
    pub(super) fn charge_pending(&mut self, from: usize) {
        let new = self.pending.get(from..).unwrap_or_default();
        let bytes = new.iter().map(Outgoing::size).sum();
        if self.view.is_over() || self.waiting.extend(bytes).is_err() || self.pending.len() > MAX_PENDING {
            self.outbox.close(Over::Browser);
        }
    }

    /// What differs from what its browser has, and what is pending.
    pub(super) fn frame(
        &mut self,
        vm: &Vm,
        objects: &mut Objects,
        generation: &Generation,
        telling: &Telling,
        problems: &mut Problems,
    ) -> Option<String> {
        let mut messages = self.view.after_batch(vm, objects, generation);
        messages.append(&mut self.pending);
        messages.extend(problems.news_for(&mut self.problems, self.view.take_problems(generation), telling));
        if telling.is_concealing {
            messages.iter_mut().for_each(|message| conceal_error(&vm.name(), message));
        }
        self.waiting.clear();
        if messages.is_empty() {
            return None;
        }
        wire::frame(&messages)
    }
}

/// Browsers that are told the same get one and the same frame.
///
/// # Errors
/// The text, if there is no room for it.
pub(super) fn charged(text: String, last: &mut Option<Frame>, account: &Account) -> Result<Frame, String> {
    if let Some(last) = last.as_ref().filter(|last| *last.bytes() == *text.as_bytes()) {
        return Ok(last.clone());
    }
    let Ok(charge) = account.passing(text.len()) else { return Err(text) };
    Ok(last.insert(Frame::charged(text, charge)).clone())
}

/// What a browser sees that has seen nothing yet. `is_developing`: its author looks at it, and something runs.
pub(super) fn view(url: Option<&str>, is_developing: bool) -> View {
    let mut view = View::new(is_developing);
    if let Some(url) = url {
        view.set_app_property(URL, url);
    }
    view
}

/// Replaces an error of Lua code, or about what templates bind, by a reference. Other errors only say what
/// the browser itself has sent.
fn conceal_error(session: &str, message: &mut Outgoing) {
    use ErrorCode::{BadMessage, HandlerFailed, Limit, NotFound, PathFailure, Timeout, Unauthorized};
    let Outgoing::Error { code, description, .. } = message else { return };
    match code {
        PathFailure | HandlerFailed | Timeout | Limit | Unauthorized => {
            let place = Diagnostic::from_lua(description);
            // Any other name is not a file's, but part of a path that the browser made up.
            let place = if place.file.ends_with(".lua") { place.position() } else { String::new() };
            *description = conceal(session, code.as_str(), &place, &*description);
        }
        NotFound | BadMessage => {}
    }
}

/// Where the browser is by now, if that is what it says.
pub(super) fn address_in(message: &Incoming) -> Option<String> {
    let Incoming::Update { id: ROOT, properties, .. } = message else { return None };
    let is_address = |url: &&String| {
        url.starts_with('/') && url.len() <= MAX_ADDRESS && !url.chars().any(char::is_control)
    };
    properties.get(URL).filter(is_address).cloned()
}
