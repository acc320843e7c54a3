//! What goes wrong, where, and what helps.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a site's store can't be used at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HubError {
    /// The file, or its directory, can't be made or opened.
    #[error(
        "the store {path:?} can't be opened: {source}; the server needs to read and write it and its directory \
         (hub.store; \"off\" does without a store)"
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refuses it.
    #[error(
        "the store {path:?} can't be used: {problem}; put back a copy of it, or move it away and the store begins \
         empty (hub.store)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        problem: String,
    },
    /// Somebody else has locked it.
    #[error(
        "the store {path:?} is locked by another program; end that, or give this site another file (hub.store)"
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It was made by another version.
    #[error(
        "the store {path:?} has the format {found}, and this program knows {known}; use the version that wrote it, \
         or export the store with that and import it here"
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It is somebody else's.
    #[error("{path:?} is an SQLite file of another program, and is left alone; name another in hub.store")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// `hub.engine` is "nats".
    #[cfg(not(feature = "nats"))]
    #[error("this build has no NATS: build with --features nats, or set hub.engine = \"local\"")]
    NoNats,
    /// NATS can't be used.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Nats(#[from] hotloader_nats::ConnectError),
    /// No thread to write on.
    #[error("cannot start the thread that writes the store: {0}")]
    Thread(#[source] io::Error),
}

/// Why a call of the store came to nothing. What was there, still is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// `hub.store` is "off".
    #[error("there is no store: hub.store is \"off\"")]
    Off,
    /// Another wrote in between.
    #[error("another has written it meanwhile")]
    Conflict,
    /// Beyond a limit.
    #[error("{what} is {got}, and {key} allows {max}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How much it would be.
        got: usize,
        /// How much it may be.
        max: usize,
        /// The key that says so.
        key: &'static str,
    },
    /// No key of this kind.
    #[error("{0}")]
    BadKey(String),
    /// The disk, or another program, is in the way.
    #[error("not written: {0}")]
    Failed(String),
}
