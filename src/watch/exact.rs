//! Waiting more exactly than the runtime's timers do.

use std::time::{Duration, Instant};

use tokio::{task::spawn_blocking, time::sleep_until};

/// The grain of tokio's timers.
const TICK: Duration = Duration::from_millis(1);

/// Waits until then to some 0.1 ms. tokio's timers fire up to a millisecond late, which would be the
/// greatest part of what a save takes beyond the quiet time, so the last millisecond is slept exactly.
pub(super) async fn until(due: Option<Instant>) {
    let Some(due) = due else { return std::future::pending().await };
    if let Some(before) = due.checked_sub(TICK) {
        sleep_until(before.into()).await;
    }
    let rest = due.saturating_duration_since(Instant::now());
    if !rest.is_zero() {
        // Can only fail when the runtime shuts down.
        let _ = spawn_blocking(move || std::thread::sleep(rest)).await;
    }
}
