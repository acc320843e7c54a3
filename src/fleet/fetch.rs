//! Fetching a release: what the cache has not comes from the depot, many blobs at a time.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::{
    Blobs, Cache, CacheError, Depot, DepotError, Digest, Listing, ReleaseError, Unpacked, Unpacking,
};

/// So many blobs are asked for at a time.
const AT_A_TIME: usize = 50;
/// How long an answer is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Why a release is not here.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Depot(#[from] DepotError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(
        "the release is not complete: there is no {0}; wait until it is copied, or publish again, which fills in what \
         is missing"
    )]
    Missing(Digest),
    #[error("the thread that reads it has ended")]
    Ended,
}

impl FetchError {
    /// Whether it is so wherever and whenever it is fetched.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Release(error) if error.is_of_the_release())
    }
}

/// A release, whole and checked; each blob that came is in the cache. What is neither there nor at hand comes from the
/// depot, if there is one. Files that are the same in `before` are not read.
pub(super) async fn fetch(
    root: Digest,
    max_size: u64,
    cache: &Arc<Cache>,
    at_hand: &Arc<Blobs>,
    before: &Arc<Listing>,
    depot: Option<&dyn Depot>,
) -> Result<Unpacked, FetchError> {
    let mut unpacking = Unpacking::new(root, max_size).after(before.clone());
    loop {
        let (cached, missing);
        (unpacking, cached, missing) = from_here(unpacking, cache.clone(), at_hand.clone()).await?;
        if missing.is_empty() && cached == 0 {
            return unpacking.done().ok_or(FetchError::Missing(root));
        }
        if cached > 0 {
            continue;
        }
        let Some(depot) = depot else {
            return Err(missing.first().map_or(FetchError::Ended, |one| FetchError::Missing(*one)));
        };
        let fetched = join_all(missing.into_iter().map(|address| get(depot, address))).await;
        let fetched = fetched.into_iter().collect::<Result<Vec<_>, _>>()?;
        unpacking = take(unpacking, cache.clone(), fetched).await?;
    }
}

async fn get(depot: &dyn Depot, address: Digest) -> Result<(Digest, Arc<[u8]>), FetchError> {
    let answered = tokio::time::timeout(PATIENCE, depot.get(address)).await;
    let bytes = answered.map_err(|_| DepotError::Away("no answer within 10 s".into()))??;
    Ok((address, bytes.ok_or(FetchError::Missing(address))?))
}

/// Takes what is here of the next blobs. Says how many that were, and which are not.
async fn from_here(
    mut unpacking: Unpacking,
    cache: Arc<Cache>,
    at_hand: Arc<Blobs>,
) -> Result<(Unpacking, usize, Vec<Digest>), FetchError> {
    let job = spawn_blocking(move || {
        let (mut cached, mut missing) = (0, Vec::new());
        for address in unpacking.needs(AT_A_TIME) {
            if let Some(bytes) = at_hand.get(&address) {
                unpacking.take(address, bytes.clone())?;
                cache.put(address, bytes)?;
                cached += 1;
            } else if let Some(bytes) = cache.get(address) {
                unpacking.take_checked(address, bytes)?;
                cached += 1;
            } else {
                missing.push(address);
            }
        }
        Ok((unpacking, cached, missing))
    });
    job.await.map_err(|_| FetchError::Ended)?
}

async fn take(
    mut unpacking: Unpacking,
    cache: Arc<Cache>,
    fetched: Vec<(Digest, Arc<[u8]>)>,
) -> Result<Unpacking, FetchError> {
    let job = spawn_blocking(move || {
        for (address, bytes) in fetched {
            unpacking.take(address, bytes.clone())?;
            // Only now it is known to be what its address says.
            cache.put(address, &bytes)?;
        }
        Ok(unpacking)
    });
    job.await.map_err(|_| FetchError::Ended)?
}
