//! The table `[watch.polling]`.

use std::{collections::BTreeMap, time::Duration};

use hotloader_backend::BackendFailure;
use serde_json::Value;

/// After a change, passes go on at `interval` for this long.
const LATELY: Duration = Duration::from_secs(10);

/// What the table says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Options {
    /// Between two looks at what is in use, and between two passes while something changed lately.
    interval: Duration,
    /// While nothing did.
    idle_interval: Duration,
    /// Largest share of one processor.
    pub(crate) max_cpu: f64,
    /// Whether files are read at each pass.
    pub(crate) verify_content: bool,
    /// Where servers are asked and not the kernel.
    pub(crate) sync: Sync,
    /// How often in a second.
    pub(crate) max_requests: u32,
}

/// Where whoever serves a file system is asked, although the kernel remembers an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// On file systems of which the kernel remembers anything.
    Auto,
    Always,
    Never,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            idle_interval: Duration::from_secs(2),
            max_cpu: 0.05,
            verify_content: false,
            sync: Sync::Auto,
            max_requests: 2_000,
        }
    }
}

impl Options {
    pub(crate) fn from_table(table: &BTreeMap<String, Value>) -> Result<Self, BackendFailure> {
        let mut options = Self::default();
        let mut idle_interval = None;
        for (key, value) in table {
            match key.as_str() {
                "interval" => options.interval = duration(key, value)?,
                "idle_interval" => idle_interval = Some(duration(key, value)?),
                "max_cpu" => options.max_cpu = share(key, value)?,
                "verify" => {
                    options.verify_content = match value.as_str() {
                        Some("attributes") => false,
                        Some("content") => true,
                        _ => return Err(wrong(key, value, "\"attributes\" or \"content\"")),
                    }
                }
                "sync" => {
                    options.sync = match value.as_str() {
                        Some("auto") => Sync::Auto,
                        Some("always") => Sync::Always,
                        Some("never") => Sync::Never,
                        _ => return Err(wrong(key, value, "\"auto\", \"always\" or \"never\"")),
                    }
                }
                "max_requests" => options.max_requests = count(key, value)?,
                _ => {
                    return Err(BackendFailure::fatal(format!(
                        "unknown key watch.polling.{key}; there are: interval, idle_interval, max_cpu, max_requests, \
                         sync, verify"
                    )));
                }
            }
        }
        match idle_interval {
            Some(idle) if idle < options.interval => Err(BackendFailure::fatal(format!(
                "watch.polling.idle_interval = {}: must be at least watch.polling.interval, which is {:?}",
                table["idle_interval"], options.interval
            ))),
            idle => {
                options.idle_interval = idle.unwrap_or(options.idle_interval.max(options.interval));
                Ok(options)
            }
        }
    }

    /// Between two looks at what is in use, if nothing else takes longer.
    pub(crate) fn shortest_interval(&self) -> Duration {
        self.interval
    }

    /// How long after a pass the next one begins, when the last change was so long ago.
    pub(crate) fn interval(&self, since_change: Duration) -> Duration {
        if since_change < LATELY { self.interval } else { self.idle_interval }
    }
}

fn wrong(key: &str, value: &Value, right: &str) -> BackendFailure {
    BackendFailure::fatal(format!("watch.polling.{key} = {value}: must be {right}"))
}

fn duration(key: &str, value: &Value) -> Result<Duration, BackendFailure> {
    let parsed = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
    parsed
        .filter(|duration| (Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60)).contains(duration))
        .ok_or_else(|| wrong(key, value, "a duration like \"500ms\" or \"2s\", from 1ms to one day"))
}

fn share(key: &str, value: &Value) -> Result<f64, BackendFailure> {
    value
        .as_f64()
        .filter(|share| (0.001..=1.0).contains(share))
        .ok_or_else(|| wrong(key, value, "a number from 0.001 to 1, the share of one processor"))
}

fn count(key: &str, value: &Value) -> Result<u32, BackendFailure> {
    let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
    count
        .filter(|count| (1..=1_000_000).contains(count))
        .ok_or_else(|| wrong(key, value, "a number from 1 to 1000000, the requests in a second"))
}

#[cfg(test)]
mod tests {
    use hotloader_backend::FailureClass;
    use serde_json::json;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn options(options: &Value) -> Result<Options, BackendFailure> {
        Options::from_table(&options.as_object().unwrap().clone().into_iter().collect())
    }

    #[test]
    fn it_is_fast_after_a_change_and_slow_when_nothing_happened_for_a_while() {
        let pace = Options::default();
        assert_eq!(pace.interval(Duration::ZERO), 100 * MS);
        assert_eq!(pace.interval(LATELY - MS), 100 * MS);
        assert_eq!(pace.interval(LATELY), 2000 * MS);
    }

    #[test]
    fn a_longer_interval_moves_the_idle_one_that_was_not_chosen() {
        let pace = options(&json!({ "interval": "5s" })).unwrap();
        assert_eq!(pace.interval(LATELY), 5000 * MS);
    }

    #[test]
    fn a_wrong_option_is_fatal_and_named() {
        for (wrong, named) in [
            (json!({ "intervall": "1s" }), "unknown key watch.polling.intervall"),
            (json!({ "interval": 500 }), "watch.polling.interval = 500: must be"),
            (json!({ "interval": "0s" }), "watch.polling.interval = \"0s\": must be"),
            (json!({ "idle_interval": "soon" }), "watch.polling.idle_interval = \"soon\": must be"),
            (json!({ "idle_interval": "50ms" }), "at least watch.polling.interval, which is 100ms"),
            (json!({ "max_cpu": 0 }), "watch.polling.max_cpu = 0: must be"),
            (json!({ "max_cpu": "5%" }), "watch.polling.max_cpu = \"5%\": must be"),
            (json!({ "sync": true }), "watch.polling.sync = true: must be \"auto\", \"always\" or"),
            (json!({ "max_requests": 0 }), "watch.polling.max_requests = 0: must be"),
            (json!({ "verify": "hash" }), "watch.polling.verify = \"hash\": must be \"attributes\" or"),
        ] {
            let failure = options(&wrong).unwrap_err();
            assert_eq!(failure.class(), FailureClass::Fatal);
            assert!(failure.to_string().contains(named), "{failure}");
        }
    }
}
