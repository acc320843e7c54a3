//! [`Publisher`]: writes releases, and leads rollouts by the clock and what servers report.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::future::try_join_all;
use thiserror::Error;

use super::{
    Announcement, Blobs, DepotError, Digest, Ended, Overview, Packed, Plan, Pointer, PointerError, Rollout,
    SecretKey, Stage, Step, Tally, Wave,
    rollout::{GONE, canary, newest_seen},
};

/// So many blobs are sent at a time.
const AT_A_TIME: usize = 50;
/// Without a hint, reports are read so often.
const LOOK: Duration = Duration::from_secs(1);

/// Writes releases of a site.
#[derive(Debug)]
pub struct Publisher {
    overview: Overview,
    key: Arc<SecretKey>,
}

/// Who runs a new release first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Canaries {
    /// All: no waves.
    None,
    /// So many.
    Count(u16),
    /// These.
    Names(Vec<String>),
}

/// What is told on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Blobs that are there, of all that were missing, with their bytes.
    Sent {
        /// Blobs.
        blobs: usize,
        /// Of so many.
        of: usize,
        /// Bytes.
        bytes: usize,
    },
    /// A pointer is written.
    Written(Box<Pointer>),
    /// Servers have answered.
    Answers(Box<Tally>),
}

/// Why a site cannot be published or led.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The depot.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// What is there is of somebody else.
    #[error("{0}")]
    Pointer(#[from] PointerError),
    /// It was there.
    #[error(
        "the depot has lost what was published: somebody has emptied it; publish again, and servers go on from there"
    )]
    Lost,
    /// There is nothing yet.
    #[error("nothing of {0} is published yet; `lua-hotloader publish DIR --site {0}` does it")]
    Nothing(String),
    /// There is nothing before it.
    #[error("there is nothing before generation {0} to go back to; publish what is to run")]
    NoWayBack(u64),
    /// It has ended already.
    #[error("generation {0} is not under way: it is settled; there is nothing to go on with")]
    Settled(u64),
}

impl Publisher {
    /// For the site of that overview, with a key to sign with, which is believed from now on.
    pub fn new(overview: Overview, key: Arc<SecretKey>) -> Self {
        Self { overview: overview.trusting(key.public()), key }
    }

    /// What is published, and what servers say.
    pub fn overview(&self) -> &Overview {
        &self.overview
    }

    /// Sends what the depot has not, and returns that. After it, a pointer may name the release.
    ///
    /// # Errors
    /// If the depot does not take it.
    pub async fn send(&self, packed: &Packed, mut tell: impl FnMut(Progress)) -> Result<Blobs, PublishError> {
        let missing = self.overview.depot.missing(packed.blobs.keys().copied().collect()).await?;
        let (mut sent, mut bytes) = (0, 0);
        for some in missing.chunks(AT_A_TIME) {
            let blobs =
                some.iter().filter_map(|address| Some((*address, packed.blobs.get(address)?.clone())));
            bytes += blobs.clone().map(|(_, blob)| blob.len()).sum::<usize>();
            try_join_all(blobs.map(|(address, blob)| self.overview.depot.put(address, blob))).await?;
            sent += some.len();
            tell(Progress::Sent { blobs: sent, of: missing.len(), bytes });
        }
        Ok(missing
            .iter()
            .filter_map(|address| Some((*address, packed.blobs.get(address)?.clone())))
            .collect())
    }

    /// Points to a release that was sent, and announces it with what was `fresh` of it. `None`: this very release is
    /// settled, or on its way without waves.
    ///
    /// # Errors
    /// If another has published meanwhile, or the depot is away.
    pub async fn point(
        &self,
        root: Digest,
        plan: Plan,
        canaries: &Canaries,
        fresh: &Blobs,
    ) -> Result<Option<(u64, Pointer)>, PublishError> {
        let newest = self.overview.newest().await?;
        let reports = self.overview.reports().await?;
        if newest.as_ref().is_some_and(|(_, pointer)| pointer.root == root && pointer.stage == Stage::Settled)
        {
            return Ok(None);
        }
        let revision = newest.as_ref().map_or(0, |(revision, _)| *revision);
        let newest = newest.map(|(_, pointer)| pointer);
        // A store that was emptied does not know what servers remember.
        let known = newest.as_ref().map_or(0, |pointer| pointer.seq);
        let seq = newest_seen(known, &reports).unwrap_or_default().max(known) + 1;
        let wave = match canaries {
            Canaries::None => Wave::All,
            Canaries::Names(names) => Wave::of(names.iter().cloned()),
            Canaries::Count(count) => {
                let there = reports.into_iter().filter(|report| !report.leaving).map(|report| report.server);
                canary((*count).into(), there, root)
            }
        };
        let pointer = Pointer {
            site: self.overview.site.clone(),
            seq,
            step: 0,
            root,
            previous: newest.as_ref().and_then(Pointer::accepted),
            wave,
            stage: Stage::Rolling,
            plan,
            deadline: deadline(&plan),
            note: String::new(),
        };
        Ok(Some((self.write_with(revision, &pointer, fresh).await?, pointer)))
    }

