//! What is wrong with a release, where, and what helps.

use thiserror::Error;

use super::Digest;
use crate::config::ByteSize;

/// Why something is no release, or none that is taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// No file may be called so.
    #[error("{path:?} is not taken: {what}; rename it and publish again")]
    Name {
        /// The file.
        path: String,
        /// What is wrong with its name.
        what: &'static str,
    },
    /// Two are called the same.
    #[error(
        "{path:?} stands twice in the release, or out of order; publish it again with `lua-hotloader publish`"
    )]
    Twice {
        /// The file.
        path: String,
    },
    /// A directory, or a file in pieces, is not written as it has to be.
    #[error("{path:?} is not written as a release is: {what}; publish it again with `lua-hotloader publish`")]
    Malformed {
        /// The directory or file.
        path: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Too many directories in each other.
    #[error("{path:?} lies in more than {max} directories; move it up and publish again")]
    TooDeep {
        /// The directory.
        path: String,
        /// How many there may be.
        max: usize,
    },
    /// Too many files.
    #[error("{path:?} is one too many: a release has {max} files and directories at most; publish fewer")]
    TooMany {
        /// The first beyond the limit.
        path: String,
        /// How many there may be.
        max: usize,
    },
    /// Too many files in one directory.
    #[error("{path:?} has too many files for one directory: move some of them into directories below it")]
    TooWide {
        /// The directory.
        path: String,
    },
    /// More bytes than are taken.
    #[error(
        "the release has {size} bytes or more with {path:?}, and fleet.max_size is \"{max}\"; publish less, or \
         raise fleet.max_size where it is published and on every server",
        max = ByteSize::bytes(*max)
    )]
    TooLarge {
        /// The first file beyond the limit.
        path: String,
        /// Bytes up to and with it.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// A file has not the size that its directory says.
    #[error(
        "{path:?} has {is} bytes, and its directory says {says}; publish it again with `lua-hotloader publish`"
    )]
    Size {
        /// The file.
        path: String,
        /// What is there.
        is: u64,
        /// What is said.
        says: u64,
    },
    /// Content is not what its address says.
    #[error(
        "{path:?}: what is kept at {expected} is something else ({found}), so it is damaged or was exchanged; delete \
         it there, and publish again"
    )]
    Address {
        /// The file it is for.
        path: String,
        /// The address.
        expected: Digest,
        /// That of what is there.
        found: Digest,
    },
}

impl ReleaseError {
    /// Whether the release itself is at fault, and not the place that it was fetched from.
    pub fn is_of_the_release(&self) -> bool {
        !matches!(self, Self::Address { .. })
    }
}
