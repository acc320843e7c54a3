//! [`Depot`]: where releases are, and where servers say what became of them. What is read there is never believed:
//! blobs are checked against their addresses, pointers against signatures.
//!
//! Small on purpose: blobs and pointers are keys and values with compare-and-set, reports are one value for each
//! server, and a hint says only "look again". Truth is read; who misses a hint is late and never wrong.

use std::{collections::BTreeMap, fmt, io, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use super::{Announcement, Digest};

/// What comes of a request.
pub type Answered<'a, T> = BoxFuture<'a, Result<T, DepotError>>;

/// So many pointers of a site are kept.
pub const KEPT_POINTERS: usize = 64;
/// No report of a server has more bytes.
pub const MAX_REPORT: usize = 32 << 10;

/// A pointer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Grows with every pointer of the site, by one.
    pub revision: u64,
    /// The pointer and its signature.
    pub bytes: Vec<u8>,
}

/// What a server hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// There may be another pointer.
    Look,
    /// Somebody has announced one. It is not to be believed.
    Announced(Announcement),
}

/// Where releases are.
pub trait Depot: fmt::Debug + Send + Sync {
    /// A blob, if it is there.
    fn get(&self, address: Digest) -> Answered<'_, Option<Arc<[u8]>>>;
    /// Keeps a blob.
    fn put(&self, address: Digest, bytes: Arc<[u8]>) -> Answered<'_, ()>;
    /// Which of these blobs are not there.
    fn missing(&self, addresses: Vec<Digest>) -> Answered<'_, Vec<Digest>>;
    /// The newest pointer of a site.
    fn pointer<'a>(&'a self, site: &'a str) -> Answered<'a, Option<Record>>;
    /// Writes the pointer that follows that revision (0: the first), unless another has written one; returns its
    /// revision.
    fn point<'a>(&'a self, site: &'a str, after: u64, bytes: Vec<u8>) -> Answered<'a, u64>;
    /// The pointers that are kept, the newest last.
    fn pointers<'a>(&'a self, site: &'a str) -> Answered<'a, Vec<Record>>;
    /// Writes the report of a server over the one before.
    fn report<'a>(&'a self, site: &'a str, server: &'a str, report: Vec<u8>) -> Answered<'a, ()>;
    /// The newest report of each server.
    fn reports<'a>(&'a self, site: &'a str) -> Answered<'a, BTreeMap<String, Vec<u8>>>;
    /// Sends it to all who listen for [`news`](Self::news), which may be nobody. Where that cannot be done nothing is:
    /// they find out by themselves.
    fn announce<'a>(&'a self, site: &'a str, announcement: Announcement) -> Answered<'a, ()> {
        let _ = (site, announcement);
        Box::pin(std::future::ready(Ok(())))
    }
    /// When there may be another pointer. Not every time, and also for nothing.
    fn news(&self, site: &str) -> mpsc::Receiver<News>;
    /// Changes when there may be another report. Not every time, and also for nothing.
    fn hints(&self, site: &str) -> watch::Receiver<u64>;
}

/// Why a request came to nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DepotError {
    /// Another publisher was first.
    #[error("another has published meanwhile; look with `lua-hotloader fleet status`, and publish again")]
    Overtaken,
    /// The directory cannot be used.
    #[error("{}: the releases there cannot be used (fleet.depot)", path.display())]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else than what is kept there.
    #[error("{}: {what}; it was not put there by lua-hotloader, so delete it (fleet.depot)", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No answer.
    #[error("the releases cannot be reached (fleet.depot): {0}")]
    Away(String),
    /// `fleet.depot` is "nats".
    #[cfg(not(feature = "nats"))]
    #[error("this build has no NATS: build with --features nats, or set fleet.depot to a directory")]
    NoNats,
    /// Nothing is said of where they are.
    #[error("nothing says where releases are: set fleet.depot, such as \"dir:/srv/releases\"")]
    Unnamed,
}
