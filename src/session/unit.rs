//! What may wait for the store in the middle.

use super::client::ClientId;
use crate::lua::TimerHandle;

/// What a unit of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// A browser has called it.
    Handler(ClientId),
    /// A timer.
    Timer(TimerHandle),
    /// A subscription, or a watch.
    Subscription,
    /// What files have sent while they were loaded.
    Held,
}
