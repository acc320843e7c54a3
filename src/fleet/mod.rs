//! Many servers, one site: releases, and how they reach every server.
//!
//! | file | what it does |
//! |---|---|
//! | `digest` | [`Digest`]: the address of content |
//! | `tree` | how directories are written |
//! | `pack`, `unpack` | files to blobs, and back; what comes from others is checked and bounded |
//! | `keys` | who may publish |
//! | `pointer` | [`Pointer`]: which release is to run, signed |
//! | `announcement` | [`Announcement`]: a pointer and small blobs, sent to all servers at once |
//! | `report` | [`Report`]: what servers say of themselves |
//! | `failing` | [`Failing`]: what fails in their sessions, against what failed before |
//! | `follower` | [`Follower`]: what a server does about pointers |
//! | `depot` | [`Depot`]: where all of these are kept; `dir_depot`: in a directory; `nats_depot`: in NATS |
//! | `rollout` | [`Rollout`]: from wave to wave, and back |
//! | `overview` | [`Overview`]: what is published, and what servers say |
//! | `roster`, `words` | [`Roster`]: all servers, as the status page of one shows them; in one line each |
//! | `publisher` | [`Publisher`]: sends releases, and leads rollouts |
//! | `cache` | [`Cache`]: what a server keeps; `kept`: of which releases, and what may go |
//! | `listing` | [`Listing`]: which content the files of a release have |
//! | `fetch`, `changes`, `loader`, `source` | a release on its way into a server: fetched, compared, handed over to a [`Loader`]; [`Fleet`] leads it |
//! | `settings` | [`FleetSettings`], [`Pulse`]: what that has to know of the server |
//! | `status` | [`FleetStatus`]: how a server is doing |
//! | `error` | what is wrong with a release |
//!
//! What decides (`unpack`, `pointer`, `follower`, `rollout`) is pure: it has no clock and no network.

mod announcement;
mod cache;
mod changes;
mod depot;
mod digest;
mod dir_depot;
mod error;
mod failing;
mod fetch;
mod follower;
#[cfg(test)]
mod follower_tests;
mod kept;
#[cfg(test)]
mod kept_tests;
mod keys;
mod listing;
mod loader;
#[cfg(feature = "nats")]
mod nats_depot;
mod overview;
mod pack;
mod pointer;
mod publisher;
mod report;
mod rollout;
#[cfg(test)]
mod rollout_tests;
mod roster;
mod settings;
#[cfg(test)]
mod simulation;
mod source;
#[cfg(test)]
mod source_tests;
mod status;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;
mod words;

use std::{path::Path, sync::Arc};

pub use announcement::{Announcement, Announcing, Blobs, MAX_ANNOUNCED};
pub use cache::{Cache, CacheError};
pub use depot::{Answered, Depot, DepotError, KEPT_POINTERS, MAX_REPORT, News, Record};
pub use digest::{Digest, NoDigest};
pub use dir_depot::DirDepot;
pub use error::ReleaseError;
pub use failing::Failing;
pub use follower::{Follower, Memory, Refusal, Stale};
pub use keys::{KeyError, PublicKey, SecretKey};
pub use listing::Listing;
pub use loader::Loader;
pub use overview::Overview;
pub use pack::{Files, Packed, pack};
pub use pointer::{MAX_POINTER, PATIENCE, Plan, Pointer, PointerError, Position, Stage, Wave};
pub use publisher::{Canaries, Progress, PublishError, Publisher, is_stalled};
pub use report::{Answer, MAX_DIAGNOSTICS, Outcome, Report};
pub use rollout::{Ended, GONE, Rollout, Step, Tally};
pub use roster::{Roster, Seen};
pub use settings::{FleetSettings, Pulse};
pub use source::Fleet;
pub use status::{FleetStatus, Link};
pub use tree::PIECE;
pub use unpack::{Unpacked, Unpacking};

use crate::config::Config;

/// How many directories may lie in each other.
pub const MAX_DEPTH: usize = 32;
/// Files and directories of a release.
pub const MAX_ENTRIES: usize = 100_000;

/// The depot that `fleet.depot` names; a relative path begins at the site.
///
/// # Errors
/// If it names none, or one that this build has not.
pub fn open_depot(site: &Path, config: &Config) -> Result<Arc<dyn Depot>, DepotError> {
    if config.fleet.is_in_nats() {
        #[cfg(feature = "nats")]
        return Ok(Arc::new(nats_depot::NatsDepot::new(config.nats.settings(site, &config.hub))));
        #[cfg(not(feature = "nats"))]
        return Err(DepotError::NoNats);
    }
    let dir = config.fleet.depot_dir().ok_or(DepotError::Unnamed)?;
    Ok(Arc::new(DirDepot::new(site.join(dir))))
}