    /// Writes a pointer after that revision.
    ///
    /// # Errors
    /// If another has published meanwhile, or the depot is away.
    pub async fn write(&self, revision: u64, pointer: &Pointer) -> Result<u64, PublishError> {
        self.write_with(revision, pointer, &Blobs::new()).await
    }

    async fn write_with(&self, revision: u64, pointer: &Pointer, fresh: &Blobs) -> Result<u64, PublishError> {
        let (depot, site) = (&self.overview.depot, &self.overview.site);
        let signed = pointer.sign(&self.key);
        let revision = depot.point(site, revision, signed.clone()).await?;
        // It is there. Who does not hear of it finds it a little later.
        let _ = depot.announce(site, Announcement::new(signed, fresh)).await;
        Ok(revision)
    }

    /// Leads the rollout of a pointer that was just written, until it has ended.
    ///
    /// # Errors
    /// If what is there is of somebody who is not trusted. Where the depot is away, that is waited for.
    pub async fn lead(
        &self,
        mut revision: u64,
        pointer: Pointer,
        mut tell: impl FnMut(Progress),
    ) -> Result<Ended, PublishError> {
        let begun = Instant::now();
        let mut rollout = Rollout::new(pointer, begun.elapsed());
        let mut hints = self.overview.depot.hints(&self.overview.site);
        let mut told = Tally::default();
        loop {
            // Away: the publisher has all it needs to go on when it is back.
            if let Ok(reports) = self.overview.reports().await {
                rollout.asked(begun.elapsed());
                reports.into_iter().for_each(|report| rollout.hear(report, begun.elapsed()));
            }
            match self.overview.depot.pointer(&self.overview.site).await {
                Ok(Some(record)) if record.revision != revision => {
                    let by = Pointer::read(&record.bytes, &self.overview.site, &self.overview.trust)?;
                    rollout.overtaken(Some(&by));
                }
                Ok(None) => return Err(PublishError::Lost),
                Ok(Some(_)) | Err(_) => {}
            }
            let tally = rollout.tally(begun.elapsed());
            if tally != told {
                tell(Progress::Answers(Box::new(tally.clone())));
                told = tally;
            }
            match rollout.next(begun.elapsed()) {
                Step::Done(ended) => return Ok(ended),
                Step::Write(pointer) => {
                    let pointer = Pointer { deadline: deadline(&pointer.plan), ..*pointer };
                    match self.write(revision, &pointer).await {
                        Ok(next) => {
                            revision = next;
                            tell(Progress::Written(Box::new(pointer.clone())));
                            rollout.written(pointer, begun.elapsed());
                        }
                        Err(PublishError::Depot(DepotError::Overtaken)) => rollout.overtaken(None),
                        Err(_) => {
                            rollout.not_written();
                            tokio::time::sleep(LOOK).await;
                        }
                    }
                }
                Step::Wait => {
                    // A hint is only faster.
                    let _ = tokio::time::timeout(LOOK, hints.changed()).await;
                }
            }
        }
    }

    /// Stops the rollout that is under way, wherever it is led.
    ///
    /// # Errors
    /// If none is.
    pub async fn pause(&self) -> Result<Pointer, PublishError> {
        let (revision, newest) = self.under_way().await?;
        let pointer = Rollout::pause(&newest);
        self.write(revision, &pointer).await?;
        Ok(pointer)
    }

    /// Goes on with a rollout that stands still: paused, or left by its publisher. It is led here then.
    ///
    /// # Errors
    /// If there is none.
    pub async fn resume(&self) -> Result<(u64, Pointer), PublishError> {
        let (revision, newest) = self.under_way().await?;
        let pointer = Rollout::resume(&newest);
        let pointer = Pointer { deadline: deadline(&pointer.plan), ..pointer };
        Ok((self.write(revision, &pointer).await?, pointer))
    }

    /// Goes back to the release before.
    ///
    /// # Errors
    /// If there is none.
    pub async fn roll_back(&self, why: &str) -> Result<(u64, Pointer), PublishError> {
        let (revision, newest) = self.overview.newest().await?.ok_or_else(|| self.nothing())?;
        let is_back = newest.previous == Some(newest.root);
        let back = Rollout::back(&newest, why).filter(|_| !is_back);
        let pointer = back.ok_or(PublishError::NoWayBack(newest.seq))?;
        Ok((self.write(revision, &pointer).await?, pointer))
    }

    async fn under_way(&self) -> Result<(u64, Pointer), PublishError> {
        let (revision, newest) = self.overview.newest().await?.ok_or_else(|| self.nothing())?;
        if newest.stage == Stage::Settled {
            return Err(PublishError::Settled(newest.seq));
        }
        Ok((revision, newest))
    }

    fn nothing(&self) -> PublishError {
        PublishError::Nothing(self.overview.site.clone())
    }
}

fn deadline(plan: &Plan) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    now.saturating_add(plan.patience.saturating_add(plan.bake).div_ceil(1000))
}

/// Whether nobody leads a rollout any more: it is past its deadline, by this machine's clock.
pub fn is_stalled(pointer: &Pointer) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    pointer.stage == Stage::Rolling && now > pointer.deadline.saturating_add(GONE.as_secs())
}
