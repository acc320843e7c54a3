//! The time that deadlines are kept in.

use std::{sync::LazyLock, time::Instant};

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the first call.
pub(in crate::lua) fn now() -> u64 {
    // 584 years fit.
    u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
