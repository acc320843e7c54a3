//! [`Report`]: what a server says of itself, again and again. The newest one counts, so none that is lost, doubled or
//! late does harm.

use serde::{Deserialize, Serialize};

use super::{Digest, Failing, Position, depot::MAX_REPORT};

/// Diagnostics of one answer have no more bytes together.
pub const MAX_DIAGNOSTICS: usize = 8 << 10;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub server: String,
    /// Grows with each start.
    pub boot: u64,
    /// Grows with every report of a start: the heartbeat.
    pub beat: u64,
    /// The newest pointer that it has believed.
    pub seen: Position,
    /// The release that this one names.
    pub seen_root: Option<Digest>,
    /// The release that it runs.
    pub running: Option<Digest>,
    /// What became of the newest release that it was to run.
    pub answer: Option<Answer>,
    /// Sessions.
    pub sessions: usize,
    /// Sessions that are stuck in a function that cannot be interrupted.
    pub stuck: usize,
    /// What fails in its sessions while they run.
    #[serde(default)]
    pub failing: Failing,
    /// It ends now, and nobody need wait for it.
    #[serde(default)]
    pub leaving: bool,
    /// The version of the program.
    pub version: String,
}

/// What became of a release on one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The pointer that named it.
    pub position: Position,
    /// The release.
    pub root: Digest,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a release on one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It is there and compiles; sessions are at work on it.
    Accepted,
    /// New sessions begin with it, and these have moved.
    Applied {
        /// Sessions that there were.
        sessions: usize,
        /// How many of them keep the version before.
        kept: usize,
        /// Why, of the first ones.
        diagnostics: Vec<String>,
    },
    /// It does not run here, and is not tried again by itself.
    Refused {
        /// Why not.
        why: String,
    },
    /// It could not be had yet, and is tried again.
    Waiting {
        /// For what.
        why: String,
    },
}

impl Report {
    /// As it is kept.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what a server wrote, which may be anything.
    pub fn read(server: &str, bytes: &[u8]) -> Option<Self> {
        let report: Self = serde_json::from_slice(bytes.get(..bytes.len().min(MAX_REPORT))?).ok()?;
        (report.server == server).then_some(report)
    }
}

/// The beginning of a text, with so many bytes at most.
pub(super) fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default();
        text.truncate(end);
    }
}

/// The first of these texts, with [`MAX_DIAGNOSTICS`] bytes at most.
pub(super) fn bounded(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut left = MAX_DIAGNOSTICS;
    let mut taken = Vec::new();
    for mut text in texts {
        cut(&mut text, left);
        left -= text.len();
        if text.is_empty() {
            break;
        }
        taken.push(text);
    }
    taken
}
