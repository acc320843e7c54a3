//! The table `[watch.watchman]`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use hotloader_backend::BackendFailure;
use serde_json::Value;

/// How the daemon is found and how long it is waited for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    /// Whether to start a daemon if none answers.
    pub(crate) spawn: bool,
    /// Where it listens; `None`: as `WATCHMAN_SOCK` or the program says.
    pub(crate) sockname: Option<PathBuf>,
    /// Watchman's program.
    pub(crate) binary: PathBuf,
    /// For each request.
    pub(crate) timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { spawn: false, sockname: None, binary: "watchman".into(), timeout: Duration::from_secs(5) }
    }
}

impl Options {
    pub(crate) fn new(table: &BTreeMap<String, Value>) -> Result<Self, BackendFailure> {
        let mut options = Self::default();
        for (key, value) in table {
            match key.as_str() {
                "spawn" => {
                    options.spawn = value.as_bool().ok_or_else(|| wrong(key, value, "true or false"))?;
                }
                "sockname" => {
                    let sockname = path(key, value)?;
                    if !sockname.is_absolute() {
                        return Err(wrong(key, value, "an absolute path"));
                    }
                    options.sockname = Some(sockname);
                }
                "binary" => options.binary = path(key, value)?,
                "timeout" => options.timeout = duration(key, value)?,
                _ => {
                    return Err(BackendFailure::fatal(format!(
                        "unknown key watch.watchman.{key}; there are: binary, sockname, spawn, timeout"
                    )));
                }
            }
        }
        Ok(options)
    }
}

fn wrong(key: &str, value: &Value, right: &str) -> BackendFailure {
    BackendFailure::fatal(format!("watch.watchman.{key} = {value}: must be {right}"))
}

fn path(key: &str, value: &Value) -> Result<PathBuf, BackendFailure> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| wrong(key, value, "a path"))
}

fn duration(key: &str, value: &Value) -> Result<Duration, BackendFailure> {
    let parsed = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
    parsed
        .filter(|duration| (Duration::from_millis(10)..=Duration::from_secs(60 * 60)).contains(duration))
        .ok_or_else(|| wrong(key, value, "a duration like \"500ms\" or \"5s\", from 10ms to one hour"))
}

#[cfg(test)]
mod tests {
    use hotloader_backend::FailureClass;
    use serde_json::json;

    use super::*;

    fn options(options: &Value) -> Result<Options, BackendFailure> {
        Options::new(&options.as_object().unwrap().clone().into_iter().collect())
    }

    #[test]
    fn each_option_is_taken() {
        let chosen = json!({ "spawn": true, "sockname": "/s", "binary": "/w", "timeout": "250ms" });
        let expected = Options {
            spawn: true,
            sockname: Some("/s".into()),
            binary: "/w".into(),
            timeout: Duration::from_millis(250),
        };
        assert_eq!(options(&chosen).unwrap(), expected);
        assert_eq!(options(&json!({})).unwrap(), Options::default());
    }

    #[test]
    fn a_wrong_option_is_fatal_and_named() {
        for (wrong, named) in [
            (json!({ "spwan": true }), "unknown key watch.watchman.spwan"),
            (json!({ "spawn": "yes" }), "watch.watchman.spawn = \"yes\": must be"),
            (json!({ "sockname": "here" }), "watch.watchman.sockname = \"here\": must be an absolute"),
            (json!({ "binary": 1 }), "watch.watchman.binary = 1: must be"),
            (json!({ "timeout": "0s" }), "watch.watchman.timeout = \"0s\": must be"),
            (json!({ "timeout": 5 }), "watch.watchman.timeout = 5: must be"),
        ] {
            let failure = options(&wrong).unwrap_err();
            assert_eq!(failure.class(), FailureClass::Fatal);
            assert!(failure.to_string().contains(named), "{failure}");
        }
    }
}
