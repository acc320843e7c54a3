//! The last lines of the log, for the status page.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tracing::{Event, Subscriber};
use tracing_subscriber::{Layer, layer::Context};

use super::{escape::Bounded, line::Line};

/// So many lines are kept,
const LINES: usize = 200;
/// each cut after so many bytes.
const LENGTH: usize = 2 << 10;

/// There is one log in a process, so there is one tail of it.
static TAIL: Mutex<VecDeque<LogLine>> = Mutex::new(VecDeque::new());

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub level: &'static str,
    /// The message, then `name=value` for each field, with nothing in it that would end the line; the
    /// details of an error in lines of their own, which begin with a blank.
    pub text: String,
}

/// The last lines of this process's log, oldest first. Empty before [`init`](super::init).
pub fn log_tail() -> Vec<LogLine> {
    lines().iter().cloned().collect()
}

fn lines() -> std::sync::MutexGuard<'static, VecDeque<LogLine>> {
    // Whole lines come and go: a panic leaves nothing half done.
    TAIL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what passes the filter.
pub(super) struct Tail;

impl<S: Subscriber> Layer<S> for Tail {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = LogLine {
            at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            level: event.metadata().level().as_str(),
            text: text(event),
        };
        let mut lines = lines();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// What an event says, as in the log.
fn text(event: &Event<'_>) -> String {
    let mut text = String::new();
    let mut bounded = Bounded::new(&mut text, LENGTH);
    let mut line = Line::new(&mut bounded, false);
    event.record(&mut line);
    // Writing to a String cannot fail.
    let _ = line.finish().and_then(|()| bounded.finish());
    text
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_with_their_fields_and_long_ones_are_cut() {
        // The only test of this process that logs into the tail: nextest runs each in its own, and what
        // others log has other words.
        let mine =
            || log_tail().into_iter().filter(|line| line.text.starts_with("tail ")).collect::<Vec<_>>();
        let subscriber = tracing_subscriber::registry().with(Tail);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(file = "lua/a.lua", line = 3, "tail {}", 0);
            assert_eq!(mine()[0].text, "tail 0 file=\"lua/a.lua\" line=3");
            assert_eq!(mine()[0].level, "WARN");
            for n in 1..=LINES {
                tracing::info!("tail {n}");
            }
            tracing::info!("tail {}", "ä".repeat(LENGTH));
        });
        assert_eq!(log_tail().len(), LINES);
        assert_eq!(mine().first().map(|line| line.text.as_str()), Some("tail 2"));
        let last = mine().pop().unwrap().text;
        assert!(last.len() < LENGTH + 32 && last.ends_with("… (4101 bytes)"), "{last}");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Tail), || {
            tracing::info!(name = "a\nb", "tail a\nb\u{202e}");
        });
        assert_eq!(mine().pop().unwrap().text, r#"tail a\nb\u{202e} name="a\nb""#);
    }
}
