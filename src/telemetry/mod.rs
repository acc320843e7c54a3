//! What the server tells about itself: `log` sets up the log on stderr, `metrics` counts for `/metrics`.

mod log;
mod metrics;

pub use log::init;
pub use metrics::{METRICS_CONTENT_TYPE, Metrics};
