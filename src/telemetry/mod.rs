//! What the server tells about itself: `log` sets up the log on stderr, `tail` keeps its last lines,
//! `metrics` counts for `/metrics`, and `watching` is its part on the watch backends.

mod log;
mod metrics;
mod tail;
mod watching;

pub use log::init;
pub use metrics::{METRICS_CONTENT_TYPE, Metrics};
pub use tail::{LogLine, log_tail};
