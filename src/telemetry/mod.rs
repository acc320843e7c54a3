//! What the server tells about itself: `log` sets up the log on stderr, `line` and `json` write an event,
//! `escape` makes text from outside harmless, `repeats` sums up what is said again and again, `tail` keeps
//! the last lines, `metrics` counts for `/metrics`, and `watching`, `hub` and `fleet` are its parts on the
//! watch backends, and on topics and the store.

mod escape;
mod fleet;
mod hub;
mod json;
mod line;
mod log;
mod metrics;
mod repeats;
mod tail;
mod watching;

pub use escape::printable;
pub use fleet::FleetMetrics;
pub use hub::HubMetrics;
pub use log::{finish, init};
pub use metrics::Metrics;
pub use repeats::Repeats;
pub use tail::{LogLine, log_tail};
