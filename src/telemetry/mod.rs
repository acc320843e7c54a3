//! What the server tells about itself: `log` sets up the log on stderr, `metrics` counts for `/metrics`, and
//! `watching` is its part on the watch backends.

mod log;
mod metrics;
mod watching;

pub use log::init;
pub use metrics::{METRICS_CONTENT_TYPE, Metrics};
