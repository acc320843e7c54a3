//! How long backends, and the disk, are waited for.

use std::time::Duration;

/// The times by which one tells that a backend or the disk is not well, and when one asks or tries again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// A backend that takes longer to pass a barrier is not well.
    pub(crate) barrier: Duration,
    /// One that passed no barrier for so long is asked for one. The mount table is read as often.
    pub(crate) heartbeat: Duration,
    /// A backend that takes longer to confirm a plan is not well. One that goes through a large tree for
    /// the first time may take that long, and then others watch meanwhile.
    pub(crate) arming: Duration,
    /// When the directories beyond a limit are tried again.
    pub(crate) limit: Duration,
    /// A look at the disk that takes longer is told of.
    pub(crate) look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            barrier: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            arming: Duration::from_secs(30),
            limit: Duration::from_secs(30),
            look: Duration::from_secs(10),
        }
    }
}
