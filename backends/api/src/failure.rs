//! Why a backend ended.

use std::error::Error;

use thiserror::Error;

type Source = Box<dyn Error + Send + Sync>;

/// Why a backend cannot go on. The class says what helps; the message says what happened, to which
/// path, and what a person can do about it.
#[derive(Debug, Error)]
pub enum BackendFailure {
    /// The same backend may work again in a moment: a lost connection, a panic.
    #[error("{message}")]
    Retry {
        /// What happened and what to do.
        message: String,
        /// What was underneath.
        source: Option<Source>,
    },
    /// This backend won't do here: a limit is reached, its daemon is missing.
    #[error("{message}")]
    NextBackend {
        /// What happened and what to do.
        message: String,
        /// What was underneath.
        source: Option<Source>,
    },
    /// No backend helps: the configuration is wrong.
    #[error("{message}")]
    Fatal {
        /// What happened and what to do.
        message: String,
        /// What was underneath.
        source: Option<Source>,
    },
}

/// What helps against a [`BackendFailure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// Start the same backend again, after a while.
    Retry,
    /// Start another backend.
    NextBackend,
    /// Ask a person.
    Fatal,
}

impl BackendFailure {
    /// Worth another try.
    pub fn retry(message: impl Into<String>) -> Self {
        Self::Retry { message: message.into(), source: None }
    }

    /// Another backend is needed.
    pub fn next_backend(message: impl Into<String>) -> Self {
        Self::NextBackend { message: message.into(), source: None }
    }

    /// Only a person can help.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::Fatal { message: message.into(), source: None }
    }

    /// Names the error that was underneath.
    #[must_use]
    pub fn because(mut self, error: impl Into<Source>) -> Self {
        let (Self::Retry { source, .. } | Self::NextBackend { source, .. } | Self::Fatal { source, .. }) =
            &mut self;
        *source = Some(error.into());
        self
    }

    /// The message and all that was underneath, in one line.
    pub fn explain(&self) -> String {
        let mut text = self.to_string();
        let mut error = self.source();
        while let Some(underneath) = error {
            text = format!("{text}: {underneath}");
            error = underneath.source();
        }
        text
    }

    /// What helps.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Retry { .. } => FailureClass::Retry,
            Self::NextBackend { .. } => FailureClass::NextBackend,
            Self::Fatal { .. } => FailureClass::Fatal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_goes_down_to_the_first_cause() {
        let failure = BackendFailure::retry("it ended").because(std::io::Error::other("the disk is on fire"));
        assert_eq!(failure.explain(), "it ended: the disk is on fire");
        assert_eq!(failure.class(), FailureClass::Retry);
    }
}
