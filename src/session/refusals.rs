//! What browsers asked for and may not have: counted, and told once for each path.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::SessionId;
use crate::variables::Refusal;

/// At most this many paths of a session are logged: who asks for more is trying all of them.
const MAX_TOLD: usize = 100;

/// What the log has been told of one session.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Hashes of type and path.
    told: HashSet<u64>,
    hasher: RandomState,
}

impl Refusals {
    pub(super) fn take(&mut self, refusals: Vec<Refusal>, session: &SessionId, count: &AtomicU64) {
        count.fetch_add(refusals.len() as u64, Relaxed);
        for Refusal { path, type_name, description } in refusals {
            let hash = self.hasher.hash_one((&type_name, &path));
            if self.told.len() > MAX_TOLD || !self.told.insert(hash) {
                continue;
            }
            let session = session.short();
            if self.told.len() > MAX_TOLD {
                tracing::warn!(
                    target: "web", session, limited_by = session,
                    "unauthorized: a browser asked for {MAX_TOLD} paths that it may not have; no more of them are told"
                );
                return;
            }
            tracing::warn!(target: "web", session, limited_by = session, path, ?type_name, "unauthorized: {description}");
        }
    }
}
