//! [`Overview`]: what is published of a site, and what its servers say.

use std::{sync::Arc, time::Duration};

use super::{Depot, Pointer, PublicKey, PublishError, Record, Report, rollout::GONE};

/// Reads what is published of a site, and what its servers say. It takes no secret.
#[derive(Debug)]
pub struct Overview {
    pub(super) depot: Arc<dyn Depot>,
    pub(super) site: String,
    /// Whose pointers are believed.
    pub(super) trust: Vec<PublicKey>,
}

impl Overview {
    /// Of a site. Pointers that these keys have signed are believed.
    pub fn new(depot: Arc<dyn Depot>, site: String, trust: Vec<PublicKey>) -> Self {
        Self { depot, site, trust }
    }

    /// Believes what this key has signed as well.
    #[must_use]
    pub fn trusting(mut self, key: PublicKey) -> Self {
        self.trust.push(key);
        self
    }

    /// Whether nobody is believed, so that no pointer can be read.
    pub fn trusts_nobody(&self) -> bool {
        self.trust.is_empty()
    }

    /// The newest pointer with its revision; none if nothing was published.
    ///
    /// # Errors
    /// If the depot is away, or nobody who is trusted has signed it.
    pub async fn newest(&self) -> Result<Option<(u64, Pointer)>, PublishError> {
        let Some(Record { revision, bytes }) = self.depot.pointer(&self.site).await? else { return Ok(None) };
        Ok(Some((revision, Pointer::read(&bytes, &self.site, &self.trust)?)))
    }

    /// What servers report, of whatever age.
    ///
    /// # Errors
    /// If the depot is away.
    pub async fn reports(&self) -> Result<Vec<Report>, PublishError> {
        let reports = self.depot.reports(&self.site).await?;
        Ok(reports.iter().filter_map(|(server, bytes)| Report::read(server, bytes)).collect())
    }

    /// The reports of servers that are there: those whose heartbeat is heard within a moment. Of the others, the last.
    ///
    /// # Errors
    /// If the depot is away.
    pub async fn census(&self, patience: Duration) -> Result<Vec<(Report, bool)>, PublishError> {
        let before = self.reports().await?;
        tokio::time::sleep(patience.min(GONE)).await;
        let is_there = |now: &Report| {
            let before = before.iter().find(|before| before.server == now.server);
            !now.leaving && before.is_none_or(|before| (before.boot, before.beat) != (now.boot, now.beat))
        };
        Ok(self
            .reports()
            .await?
            .into_iter()
            .map(|report| (is_there(&report), report))
            .map(|(is, of)| (of, is))
            .collect())
    }
}
