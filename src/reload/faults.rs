//! [`Faults`]: what fails in sessions while they run, counted. Not what fails while they reload: a
//! [`ReloadReport`](super::ReloadReport) has that.

use tokio::sync::watch;

use super::Diagnostic;

/// Counts what fails in all sessions of a server.
#[derive(Debug, Default)]
pub struct Faults(watch::Sender<Faulted>);

/// What has failed since the server started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faulted {
    /// How often.
    pub count: u64,
    /// The last of it, in one line.
    pub last: String,
}

impl Faults {
    /// Code of a session has failed: a handler, a timer, a subscription, a getter, or the start of it.
    pub fn note(&self, diagnostic: &Diagnostic) {
        self.0.send_modify(|faulted| {
            faulted.count += 1;
            faulted.last = diagnostic.to_string();
        });
    }

    /// What has failed, and whenever that is more.
    pub fn follow(&self) -> watch::Receiver<Faulted> {
        self.0.subscribe()
    }
}
