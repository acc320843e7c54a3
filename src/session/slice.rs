//! How long a session may have its thread in one go.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A session goes on with its next work at once while it has had its thread for less than this. So a reload
/// and the refresh after it need no second turn, and other sessions hardly wait.
const SLICE: Duration = Duration::from_micros(500);

/// One turn of a session.
#[derive(Clone, Copy)]
pub(super) struct Slice {
    /// When others have theirs.
    pub(super) until: Instant,
    /// What the thread had had of the processors when the slice began.
    ran: Duration,
}

impl Slice {
    pub(super) fn begin() -> Self {
        Self { until: Instant::now() + SLICE, ran: processor_time() }
    }

    /// Whether the session has worked for that long. Time on the processors counts, and not time that passed:
    /// on a busy machine a session that had to wait has not taken too much.
    pub(super) fn is_used_up(self) -> bool {
        processor_time().saturating_sub(self.ran) >= SLICE
    }
}

/// What this thread has had of the processors in its life.
fn processor_time() -> Duration {
    #[cfg(test)]
    if let Some(time) = STOPPED.get() {
        return time;
    }
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Works for longer than a slice.
#[cfg(test)]
pub(super) fn use_up() {
    let slice = Slice::begin();
    STOPPED.set(STOPPED.get().map(|time| time + SLICE));
    while !slice.is_used_up() || Instant::now() < slice.until {}
}

#[cfg(test)]
thread_local! {
    static STOPPED: std::cell::Cell<Option<Duration>> = const { std::cell::Cell::new(None) };
}

/// From here on work on this thread takes no time, but for [`use_up`].
#[cfg(test)]
pub(super) fn stop_the_clock() {
    STOPPED.set(Some(processor_time()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_used_up_by_work_and_not_by_time() {
        let slice = Slice::begin();
        std::thread::sleep(SLICE * 2);
        assert!(Instant::now() >= slice.until && !slice.is_used_up());
        let began = processor_time();
        use_up();
        assert!(processor_time() - began >= SLICE && slice.is_used_up());
    }
}
