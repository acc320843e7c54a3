//! What goes wrong with the daemon, and what a person can do about it.

use std::{io, path::PathBuf, time::Duration};

use hotloader_backend::BackendFailure;
use thiserror::Error;
use watchman_client::Error as ClientError;

/// Begins what a poisoned daemon answers to everything.
const POISON: &str = "A non-recoverable condition has triggered";

/// Ends what the daemon says when it did not see its own cookie.
const UNSYNCED: &str = "sync_timeout expired";

/// Why something could not be done. The message names the remedy.
#[derive(Debug, Error)]
pub(crate) enum Trouble {
    /// Its program does not say where it listens.
    #[error(
        "{} does not say where Watchman listens ({reason}); install Watchman, or set watch.watchman.binary or \
         watch.watchman.sockname",
        binary.display()
    )]
    Discovery { binary: PathBuf, reason: String },
    /// Nobody answers at the socket.
    #[error(
        "no Watchman daemon answers at {} ({reason}); start one with `watchman watch-list`, or set \
         watch.watchman.spawn = true",
        sock.display()
    )]
    Away { sock: PathBuf, reason: String },
    /// The connection ended.
    #[error("the connection to the Watchman daemon at {} was lost ({reason})", sock.display())]
    Lost { sock: PathBuf, reason: String },
    /// Somebody else's daemon.
    #[error(
        "not permitted to use the Watchman socket {}; run the daemon as the same user as this server, or set \
         watch.watchman.sockname to a daemon of its own",
        sock.display()
    )]
    Denied { sock: PathBuf },
    /// It takes connections and answers nothing.
    #[error(
        "the Watchman daemon at {} did not answer within {timeout:?}; restart it with `watchman \
         shutdown-server`, or raise watch.watchman.timeout",
        sock.display()
    )]
    Hung { sock: PathBuf, timeout: Duration },
    /// It cannot do what is needed.
    #[error(
        "the Watchman daemon at {} is too old or of an unknown kind ({reason}); version 4.9 or later is \
         needed",
        sock.display()
    )]
    Unsuitable { sock: PathBuf, reason: String },
    /// It gave up, most often since a limit of inotify was reached, and fails every request.
    #[error(
        "the Watchman daemon at {} has given up ({reason}); raise fs.inotify.max_user_watches, then `watchman \
         watch-del-all` and `watchman shutdown-server`",
        sock.display()
    )]
    Poisoned { sock: PathBuf, reason: String },
    /// It did not see the file that it made itself.
    #[error(
        "the Watchman daemon at {} did not catch up with the file system within {timeout:?}; raise \
         watch.watchman.timeout, or restart it with `watchman shutdown-server`",
        sock.display()
    )]
    Unsynced { sock: PathBuf, timeout: Duration },
    /// It says no to this request.
    #[error("Watchman refuses: {0}")]
    Refused(String),
}

impl Trouble {
    /// What came of connecting to a socket.
    pub(crate) fn connecting(sock: PathBuf, error: ClientError) -> Self {
        match error {
            ClientError::ConnectionError(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Self::Denied { sock }
            }
            ClientError::ConnectionError(error) => Self::Away { sock, reason: error.to_string() },
            error => Self::Away { sock, reason: error.to_string() },
        }
    }

    /// What came of a request.
    pub(crate) fn requesting(sock: PathBuf, timeout: Duration, error: ClientError) -> Self {
        match error {
            ClientError::ConnectionLost(reason) => {
                let mut reason = reason.to_string();
                // The client puts all it received into its message.
                if let Some(data) = reason.find(" (data:") {
                    reason.truncate(data);
                }
                Self::Lost { sock, reason }
            }
            ClientError::WatchmanServerError { message, .. }
            | ClientError::WatchmanResponseError { message } => Self::said(sock, timeout, &message),
            ClientError::Deserialize { source, .. } => Self::Unsuitable { sock, reason: source.to_string() },
            ClientError::Serialize { source } => Self::Refused(source.to_string()),
            error => Self::Lost { sock, reason: error.to_string() },
        }
    }

    /// What an error of the daemon means.
    pub(crate) fn said(sock: PathBuf, timeout: Duration, message: &str) -> Self {
        if message.contains(POISON) {
            // The second line says what happened; the rest is advice that ours replaces.
            let reason = message.lines().nth(1).unwrap_or(message).to_owned();
            Self::Poisoned { sock, reason }
        } else if message.ends_with(UNSYNCED) {
            Self::Unsynced { sock, timeout }
        } else {
            Self::Refused(message.to_owned())
        }
    }

    /// Whether a new connection may help.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Lost { .. })
    }
}

impl From<Trouble> for BackendFailure {
    /// Another backend is needed for all of it: what may pass was waited for before.
    fn from(trouble: Trouble) -> Self {
        Self::next_backend(trouble.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str) -> Trouble {
        Trouble::said("/s".into(), Duration::from_secs(5), message)
    }

    #[test]
    fn what_the_daemon_says_is_told_apart() {
        assert!(matches!(said("sync_timeout expired"), Trouble::Unsynced { .. }));
        assert!(matches!(said("unable to resolve root"), Trouble::Refused(_)));
        let poison =
            said("A non-recoverable condition has triggered.\nat 1: inotify-add-watch(/x) -> No space");
        let text = poison.to_string();
        assert!(text.contains("inotify-add-watch(/x)") && text.contains("max_user_watches"), "{text}");
        assert!(!poison.may_pass());
    }
}
