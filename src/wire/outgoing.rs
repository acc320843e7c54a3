//! What the server sends. Strict: always an array, with the fields that the protocol has.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{Encoded, ProblemReport, Properties, VarId};
use crate::reload::{ErrorReport, Note, PageFiles, ReloadReport, ReloadStatus};

/// Longer descriptions of errors are cut off, in bytes.
const MAX_DESCRIPTION: usize = 2 << 10;

/// A message to a browser.
#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Outgoing {
    /// A value or properties differ from what the browser has.
    Update {
        /// Which one.
        var_id: VarId,
        /// The whole value.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Encoded>,
        /// Those that changed.
        #[serde(skip_serializing_if = "Properties::is_empty")]
        properties: Properties,
    },
    /// It is gone.
    Destroy {
        /// Which one.
        var_id: VarId,
    },
    /// Something about a variable failed. The error stands until the next `update` of it.
    Error {
        /// Which one.
        var_id: VarId,
        /// What kind of failure.
        code: ErrorCode,
        /// For the developer.
        description: String,
    },
    /// How a reload went.
    Reload(#[serde(serialize_with = "reload")] Box<ReloadReport>),
    /// Files were saved that the page has loaded by their address.
    Files(PageFiles),
    /// What fails on the page now: all of it, whenever that changes.
    Problems {
        /// None: all is well.
        problems: Vec<ProblemReport>,
    },
    /// The session's state is a new one.
    Restart {
        /// Why.
        reason: String,
    },
}

/// Kinds of failures that a browser is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// A path leads nowhere, or a getter failed.
    PathFailure,
    /// There is no such variable.
    NotFound,
    /// The browser may not have it, or may not write it.
    Unauthorized,
    /// The message could not be understood.
    BadMessage,
    /// A handler raised an error.
    HandlerFailed,
    /// It ran too long.
    Timeout,
    /// It took too much.
    Limit,
}

impl Outgoing {
    /// The text of a frame with nothing but this message.
    pub fn alone(&self) -> String {
        frame(std::slice::from_ref(self)).unwrap_or_default()
    }

    /// Roughly how many bytes it takes, in memory or on the wire.
    pub(crate) fn size(&self) -> usize {
        const EACH: usize = 64;
        EACH + match self {
            Self::Update { value, properties, .. } => {
                let texts = properties.iter().map(|(name, value)| EACH + name.len() + value.len());
                value.as_ref().map_or(0, Encoded::wire) + texts.sum::<usize>()
            }
            Self::Error { description, .. } => description.len(),
            Self::Destroy { .. }
            | Self::Reload(_)
            | Self::Files(_)
            | Self::Problems { .. }
            | Self::Restart { .. } => 0,
        }
    }
}

impl ErrorCode {
    /// As in the message: `path-failure`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PathFailure => "path-failure",
            Self::NotFound => "not-found",
            Self::Unauthorized => "unauthorized",
            Self::BadMessage => "bad-message",
            Self::HandlerFailed => "handler-failed",
            Self::Timeout => "timeout",
            Self::Limit => "limit",
        }
    }
}

/// The text of a frame. `None` if it cannot be written, which the log tells.
pub(crate) fn frame(messages: &[Outgoing]) -> Option<String> {
    let text = serde_json::to_string(messages);
    text.inspect_err(|error| tracing::error!(%error, "a bug: a frame could not be written")).ok()
}

/// What browsers are told of a reload.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reload<'a> {
    generation: u64,
    status: ReloadStatus,
    files: &'a [String],
    duration_ms: f64,
    notes: &'a [Note],
    offer_restart: bool,
    errors: &'a [ErrorReport],
}

fn reload<S: Serializer>(report: &ReloadReport, serializer: S) -> Result<S::Ok, S::Error> {
    let ReloadReport { generation, status, files, notes, offer_restart, errors, .. } = report;
    let (generation, status, offer_restart) = (*generation, *status, *offer_restart);
    let duration_ms = milliseconds(report.duration);
    Reload { generation, status, files, duration_ms, notes, offer_restart, errors }.serialize(serializer)
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A script's error may be of any length, and stays with its variable.
pub(crate) fn cut(description: &mut String) {
    if description.len() > MAX_DESCRIPTION {
        let end = (0..=MAX_DESCRIPTION).rev().find(|&at| description.is_char_boundary(at));
        description.truncate(end.unwrap_or(0));
        description.push_str(" …");
        description.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::Diagnostic;

    #[test]
    fn messages_are_written_as_the_protocol_says() {
        let update =
            Outgoing::Update { var_id: 2, value: Some(Encoded::Object(7)), properties: Properties::new() };
        let error = Outgoing::Error { var_id: 3, code: ErrorCode::PathFailure, description: "x".into() };
        assert_eq!(
            serde_json::to_string(&[update, error]).unwrap(),
            r#"[{"type":"update","data":{"varId":2,"value":{"obj":7}}},{"type":"error","data":{"varId":3,"code":"path-failure","description":"x"}}]"#
        );
    }

    #[test]
    fn a_reload_has_the_shape_of_the_protocol() {
        let error = Diagnostic::about("lua/a.lua", Some(1), "no");
        let mut report = ReloadReport::of_start(2, error);
        report.duration = Duration::from_millis(14);
        let frame = Outgoing::Reload(Box::new(report)).alone();
        assert_eq!(
            frame,
            r#"[{"type":"reload","data":{"generation":2,"status":"failed","files":[],"durationMs":14.0,"notes":[],"offerRestart":false,"errors":[{"file":"lua/a.lua","line":1,"message":"no","excerpt":[],"traceback":"","sessions":0,"unstarted":1}]}}]"#
        );
    }
}
