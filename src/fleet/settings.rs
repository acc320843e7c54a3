//! [`FleetSettings`] and [`Pulse`]: what a server's part in its fleet has to know of the server.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::watch;

use super::PublicKey;
use crate::{reload::Faulted, watch::Root};

/// What a server has to know of its fleet.
#[derive(Debug, Clone)]
pub struct FleetSettings {
    /// The name of the site.
    pub site: String,
    /// The name of the server.
    pub server: String,
    /// Who may publish.
    pub trust: Vec<PublicKey>,
    /// Bytes of a release.
    pub max_size: u64,
    /// The file that a session begins with: `lua/main.lua`.
    pub main: PathBuf,
    /// The roots of a site in the directory that stands for it: [`Cache::current`](super::Cache::current).
    pub roots: Vec<Root>,
}

/// How the server is.
#[derive(Clone)]
pub struct Pulse {
    /// Sessions, and those that are stuck.
    pub sessions: Arc<dyn Fn() -> (usize, usize) + Send + Sync>,
    /// What fails in them.
    pub faults: watch::Receiver<Faulted>,
}
