//! [`FleetStatus`]: how a server's part in its fleet is, for `/readyz`, the status page and metrics.

use std::time::Instant;

use super::{Answer, Digest, Outcome};

/// How a server's part in its fleet is.
#[derive(Debug, Clone)]
pub struct FleetStatus {
    /// The site.
    pub site: String,
    /// The server.
    pub server: String,
    /// Whether the depot answers.
    pub link: Link,
    /// Since when.
    pub since: Instant,
    /// The newest generation that it has seen.
    pub seq: u64,
    /// The release that runs.
    pub running: Option<Digest>,
    /// What became of the newest release that it was to run.
    pub answer: Option<Answer>,
    /// Why what is there is not followed.
    pub doubt: Option<String>,
}

/// Whether the depot answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// It was not asked yet.
    Unknown,
    /// It does.
    Connected,
    /// It does not.
    Away {
        /// Why.
        why: String,
    },
}

impl FleetStatus {
    pub(super) fn new(site: String, server: String) -> Self {
        let (link, since) = (Link::Unknown, Instant::now());
        Self { site, server, link, since, seq: 0, running: None, answer: None, doubt: None }
    }

    /// Whether there is something to serve.
    pub fn is_ready(&self) -> bool {
        self.running.is_some()
    }

    /// In one line.
    pub fn summary(&self) -> String {
        let Self { site, seq, server, .. } = self;
        let mut text = match (self.running, &self.answer) {
            (None, Some(Answer { outcome: Outcome::Refused { why } | Outcome::Waiting { why }, .. })) => {
                return format!("no release of {site} runs here: {why}");
            }
            (None, _) => match (&self.link, &self.doubt) {
                (Link::Away { why }, _) => {
                    return format!("no release of {site} runs here, and the depot is away: {why}");
                }
                (_, Some(doubt)) => return format!("no release of {site} runs here: {doubt}"),
                _ => {
                    return format!(
                        "there is no release of {site} yet: `lua-hotloader publish DIR --site {site}` makes one"
                    );
                }
            },
            (Some(root), _) => format!("{server} runs release {} of {site}, generation {seq}", root.short()),
        };
        if let Some(Answer { outcome: Outcome::Refused { why }, .. }) = &self.answer {
            text += &format!("; the newest is refused: {why}");
        }
        if let Some(doubt) = &self.doubt {
            text += &format!("; {doubt}");
        }
        if let Link::Away { why } = &self.link {
            text += &format!("; the depot is away: {why}");
        }
        text
    }
}
